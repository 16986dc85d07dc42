"""MNIST, two or more of the ten handwritten digits: all their images, 1×28×28, in the original order.

The paper does not use MNIST. It is here as the small image set that most other work reports; pixels are divided by 255,
as for the paper's image sets.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

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

ARCHIVES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
RAW = Path("MNIST") / "raw"  # torchvision's place for them
SOURCE = "http://yann.lecun.com/exdb/mnist/"
MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
COUNTS = {  # images of each digit, from the labels of the official files
    "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}


def load(classes: Iterable[int] | None = (0, 1), *, data_dir: str, outputs_dir: str) -> Dataset:
    """Load digits of MNIST, from the prepared cache, the official files, or the network, whichever is there.

    Parameters
    ----------
    classes : two or more ints in 0..9, or None
        Digits that become label 0, label 1 and so on, in this order; None for all. No publication fixes a
        pair: 0 and 1 are chosen here because the paper's CIFAR-10 and ImageNet pairs are classes 0 and 1; they are
        also the easiest one.
    data_dir : str
        Folder with ``prepared/mnist_<a>_<b>.npz`` or ``MNIST/raw/`` (the four official files, packed or not); where
        the download goes (``paths.data``).
    outputs_dir : str
        Second place for the prepared file, when `data_dir` cannot be written (``paths.outputs``).

    Returns
    -------
    Dataset
        uint8 pixels, feature shape (1, 28, 28): white ink on black.

    Raises
    ------
    ValueError
        If `classes` are not different digits, or `data_dir` is a file or cannot be read.
    FileNotFoundError
        If there is neither a usable prepared file nor the official files nor a network to get them from.
    """
    chosen = check_classes(classes, 10, "mnist")
    folder = check_data_folder(data_dir)
    check = partial(check_pixels, row_shape=(1, 28, 28), k=len(chosen))
    arrays, provenance = load_or_make(
        f"mnist_{name_of_classes(chosen, 10)}", folder, outputs_dir, partial(_cut, folder, chosen), SOURCE, check
    )
    promised = {split: tuple(counts[digit] for digit in chosen) for split, counts in COUNTS.items()}
    note_subset(arrays, provenance, promised, "MNIST")
    return Dataset(
        name="mnist",
        x_train=arrays["x_train"],
        y_train=arrays["y_train"].astype(np.int64),
        x_test=arrays["x_test"],
        y_test=arrays["y_test"].astype(np.int64),
        feature_shape=(1, 28, 28),
        clip=(0.0, 1.0),
        class_names=tuple(f"digit {digit}" for digit in chosen),
        provenance={**provenance, "classes": list(chosen)},
    )


def _cut(folder: Path, chosen: tuple[int, ...]) -> Arrays:
    """Cut the digits' images (n, 1, 28, 28), labels and positions in the full set out of the official files."""
    raw = folder / RAW
    how_to_get = (
        f"download {', '.join(ARCHIVES)} (11.6 MB in all) from {MIRROR} into {raw}, where nothing damaged may remain, "
        "or set paths.data or the environment variable SCD_DATA to a folder that holds them or the prepared file"
    )
    products = [raw / name for archive in ARCHIVES for name in (archive, archive.removesuffix(".gz"))]
    arrays: Arrays = {}
    parts = train_and_test("MNIST", folder, raw, products, how_to_get)
    for split, official in zip(("train", "test"), parts, strict=True):
        images, labels = np.asarray(official.data), np.asarray(official.targets)
        if images.shape[1:] != (28, 28) or labels.shape != images.shape[:1]:
            raise FileNotFoundError(
                f"{raw} is damaged ({split} images of shape {images.shape}, {len(labels)} labels); {how_to_get}"
            )
        positions, y = select_classes(labels, chosen)
        arrays[f"x_{split}"] = np.ascontiguousarray(images[positions][:, None])
        arrays[f"y_{split}"] = y
        arrays[f"idx_{split}"] = positions.astype(np.int32)
    return arrays
