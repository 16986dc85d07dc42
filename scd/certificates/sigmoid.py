"""Certified radii of hard votes whose hidden units are logistic: how far their outputs can move.

Along a straight line from a point, the output of a vote changes by no more than the integral of the largest norm that
its gradient can have at each distance. Within the distance t a unit's slope differs from that at the point by no more
than its logistic function allows, over an interval whose length is t times the norm of the unit's weights.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from scd.storage import Vote

_STEPS = 64  # of the integral, which is that of the larger end of each
_ZOOMS = (4.0, 2.0)  # then the integral again up to so many times the distance that it proved
_ROUNDING = 2.0**-40  # of the sum of |x| |w|: far above what a float64 product of any length loses
_ROUNDED_DOWN = 1 - 1e-9

Floats = NDArray[np.float64]


def certify_sigmoid(
    votes: list[Vote], X: NDArray[np.float32], y: NDArray[np.int64], norm: Literal["l2", "linf"] = "l2"
) -> Floats:
    """(n,) radius around each row within which no perturbation changes the majority of the votes away from `y`.

    Fewer votes than a majority needs change their label below the K-th smallest of their own radii.

    Parameters
    ----------
    votes : list of dict
        Arrays ``hidden`` (h, d), ``thresholds`` (h,), ``output`` (h,), ``output_threshold`` (): the label is 1 where
        ``sigmoid(x . hidden - thresholds) . output > output_threshold``.
    X : (n, d) float32
    y : (n,) int
        True labels, 0 or 1. The radius is 0 where the majority, 0 in a tie, is another.
    norm : {"l2", "linf"}
    """
    names = ("hidden", "thresholds", "output", "output_threshold")
    hidden, thresholds, output, limit = (np.stack([vote[name] for vote in votes]).astype(np.float64) for name in names)
    size = np.linalg.norm(hidden, axis=2) if norm == "l2" else np.abs(hidden).sum(axis=2)
    radius = np.zeros(len(X))
    for i, x in enumerate(X.astype(np.float64)):
        z = hidden @ x - thresholds
        sums = (expit(z) * output).sum(axis=1) - limit
        correct = (sums > 0) == bool(y[i])
        half = len(votes) // 2
        needed = correct.sum() - half if y[i] else half + 1 - (~correct).sum()
        if needed <= 0:
            continue
        each = np.flatnonzero(correct)
        slope = expit(z[each]) * expit(-z[each]) * output[each]
        gradient = np.einsum("vh,vhd->vd", slope, hidden[each])
        steepness = np.linalg.norm(gradient, axis=1) if norm == "l2" else np.abs(gradient).sum(axis=1)
        lost = _ROUNDING * ((np.abs(hidden[each]) @ np.abs(x) + np.abs(thresholds[each]) + 1) * np.abs(output[each]))
        margin = np.abs(sums[each]) - lost.sum(axis=1) - _ROUNDING * np.abs(limit[each])
        own = _distances(margin, z[each], np.abs(output[each]), size[each], steepness * (1 + _ROUNDING))
        radius[i] = np.partition(own, needed - 1)[needed - 1] * _ROUNDED_DOWN
    return radius


def _distances(margin: Floats, z: Floats, weight: Floats, size: Floats, steepness: Floats) -> Floats:
    """(v,) distance within which each vote keeps its label.

    Parameters
    ----------
    margin : (v,) distance of the output from its threshold
    z, weight, size : (v, h) inputs of the units, absolute output weights, dual norms of the weights
    steepness : (v,) dual norm of the gradient at the point
    """
    longest = np.abs(margin) / np.maximum(steepness, 1e-12 * (weight * size).sum(axis=1) + 1e-300)
    found = _integrate(margin, z, weight, size, steepness, longest)
    for factor in _ZOOMS:
        shorter = np.minimum(longest, factor * found)
        found = np.maximum(found, _integrate(margin, z, weight, size, steepness, shorter))
    return np.where(margin > 0, found, 0.0)


def _integrate(margin: Floats, z: Floats, weight: Floats, size: Floats, steepness: Floats, longest: Floats) -> Floats:
    """The distance, at most `longest`, at which the integral of the largest norm of the gradient is the margin."""
    step = longest / _STEPS
    reach = step[:, None, None] * np.arange(1, _STEPS + 1)[None, :, None] * size[:, None, :]
    at, away = _slope(z)[:, None, :], np.abs(z)[:, None, :]
    highest, lowest = _slope(np.maximum(away - reach, 0.0)), _slope(away + reach)
    change = np.maximum(highest - at, at - lowest)
    terms = (weight * size)[:, None, :]
    norm = np.minimum(steepness[:, None] + (change * terms).sum(axis=2), (highest * terms).sum(axis=2))
    norm = norm * (1 + _ROUNDING) + 1e-300
    spent = np.cumsum(norm * step[:, None], axis=1)
    beyond = spent >= margin[:, None]
    last = np.where(beyond.any(axis=1), beyond.argmax(axis=1), _STEPS - 1)
    rows = np.arange(len(margin))
    before = np.where(last > 0, spent[rows, last - 1], 0.0)
    return np.where(beyond.any(axis=1), last * step + (margin - before) / norm[rows, last], longest)


def _slope(z: Floats) -> Floats:
    """Derivative of the logistic function."""
    slope: Floats = expit(z) * expit(-z)
    return slope
