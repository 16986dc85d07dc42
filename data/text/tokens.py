"""How a text becomes tokens, the same way for every source, and documents as one array of token numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BREAK = re.compile(r"<\s*br\s*/?\s*>|\\n")  # HTML's line break, also with blanks inside; Yelp's
_UNICODE = re.compile(r"\\u(?:(d[89ab][0-9a-f]{2})\\+u(d[c-f][0-9a-f]{2})|([0-9a-f]{4}))")  # a surrogate pair, or one
_ENTITY = re.compile(r"#\s*(\d{2,3})\s*;|&?\b(amp|quot|lt|gt)\s*;")  # as AG News has them, without their "&"
_NAMED = {"amp": "&", "quot": '"', "lt": "<", "gt": ">"}
_TOKEN = re.compile(
    r"\d+(?:[.,:]\d+)+"  # 6.5 and 1,000
    r"|(?:[^\W\d_]\.){2,}"  # u.s.
    r"|\w+?(?=n't\b)|n't\b"  # can't is ca and n't, as in GloVe's own vocabulary
    r"|'(?:s|m|d|re|ve|ll)\b"
    r"|\.{2,}|-{2,}"
    r"|\w+|[^\w\s]"
)


def tokenise(text: str) -> list[str]:
    r"""Lower-case tokens of a text: words, numbers, clitics such as ``n't`` and ``'s``, and single signs.

    Hyphens separate words. A text that was tokenised before, by blanks only, gets the same tokens again. So the texts
    as published and the tokenised ones of TextFooler's authors have the same tokens, except for a few contractions.
    Escapes as JSON writes them (``\u00e9``, the pair ``\ud83d\ude00``) are the character they stand for; half of a pair
    stands for none and is dropped.
    """
    text = _BREAK.sub(" ", text.lower())
    if "\\" in text:
        text = _UNICODE.sub(_unescaped, text).replace("\\", " ")
    if ";" in text:
        text = _ENTITY.sub(lambda found: chr(int(found[1])) if found[1] else _NAMED[found[2]], text)
    return _TOKEN.findall(text.replace("’", "'"))


def _unescaped(found: re.Match[str]) -> str:
    high, low, single = found.groups()
    if high:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)
    code = int(single, 16)
    return " " if 0xD800 <= code <= 0xDFFF else chr(code)


def letters_and_digits(tokens: Iterable[str]) -> str:
    """The letters a-z and digits of a text, equal for two versions that differ in blanks, signs and encoding."""
    return re.sub(r"[^a-z0-9]+", "", "".join(tokens))


@dataclass(frozen=True, eq=False)
class Documents:
    """A sequence of documents, each a list of tokens, in a fiftieth of the memory that lists of strings would take.

    Parameters
    ----------
    vocabulary : tuple of str
        The distinct tokens.
    ids : (m,) int32 ndarray
        Positions in the vocabulary of the tokens of all documents, one document after the other.
    starts : (n + 1,) int64 ndarray
        Where each document starts in `ids`, and where the last one ends.
    """

    vocabulary: tuple[str, ...]
    ids: NDArray[np.int32]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, documents: Iterable[Sequence[str]]) -> Documents:
        """Number the tokens of documents, in the order of their first appearance."""
        numbers: dict[str, int] = {}
        parts, lengths = [], [0]
        for tokens in documents:
            ids = [numbers.setdefault(token, len(numbers)) for token in tokens]
            parts.append(np.array(ids, dtype=np.int32))
            lengths.append(len(ids))
        ids_of_all = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)
        return cls(tuple(numbers), ids_of_all, np.cumsum(lengths, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, i: int) -> list[str]:
        if not 0 <= i < len(self):  # no negative ones, as everywhere in a data set
            raise IndexError(i)
        return [self.vocabulary[number] for number in self.ids[self.starts[i] : self.starts[i + 1]]]

    def __iter__(self) -> Iterator[list[str]]:
        return (self[i] for i in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(n,) tokens of each document."""
        return np.diff(self.starts)

    def select(self, rows: Iterable[int]) -> Documents:
        """These documents in this order, with the same vocabulary."""
        parts = [self.ids[self.starts[i] : self.starts[i + 1]] for i in rows]
        ids = np.concatenate(parts) if parts else self.ids[:0]
        return Documents(self.vocabulary, ids, np.cumsum([0, *map(len, parts)], dtype=np.int64))

    def to_arrays(self, split: str) -> dict[str, NDArray[np.generic]]:
        """Return the arrays of a prepared file, by names that end in `split`."""
        words = np.frombuffer("\n".join(self.vocabulary).encode(), dtype=np.uint8)
        return {f"x_{split}": self.ids, f"starts_{split}": self.starts, f"vocabulary_{split}": words}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[np.generic]], split: str) -> Documents:
        """Rebuild the documents from what :meth:`to_arrays` returned.

        Raises
        ------
        ValueError
            If the arrays cannot be those of documents.
        """
        try:
            ids, starts = arrays[f"x_{split}"], arrays[f"starts_{split}"]
            words = arrays[f"vocabulary_{split}"].tobytes().decode()
        except (KeyError, UnicodeDecodeError) as error:
            raise ValueError(f"it holds no documents: {error}") from None
        vocabulary = tuple(words.split("\n")) if words else ()
        typed = ids.dtype == np.int32 and starts.dtype == np.int64 and ids.ndim == starts.ndim == 1
        if not (
            typed
            and len(starts)
            and (starts[0], starts[-1]) == (0, len(ids))
            and (np.diff(starts) >= 0).all()
            and (not len(ids) or (int(ids.min()) >= 0 and int(ids.max()) < len(vocabulary)))
        ):
            raise ValueError(f"x_{split}, starts_{split} and vocabulary_{split} do not belong together")
        return cls(vocabulary, ids.astype(np.int32), starts.astype(np.int64))
