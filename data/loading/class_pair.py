"""Choosing two classes out of a set with more: which labels are meant, and what they become."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def check_pair(classes: Iterable[Any], n_classes: int, dataset: str) -> tuple[int, int]:
    """Return the class pair as two ints; the first becomes label 0, the second label 1.

    Parameters
    ----------
    classes : iterable of two ints
        Official class numbers, ``dataset.classes`` in the configuration.
    n_classes : int
        How many classes the set has; its class numbers are 0..n_classes-1.
    dataset : str
        Name of the data set, for the error message.

    Raises
    ------
    ValueError
        Unless `classes` are two different ints in range.
    """
    pair = list(classes) if isinstance(classes, Iterable) and not isinstance(classes, str) else classes
    good = (
        isinstance(pair, list)
        and len(pair) == 2
        and all(isinstance(c, int | np.integer) and not isinstance(c, bool) and 0 <= c < n_classes for c in pair)
        and pair[0] != pair[1]
    )
    if not good:
        raise ValueError(
            f"dataset.classes of {dataset} must be two different whole numbers in 0..{n_classes - 1}, got {pair!r}; "
            "give for example dataset.classes=[0,1]."
        )
    return int(pair[0]), int(pair[1])


def select_pair(labels: NDArray[Any], pair: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Find the rows of two classes.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        Official class numbers.
    pair : (int, int)
        The classes that become label 0 and label 1.

    Returns
    -------
    positions : ndarray of shape (k,), int64
        Where the rows of the pair stand, in the original order.
    y : ndarray of shape (k,), uint8
        Their labels 0/1: the position of their class in `pair`.
    """
    positions = np.flatnonzero(np.isin(labels, pair))
    return positions, (labels[positions] == pair[1]).astype(np.uint8)
