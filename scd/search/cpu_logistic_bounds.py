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
from numba import njit

_ROUNDING = 1e-9  # of the bound, per row: far above what sums of float64 lose, far below what tells steps apart
_LARGEST_EXPONENT = 600.0


@njit(nogil=True, cache=True)
def loss_bounds(odds, odds_at, value, inputs, batch, features, steps, positive):
    """Bound the least loss of every candidate.

    Parameters
    ----------
    odds : (m,) float64
        ``exp(logit)`` of the rows of the batch, those of label 1 first, with the weights of the first candidate, whose
        step must be 0: else nothing is ruled out.
    odds_at : float
        ``exp(threshold)``, near the best threshold of the first candidate.
    value : float
        Loss of the first candidate there.
    inputs : (h, n) uint8
    batch : (m,) int
    features, steps : (C,)
    positive : int
        Rows of label 1.

    Returns
    -------
    lower : (C,) float64
        No threshold takes a candidate below this.
    reached : float
        The best candidate's best threshold takes it at least this low.
    """
    m = len(odds)
    lower, reached = np.full(len(features), -np.inf), np.inf
    if steps[0] != 0:
        return lower, reached
    sigma, ratio, slope, curve = np.empty(m), np.empty(m), np.empty(m), np.empty(m)
    on = np.empty((len(inputs), m), dtype=np.uint8)
    positive_on = np.zeros(len(inputs), dtype=np.int64)
    for k in np.unique(features):
        column, here = inputs[k], on[k]
        for r in range(m):
            here[r] = column[batch[r]]
        positive_on[k] = here[:positive].sum()
    first, second = 0.0, 0.0
    for r in range(m):
        sigma[r] = odds[r] / (odds[r] + odds_at)
        first += sigma[r]
        second += sigma[r] * (1.0 - sigma[r])
    for step in np.unique(steps):
        factor = math.exp(step)
        for r in range(m):
            ratio[r] = 1.0 + sigma[r] * (factor - 1.0)  # of odds + odds_at, after the step and before
            after = sigma[r] * factor / ratio[r]
            slope[r] = after - sigma[r]
            curve[r] = after * (1.0 - after) - sigma[r] * (1.0 - sigma[r])
        length = m if step == 0 else min(m, max(1, int(_LARGEST_EXPONENT / abs(step))))
        for c in range(len(features)):
            if steps[c] != step:
                continue
            k = features[c]
            logs, more, bend = 0.0, 0.0, 0.0
            for low in range(0, m, length):
                part = slice(low, low + length)
                product, a, b = _sums_where(on[k, part], ratio[part], slope[part], curve[part])
                logs, more, bend = logs + math.log(product), more + a, bend + b
            loss = value + logs - step * positive_on[k]
            least, most = _falls(abs(positive - first - more), second + bend)
            lower[c] = loss - most - _ROUNDING * m
            reached = min(reached, loss - least + _ROUNDING * m)
    return lower, reached


@njit(nogil=True, cache=True)
def _falls(slope, curvature):
    """How far at least and at most a self-concordant function falls from where it has this slope and curvature."""
    if slope == 0:
        return 0.0, 0.0
    if not curvature > 0:
        return 0.0, math.inf
    ratio = slope / curvature
    least = curvature * ((1.0 + ratio) * math.log(1.0 + ratio) - ratio)
    return least, curvature * ((1.0 - ratio) * math.log(1.0 - ratio) + ratio) if ratio < 1 else math.inf


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def _sums_where(on, ratio, slope, curve):
    """Product of the first and sums of the others over the rows that are on."""
    product, a, b = 1.0, 0.0, 0.0
    for r in range(len(on)):
        product *= ratio[r] if on[r] else 1.0
        a += slope[r] if on[r] else 0.0
        b += curve[r] if on[r] else 0.0
    return product, a, b
