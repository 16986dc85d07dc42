"""Your own samples as a table: a row a sample, a column a feature, one column with the class; CSV or Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.dataset import Dataset
from data.loading.own import Options, Samples, existing_file, listed, make_dataset
from scd.files import file_sha256, needs_pyarrow

if TYPE_CHECKING:
    import pandas as pd

_NAME = "table"
_SPLITS = ("train", "test")


def load(
    path: str | None = None,
    target: str | None = None,
    *,
    columns: Any = None,
    test_path: str | None = None,
    split: str | None = None,
    classes: Any = None,
    test_size: float = 0.25,
    split_seed: int = 0,
    scaling: str = "none",
    clip: Any = "features",
) -> Dataset:
    """Load the numeric columns of a table.

    Parameters
    ----------
    path : str
        A ``.csv`` file with a line of names, ``.tsv`` (tabs) or ``.parquet`` (needs pyarrow).
    target : str
        Name of the column with the classes: texts, whole numbers or bools.
    columns : list of str, optional
        Names of the features. Default: all other columns, which must be numeric.
    test_path : str, optional
        The table of the test split.
    split : str, optional
        Name of a column that says "train" or "test".
    classes, test_size, split_seed, scaling
        See :func:`data.arrays.load`.
    clip : "features", "data", (low, high), a list of d such pairs, or None for no bounds
        Bounds that attacks keep to, in units of the scaled features: the minimum and the maximum of each column, those
        of all values, or given ones.

    Returns
    -------
    Dataset
        float32 values, feature shape (d,).

    Raises
    ------
    ValueError, FileNotFoundError
        One sentence on the file, column or option that is missing or wrong.
    """
    if test_path is not None and split is not None:
        raise ValueError("dataset.split names a column of one table, so dataset.test_path must be null.")
    files = [existing_file(_NAME, "path", path)]
    table = _read(files[0])
    if not isinstance(target, str) or target not in table.columns:
        known = [str(column) for column in table.columns]
        hint = " Its first line must have the names of the columns." if all(map(_is_number, known)) else ""
        raise ValueError(
            f"dataset.target of {_NAME} must be a column of {path}: {listed(known)}. Got {target!r}.{hint}"
        )
    names = _features(table, target, split, columns)
    if test_path is not None:
        files.append(existing_file(_NAME, "test_path", test_path))
        train, test = table, _read(files[1])
    elif split is not None:
        train, test = _by_column(table, split)
    else:
        train, test = table, None
    samples = _samples(train, names, target, str(path))
    tested = None if test is None else _samples(test, names, target, str(test_path or path))
    provenance = {
        "source": "the user's table",
        "file": [str(file) for file in files],
        "sha256": [file_sha256(file) for file in files],
        "target": target,
    }
    options = Options(_NAME, classes, test_size, split_seed, clip, scaling, names)
    return make_dataset(samples, tested, options, provenance)


def _read(file: Path) -> pd.DataFrame:
    import pandas as pd  # here, because the core does not have it

    try:
        if file.suffix.lower() in (".parquet", ".pq"):
            import pyarrow  # noqa: F401  (its own error says what it lacks)

            return pd.read_parquet(file, engine="pyarrow")
        return pd.read_csv(file, sep="\t" if file.suffix.lower() == ".tsv" else ",")
    except ImportError as error:
        raise ValueError(needs_pyarrow(file, error)) from error
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
        raise ValueError(f"The table {file} cannot be read: {str(error).splitlines()[0]}") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _features(table: pd.DataFrame, target: str, split: str | None, columns: Any) -> list[str]:
    """Names of the features, all of which are columns of numbers."""
    known = [str(column) for column in table.columns]
    if split is not None and split not in known:
        raise ValueError(f"dataset.split of {_NAME} must be one of the columns {listed(known)}. Got {split!r}.")
    if columns is None:
        names = [column for column in known if column not in (target, split)]
    else:
        names = [str(column) for column in columns] if isinstance(columns, list | tuple) else []
        unknown = [column for column in names if column not in known or column in (target, split)]
        if not names or unknown or len(set(names)) < len(names):
            got = f"there is no feature {unknown[0]!r}" if unknown else f"got {columns!r}"
            raise ValueError(f"dataset.columns of {_NAME} must be some of the columns {listed(known)}; {got}.")
    texts = [column for column in names if table[column].dtype.kind not in "fiub"]
    if texts or not names:
        what = f"not numeric: {listed(texts)}" if texts else "there is no other column than the target"
        raise ValueError(
            f"The features of {_NAME} must be columns of numbers, but {what}; encode them, or name the features with "
            "dataset.columns=[first,second]."
        )
    return names


def _by_column(table: pd.DataFrame, split: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    says = table[split].astype(str)
    others = sorted(set(says) - set(_SPLITS))
    if others:
        raise ValueError(f"The column {split} of dataset.split must say train or test, got {listed(others)}.")
    return table[says == "train"], table[says == "test"]


def _samples(table: pd.DataFrame, names: list[str], target: str, where: str) -> Samples:
    missing = [column for column in [*names, target] if column not in table.columns]
    if missing:
        raise ValueError(
            f"The table {where} must have the columns of the training split, but {missing[0]!r} is missing."
        )
    for column in [*names, target]:
        gaps = np.flatnonzero(table[column].isna().to_numpy())
        if len(gaps):
            raise ValueError(
                f"The column {column!r} of {where} has {len(gaps)} missing values, the first in row {gaps[0]} after "
                "the line of names; fill them or remove their rows."
            )
    texts = [column for column in names if table[column].dtype.kind not in "fiub"]
    if texts:
        raise ValueError(f"The column {texts[0]!r} of {where} must be numbers.")
    return Samples(table[names].to_numpy(dtype=np.float64), _labels(table[target]))


def _labels(column: pd.Series[Any]) -> NDArray[Any]:
    """Numbers and bools as they are, all else as text."""
    return column.to_numpy() if column.dtype.kind in "fiub" else column.astype(str).to_numpy(dtype=np.str_)
