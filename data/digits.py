"""scikit-learn's handwritten digits, 8×8 grey images that come with the library: nothing to download."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from data.dataset import Dataset, content_checksum
from data.loading.options import check_classes, select_classes, stratified_split

SOURCE = "scikit-learn load_digits: test part of the UCI Optical Recognition of Handwritten Digits"
TRAIN_FRACTION = 0.7
GREY_LEVELS = 16  # pixels are 0..16
CONTENT_SHA256 = "cbdf2a0b2dbaaf9a0aab28bffdd4bbb20400fa96d1120ef075841bd1f5ee2271"


def load(classes: Iterable[int] | None = (3, 8), seed: int = 0) -> Dataset:
    """Load two or more of the ten digits, split at random but always in the same way.

    Parameters
    ----------
    classes : two or more ints in 0..9, or None
        Digits that become label 0, label 1 and so on, in this order; None for all.
    seed : int
        Seed of the split. A constant, not the experiment's seed: the test set does not change between experiments.

    Returns
    -------
    Dataset
        Feature shape (1, 8, 8), float32 inputs in [0, 1] (multiples of 1/16), 70 % of each class for training; both
        splits keep the original order.

    Raises
    ------
    ValueError
        If `classes` are not different digits.
    """
    chosen = check_classes(classes, 10, "digits")
    from sklearn.datasets import load_digits  # here, because importing it takes a second

    bunch = load_digits()
    images, labels = bunch.images.astype(np.uint8), bunch.target.astype(np.uint8)
    positions, y = select_classes(labels, chosen)
    train, test = stratified_split(y, TRAIN_FRACTION, seed)
    x = (images[positions].astype(np.float32) / np.float32(GREY_LEVELS))[:, None]
    sha256 = content_checksum(images, labels)
    verified = sha256 == CONTENT_SHA256
    return Dataset(
        name="digits",
        x_train=x[train],
        y_train=y[train].astype(np.int64),
        x_test=x[test],
        y_test=y[test].astype(np.int64),
        feature_shape=(1, 8, 8),
        clip=(0.0, 1.0),
        class_names=tuple(f"digit {digit}" for digit in chosen),
        provenance={
            "source": SOURCE,
            "file": None,
            "verified": verified,
            "sha256": sha256,
            "classes": list(chosen),
            "notes": [] if verified else ["scikit-learn's digits differ from those this loader was written for"],
        },
    )
