"""From the optimum of the cross-entropy to the best midpoint of neighbouring sums, compiled."""

from __future__ import annotations

import math

import numpy as np

from scd.numba_cache import njit


@njit(nogil=True)
def to_midpoint(s, positive, t, slope, curvature):
    """The best of the midpoints of neighbouring distinct values around `t`; `t` if all values are equal.

    `slope` and `curvature` of the loss in the threshold at `t` bound the loss at the midpoints (see
    :mod:`scd.search.cpu.logistic_bounds`); it is computed only at those that the bounds cannot tell apart. NaN: at all.
    """
    least, greatest = extent(s)
    below, above = _neighbours(s, t)
    before, after = _next_neighbours(s, below, above)
    m = len(s)
    middles = np.array([(before + below) / 2, (below + above) / 2, (above + after) / 2])
    low, high = np.empty(3), np.empty(3)
    reached = np.inf
    for i in range(3):
        move = middles[i] - t
        size = abs(move)
        low[i] = slope * move + curvature * (math.exp(-size) + size - 1.0)
        high[i] = slope * move + curvature * (math.exp(min(size, 700.0)) - size - 1.0)
        if np.isfinite(move) and not high[i] >= reached:
            reached = high[i]
    # naive sums of m terms, each below the largest logit + 1, differ from the true ones by less than this
    reached += 2.0 * m * m * (max(greatest - t, t - least) + 1.0) * 2.0**-52
    best, where, contenders = np.inf, t, 0
    for i in range(3):
        contenders += np.isfinite(middles[i]) and not low[i] > reached
    for i in range(3):
        if np.isfinite(middles[i]) and not low[i] > reached:
            loss = logistic_loss(s, positive, middles[i]) if contenders > 1 else 0.0
            if loss < best:
                best, where = loss, middles[i]
    return where


@njit(nogil=True, fastmath={"nnan", "nsz", "reassoc"})
def extent(s):
    """The least and the greatest value."""
    least, greatest = np.inf, -np.inf
    for r in range(len(s)):
        least, greatest = min(least, s[r]), max(greatest, s[r])
    return least, greatest


@njit(nogil=True, fastmath={"nnan", "nsz", "reassoc"})
def _neighbours(s, t):
    """The greatest value up to `t` and the least above it."""
    below, above = -np.inf, np.inf
    for r in range(len(s)):
        below = max(below, s[r] if s[r] <= t else -np.inf)
        above = min(above, s[r] if s[r] > t else np.inf)
    return below, above


@njit(nogil=True, fastmath={"nnan", "nsz", "reassoc"})
def _next_neighbours(s, below, above):
    before, after = -np.inf, np.inf
    for r in range(len(s)):
        before = max(before, s[r] if s[r] < below else -np.inf)
        after = min(after, s[r] if s[r] > above else np.inf)
    return before, after


@njit(nogil=True)
def logistic_loss(s, positive, t):
    """Sum of the cross-entropy over rows of which the first `positive` have label 1."""
    total = 0.0
    for r in range(len(s)):
        z = t - s[r] if r < positive else s[r] - t
        total += max(z, 0.0) + math.log1p(math.exp(-abs(z)))
    return total
