"""scikit-learn's handwritten digits, 8×8 grey images that come with the library: nothing to download."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from data.dataset import Dataset, content_checksum
from data.loading.options import check_pair, select_pair, stratified_split

SOURCE = "scikit-learn load_digits: test part of the UCI Optical Recognition of Handwritten Digits"
TRAIN_FRACTION = 0.7
GREY_LEVELS = 16  # pixels are 0..16
CONTENT_SHA256 = "cbdf2a0b2dbaaf9a0aab28bffdd4bbb20400fa96d1120ef075841bd1f5ee2271"


def load(classes: Iterable[int] = (3, 8), seed: int = 0) -> Dataset:
    """Load two of the ten digits, split at random but always in the same way.

    Parameters
    ----------
    classes : two ints in 0..9
        Digits that become label 0 and label 1, in this order.
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
        If `classes` are not two different digits.
    """
    pair = check_pair(classes, 10, "digits")
    from sklearn.datasets import load_digits  # here, because importing it takes a second

    bunch = load_digits()
    images, labels = bunch.images.astype(np.uint8), bunch.target.astype(np.uint8)
    positions, y = select_pair(labels, pair)
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
        class_names=(f"digit {pair[0]}", f"digit {pair[1]}"),
        provenance={
            "source": SOURCE,
            "file": None,
            "verified": verified,
            "sha256": sha256,
            "classes": list(pair),
            "notes": [] if verified else ["scikit-learn's digits differ from those this loader was written for"],
        },
    )
