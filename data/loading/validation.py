"""What must hold for the arrays of a data set, each with one sentence for the person whose data break it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_ROWS_PER_CLASS = 2
_BLOCK_VALUES = 1 << 24  # values looked at together, so that a check of a large set needs no second copy of it


def check_clip(name: str, clip: Sequence[float]) -> tuple[float, float]:
    """Return the clip bounds as two floats, lower first; either may be infinite."""
    bounds = tuple(float(bound) for bound in clip)
    if len(bounds) != 2 or math.isnan(bounds[0]) or math.isnan(bounds[1]) or not bounds[0] < bounds[1]:
        raise ValueError(f"Data set {name}: clip must be two numbers, the lower first, got {list(bounds)!r}.")
    return bounds[0], bounds[1]


def check_values(
    name: str, split: str, x: Any, feature_shape: tuple[int, ...], clip: tuple[float, float]
) -> NDArray[Any]:
    """Return the rows of a split, C-contiguous.

    Parameters
    ----------
    name, split : str
        For the error messages.
    x : ndarray of shape (n, *feature_shape), uint8 or float32
        The rows; uint8 means pixels, which become inputs in [0, 1].
    feature_shape : tuple of int
        Shape one row must have.
    clip : (float, float)
        Bounds of the model inputs.

    Raises
    ------
    ValueError
        On another dtype or shape, an empty split, NaN, infinite values, or inputs outside `clip`.
    """
    where = f"Data set {name}, {split} split"
    if not isinstance(x, np.ndarray) or x.dtype not in (np.uint8, np.float32):
        got = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
        raise ValueError(f"{where}: rows must be a NumPy array of uint8 or float32, got {got}.")
    if x.shape[1:] != feature_shape or x.ndim == 0:
        raise ValueError(f"{where}: rows must have the shape {feature_shape}, got an array of shape {x.shape}.")
    if x.size == 0:
        raise ValueError(f"{where}: there must be at least one row with one feature, got an array of shape {x.shape}.")
    if x.dtype == np.uint8:
        if clip[0] > 0 or clip[1] < 1:
            raise ValueError(f"{where}: uint8 pixels become inputs in [0, 1], which clip must contain, got {clip}.")
    else:
        _check_finite(where, x)
        _check_inside(where, x, clip)
    return np.ascontiguousarray(x)


def _blocks(x: NDArray[Any]) -> list[NDArray[Any]]:
    rows = max(1, _BLOCK_VALUES // max(1, x[0].size))
    return [x[start : start + rows] for start in range(0, len(x), rows)]


def _check_finite(where: str, x: NDArray[Any]) -> None:
    count = sum(block.size - int(np.isfinite(block).sum()) for block in _blocks(x))
    if count == 0:
        return
    row = next(row for row in range(len(x)) if not np.isfinite(x[row]).all())
    feature = int(np.argmin(np.isfinite(x[row]).ravel()))
    raise ValueError(
        f"{where}: all values must be finite numbers, got {count} NaN or infinite, "
        f"the first ({x[row].ravel()[feature]}) at row {row}, feature {feature}; repair or remove these rows."
    )


def _check_inside(where: str, x: NDArray[Any], clip: tuple[float, float]) -> None:
    lowest, highest = float(x.min()), float(x.max())
    # Compared as float32, the type of the values: a bound such as 0.1 is not a float32 itself.
    if lowest < np.float32(clip[0]) or highest > np.float32(clip[1]):
        raise ValueError(f"{where}: all values must lie within clip {clip}, got values from {lowest:g} to {highest:g}.")


def check_labels(name: str, split: str, y: Any, n_rows: int) -> NDArray[np.int64]:
    """Return the labels of a split as int64 of shape (n_rows,), or say how they differ from 0 and 1."""
    where = f"Data set {name}, {split} split"
    if not isinstance(y, np.ndarray) or y.dtype.kind not in "iu":
        got = y.dtype if isinstance(y, np.ndarray) else type(y).__name__
        raise ValueError(f"{where}: labels must be a NumPy array of integers 0 and 1, got {got}.")
    if y.shape != (n_rows,):
        raise ValueError(f"{where}: there must be one label per row, {n_rows} in all, got an array of {y.shape}.")
    classes = np.unique(y)
    if len(classes) > 2:
        raise ValueError(
            f"{where}: there must be exactly two classes, labelled 0 and 1, "
            f"got {len(classes)} ({_listed(classes)}); choose two of them."
        )
    if not np.isin(classes, (0, 1)).all():
        raise ValueError(f"{where}: labels must be 0 and 1, got {_listed(classes)}; relabel them.")
    return np.ascontiguousarray(y, dtype=np.int64)


def check_training_labels(name: str, y: NDArray[np.int64]) -> None:
    """Refuse training labels (n,) with one class only or with fewer than 2 rows of a class."""
    counts = np.bincount(y, minlength=2)
    if counts.min() == 0:
        raise ValueError(
            f"Data set {name}, train split: there must be two classes, labelled 0 and 1, "
            f"got one only (all {len(y)} rows have label {int(np.argmax(counts))}); add rows of the other class."
        )
    if counts.min() < MIN_ROWS_PER_CLASS:
        raise ValueError(
            f"Data set {name}, train split: there must be at least {MIN_ROWS_PER_CLASS} rows of each class, "
            f"got {counts[0]} of class 0 and {counts[1]} of class 1; add rows."
        )


def _listed(classes: NDArray[Any]) -> str:
    shown = ", ".join(str(label) for label in classes[:10])
    return shown if len(classes) <= 10 else f"{shown}, …"
