"""Labelled texts: read from tables and lists, plain or compressed, tokenised once and kept in the prepared cache."""

from __future__ import annotations

import csv
import gzip
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from data.loading.cache import Arrays, load_or_make
from data.text.tokens import Documents, tokenise

Labelled = tuple[Documents, NDArray[np.int64]]
"""Documents and their labels, (n,)."""


def opened(path: Path, encoding: str = "utf-8") -> IO[str]:
    """A text file, also a compressed one, to read."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding=encoding, newline="")
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding=encoding, newline="")
    return open(path, encoding=encoding, newline="")


def rows_of_table(path: Path, columns: tuple[str, ...]) -> Iterator[list[str]]:
    """The rows of a tab-separated table without quotes, below its first line, the header.

    Parameters
    ----------
    path : Path
    columns : tuple of str
        What the header must be.

    Raises
    ------
    ValueError
        On another header, a row with more or fewer fields, another encoding than UTF-8, or a damaged file.
    """
    rows = (line.rstrip("\r\n").split("\t") for line in _lines(path))
    return _checked(path, rows, len(columns), columns)


def rows_of_csv(path: Path, n_columns: int) -> Iterator[list[str]]:
    """The rows of a comma-separated file with quotes and without a header, as Zhang et al. publish them.

    Raises
    ------
    ValueError
        On a row with more or fewer fields, another encoding than UTF-8, or a damaged file.
    """
    csv.field_size_limit(1 << 30)  # characters; reviews may be longer than csv's own limit, 131,072
    return _checked(path, csv.reader(_lines(path)), n_columns, None)


def _lines(path: Path, encoding: str = "utf-8") -> Iterator[str]:
    try:
        with opened(path, encoding) as file:
            yield from file
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be {encoding} text, but it is not ({error.reason}).") from None
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is damaged or truncated ({error}); get it again.") from None


def _checked(path: Path, rows: Iterator[list[str]], fields: int, header: tuple[str, ...] | None) -> Iterator[list[str]]:
    for number, row in enumerate(rows, start=1):
        if header is not None and number == 1:
            if tuple(row) != header:
                raise ValueError(
                    f"{path} must begin with the line {' '.join(header)} (tabs), got {' '.join(row)[:80]!r}."
                )
        elif len(row) != fields:
            raise ValueError(f"{path}, row {number}: there must be {fields} fields, got {len(row)}; get it again.")
        else:
            yield row


def lines_of(path: Path, encoding: str) -> list[str]:
    """The lines of a text file that are not blank."""
    return [line for line in _lines(path, encoding) if line.strip()]


def label_of(path: Path, text: str, allowed: tuple[int, ...]) -> int:
    """A label in a file.

    Raises
    ------
    ValueError
        Unless it is one of `allowed`.
    """
    if text.strip() not in map(str, allowed):
        raise ValueError(f"{path}: labels must be {' or '.join(map(str, allowed))}, got {text!r}.")
    return int(text)


def labelled(pairs: Iterator[tuple[int, str]] | list[tuple[int, str]]) -> Labelled:
    """Tokenise labelled texts."""
    labels: list[int] = []

    def tokens() -> Iterator[list[str]]:
        for label, text in pairs:
            labels.append(label)
            yield tokenise(text)

    documents = Documents.of(tokens())
    return documents, np.array(labels, dtype=np.int64)


def select(split: Labelled, rows: NDArray[np.int64]) -> Labelled:
    """These documents with their labels."""
    return split[0].select(rows), split[1][rows]


def joined(first: Labelled, second: Labelled) -> Labelled:
    """The documents of one after those of the other."""
    documents = Documents.of([*first[0], *second[0]])
    return documents, np.concatenate([first[1], second[1]])


def load_or_tokenise(
    name: str, folder: Path, outputs_dir: str | os.PathLike[str], make: Callable[[], dict[str, Labelled]], source: str
) -> tuple[dict[str, Labelled], dict[str, Any]]:
    """Load the documents of both splits from ``prepared/<name>.npz``, or `make` them and keep them there.

    Parameters and errors are those of :func:`data.loading.cache.load_or_make`.

    Returns
    -------
    splits : dict of (Documents, (n,) int64 ndarray)
        By "train" and "test".
    provenance : dict
    """

    def arrays_of() -> Arrays:
        made: Arrays = {}
        for split, (documents, y) in make().items():
            made.update({**documents.to_arrays(split), f"y_{split}": y.astype(np.uint8)})
        return made

    arrays, provenance = load_or_make(name, folder, outputs_dir, arrays_of, source, _check)
    splits = {
        split: (Documents.from_arrays(arrays, split), arrays[f"y_{split}"].astype(np.int64))
        for split in ("train", "test")
    }
    return splits, provenance


def _check(arrays: Arrays) -> None:
    for split in ("train", "test"):
        if arrays[f"y_{split}"].shape != (len(Documents.from_arrays(arrays, split)),):
            raise ValueError(f"y_{split} must be one label per document")
