"""GloVe's text format: a line is a word and its numbers, parted by blanks; plain, compressed or within an archive."""

from __future__ import annotations

import contextlib
import csv
import gzip
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

MEMBER = "::"
"""Parts an archive from its member in the name of a source."""

_LINES_AT_ONCE = 50_000
_OFFICIAL = re.compile(r"glove\.6B\.\d+d\.txt(\.gz|\.xz)?$")
_OFFICIAL_WORDS = 400_000


def members(archive: Path) -> list[str]:
    """Names of the text files in a zip archive, sorted.

    Raises
    ------
    ValueError
        If it is damaged, as after a download that was cut off.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            return sorted(name for name in file.namelist() if name.endswith(".txt"))
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{archive} cannot be read ({error}); get it again.") from None


def read_glove(source: str) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Read a file; of a word that occurs twice the first vector counts.

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
    try:
        words, vectors = _parsed(source)
    except UnicodeDecodeError as error:
        raise ValueError(f"{source} must be UTF-8 text, but it is not ({error.reason}).") from None
    except (EOFError, OSError, lzma.LZMAError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{source} is damaged or truncated ({error}); get it again.") from None
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


@contextlib.contextmanager
def _opened(source: str) -> Iterator[IO[bytes]]:
    path, _, member = source.partition(MEMBER)
    if member:
        with zipfile.ZipFile(path) as archive, archive.open(member) as inside:
            yield inside
    elif path.endswith((".gz", ".xz")):
        with (gzip if path.endswith(".gz") else lzma).open(path, "rb") as file:
            yield file
    else:
        with open(path, "rb") as file:
            yield file


def _parsed(source: str) -> tuple[list[str], NDArray[np.float32]]:
    import pandas as pd  # its parser takes seconds where a loop over lines takes minutes

    with _opened(source) as file:
        first = file.readline()
    fields = len(first.split(b" "))
    words: list[str] = []
    blocks = []
    types: dict[int, Any] = {0: str, **dict.fromkeys(range(1, fields), np.float32)}
    try:
        if fields < 2:
            raise ValueError(f"the first line {first[:60]!r}")
        with _opened(source) as file, pd.read_csv(
            file, sep=" ", header=None, quoting=csv.QUOTE_NONE, na_filter=False, dtype=types,
            lineterminator="\n", encoding="utf-8", chunksize=_LINES_AT_ONCE,
        ) as chunks:  # fmt: skip
            for chunk in chunks:
                if chunk.shape[1] != fields:
                    raise ValueError(f"{fields} fields, then {chunk.shape[1]}")
                words += chunk[0].tolist()
                blocks.append(chunk.iloc[:, 1:].to_numpy(dtype=np.float32))
                if not np.isfinite(blocks[-1]).all():
                    raise ValueError("a number that is not finite")
    except UnicodeDecodeError:
        raise
    except ValueError as error:  # also pandas's: a field that is no number, one that is missing, one too many
        found = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise ValueError(
            f"{source} must hold lines of a word and as many numbers each, parted by single blanks, but it has: "
            f"{found}. It is truncated or of mixed dimension; get it again."
        ) from None
    return words, np.concatenate(blocks)
