"""CIFAR-10, two or more classes of it: all their images, 3×32×32, in the original order.

The paper takes airplane against automobile: 10,000 training and 2,000 test images. Pixels are divided by 255, nothing
else is done to them, as in the authors' program.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from data.dataset import Dataset
from data.loading.cache import Arrays, load_or_make
from data.loading.download import train_and_test
from data.loading.options import (
    check_classes,
    check_data_folder,
    check_pixels,
    name_of_classes,
    note_subset,
    select_classes,
)

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHIVE = "cifar-10-python.tar.gz"
ARCHIVE_FACTS = "170,498,071 bytes, md5 c58f30108f718f92721af3b95e74349a"
BATCHES = "cifar-10-batches-py"
SOURCE = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
PROMISED = {"train": 5000, "test": 1000}  # of each class


def load(classes: Iterable[int] | None = (0, 1), *, data_dir: str, outputs_dir: str) -> Dataset:
    """Load classes of CIFAR-10, from the prepared cache, the official files, or the network, whichever is there.

    Parameters
    ----------
    classes : two or more ints in 0..9, or None
        Classes that become label 0, label 1 and so on, in this order: with (3, 5), cat is 0 and dog is 1. None for all.
    data_dir : str
        Folder with ``prepared/cifar10_<a>_<b>.npz`` or ``cifar-10-batches-py/``; where the download goes
        (``paths.data``).
    outputs_dir : str
        Second place for the prepared file, when `data_dir` cannot be written (``paths.outputs``).

    Returns
    -------
    Dataset
        uint8 pixels, feature shape (3, 32, 32): channel, row, column.

    Raises
    ------
    ValueError
        If `classes` are not different classes, or `data_dir` is a file or cannot be read.
    FileNotFoundError
        If there is neither a usable prepared file nor the official files nor a network to get them from.
    """
    chosen = check_classes(classes, len(CLASS_NAMES), "cifar10")
    folder = check_data_folder(data_dir)
    check = partial(check_pixels, row_shape=(32, 32, 3), k=len(chosen))
    name = f"cifar10_{name_of_classes(chosen, len(CLASS_NAMES))}"
    arrays, provenance = load_or_make(name, folder, outputs_dir, partial(_cut, folder, chosen), SOURCE, check)
    promised = {split: (count,) * len(chosen) for split, count in PROMISED.items()}
    note_subset(arrays, provenance, promised, "CIFAR-10")
    return Dataset(
        name="cifar10",
        x_train=_channels_first(arrays["x_train"]),
        y_train=arrays["y_train"].astype(np.int64),
        x_test=_channels_first(arrays["x_test"]),
        y_test=arrays["y_test"].astype(np.int64),
        feature_shape=(3, 32, 32),
        clip=(0.0, 1.0),
        class_names=tuple(CLASS_NAMES[each] for each in chosen),
        provenance={**provenance, "classes": list(chosen)},
    )


def _channels_first(x: Any) -> Any:
    """(n, row, column, channel) to (n, channel, row, column)."""
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def _cut(folder: Path, chosen: tuple[int, ...]) -> Arrays:
    """Cut the classes' images (n, 32, 32, 3), labels and positions in the full set out of the official files."""
    arrays: Arrays = {}
    for split, official in zip(("train", "test"), _official_sets(folder), strict=True):
        positions, y = select_classes(np.asarray(official.targets), chosen)
        arrays[f"x_{split}"] = np.ascontiguousarray(official.data[positions])
        arrays[f"y_{split}"] = y
        arrays[f"idx_{split}"] = positions.astype(np.int32)
    return arrays


def _official_sets(folder: Path) -> tuple[Any, Any]:
    """Read the training and the test set from `folder` if the checksums match there, else download them into it."""
    how_to_get = (
        f"download {SOURCE} ({ARCHIVE_FACTS}) into {folder}, or set paths.data or the environment variable SCD_DATA "
        f"to a folder that holds it, {BATCHES}/ or the prepared file"
    )
    return train_and_test("CIFAR10", folder, folder / BATCHES, [folder / ARCHIVE], how_to_get)
