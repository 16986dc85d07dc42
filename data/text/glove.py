"""Word vectors such as GloVe's: found in the data folder, read from their text format once, then memory-mapped.

A line of the text format is a word and its numbers, separated by blanks. The file may be plain, compressed or in an
archive. The vectors are kept as ``prepared/vectors_<name>.npy``, ``.txt`` and ``.json`` with a checksum, in the data
folder or, where that cannot be written, in the outputs folder.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import json
import os
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from data.dataset import content_checksum
from data.loading.archives import ARCHIVE_ERRORS, open_packed, unreadable
from data.loading.options import HOW_TO_SET, is_system_file
from data.text.vectors import WordVectors
from scd.files import atomic_file, write_json, write_text

PAPER = "glove.6B.200d"
SOURCE = "https://nlp.stanford.edu/projects/glove/"
_ENDINGS = (".txt", ".txt.gz", ".txt.xz")
MEMBER = "::"
"""Separates an archive from its member in the name of a source."""

_LINES_AT_ONCE = 50_000
_HEAD = 100  # lines that decide the dimension
_LONGEST_LINE = 1 << 20  # bytes: a vector of 100,000 numbers
_OFFICIAL = re.compile(r"glove\.6B\.\d+d\.txt(\.gz|\.xz)?$")
_OFFICIAL_WORDS = 400_000


def load_vectors(which: str, data_dir: str | os.PathLike[str], outputs_dir: str | os.PathLike[str]) -> WordVectors:
    """Load word vectors, scaled to unit length.

    Parameters
    ----------
    which : str
        "auto": ``glove.6B.200d``, the paper's, where the data folder or a folder in it has it, else the first other
        GloVe file there by name. Or the path of a file in GloVe's text format, plain, .gz or .xz, or of a .zip archive
        that holds one, or ``archive.zip::member.txt``.
    data_dir, outputs_dir : path
        ``paths.data`` and ``paths.outputs``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, truncated, of mixed dimension or of another encoding than UTF-8.
    """
    folder = Path(data_dir).expanduser()
    source = _find(folder) if which == "auto" else _given(which)
    path, _, member = source.partition(MEMBER)
    state = os.stat(path)
    about = {"file": Path(path).name, "member": member, "size": state.st_size, "modified": state.st_mtime_ns}
    name = "vectors_" + re.sub(r"\.(txt|vec|gz|xz)\b", "", Path(member or path).name)
    places = [folder / "prepared", Path(outputs_dir).expanduser() / "prepared"]
    for place in places:
        found = _kept(place / name, about)
        if found is not None:
            return WordVectors(*found, file=source)
    words, table = read_glove(source)
    sha256 = _checksum(words, table)
    refused = []
    for place in places:
        try:
            place.mkdir(parents=place is places[-1], exist_ok=True)  # the data folder itself is the user's to make
            _keep(place / name, {**about, "sha256": sha256}, words, table)
        except OSError as error:
            refused.append(f"{place} ({error.strerror or error})")
        else:
            break
    else:
        warnings.warn(
            f"The word vectors cannot be kept in {' or '.join(refused)}; they are read again next time.", stacklevel=2
        )
    return WordVectors(words, table, sha256, source)


def _find(folder: Path) -> str:
    """The paper's GloVe file in the data folder or a folder in it, else the first other GloVe file by name."""
    found = []
    for path in sorted([*folder.glob("glove*"), *folder.glob("*/glove*"), *folder.glob("*/glove*/glove*")]):
        if path.name.endswith(_ENDINGS) and path.is_file():
            found.append(str(path))
        elif path.suffix == ".zip":
            found += [f"{path}{MEMBER}{member}" for member in members(path)]
    if not found:
        raise FileNotFoundError(
            f"word vectors are missing: there is no GloVe file in {folder} or a folder in it; put glove.6B.zip "
            f"(862 MB) of {SOURCE}, or {PAPER}.txt out of it, into {folder / 'text'}, {HOW_TO_SET}, or "
            "give a file with dataset.vectors=/some/file.txt"
        )
    exact = [source for source in found if re.search(rf"{re.escape(PAPER)}\.txt(\.\w+)?$", source)]
    return (exact or found)[0]


def _given(which: Any) -> str:
    """The file that ``dataset.vectors`` names."""
    if not isinstance(which, str) or not which:
        raise ValueError(f"dataset.vectors must be auto or the path of a file in GloVe's text format, got {which!r}.")
    path, _, member = str(Path(which).expanduser()).partition(MEMBER)
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"dataset.vectors={which} is no file; give auto or a file in GloVe's text format, such as {PAPER}.txt "
            f"out of glove.6B.zip of {SOURCE}"
        )
    if not path.endswith(".zip"):
        return path
    inside = members(Path(path))
    if not inside or (member and member not in inside):
        listed = ", ".join(inside) or "none"
        raise ValueError(f"dataset.vectors={which} must be one of the text files in the archive, which are: {listed}.")
    chosen = member or next((name for name in inside if PAPER in name), inside[0])
    return f"{path}{MEMBER}{chosen}"


def _checksum(words: tuple[str, ...], table: NDArray[np.float32]) -> str:
    return content_checksum(np.frombuffer("\n".join(words).encode(), dtype=np.uint8), table)


def _kept(stem: Path, about: dict[str, Any]) -> tuple[tuple[str, ...], NDArray[np.float32], str] | None:
    """Words, memory-mapped table and checksum as kept from this very file; None if they are not, or are damaged."""
    sha256 = None
    try:
        facts = json.loads(Path(f"{stem}.json").read_text(encoding="utf-8"))
        if not isinstance(facts, dict) or any(facts.get(key) != value for key, value in about.items()):
            return None
        sha256 = facts.get("sha256")
        words = tuple(Path(f"{stem}.txt").read_bytes().decode().split("\n"))
        # copy-on-write, because torch warns of arrays that cannot be written
        table = np.load(f"{stem}.npy", mmap_mode="c", allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError):
        table, words = np.zeros((0, 0), dtype=np.float32), ()
    if (
        not isinstance(sha256, str)
        or table.ndim != 2
        or len(table) != 1 + len(words)
        or _checksum(words, table) != sha256
    ):
        warnings.warn(f"The word vectors kept in {stem}.npy are damaged; they are read again.", stacklevel=3)
        return None
    return words, table, sha256


def _keep(stem: Path, facts: dict[str, Any], words: tuple[str, ...], table: NDArray[np.float32]) -> None:
    """Write the three files, each whole or not at all, the one with the checksum last."""
    with atomic_file(f"{stem}.npy") as file:
        np.save(file, table, allow_pickle=False)
    write_text(f"{stem}.txt", "\n".join(words))
    write_json(f"{stem}.json", facts, indent=2)


def members(archive: Path) -> list[str]:
    """Names of the text files in a zip archive, sorted, without those that operating systems add.

    Raises
    ------
    ValueError
        If it is damaged, as after a download that was cut off.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            names = file.namelist()
    except ARCHIVE_ERRORS as error:
        raise ValueError(unreadable(archive, error)) from None
    return sorted(name for name in names if name.endswith((".txt", ".vec")) and not is_system_file(name))


def read_glove(source: str) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Read a file of word vectors; of a word that occurs twice the first vector counts.

    Read as they are published: words that hold blanks (``. . .`` in glove.840B), blanks at the end of lines (fastText),
    a first line with the numbers of words and dimensions (word2vec and fastText), a byte-order mark.

    Parameters
    ----------
    source : str
        A path, or archive, ``::`` and member.

    Returns
    -------
    words : tuple of V str
    table : (1 + V, d) float32 ndarray
        Zeros, then the vectors scaled to unit length.

    Raises
    ------
    ValueError
        If it is damaged, truncated, of mixed dimension or of another encoding than UTF-8.
    """
    path, _, member = source.partition(MEMBER)
    try:
        with open_packed(Path(path), member) as file:
            words, vectors = _parsed(source, file)
    except UnicodeDecodeError as error:
        raise ValueError(f"{source} must be UTF-8 text, but it is not ({error.reason}).") from None
    except ARCHIVE_ERRORS as error:
        raise ValueError(unreadable(source, error)) from None
    if _OFFICIAL.search(source) and len(words) != _OFFICIAL_WORDS:
        raise ValueError(
            f"{source} must have {_OFFICIAL_WORDS:,} words, got {len(words):,}; it is truncated: get it again."
        )
    first: dict[str, int] = {}
    for row, word in enumerate(words):
        first.setdefault(word, row)
    if len(first) < len(words):
        words, vectors = list(first), vectors[list(first.values())]
    table = np.zeros((1 + len(words), vectors.shape[1]), dtype=np.float32)
    lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1))
    np.divide(vectors, lengths[:, None], out=table[1:], where=lengths[:, None] > 0, casting="same_kind")
    return tuple(words), table


def _parsed(source: str, file: IO[bytes]) -> tuple[list[str], NDArray[np.float32]]:
    """Words and vectors in the order of the file."""
    lines = _numbered_lines(source, file)
    head = list(itertools.islice(lines, _HEAD))
    dimension = _dimension(head)
    if not dimension:
        shown = head[0][1][:60].decode(errors="replace") if head else ""
        raise ValueError(
            f"{source} must hold lines of a word and its numbers, separated by blanks, got {shown!r}; give a file in "
            "GloVe's text format."
        )
    promised = _header(head, dimension)
    lines = itertools.chain(head if promised is None else head[1:], lines)
    words: list[str] = []
    blocks = []
    while block := list(itertools.islice(lines, _LINES_AT_ONCE)):
        of_block, numbers = _parsed_block(source, block, dimension)
        words += of_block
        blocks.append(numbers)
    if promised is not None and len(words) < promised:
        raise ValueError(
            f"{source} must have {promised:,} words, as its first line says, got {len(words):,}; it is truncated: get "
            "it again."
        )
    return words, np.concatenate(blocks)


def _numbered_lines(source: str, file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Line numbers from 1 and lines without the blanks at their end; no blank lines, no byte-order mark."""
    for number in itertools.count(1):
        line = file.readline(_LONGEST_LINE)
        if not line:
            return
        if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
            raise ValueError(f"{source}, line {number}: a line must have less than {_LONGEST_LINE:,} bytes.")
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        whole = line.endswith(b"\n")
        line = line.rstrip(b" \t\r\n")
        if line:
            yield (number if whole else -number), line  # negative where the end of the line is missing


def _dimension(head: list[tuple[int, bytes]]) -> int:
    """The number of numbers at the end of most of the first lines, after a word; 0 if there are none."""
    counts = Counter(n for _, line in head if (n := min(_trailing_numbers(line), len(line.split()) - 1)) > 0)
    return max(counts, key=lambda n: (counts[n], n)) if counts else 0


def _trailing_numbers(line: bytes) -> int:
    return sum(1 for _ in itertools.takewhile(_is_number, reversed(line.split())))


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _header(head: list[tuple[int, bytes]], dimension: int) -> int | None:
    """How many words the first line promises, if it is "<words> <dimension>" and not a vector."""
    fields = head[0][1].split()
    if len(fields) == 2 and dimension > 1 and fields[0].isdigit() and fields[1] == str(dimension).encode():
        return int(fields[0])
    return None


def _parsed_block(source: str, block: list[tuple[int, bytes]], dimension: int) -> tuple[list[str], NDArray[np.float32]]:
    """Words and vectors of some lines: all at once where each is a word without blanks, else line by line."""
    import pandas as pd  # its parser takes seconds where a loop over lines takes minutes

    types: dict[int, Any] = {0: str, **dict.fromkeys(range(1, dimension + 1), np.float32)}

    def read(text: bytes) -> Any:
        with np.errstate(over="ignore"):  # numbers too large become infinite, which is refused below
            return pd.read_csv(
                io.BytesIO(text), sep=" ", header=None, quoting=csv.QUOTE_NONE, na_filter=False, dtype=types,
                lineterminator="\n", encoding="utf-8",
            )  # fmt: skip

    text = b"\n".join(line for _, line in block)
    try:
        found = read(text)
        if found.shape != (len(block), dimension + 1):
            raise ValueError
        words = found[0].tolist()
    except UnicodeDecodeError:
        raise
    except ValueError:  # also pandas's: a field that is no number, one that is missing, one too many
        parts = [_split_line(source, number, line, dimension) for number, line in block]
        words = [word.decode() for word, _ in parts]
        text = b"\n".join(b"0 " + b" ".join(numbers) for _, numbers in parts)
        found = read(text)
    numbers: NDArray[np.float32] = found.iloc[:, 1:].to_numpy(dtype=np.float32)
    if not np.isfinite(numbers).all():
        line = abs(block[int(np.argmin(np.isfinite(numbers).all(axis=1)))][0])
        raise ValueError(f"{source}, line {line}: all numbers must be finite float32; correct or remove this line.")
    return words, numbers


def _split_line(source: str, number: int, line: bytes, dimension: int) -> tuple[bytes, list[bytes]]:
    """The word of a line, which may hold blanks, and its numbers.

    A word whose last part is a number cannot be distinguished from a line with too many numbers; both are refused.
    """
    count = _trailing_numbers(line)
    parts = line.rsplit(None, dimension)
    if count == dimension or (count == dimension + 1 == len(line.split())):
        return (parts[0], parts[1:]) if len(parts) > dimension else (b"", parts)
    what = "it is truncated: get it again" if number < 0 else "correct or remove this line"
    raise ValueError(
        f"{source}, line {abs(number)}: there must be a word and {dimension} numbers, separated by blanks, as in most "
        f"lines, got {min(count, max(0, len(line.split()) - 1))} numbers; {what}."
    )
