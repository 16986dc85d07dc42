"""The output node's search under cross-entropy, compiled: Newton's method within a bracket."""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from scd.numba_cache import njit
from scd.search.cpu.bits import LANES, add_where_on, bit_of
from scd.search.cpu.logistic_bounds import loss_bounds
from scd.search.cpu.logistic_midpoint import extent, logistic_loss, to_midpoint
from scd.search.cpu.node import BLOCK, exponentials

_CLOSE = 1e-5  # a Newton step this short leaves an error of its square
_CLOSE_OF_HALLEY = 1e-4  # a step of Halley's method its cube
_MOST_VALUES = 256  # distinct integer sums that are counted instead of listed
_WIDEST = 200.0  # logits beyond which exponentials and their products may overflow


@njit(parallel=True, nogil=True)
def search_logistic_votes(sums, words, features, steps, labels, rows, candidate, threshold, loss):
    for v in prange(len(sums)):
        found = _search_logistic(sums[v], words[v], features[v], steps[v], labels, rows[v])
        candidate[v], threshold[v], loss[v] = found


@njit(nogil=True)
def _search_logistic(sums, words, features, steps, labels, rows):
    batch, positive = _batch(labels, rows)
    m = len(batch)
    s, words = sums[batch], words[:, batch]
    least, greatest = extent(s)
    centre = (least + greatest) / 2
    reach = math.log(m) + 1
    if greatest - centre + np.abs(steps).max() + reach > _WIDEST:
        return _search_wide(s, words, features, steps, positive, reach)
    if greatest - least < _MOST_VALUES and (s == np.floor(s)).all():  # binary weights
        return _search_counts(s, words, features, steps, positive, reach)
    u = _exponentials_of(s, centre)
    odds = np.empty(m)
    start, winner, best, where = 0.0, 0, np.inf, 0.0
    lower, reached = np.empty(len(features)), np.inf
    for c in range(len(features)):
        if c and lower[c] > min(best, reached):
            continue
        word, bit, factor = words[features[c] // LANES], bit_of(features[c]), math.exp(steps[c])
        on = 0
        for r in range(m):
            odds[r] = u[r] * (factor if word[r] & bit else 1.0)
        for r in range(positive):
            on += word[r] & bit != 0
        t = _logistic_threshold(odds, positive, start, reach)
        value = _sum_of_logs(odds, math.exp(t)) - (s[:positive].sum() - centre * positive + steps[c] * on)
        value -= (m - positive) * t
        if c == 0:
            start = t  # the others lie close to the threshold of the unchanged weights
            lower, reached = loss_bounds(odds, math.exp(t), value, words, features, steps, positive)
        if value < best:
            winner, best, where = c, value, t
    word, bit, factor = words[features[winner] // LANES], bit_of(features[winner]), math.exp(steps[winner])
    for r in range(m):
        odds[r] = u[r] * (factor if word[r] & bit else 1.0)
    first, second, _ = _logistic_slopes(odds, math.exp(where))
    for r in range(m):
        odds[r] = s[r] + (steps[winner] if word[r] & bit else 0.0)
    return winner, to_midpoint(odds, positive, where + centre, positive - first, second), best


@njit(nogil=True)
def _batch(labels, rows):
    """The rows of the batch, those of label 1 first, and how many these are."""
    n = np.uint32(len(rows))
    batch, others = np.empty(n + 1, dtype=np.uint32), np.empty(n + 1, dtype=np.uint32)  # a place after a full batch
    m, k = np.uint32(0), np.uint32(0)
    for i in range(n):
        one = np.uint32(labels[i] == 1)
        inside = np.uint32(rows[i])
        batch[m], others[k] = i, i
        m, k = np.uint32(m + (inside & one)), np.uint32(k + (inside & ~one))
    batch[m : m + k] = others[:k]
    return batch[: m + k], np.int64(m)


@njit(nogil=True)
def _exponentials_of(s, centre):
    out, block = np.empty(len(s)), np.zeros(BLOCK)
    for first in range(0, len(s), BLOCK):
        m = min(BLOCK, len(s) - first)
        for i in range(m):
            block[i] = s[first + i] - centre
        exponentials(block)
        out[first : first + m] = block[:m]
    return out


@njit(nogil=True)
def _search_counts(s, words, features, steps, positive, reach):
    """The same for integer sums: rows of one sum and one activation of the changed node are counted together."""
    low, m = s.min(), len(s)
    values = int(s.max() - low) + 1
    place = np.empty(m, dtype=np.uint32)
    ends = np.zeros(2 * values + 1, dtype=np.int64)
    for r in range(m):  # rows of label 0 by their sum, then those of label 1
        place[r] = int(s[r] - low) + (values if r < positive else 0)
        ends[place[r] + 1] += 1
    for b in range(2 * values):
        ends[b + 1] += ends[b]
    ordered, free = np.empty(words.shape, dtype=np.uint32), ends.copy()
    for r in range(m):
        for block in range(len(words)):
            ordered[block, free[place[r]]] = words[block, r]
        free[place[r]] += 1
    ones, on = np.ones(m, dtype=np.int32), np.zeros((2 * values, len(words), LANES), dtype=np.int32)
    for b in range(2 * values):
        for block in range(len(words)):
            add_where_on(ordered[block], ones, ends[b], ends[b + 1], on[b, block])
    q, rows = np.empty(2 * values), np.empty((2, 2 * values))
    best_q, best_rows = q.copy(), rows.copy()
    start, winner, best, where = 0.0, 0, np.inf, 0.0
    for c in range(len(features)):
        block, lane = features[c] // LANES, features[c] % LANES
        for b in range(values):
            q[b], q[values + b] = low + b, low + b + steps[c]
            for label in range(2):
                here = label * values + b
                moved = on[here, block, lane]
                rows[label, b], rows[label, values + b] = ends[here + 1] - ends[here] - moved, moved
        if c == 0:
            start = s.mean()
        t = _counted_threshold(q, rows, positive, start, reach)
        loss = _counted_loss(q, rows, t)
        start = t if c == 0 else start
        if loss < best:
            winner, best, where = c, loss, t
            best_q[:], best_rows[:] = q, rows
    return winner, _counted_midpoint(best_q, best_rows, where), best


@njit(nogil=True)
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


@njit(nogil=True)
def _counted_loss(q, rows, t):
    total = 0.0
    for b in range(len(q)):
        z = q[b] - t
        plus = max(z, 0.0) + math.log1p(math.exp(-abs(z)))
        total += rows[0, b] * plus + rows[1, b] * (plus - z)
    return total


@njit(nogil=True)
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


@njit(nogil=True)
def _search_wide(s, words, features, steps, positive, reach):
    """The same for sums so far apart that their exponentials overflow: bisection, slower."""
    q = np.empty(len(s))
    winner, best, where = 0, np.inf, 0.0
    for c in range(len(features)):
        word, bit = words[features[c] // LANES], bit_of(features[c])
        for r in range(len(s)):
            q[r] = s[r] + (steps[c] if word[r] & bit else 0.0)
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
    word, bit = words[features[winner] // LANES], bit_of(features[winner])
    for r in range(len(s)):
        q[r] = s[r] + (steps[winner] if word[r] & bit else 0.0)
    return winner, to_midpoint(q, positive, where, math.nan, math.nan), best


@njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _logistic_slopes(odds, k):
    """Sums over the rows of sigma, sigma (1 - sigma) and sigma (1 - sigma) (1 - 2 sigma)."""
    first, second, third = 0.0, 0.0, 0.0
    for r in range(len(odds)):
        sigma = odds[r] / (odds[r] + k)
        variance = sigma * (1.0 - sigma)
        first += sigma
        second += variance
        third += variance * sigma
    return first, second, second - 2.0 * third


@njit(nogil=True)
def _logistic_threshold(odds, positive, start, reach):
    """Solve ``sum(sigmoid(s - t)) == positive`` for t, where ``odds = exp(s)``: Halley's method."""
    least, greatest = extent(odds)
    low, high = math.log(least) - reach, math.log(greatest) + reach
    t = min(max(start, low), high)
    for _ in range(100):
        first, second, third = _logistic_slopes(odds, math.exp(t))
        if first < positive:
            high = t
        else:
            low = t
        move = (first - positive) / second if second > 0 else math.inf
        curved = 1.0 - move * third / (2.0 * second) if second > 0 else 1.0
        new = t + move / curved if curved > 0.5 else t + move
        if not (low < new < high):
            new = (low + high) / 2
        if abs(new - t) < _CLOSE_OF_HALLEY:
            return new
        t = new
    return t


@njit(nogil=True)
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
