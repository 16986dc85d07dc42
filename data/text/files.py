"""Labelled texts: read from tables and lists, plain or compressed, tokenised once and kept in the prepared cache."""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.loading.archives import ARCHIVE_ERRORS, open_packed, unreadable
from data.loading.cache import Arrays, load_or_make
from data.text.tokens import Documents, tokenise

Labelled = tuple[Documents, NDArray[np.int64]]
"""Documents and their labels, (n,)."""
Splits = dict[str, Labelled]
"""The documents of "train" and "test"."""

_LONGEST_FIELD = 1 << 30  # characters; reviews may be longer than csv's own limit, 131,072


def rows_of_table(path: Path, columns: tuple[str, ...]) -> Iterator[list[str]]:
    """Yield the rows of a tab-separated table without quotes, below its first line, the header.

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
    rows = (line.rstrip("\r\n").split("\t") for line in lines_of(path))
    return _checked(path, rows, len(columns), columns)


def rows_of_csv(path: Path, n_columns: int) -> Iterator[list[str]]:
    """Yield the rows of a comma-separated file with quotes and without a header, as Zhang et al. publish them.

    Raises
    ------
    ValueError
        On a row with more or fewer fields, another encoding than UTF-8, or a damaged file.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    return _checked(path, csv.reader(lines_of(path)), n_columns, None)


def lines_of(path: Path, encoding: str = "utf-8") -> Iterator[str]:
    """Yield the lines of a text file, also of a compressed one, with their ends.

    A byte-order mark is not part of the text; a file that begins with UTF-8's is UTF-8 whatever `encoding` says.

    Raises
    ------
    ValueError
        If the file has another encoding, is damaged, cannot be read, or unpacks to far more than a text would.
    """
    try:
        with open_packed(path) as file:
            if file.peek(len(codecs.BOM_UTF8)).startswith(codecs.BOM_UTF8):
                encoding = "utf-8-sig"
            with io.TextIOWrapper(file, encoding=encoding, newline="") as text:
                yield from text
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be {encoding} text, but it is not ({error.reason}).") from None
    except ARCHIVE_ERRORS as error:
        raise ValueError(unreadable(path, error)) from None


def _checked(path: Path, rows: Iterator[list[str]], fields: int, header: tuple[str, ...] | None) -> Iterator[list[str]]:
    try:
        for number, row in enumerate(rows, start=1):
            if header is not None and number == 1:
                if tuple(row) != header:
                    raise ValueError(
                        f"{path} must begin with the line {' '.join(header)} (tabs), got {' '.join(row)[:80]!r}."
                    )
            elif len(row) != fields:
                raise ValueError(
                    f"{path}, row {number}: there must be {fields} fields, got {len(row)}; correct or remove this row."
                )
            else:
                yield row
    except csv.Error as error:
        raise ValueError(f"{path} must be a comma-separated table, but it is not ({error}).") from None


def label_of(path: Path, text: str, allowed: tuple[int, ...]) -> int:
    """Read a label in a file.

    Raises
    ------
    ValueError
        Unless it is one of `allowed`.
    """
    if text.strip() not in map(str, allowed):
        raise ValueError(f"{path}: labels must be {' or '.join(map(str, allowed))}, got {text!r}.")
    return int(text)


def splits_of_table(
    path: Path, columns: tuple[str, ...], labels: tuple[int, ...], parts: Mapping[str, Iterable[str]]
) -> Splits:
    """Read the documents of both splits from one table.

    Parameters
    ----------
    path : Path
    columns : tuple of str
        What the header must be; ``split``, ``label`` and ``text`` are among it.
    labels : tuple of int
        The labels that may occur. Documents with others than 0 and 1 are left out (AG News has four).
    parts : mapping of str to iterable of str
        For "train" and "test", what the column ``split`` says of their rows.

    Raises
    ------
    ValueError
        As :func:`rows_of_table`, or on another label.
    """
    rows = list(rows_of_table(path, columns))
    split, label, text = (columns.index(name) for name in ("split", "label", "text"))
    return {
        name: labelled(
            (number, row[text])
            for row in rows
            if row[split] in values and (number := label_of(path, row[label], labels)) in (0, 1)
        )
        for name, values in parts.items()
    }


def complete_folder(folder: Path, places: Iterable[str], names: Iterable[str]) -> Path | None:
    """Return the first of the folders `places` in `folder` that holds all of `names`; None if there is none."""
    return next((folder / place for place in places if all((folder / place / n).exists() for n in names)), None)


def labelled(pairs: Iterable[tuple[int, str]]) -> Labelled:
    """Tokenise labelled texts."""
    labels: list[int] = []

    def tokens() -> Iterator[list[str]]:
        for label, text in pairs:
            labels.append(label)
            yield tokenise(text)

    documents = Documents.of(tokens())
    return documents, np.array(labels, dtype=np.int64)


def select(split: Labelled, rows: NDArray[np.int64]) -> Labelled:
    """Return these documents with their labels."""
    return split[0].select(rows), split[1][rows]


def load_or_tokenise(
    name: str, folder: Path, outputs_dir: str | os.PathLike[str], make: Callable[[], Splits], source: str
) -> tuple[Splits, dict[str, Any]]:
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
        y, documents = arrays[f"y_{split}"], Documents.from_arrays(arrays, split)
        if y.shape != (len(documents),) or y.dtype.kind not in "iu" or not np.isin(y, (0, 1)).all():
            raise ValueError(f"y_{split} must be one label 0 or 1 per document, got {y.dtype} of shape {y.shape}")
