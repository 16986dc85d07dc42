"""Heartbeats as tables of numbers: reading and validation, shared by all sets of beats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from data.loading.cache import Arrays
from scd import files


def file_sha256(path: Path) -> str:
    """sha256 (hex) of a file.

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    try:
        return files.file_sha256(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); change its permissions.") from None


def check_beats(arrays: Arrays, n_values: int, paths: Sequence[Path]) -> None:
    """Check the arrays of a prepared file of heartbeats.

    Parameters
    ----------
    arrays : dict of str to ndarray
        Must hold ``x_train`` and ``x_test`` (n, `n_values`), float32, and a label 0 or 1 for each row. Their
        ``sources``, if there are any, are the sha256 of the files they were made from.
    n_values : int
        Values of a beat.
    paths : sequence of Path
        The files as they are now, compared with ``sources``; empty if they are not there.

    Raises
    ------
    ValueError
        If the arrays are not those of such beats, or were made from other files; a clause for
        `data.loading.cache.load_or_make`.
    """
    for split in ("train", "test"):
        x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
        if x.dtype != np.float32 or x.ndim != 2 or x.shape[1] != n_values:
            raise ValueError(f"x_{split} must be float32 of shape (n, {n_values}), got {x.dtype} of shape {x.shape}")
        if y.shape != x.shape[:1] or y.dtype.kind not in "iu" or not np.isin(y, (0, 1)).all():
            raise ValueError(f"y_{split} must be one label 0 or 1 per beat, got {y.dtype} of shape {y.shape}")
    if "sources" in arrays and (arrays["sources"].ndim != 1 or arrays["sources"].dtype.kind != "U"):
        raise ValueError(f"sources must be checksums, got {arrays['sources'].dtype} of {arrays['sources'].shape}")
    if paths and "sources" in arrays and arrays["sources"].tolist() != [file_sha256(path) for path in paths]:
        raise ValueError(f"{' and '.join(str(path) for path in paths)} changed since it was made")


def read_rows(path: Path, n_columns: int, delimiter: str, source: str) -> NDArray[np.float32]:
    """Read a table of finite numbers without a header.

    Parameters
    ----------
    path : Path
        The file, one row per line.
    n_columns : int
        How many columns every row must have.
    delimiter : str
        The separator of two columns.
    source : str
        Where to get the file, for the error messages.

    Returns
    -------
    ndarray of shape (n, n_columns), float32

    Raises
    ------
    ValueError
        If the file is empty or cannot be read, or a row has another number of columns, text or NaN; the sentence
        names row and column, counted from 1.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            lines = [line for line in file if line.strip()]
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); change its permissions.") from None
    if not lines:
        raise ValueError(f"{path} must hold {n_columns} numbers in each row, got no row; get it again from {source}.")
    try:
        rows = np.loadtxt(lines, dtype=np.float32, delimiter=delimiter, comments=None, ndmin=2)
    except ValueError:
        rows = None  # the bad cell is located below
    if rows is None or rows.shape[1] != n_columns:
        _refuse_rows(path, lines, n_columns, delimiter, source)
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        refuse_cell(path, row, column, "a finite number", str(rows[row, column]), source)
    return rows


def _refuse_rows(path: Path, lines: list[str], n_columns: int, delimiter: str, source: str) -> NoReturn:
    """Raise the sentence for the first bad row of a file that is no table of numbers."""
    for row, line in enumerate(lines):
        cells = line.rstrip("\r\n").split(delimiter)
        for column, cell in enumerate(cells):
            try:
                float(cell)
            except ValueError:
                refuse_cell(path, row, column, "a number", f"the text {cell.strip()[:20]!r}", source)
        if len(cells) != n_columns:
            where = f"{path}, row {row + 1}"
            raise ValueError(
                f"{where}: there must be {n_columns} columns, got {len(cells)}; get it again from {source}."
            )
    raise ValueError(f"{path} must be a table of {n_columns} columns of numbers; get it again from {source}.")


def refuse_cell(path: Path, row: int, column: int, allowed: str, got: str, source: str) -> NoReturn:
    """Raise the sentence for one bad cell; `row` and `column` count from 0 and are shown from 1."""
    raise ValueError(
        f"{path}, row {row + 1}, column {column + 1}: there must be {allowed}, got {got}; get it again from {source}."
    )
