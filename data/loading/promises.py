"""What the source of an image set promises, against what is there: the shape of a row and the number of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from data.dataset import class_counts
from data.loading.cache import Arrays


def check_pixels(arrays: Arrays, row_shape: tuple[int, ...]) -> None:
    """Refuse a prepared file whose rows cannot be images of this set.

    Parameters
    ----------
    arrays : dict of str to ndarray
        ``x_train`` and ``x_test`` (n, *row_shape), ``y_train`` and ``y_test`` (n,).
    row_shape : tuple of int
        Shape one stored image must have.

    Raises
    ------
    ValueError
        A clause for `data.loading.cache.load_or_make`, which makes a sentence of it.
    """
    for split in ("train", "test"):
        x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
        if x.dtype != np.uint8 or x.ndim != 1 + len(row_shape) or x.shape[1:] != row_shape:
            wanted = ", ".join(["n", *map(str, row_shape)])
            raise ValueError(f"x_{split} must be uint8 of shape ({wanted}), got {x.dtype} of shape {x.shape}")
        if y.shape != x.shape[:1] or y.dtype.kind not in "iu" or not np.isin(y, (0, 1)).all():
            raise ValueError(f"y_{split} must be one label 0 or 1 per image, got {y.dtype} of shape {y.shape}")


def note_subset(
    arrays: Arrays, provenance: dict[str, Any], promised: Mapping[str, tuple[int, int]], official: str
) -> None:
    """Say so in the provenance where rows are missing: a subset must not pass for the full set.

    Parameters
    ----------
    arrays : dict of str to ndarray
        With ``y_train`` and ``y_test``, labels 0 and 1.
    provenance : dict
        Its list ``notes`` gets a sentence for each split whose counts differ.
    promised : mapping of split to (int, int)
        How many images of the two classes the source has.
    official : str
        What the full set is called.
    """
    for split, (zero, one) in promised.items():
        counts = class_counts(arrays[f"y_{split}"])
        if counts != [zero, one]:
            has = f"{zero} of each" if zero == one else f"{zero} and {one}"
            provenance["notes"].append(
                f"not the full set: {counts[0]} and {counts[1]} {split} images of the two classes, {official} has {has}"
            )
