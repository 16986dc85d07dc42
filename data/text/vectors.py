"""Word vectors of unit length: look-up by token, and means over documents."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.text.tokens import Documents

_AT_ONCE = 8192  # documents, whose tokens take about 10 MB


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Word vectors of a vocabulary.

    Parameters
    ----------
    words : tuple of str
        V distinct tokens.
    table : (1 + V, d) float32 ndarray
        Row 0 is zeros, for every token without a vector. Row 1 + i is the vector of ``words[i]``, of length 1 (or
        0, if the file has zeros). It may be memory-mapped.
    sha256 : str
        Checksum of the words and the table.
    file : str
        Their source.
    """

    words: tuple[str, ...]
    table: NDArray[np.float32]
    sha256: str
    file: str

    @functools.cached_property
    def _rows(self) -> dict[str, int]:
        return {word: row for row, word in enumerate(self.words, start=1)}

    @property
    def dimension(self) -> int:
        """d, the numbers of a vector."""
        return int(self.table.shape[1])

    def rows(self, tokens: Iterable[str]) -> NDArray[np.int32]:
        """(n,) rows of the table for n tokens; 0 where a token has no vector."""
        return np.fromiter((self._rows.get(token, 0) for token in tokens), dtype=np.int32)

    def means(self, documents: Documents | Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """(n, d) mean vector of each document's tokens.

        A token without a vector counts as zeros, so it shortens the mean. A document without known tokens is all zeros.
        Tokens are added one after the other, in float32, so that the mean of a document does not depend on the other
        documents, to the bit.
        """
        from scipy.sparse import csr_array  # scipy comes with scikit-learn, which nothing else here needs

        used, numbers, starts = self._numbered(documents)
        vectors = self.table[used]  # only the rows in use: the table is on disk
        out = np.empty((len(starts) - 1, self.dimension), dtype=np.float32)
        for first, last in _blocks(len(out)):
            part = numbers[starts[first] : starts[last]]
            of_each = starts[first : last + 1] - starts[first]
            ones = np.ones(len(part), dtype=np.float32)
            sums = csr_array((ones, part, of_each), shape=(last - first, len(vectors))) @ vectors
            out[first:last] = sums / np.maximum(1, np.diff(of_each)).astype(np.float32)[:, None]
        return out

    def padded(self, documents: Documents | Sequence[Sequence[str]], width: int) -> NDArray[np.float32]:
        """(n, width) rows of the table for the first `width` tokens of each document, followed by zeros.

        As float32, the type of all model inputs, which represents integers up to 2^24 exactly.
        """
        used, numbers, starts = self._numbered(documents)
        out = np.zeros((len(starts) - 1, width), dtype=np.float32)
        place = np.arange(width)
        for first, last in _blocks(len(out)):
            inside = place < np.diff(starts[first : last + 1])[:, None]
            out[first:last][inside] = used[numbers[(starts[first:last, None] + place)[inside]]]
        return out

    def _numbered(
        self, documents: Documents | Sequence[Sequence[str]]
    ) -> tuple[NDArray[np.int32], NDArray[Any], NDArray[np.int64]]:
        """Rows of the table, numbers among these of the tokens of all n documents, and (n + 1,) where each starts."""
        if isinstance(documents, Documents):
            return self.rows(documents.vocabulary), documents.ids, documents.starts
        starts = np.cumsum([0, *map(len, documents)], dtype=np.int64)
        used, numbers = np.unique(self.rows(itertools.chain.from_iterable(documents)), return_inverse=True)
        return used, numbers, starts


def _blocks(documents: int) -> Iterator[tuple[int, int]]:
    """First and last document of each block that is processed at once."""
    for first in range(0, documents, _AT_ONCE):
        yield first, min(first + _AT_ONCE, documents)
