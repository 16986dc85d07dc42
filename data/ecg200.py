"""ECG200, normal heartbeats against infarctions: 96 values a beat, 100 for training and 100 for testing.

A small substitute for the PTB beats (`data.ptb`), which need a Kaggle account; not a data set of the paper. Olszewski
(2001) extracted the beats. The UCR time series archive publishes them, split and z-normalised one by one.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.dataset import Dataset, class_counts
from data.loading.archives import ARCHIVE_ERRORS, check_members
from data.loading.beats import check_beats, file_sha256, read_rows
from data.loading.cache import Arrays, load_or_make
from data.loading.options import HOW_TO_SET, check_data_folder, check_fixed_classes

CLASS_NAMES = ("normal", "infarction")
ARCHIVE_LABELS = (1, -1)  # the archive's labels of class 0 and of class 1
COUNTS = {"train": [69, 31], "test": [64, 36]}
N_VALUES = 96
BUNDLE = "ecg200_ecg5000train.npz"
TABLES = {"train": "ECG200_TRAIN.tsv", "test": "ECG200_TEST.tsv"}
SOURCE = "https://www.cs.ucr.edu/~eamonn/time_series_data_2018/"


def load(classes: Iterable[str] = CLASS_NAMES, *, data_dir: str, outputs_dir: str) -> Dataset:
    """Load all beats in the archive's split and order.

    The archive labels the beats 1 and -1 without saying which are normal. Of the beats 133 are normal, 67 infarctions
    (documentation of ``ecg200`` in the R package DATAstudio, after Olszewski, "Generalized feature extraction for
    structural pattern recognition in time-series data", Carnegie Mellon 2001); label 1 occurs 69 + 64 = 133 times and
    -1 occurs 31 + 36 = 67 times. So 1 is normal and becomes label 0, -1 is an infarction and becomes label 1, as in
    `data.ptb`.

    Beats are kept as published, not scaled to [0, 1]. An attack needs finite bounds, and the archive names none: they
    are the minimum and the maximum of all training and test beats, the test beats included because every beat must be
    within the bounds. No label is used for that.

    Parameters
    ----------
    classes : two str
        Always ("normal", "infarction"): label 0 and label 1.
    data_dir : str
        Folder with ``ecg/ecg200_ecg5000train.npz`` (arrays ``ecg200_x_train`` (100, 96), ``ecg200_y_train`` (100,) and
        the same for test), or with the archive's ``ECG200_TRAIN.tsv`` and ``ECG200_TEST.tsv`` in ``ECG200/`` or
        ``ecg/``, or with ``prepared/ecg200.npz``, which is made from them (``paths.data``).
    outputs_dir : str
        Second place for the prepared file, when `data_dir` cannot be written (``paths.outputs``).

    Returns
    -------
    Dataset
        float32 beats, feature shape (96,).

    Raises
    ------
    ValueError
        If a file holds text, NaN, another number of columns, other labels than 1 and -1 or only one of them, or lacks
        arrays, or if `classes` are others.
    FileNotFoundError
        If there is neither a usable prepared file nor the archive's beats.
    """
    check_fixed_classes(classes, CLASS_NAMES, "ecg200")
    folder = check_data_folder(data_dir)
    arrays, provenance = load_or_make(
        "ecg200",
        folder,
        outputs_dir,
        partial(_cut, folder),
        SOURCE,
        lambda found: check_beats(found, N_VALUES, _find(folder)),
    )
    for split, promised in COUNTS.items():
        counts = class_counts(arrays[f"y_{split}"])
        if counts != promised:
            provenance["notes"].append(
                f"not the full set: {counts[0]} normal beats and {counts[1]} infarctions in the {split} split, "
                f"the archive has {promised[0]} and {promised[1]}"
            )
    both = [arrays["x_train"], arrays["x_test"]]
    return Dataset(
        name="ecg200",
        x_train=arrays["x_train"],
        y_train=arrays["y_train"].astype(np.int64),
        x_test=arrays["x_test"],
        y_test=arrays["y_test"].astype(np.int64),
        feature_shape=(N_VALUES,),
        clip=(min(float(x.min()) for x in both), max(float(x.max()) for x in both)),
        class_names=CLASS_NAMES,
        provenance={**provenance, "classes": list(CLASS_NAMES)},
    )


def _find(folder: Path) -> list[Path]:
    """The bundle, or the two tables, training first, or nothing."""
    bundle = folder / "ecg" / BUNDLE
    if bundle.is_file():
        return [bundle]
    for place in (folder / "ECG200", folder / "ecg"):
        tables = [place / name for name in TABLES.values()]
        if all(path.is_file() for path in tables):
            return tables
    return []


def _cut(folder: Path) -> Arrays:
    """Read the beats and turn the archive's labels into 0/1; ``sources`` = sha256 of the files."""
    paths = _find(folder)
    if not paths:
        raise FileNotFoundError(
            f"{' and '.join(TABLES.values())} are not both in {folder / 'ECG200'}; unpack these two (107 kB each) from "
            f"UCRArchive_2018.zip of {SOURCE} into that folder, or {HOW_TO_SET}"
        )
    read = _read_bundle(paths[0]) if len(paths) == 1 else _read_tables(paths)
    arrays: Arrays = {"sources": np.array([file_sha256(path) for path in paths])}
    for split, path in zip(TABLES, paths * (3 - len(paths)), strict=True):
        x, labels = read[split]
        arrays |= {f"x_{split}": x, f"y_{split}": _binary(path, split, labels)}
    return arrays


def _read_tables(paths: list[Path]) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    tables = [read_rows(path, N_VALUES + 1, "\t", SOURCE) for path in paths]
    return {split: (np.ascontiguousarray(rows[:, 1:]), rows[:, 0]) for split, rows in zip(TABLES, tables, strict=True)}


def _read_bundle(path: Path) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    keys = {split: (f"ecg200_x_{split}", f"ecg200_y_{split}") for split in TABLES}
    needed = [key for pair in keys.values() for key in pair]
    try:
        with zipfile.ZipFile(path) as archive:
            check_members(path, archive.infolist())
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            missing = [key for key in needed if key not in stored.files]
            found = {key: stored[key] for key in needed if not missing}
    except (*ARCHIVE_ERRORS, ValueError, AttributeError, TypeError, MemoryError) as error:
        raise ValueError(
            f"{path} must be an npz file of arrays, but it cannot be read ({error}); {_INSTEAD}."
        ) from None
    if missing:
        raise ValueError(f"{path} must hold the arrays {', '.join(needed)}, got none called {missing[0]}; {_INSTEAD}.")
    for x_key, y_key in keys.values():
        x, y = found[x_key], found[y_key]
        if x.ndim != 2 or x.shape[1] != N_VALUES or y.shape != x.shape[:1] or {x.dtype.kind, y.dtype.kind} - set("fiu"):
            raise ValueError(
                f"{path}: {x_key} must be numbers of shape (n, {N_VALUES}) and {y_key} one label for each row, got "
                f"{x.dtype} of {x.shape} and {y.dtype} of {y.shape}; {_INSTEAD}."
            )
        with np.errstate(over="ignore"):  # values too large become infinite, which is refused below
            x = found[x_key] = x.astype(np.float32)
        if not np.isfinite(x).all():
            row, column = np.argwhere(~np.isfinite(x))[0]
            raise ValueError(
                f"{path}: {x_key} must be finite numbers, got {x[row, column]} in row {row + 1}, column {column + 1}; "
                f"{_INSTEAD}."
            )
    return {split: (found[x], found[y]) for split, (x, y) in keys.items()}


_INSTEAD = f"get it again, or put the two tables of {SOURCE} there instead"


def _binary(path: Path, split: str, labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert the archive's labels (n,) to 0 for normal and 1 for an infarction; both must occur."""
    unknown = ~np.isin(labels, ARCHIVE_LABELS)
    if unknown.any():
        row = int(np.argmax(unknown))
        raise ValueError(
            f"{path}: the labels of the {split} split must be 1 (normal) or -1 (infarction), got {labels[row]:g} in "
            f"row {row + 1}; get it again from {SOURCE}."
        )
    if len(np.unique(labels)) < 2:
        got = "no row" if len(labels) == 0 else f"only {labels[0]:g}"
        raise ValueError(
            f"{path}: the labels of the {split} split must be both 1 (normal) and -1 (infarction), got {got}; get it "
            f"again from {SOURCE}."
        )
    return (labels == ARCHIVE_LABELS[1]).astype(np.uint8)
