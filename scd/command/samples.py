"""Samples from a file as (n, d) float32: CSV, Parquet, npy, npz."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scd.files import needs_pyarrow

TABLES, ARRAYS = (".csv", ".tsv", ".parquet", ".pq"), (".npy", ".npz")
_SHOWN = 20  # names in a message


@dataclass(frozen=True)
class Samples:
    """Samples and their classes.

    Attributes
    ----------
    x : ndarray of float32, shape (n, d)
    classes : ndarray of str, shape (n,), or None
        Names of the true classes, where they are known.
    feature_shape : tuple of int
        Shape of a sample in the file; an image is (channels, height, width).
    columns : tuple of str, or None
        Names of the features of a table, each of which has bounds of its own.
    """

    x: NDArray[np.float32]
    classes: NDArray[np.str_] | None
    feature_shape: tuple[int, ...]
    columns: tuple[str, ...] | None


def read_samples(path: str, target: str | None, labels: str | None) -> Samples:
    """Read samples.

    Parameters
    ----------
    path : str
        A table with a line of names, or an array of shape (n, d), (n, height, width) or (n, channels, height, width).
        An ``.npz`` file has the arrays ``x`` and perhaps ``y``, or ``x_test`` and ``y_test``.
    target : str, optional
        The column of a table that has the classes.
    labels : str, optional
        An ``.npy`` file with the classes, for arrays.

    Raises
    ------
    ValueError, FileNotFoundError, ImportError
        One sentence on what is missing or wrong.
    """
    file = _existing(path, "--data")
    ending = file.suffix.lower()
    if ending in TABLES:
        if labels is not None:
            raise ValueError(f"--labels is for arrays; the classes of the table {path} are named by --target=column.")
        x, y, columns = _read_parquet(file, target) if ending in TABLES[2:] else _read_csv(file, target)
    elif ending in ARRAYS:
        if target is not None:
            raise ValueError(f"--target is for tables; the classes of the array {path} are given by --labels y.npy.")
        x, y, columns = *_read_arrays(file, labels), None
    else:
        raise ValueError(f"--data must end in {', '.join(TABLES + ARRAYS)}. Got {path}.")
    return _checked(x, y, path, columns)


def _existing(path: str, option: str) -> Path:
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"{option} {path} is {'a folder, not a file' if file.is_dir() else 'not there'}.")
    return file


def _checked(x: NDArray[Any], y: NDArray[Any] | None, path: str, columns: Sequence[str] | None) -> Samples:
    if x.ndim not in (2, 3, 4) or 0 in x.shape or x.dtype.kind not in "fiub":
        raise ValueError(
            f"The samples of {path} must be numbers of shape (n, d), (n, height, width) or (n, channels, height, "
            f"width). Got {x.dtype} of shape {x.shape}."
        )
    x = x[:, None] if x.ndim == 3 else x
    with np.errstate(over="ignore"):  # refused below
        rows = np.ascontiguousarray(x.reshape(len(x), -1), dtype=np.float32)
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"The samples of {path} must be finite float32. Got NaN or infinity in {int((~finite).sum())} of them, the "
            f"first is sample {int(np.argmin(finite))}."
        )
    if y is not None and y.shape != (len(x),):
        raise ValueError(f"The classes of {path} must be one for each of {len(x)} samples. Got shape {y.shape}.")
    classes = None if y is None else names_of(y)
    if classes is not None and (classes == "").any():
        raise ValueError(
            f"The classes of {path} must not be empty. Got none in sample {int(np.argmax(classes == ''))}."
        )
    return Samples(rows, classes, x.shape[1:], None if columns is None else tuple(columns))


def names_of(y: NDArray[Any]) -> NDArray[np.str_]:
    """Return classes as names, shape (n,): 1.0, 1 and "1" are the class 1.

    Raises
    ------
    ValueError
        If they are numbers with a fraction.
    """
    if y.dtype.kind in "OU":
        y = y.astype(np.str_)
        try:
            numbers = y.astype(np.float64)
        except ValueError:
            return y
        if not np.array_equal(numbers, np.rint(numbers)):
            return y
        return numbers.astype(np.int64).astype(np.str_)
    if y.dtype.kind == "f":
        if not np.array_equal(y, np.rint(y)):  # also NaN
            raise ValueError(f"The classes must be names or whole numbers. Got {y[y != np.rint(y)][0]:g}.")
        y = y.astype(np.int64)
    return y.astype(np.str_)


def _features(columns: Sequence[str], target: str | None, path: Path) -> list[str]:
    """Names of the columns that are features."""
    if target is not None and target not in columns:
        shown = ", ".join(columns[:_SHOWN]) + (", …" if len(columns) > _SHOWN else "")
        nameless = " Its first line must have the names of the columns." if all(map(_is_number, columns)) else ""
        raise ValueError(f"--target must be a column of {path}: {shown}. Got {target}.{nameless}")
    if len(set(columns)) < len(columns):
        raise ValueError(f"The columns of {path} must have different names. Got {', '.join(columns[:_SHOWN])}.")
    return [name for name in columns if name != target]


_Table = tuple[NDArray[np.float64], NDArray[Any] | None, list[str]]  # samples, their classes, names of the features


def _read_csv(path: Path, target: str | None) -> _Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            columns = next(lines, [])
            cells = [line for line in lines if line]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"The table {path} cannot be read: {error}.") from None
    ragged = next((i for i, line in enumerate(cells) if len(line) != len(columns)), None)
    if ragged is not None:
        raise ValueError(
            f"The lines of {path} must have {len(columns)} cells like the line of names. Got {len(cells[ragged])} in "
            f"sample {ragged}."
        )
    if not cells:
        raise ValueError(f"The table {path} must have a line of names and samples. Got no samples.")
    names, by_name = _features(columns, target, path), dict(zip(columns, zip(*cells, strict=True), strict=True))
    x = _stacked([_numbers(by_name[name], name, path) for name in names], len(cells))
    return x, None if target is None else np.array(by_name[target]), names


def _stacked(columns: Sequence[NDArray[Any]], rows: int) -> NDArray[np.float64]:
    return np.array(columns, dtype=np.float64).reshape(-1, rows).T


def _numbers(cells: Sequence[str], name: str, path: Path) -> NDArray[np.float64]:
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        bad = next(i for i, cell in enumerate(cells) if not _is_number(cell))
        raise ValueError(
            f"The column {name!r} of {path} must be numbers. Got {cells[bad]!r} in sample {bad}; name the column of "
            "the classes with --target."
        ) from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _read_parquet(path: Path, target: str | None) -> _Table:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(needs_pyarrow(path, error)) from error
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"The table {path} cannot be read: {str(error).splitlines()[0].rstrip('.')}.") from None
    names = _features(table.column_names, target, path)
    columns = {name: table.column(name).to_numpy() for name in names}
    texts = [name for name, column in columns.items() if column.dtype.kind not in "fiub"]
    if texts:
        raise ValueError(
            f"The column {texts[0]!r} of {path} must be numbers. Got {table.schema.field(texts[0]).type}; name the "
            "column of the classes with --target."
        )
    y = None if target is None else _classes(table.column(target).to_pylist())
    return _stacked(list(columns.values()), len(table)), y, names


def _classes(cells: Sequence[Any]) -> NDArray[Any]:
    """Classes of a column; a missing one is empty."""
    missing = any(cell is None for cell in cells)
    return np.array(["" if cell is None else str(cell) for cell in cells] if missing else cells)


def _read_arrays(path: Path, labels: str | None) -> tuple[NDArray[Any], NDArray[Any] | None]:
    found = _load(path)
    given = None if labels is None else _load(_existing(labels, "--labels"))
    if isinstance(given, dict):
        raise ValueError(f"--labels {labels} must be an .npy file with one array. Got an .npz file.")
    if isinstance(found, dict):
        part = next((end for end in ("", "_test") if f"x{end}" in found), None)
        if part is None:
            raise ValueError(f"{path} must have the array x or x_test. Got {', '.join(sorted(found))}.")
        return found[f"x{part}"], found.get(f"y{part}") if given is None else given
    return found, given


def _load(path: Path) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """The array of an .npy file, or those of an .npz file by their names in lower case; nothing is unpickled."""
    try:
        with path.open("rb") as file:
            found: Any = np.load(file, allow_pickle=False)
            return found if isinstance(found, np.ndarray) else {name.lower(): found[name] for name in found.files}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        objects = "it holds Python objects; save it again as .astype(str) or .astype(float)"
        why = objects if "allow_pickle" in str(error) else str(error)
        raise ValueError(f"{path} must be an .npy or .npz file of numbers or texts: {why}.") from None
