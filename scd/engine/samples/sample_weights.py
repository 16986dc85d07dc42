"""Weights of samples: the search counts samples in whole numbers, so a weight becomes a number of copies.

The copies are drawn by systematic sampling (Madow 1949). A sample whose weight is 2.3 times that of one copy has two or
three copies, and 2.3 in the mean over seeds. With equal weights every sample has one: training is then the same, to the
last bit, as without weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_array

from scd.seeds import generator_for

_ONE = 1 << 20  # parts of a copy: counted in whole numbers, so that no rounding decides
_MOST = 2  # copies, in numbers of samples
_FEWEST = 2  # samples of a class, which training needs

Weights = NDArray[np.float64]


def weights_of(
    sample_weight: Any,
    class_weight: Mapping[Any, float] | str | None,
    classes: NDArray[Any],
    y: NDArray[np.int64],
) -> Weights | None:
    """(n,) weights in [0, 1], the largest of them 1; None if nothing is weighted.

    Parameters
    ----------
    sample_weight : (n,) array or None
    class_weight : dict, "balanced" or None
        Factors of the classes, 1 for a class without one; with "balanced", all classes get the same total weight.
    classes : (K,) array
    y : (n,) int
        Positions of classes.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, or there is not one weight for each sample, or fewer than two samples of
        a class have a weight above 0, or a class is named that is not there.
    """
    if sample_weight is None and class_weight is None:
        return None
    weights = np.ones(len(y)) if sample_weight is None else _checked(sample_weight, len(y))
    factors = np.ones(len(classes))
    if class_weight == "balanced":
        totals = np.bincount(y, weights / weights.max(), len(classes))
        factors = 1 / np.maximum(totals, np.finfo(float).tiny)
    elif isinstance(class_weight, Mapping):
        check_class_weight(class_weight, names := classes.tolist())
        factors = np.array([float(class_weight.get(name, 1)) for name in names])
    weighted: Weights = weights / weights.max() * factors[y]
    counts = np.bincount(y[weighted > 0], minlength=len(classes))
    if counts.min() < _FEWEST:
        raise ValueError(
            f"SCDClassifier needs at least {_FEWEST} samples of each class with a weight above 0. Got {counts.min()} "
            f"of class {classes.tolist()[counts.argmin()]!r}."
        )
    of_largest: Weights = weighted / weighted.max()
    return of_largest


def _checked(sample_weight: Any, n: int) -> Weights:
    weights: Weights = check_array(
        sample_weight, ensure_2d=False, allow_nd=True, dtype=np.float64, input_name="sample_weight"
    )
    if weights.shape != (n,) or weights.min() < 0 or not weights.any():
        got = f"the shape {weights.shape}" if weights.shape != (n,) else "zeros only"
        raise ValueError(
            f"The 'sample_weight' of SCDClassifier.fit must be a weight of at least 0 for each of the {n} samples, and "
            f"above 0 for some. Got {weights.min() if weights.min() < 0 else got} instead."
        )
    return weights


def check_class_weight(class_weight: Any, classes: list[Any] | None = None) -> None:
    """Raise a ValueError if a dict has bad weights, classes of several types or, given the classes, any other."""
    if not isinstance(class_weight, Mapping):
        return
    known = list(class_weight) if classes is None else classes
    if (
        set(class_weight) - set(known)
        or len({isinstance(name, str) for name in class_weight}) > 1
        or not all(isinstance(weight, Real) and 0 <= float(weight) < np.inf for weight in class_weight.values())
    ):
        raise ValueError(
            "The 'class_weight' parameter of SCDClassifier must be 'balanced' or have a finite weight of at least 0 "
            f"for classes of y{'' if classes is None else f', {classes!r}'}. Got {class_weight!r} instead."
        )


def drawn_rows(weights: Weights, y: NDArray[np.int64], root_seed: int) -> NDArray[np.int64]:
    """Rows to train on, in ascending order: of each row as many copies as its weight says, rounded up or down.

    There are as many copies as make the smallest weight one copy, but at most twice the number of rows. A class with
    less than two copies gets two.

    Parameters
    ----------
    weights : (n,) float64
        Above 0.
    y : (n,) int
        Labels 0 and 1.
    root_seed : int

    Returns
    -------
    (m,) int64
    """
    generator = generator_for(root_seed, "weights")
    copies = weights / max(weights.min(), weights.sum() / (_MOST * len(weights)))
    parts = np.rint(copies * _ONE).astype(np.int64)
    for own in (y == 0, y == 1):
        if parts[own].sum() < _FEWEST * _ONE:
            parts[own] = np.ceil(copies[own] * (_FEWEST * _ONE / copies[own].sum()))
    order = np.lexsort((generator.random(len(y)), y))  # one class after the other, so that each has its total
    ends = np.cumsum(parts[order]) + generator.integers(_ONE)
    counts = np.empty(len(y), dtype=np.int64)
    counts[order] = np.diff(ends // _ONE, prepend=0)
    return np.repeat(np.arange(len(y)), counts)
