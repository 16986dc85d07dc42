"""PTB heartbeats, normal against abnormal: 187 values a beat, from the two files of Kaggle's heartbeat collection.

The beats were cut out of the PTB Diagnostic ECG Database, resampled to 125 Hz, scaled to [0, 1] and padded with
zeros by Kachuee, Fazeli and Sarrafzadeh (2018). They are used as published unless ``standardize`` is set.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.dataset import Dataset, class_counts
from data.loading.beats import check_beats, file_sha256, read_rows, refuse_cell
from data.loading.cache import Arrays, load_or_make
from data.loading.options import HOW_TO_SET, check_data_folder, check_fixed_classes, check_switch

CLASS_NAMES = ("normal", "abnormal")
FILES = ("ptbdb_normal.csv", "ptbdb_abnormal.csv")  # of class 0 and of class 1
COUNTS = (4046, 10506)
SIZES = (19_016_200, 49_378_200)  # bytes
SHA256 = (
    "033d355e76e9f65f692fa398c5b24e357d004fab328c97db5160591a2eafe48c",
    "27b4a37cd6dbcede0900cde3df02291f21e7538085d54e6b33abb91f4a5cf912",
)
SOURCE = "https://www.kaggle.com/datasets/shayanfazeli/heartbeat"
N_VALUES = 187  # of a beat; the label is one more column
TRAIN_FRACTION = 0.9
SPLIT_SEED = 5947


def load(
    classes: Iterable[str] = CLASS_NAMES, standardize: bool = False, *, data_dir: str, outputs_dir: str
) -> Dataset:
    """Load all beats, split at random but always in the same way.

    The split is scikit-learn's ``train_test_split(train_size=0.9, random_state=5947)`` of the normal beats followed by
    the abnormal ones, as in the authors' program. The paper's text says 80:20, but the counts it gives, 13,096 for
    training and 1,456 for testing, are those of 90:10, and this split has exactly them. It is neither stratified nor
    by patient: beats of one patient are in both splits.

    Parameters
    ----------
    classes : two str
        Always ("normal", "abnormal"): label 0 and label 1.
    standardize : bool
        Subtract the mean of all values of all training beats and divide by their standard deviation: two numbers for
        the whole set.
    data_dir : str
        Folder with ``ptb/ptbdb_normal.csv`` and ``ptb/ptbdb_abnormal.csv``, or with these two files themselves, or
        with ``prepared/ptb.npz``, which is made from them (``paths.data``).
    outputs_dir : str
        Second place for the prepared file, when `data_dir` cannot be written (``paths.outputs``).

    Returns
    -------
    Dataset
        float32 beats, feature shape (187,); inputs in [0, 1], or in the standardised interval.

    Raises
    ------
    ValueError
        If a file holds text, NaN, another number of columns, another label than its name says or values outside
        [0, 1], or if `classes` are others.
    FileNotFoundError
        If there is neither a usable prepared file nor the two files.
    """
    check_fixed_classes(classes, CLASS_NAMES, "ptb")
    check_switch("ptb", "standardize", standardize)
    folder = check_data_folder(data_dir)
    arrays, provenance = load_or_make(
        "ptb", folder, outputs_dir, partial(_cut, folder), SOURCE, partial(_check, folder)
    )
    provenance["notes"].extend(_differences(arrays))
    x_train, x_test, clip = arrays["x_train"], arrays["x_test"], (0.0, 1.0)
    if standardize:
        mean, std = float(x_train.mean(dtype=np.float64)), float(x_train.std(dtype=np.float64))
        if std == 0:
            raise ValueError("Data set ptb cannot be standardised: all training values are equal; check the files.")
        x_train, x_test = (((x - mean) / std).astype(np.float32) for x in (x_train.astype(float), x_test.astype(float)))
        clip = (-mean / std, (1 - mean) / std)
        provenance["standardized"] = {"mean": mean, "std": std}
    return Dataset(
        name="ptb",
        x_train=x_train,
        y_train=arrays["y_train"].astype(np.int64),
        x_test=x_test,
        y_test=arrays["y_test"].astype(np.int64),
        feature_shape=(N_VALUES,),
        clip=clip,
        class_names=CLASS_NAMES,
        provenance={**provenance, "classes": list(CLASS_NAMES)},
    )


def _find(folder: Path) -> list[Path]:
    """Those of the two files that are there, in the order of the classes."""
    places = [[folder / "ptb" / name, folder / name] for name in FILES]
    return [found[0] for found in ([path for path in pair if path.is_file()] for pair in places) if found]


def _cut(folder: Path) -> Arrays:
    """Read both files and split them; labels 0/1, ``idx_*`` = row in normal-then-abnormal, ``sources`` = sha256."""
    paths = _find(folder)
    if len(paths) < len(FILES):
        missing = [name for name in FILES if name not in {path.name for path in paths}]
        raise FileNotFoundError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not in {folder / 'ptb'}; download "
            f"{FILES[0]} ({SIZES[0]:,} bytes) and {FILES[1]} ({SIZES[1]:,} bytes) from {SOURCE} into that folder, "
            f"or {HOW_TO_SET}"
        )
    parts = [_beats(path, label) for label, path in enumerate(paths)]
    x = np.concatenate(parts)
    y = np.repeat(np.array([0, 1], dtype=np.uint8), [len(part) for part in parts])
    from sklearn.model_selection import train_test_split  # here, because importing it takes a second

    train, test = train_test_split(np.arange(len(x)), train_size=TRAIN_FRACTION, random_state=SPLIT_SEED)
    arrays: Arrays = {"sources": np.array([file_sha256(path) for path in paths])}
    for split, rows in (("train", train), ("test", test)):
        arrays |= {f"x_{split}": x[rows], f"y_{split}": y[rows], f"idx_{split}": rows.astype(np.int32)}
    return arrays


def _beats(path: Path, label: int) -> NDArray[np.float32]:
    """Beats (n, 187) of one file, which must all have the label in its name."""
    rows = read_rows(path, N_VALUES + 1, ",", SOURCE)
    legal = (rows >= 0) & (rows <= 1)
    legal[:, -1] = rows[:, -1] == label
    if not legal.all():
        row, column = np.argwhere(~legal)[0]
        allowed = f"the label {label} ({CLASS_NAMES[label]})" if column == N_VALUES else "a value in [0, 1]"
        refuse_cell(path, row, column, allowed, f"{rows[row, column]:g}", SOURCE)
    return np.ascontiguousarray(rows[:, :-1])


def _check(folder: Path, arrays: Arrays) -> None:
    """Refuse a prepared file that cannot hold these beats, or that was made from other files than those in `folder`."""
    paths = _find(folder)
    check_beats(arrays, N_VALUES, paths if len(paths) == len(FILES) else [])


def _differences(arrays: Arrays) -> list[str]:
    """Notes on what differs from the published beats: a subset must not pass for the full set."""
    counts = class_counts(np.concatenate([arrays["y_train"], arrays["y_test"]]))
    if counts != list(COUNTS):
        return [
            f"not the full set: {counts[0]} normal and {counts[1]} abnormal beats, the published files have "
            f"{COUNTS[0]} and {COUNTS[1]}"
        ]
    sources = arrays["sources"].tolist() if "sources" in arrays else list(SHA256)
    if len(sources) != len(SHA256):
        return ["the checksums of the published files are missing in the prepared file: unverified"]
    changed = [name for name, actual, published in zip(FILES, sources, SHA256, strict=True) if actual != published]
    return [f"{name} is not the published file (its sha256 differs), though it has as many rows" for name in changed]
