"""The output node's search under cross-entropy, compiled: Newton's method within a bracket."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from scd.search.cpu_logistic_bounds import loss_bounds
from scd.search.cpu_logistic_midpoint import logistic_loss, to_midpoint

_CLOSE = 1e-5  # a Newton step this short leaves an error of its square
_MOST_VALUES = 256  # distinct integer sums that are counted instead of listed
_WIDEST = 200.0  # logits beyond which exponentials and their products may overflow


@njit(parallel=True, nogil=True, cache=True)
def search_logistic_votes(sums, inputs, features, steps, labels, rows, candidate, threshold, loss):
    for v in prange(len(sums)):
        found = _search_logistic(sums[v], inputs[v], features[v], steps[v], labels, rows[v])
        candidate[v], threshold[v], loss[v] = found


@njit(nogil=True, cache=True)
def _search_logistic(sums, inputs, features, steps, labels, rows):
    n = len(sums)
    batch = np.empty(n + 1, dtype=np.int32)  # the last place for what comes after a full batch
    m, positive = 0, 0
    for label in range(1, -1, -1):  # label 1 first
        for i in range(n):
            batch[m] = i
            m += rows[i] & (labels[i] == label)
        positive = m if label == 1 else positive
    s = sums[batch[:m]]
    centre = np.median(s)
    reach = math.log(m) + 1
    odds = np.empty(m)
    start, winner, best, where = 0.0, 0, np.inf, 0.0
    if np.abs(s - centre).max() + np.abs(steps).max() + reach > _WIDEST:
        return _search_wide(s, batch[:m], inputs, features, steps, positive, reach)
    if s.max() - s.min() < _MOST_VALUES and (s == np.floor(s)).all():  # binary weights
        return _search_counts(s, batch[:m], inputs, features, steps, positive, reach)
    u = np.exp(s - centre)
    lower, reached = np.empty(len(features)), np.inf
    for c in range(len(features)):
        if c and lower[c] > min(best, reached):
            continue
        column = inputs[features[c]]
        factor = math.exp(steps[c])
        on = 0
        for r in range(m):
            a = column[batch[r]]
            odds[r] = u[r] * (factor if a else 1.0)
            on += a if r < positive else 0
        t = _logistic_threshold(odds, positive, start, reach)
        value = _sum_of_logs(odds, math.exp(t)) - (s[:positive].sum() - centre * positive + steps[c] * on)
        value -= (m - positive) * t
        if c == 0:
            start = t  # the others lie close to the threshold of the unchanged weights
            lower, reached = loss_bounds(odds, math.exp(t), value, inputs, batch[:m], features, steps, positive)
        if value < best:
            winner, best, where = c, value, t
    column = inputs[features[winner]]
    factor = math.exp(steps[winner])
    for r in range(m):
        odds[r] = u[r] * (factor if column[batch[r]] else 1.0)
    first, second = _logistic_slopes(odds, math.exp(where))
    for r in range(m):
        odds[r] = s[r] + steps[winner] * column[batch[r]]
    return winner, to_midpoint(odds, positive, where + centre, positive - first, second), best


@njit(nogil=True, cache=True)
def _search_counts(s, batch, inputs, features, steps, positive, reach):
    """The same for integer sums: rows of one sum and one activation of the changed node are counted together."""
    low, m = s.min(), len(s)
    values = int(s.max() - low) + 1
    place = np.empty(m, dtype=np.int64)
    ends = np.zeros(2 * values + 1, dtype=np.int64)
    for r in range(m):  # rows of label 0 by their sum, then those of label 1
        place[r] = int(s[r] - low) + (values if r < positive else 0)
        ends[place[r] + 1] += 1
    for b in range(2 * values):
        ends[b + 1] += ends[b]
    ordered, free = np.empty(m, dtype=np.uint32), ends.copy()
    for r in range(m):
        ordered[free[place[r]]] = batch[r]
        free[place[r]] += 1
    q, rows = np.empty(2 * values), np.empty((2, 2 * values))
    best_q, best_rows = q.copy(), rows.copy()
    start, winner, best, where = 0.0, 0, np.inf, 0.0
    for c in range(len(features)):
        column = inputs[features[c]]
        for b in range(values):
            q[b], q[values + b] = low + b, low + b + steps[c]
            for label in range(2):
                some = ordered[ends[label * values + b] : ends[label * values + b + 1]]
                on = 0
                for r in range(len(some)):
                    on += column[some[r]]
                rows[label, b], rows[label, values + b] = len(some) - on, on
        if c == 0:
            start = s.mean()
        t = _counted_threshold(q, rows, positive, start, reach)
        loss = _counted_loss(q, rows, t)
        start = t if c == 0 else start
        if loss < best:
            winner, best, where = c, loss, t
            best_q[:], best_rows[:] = q, rows
    return winner, _counted_midpoint(best_q, best_rows, where), best


@njit(nogil=True, cache=True)
def _counted_threshold(q, rows, positive, start, reach):
    low, high, t = q.min() - reach, q.max() + reach, start
    for _ in range(100):
        first, second = -float(positive), 0.0
        for b in range(len(q)):
            n = rows[0, b] + rows[1, b]
            if n > 0:
                sigma = 1.0 / (1.0 + math.exp(min(t - q[b], 700.0)))
                first += n * sigma
                second += n * sigma * (1.0 - sigma)
        if first < 0:
            high = t
        else:
            low = t
        new = t + first / second if second > 0 else math.inf
        if not (low < new < high):
            new = (low + high) / 2
        if abs(new - t) < _CLOSE:
            return new
        t = new
    return t


@njit(nogil=True, cache=True)
def _counted_loss(q, rows, t):
    total = 0.0
    for b in range(len(q)):
        z = q[b] - t
        plus = max(z, 0.0) + math.log1p(math.exp(-abs(z)))
        total += rows[0, b] * plus + rows[1, b] * (plus - z)
    return total


@njit(nogil=True, cache=True)
def _counted_midpoint(q, rows, t):
    present = np.unique(q[rows[0] + rows[1] > 0])
    if len(present) == 1:
        return t
    middles = (present[:-1] + present[1:]) / 2
    best, where = np.inf, t
    for middle in middles:
        loss = _counted_loss(q, rows, middle)
        if loss < best:
            best, where = loss, middle
    return where


@njit(nogil=True, cache=True)
def _search_wide(s, batch, inputs, features, steps, positive, reach):
    """The same for sums so far apart that their exponentials overflow: bisection, slower."""
    q = np.empty(len(s))
    winner, best, where = 0, np.inf, 0.0
    for c in range(len(features)):
        for r in range(len(s)):
            q[r] = s[r] + steps[c] * inputs[features[c]][batch[r]]
        low, high = q.min() - reach, q.max() + reach
        for _ in range(60):
            middle = (low + high) / 2
            total = 0.0
            for value in q:
                total += 1.0 / (1.0 + math.exp(min(middle - value, 700.0)))
            if total < positive:
                high = middle
            else:
                low = middle
        loss = logistic_loss(q, positive, (low + high) / 2)
        if loss < best:
            winner, best, where = c, loss, (low + high) / 2
    for r in range(len(s)):
        q[r] = s[r] + steps[winner] * inputs[features[winner]][batch[r]]
    return winner, to_midpoint(q, positive, where, math.nan, math.nan), best


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def _logistic_slopes(odds, k):
    first, second = 0.0, 0.0
    for r in range(len(odds)):
        sigma = odds[r] / (odds[r] + k)
        first += sigma
        second += sigma * (1.0 - sigma)
    return first, second


@njit(nogil=True, cache=True)
def _logistic_threshold(odds, positive, start, reach):
    """Solve ``sum(sigmoid(s - t)) == positive`` for t, where ``odds = exp(s)``."""
    low = math.log(odds.min()) - reach
    high = math.log(odds.max()) + reach
    t = min(max(start, low), high)
    for _ in range(100):
        first, second = _logistic_slopes(odds, math.exp(t))
        if first < positive:
            high = t
        else:
            low = t
        move = (first - positive) / second if second > 0 else math.inf
        new = t + move
        if not (low < new < high):
            new = (low + high) / 2
        if abs(new - t) < _CLOSE:
            return new
        t = new
    return t


@njit(nogil=True, cache=True)
def _sum_of_logs(odds, k):
    """``sum(log(odds + k))`` with one logarithm for many factors."""
    total = 0.0
    a, b, c, d = 1.0, 1.0, 1.0, 1.0
    m = len(odds)
    for r in range(0, m - m % 4, 4):
        a *= odds[r] + k
        b *= odds[r + 1] + k
        c *= odds[r + 2] + k
        d *= odds[r + 3] + k
        if not (1e-60 < a < 1e60 and 1e-60 < b < 1e60 and 1e-60 < c < 1e60 and 1e-60 < d < 1e60):
            total += math.log(a) + math.log(b) + math.log(c) + math.log(d)
            a, b, c, d = 1.0, 1.0, 1.0, 1.0
    for r in range(m - m % 4, m):
        total += math.log(odds[r] + k)
    return total + math.log(a) + math.log(b) + math.log(c) + math.log(d)
