"""Bounds on the cross-entropy that a step on an output weight can reach, compiled.

A step ``s`` on an input changes the logits of the rows in which the input is on. At one threshold the loss of every
step, its slope and its curvature in the threshold are therefore those of the unchanged weights plus sums over these
rows, of terms that all inputs share. The loss is self-concordant in the threshold (its third derivative never exceeds
the second), so these three numbers bound what any threshold can reach (Bach, "Self-concordant analysis for logistic
regression", 2010, Proposition 1).
"""

from __future__ import annotations

import math

import numpy as np

from scd.numba_cache import njit
from scd.search.cpu.bits import LANES, add_where_on, bit_of

_ROWS = 512  # whose changes are kept in float32 at a time, and added up
_ROUNDING = 1e-6  # of a row: above what its float32 numbers and their sums lose, far below what tells steps apart
_LARGEST_STEP = 5.0  # beyond which nothing is ruled out
_LARGEST_EXPONENT = 80.0  # of a product in float32


@njit(nogil=True)
def loss_bounds(odds, odds_at, value, words, features, steps, positive):
    """Bound the least loss of every candidate.

    Parameters
    ----------
    odds : (m,) float64
        ``exp(logit)`` of the rows of the batch, those of label 1 first, with the weights of the first candidate, whose
        step must be 0, and no step very long: else nothing is ruled out.
    odds_at : float
        ``exp(threshold)``, near the best threshold of the first candidate.
    value : float
        Loss of the first candidate there.
    words : (w, m) uint32
        Activations of these rows, see :mod:`scd.search.cpu.bits`.
    features, steps : (C,)
    positive : int
        Rows of label 1.

    Returns
    -------
    lower : (C,) float64
        No threshold takes a candidate below this; infinite for one that is as good as the first.
    reached : float
        The best candidate's best threshold takes it at least this low.
    """
    m, candidates = len(odds), len(features)
    lower, reached = np.full(candidates, -np.inf), np.inf
    sizes = np.unique(steps)
    largest = np.abs(sizes).max()
    if steps[0] != 0 or largest > _LARGEST_STEP:
        return lower, reached
    factors, kinds = np.exp(sizes), np.searchsorted(sizes, steps)
    rows = min(_ROWS, int(_LARGEST_EXPONENT / max(largest, 1e-3)))
    sigma, changes = np.empty(rows, dtype=np.float32), np.zeros((len(sizes), 3, rows), dtype=np.float32)
    first, second = 0.0, 0.0
    logs, slopes, curves = np.zeros(candidates), np.zeros(candidates), np.zeros(candidates)
    for low in range(0, m, rows):
        size = min(rows, m - low)
        slope, curve = _probabilities(odds[low : low + size], odds_at, sigma)
        first += slope
        second += curve
        for k in range(len(sizes)):
            _changes(sigma[:size], factors[k], changes[k, 0], changes[k, 1], changes[k, 2])
        for c in range(candidates):
            word = words[features[c] // LANES, low : low + size]
            ours = changes[kinds[c]]
            product, more, bend = _sums_where(word, bit_of(features[c]), ours[0], ours[1], ours[2])
            logs[c] += math.log(product)
            slopes[c] += more
            curves[c] += bend
    on, ones = np.zeros((2, len(words), LANES), dtype=np.int32), np.ones(m, dtype=np.int32)
    for block in range(len(words)):
        add_where_on(words[block], ones, 0, positive, on[0, block])
        add_where_on(words[block], ones, positive, m, on[1, block])
    rounding = _ROUNDING * m * math.exp(largest)  # a ratio may be as small as exp(-largest), its error is not
    for c in range(candidates):
        where = (features[c] // LANES, features[c] % LANES)
        loss = value + logs[c] - steps[c] * on[0][where]
        slope = abs(positive - first - slopes[c])
        least, _ = _falls(max(slope - rounding, 0.0), second + curves[c] + rounding)
        _, most = _falls(slope + rounding, second + curves[c] - rounding)
        same_for_all = steps[c] == 0 or on[0][where] + on[1][where] in (0, m)  # what the threshold undoes
        lower[c] = np.inf if same_for_all else loss - most - rounding
        reached = min(reached, loss - least + rounding)
    return lower, reached


@njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _probabilities(odds, odds_at, out):
    """Fill `out`; return the sum of these probabilities and of their variances."""
    first, second = 0.0, 0.0
    for r in range(len(odds)):
        sigma = odds[r] / (odds[r] + odds_at)
        first += sigma
        second += sigma * (1.0 - sigma)
        out[r] = sigma
    return first, second


@njit(nogil=True)
def _changes(sigma, factor, ratio, slope, curve):
    """What multiplying the odds of rows with these probabilities does to odds + odds_at, to slope and to curvature."""
    one, factor = np.float32(1), np.float32(factor)
    for r in range(len(sigma)):
        more = one + sigma[r] * (factor - one)
        after = sigma[r] * factor / more
        ratio[r] = more
        slope[r] = after - sigma[r]
        curve[r] = after * (one - after) - sigma[r] * (one - sigma[r])


@njit(nogil=True)
def _falls(slope, curvature):
    """How far at least and at most a self-concordant function falls from where it has this slope and curvature."""
    if slope == 0:
        return 0.0, 0.0
    if not curvature > 0:
        return 0.0, math.inf
    ratio = slope / curvature
    least = curvature * ((1.0 + ratio) * math.log(1.0 + ratio) - ratio)
    return least, curvature * ((1.0 - ratio) * math.log(1.0 - ratio) + ratio) if ratio < 1 else math.inf


@njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _sums_where(word, bit, ratio, slope, curve):
    """Product of the first and sums of the others over the rows that have this bit."""
    one, zero = np.float32(1), np.float32(0)
    product, a, b = one, zero, zero
    for r in range(len(word)):
        on = word[r] & bit != 0
        product *= ratio[r] if on else one
        a += slope[r] if on else zero
        b += curve[r] if on else zero
    return product, a, b
