"""The output node's search under cross-entropy, compiled: Newton's method within a bracket.

Bounds
    A step ``s`` on an input changes the logits of the rows in which the input is on. At one threshold, the loss of
    every step and its slope and curvature in the threshold are therefore those of the unchanged weights plus sums over
    these rows, of terms that all inputs share. The loss is self-concordant in the threshold (its third derivative
    never exceeds the second), so these three numbers bound what any threshold can reach (Bach, "Self-concordant
    analysis for logistic regression", 2010, Proposition 1). Candidates that cannot win are not solved.

Midpoint
    The winner's threshold is moved to the best of the midpoints of neighbouring distinct sums around the optimum.
"""

from __future__ import annotations

import math

import numpy as np

from scd.numba_cache import njit
from scd.search.cpu.llvm import LANES, add_where_on, bit_of
from scd.search.cpu.node import BLOCK, exponentials
from scd.search.cpu.thresholds import distinct, reordered

_CLOSE = 1e-5  # a Newton step this short leaves an error of its square
_CLOSE_OF_HALLEY = 1e-4  # a step of Halley's method its cube
_MAX_VALUES = 256  # distinct integer sums that are counted instead of listed
_WIDEST = 200.0  # logits beyond which exponentials and their products may overflow
_ROWS = 512  # whose changes are stored in float32 at a time, and added up
_ROUNDING = 1e-6  # per row: above the error of float32 numbers and their sums, far below what distinguishes steps
_LARGEST_STEP = 5.0  # beyond which nothing is ruled out
_LARGEST_EXPONENT = 80.0  # of a product in float32


@njit(nogil=True)
def search_logistic_vote(sums, words, features, steps, negatives):
    """The best candidate, its threshold and its loss: see :func:`scd.search.reference.search_logistic`.

    Parameters
    ----------
    sums : (m,) float64
        Of the rows of the batch, those of label 0 first.
    words : (w, m) uint32
        See :mod:`scd.search.cpu.llvm`.
    features, steps : (C,) int64 and float64
        The unchanged weights first.
    negatives : int
        Rows of label 0.
    """
    m, positive = len(sums), np.int64(len(sums) - negatives)
    order = np.empty(m, dtype=np.uint32)  # rows of label 1 first
    for r in range(m):
        order[r] = r + negatives if r < positive else r - positive
    s, words = _chosen(sums, order), reordered(words, order)
    lowest, highest = extent(s)
    centre = (lowest + highest) / 2
    reach = math.log(m) + 1
    if highest - centre + np.abs(steps).max() + reach > _WIDEST:
        return _search_wide(s, words, features, steps, positive, reach)
    if highest - lowest < _MAX_VALUES and (s == np.floor(s)).all():  # binary weights
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
            start = t  # the others' thresholds are close to that of the unchanged weights
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
def _chosen(sums, order):
    out = np.empty(len(order))
    for r in range(len(order)):
        out[r] = sums[order[r]]
    return out


@njit(nogil=True)
def _exponentials_of(s, centre):
    out, block = np.empty(len(s)), np.zeros(BLOCK)
    for first in range(0, len(s), BLOCK):
        m = min(BLOCK, len(s) - first)
        for i in range(m):
            block[i] = s[first + i] - centre
        exponentials(block)
        for i in range(m):
            out[first + i] = block[i]
    return out


@njit(nogil=True)
def _search_counts(s, words, features, steps, positive, reach):
    """The same for integer sums: rows with the same sum and the same activation of the changed node are counted."""
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
    best_q, best_rows = q, rows
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
            best_q, best_rows = q.copy(), rows.copy()
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
def _present(q, rows):
    """The distinct values of `q` that rows have, in ascending order."""
    there, count = np.empty_like(q), 0
    for b in range(len(q)):
        if rows[0, b] + rows[1, b] > 0:
            there[count] = q[b]
            count += 1
    return distinct(there[:count])[0]


@njit(nogil=True)
def _counted_midpoint(q, rows, t):
    present = _present(q, rows)
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
    lowest, highest = extent(odds)
    low, high = math.log(lowest) - reach, math.log(highest) + reach
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


# ---------------------------------------------------------------------- bounds


@njit(nogil=True)
def loss_bounds(odds, odds_at, value, words, features, steps, positive):
    """Bound the minimum loss of every candidate.

    Parameters
    ----------
    odds : (m,) float64
        ``exp(logit)`` of the rows of the batch, those of label 1 first, with the weights of the first candidate. Its
        step must be 0 and no step may be very long: otherwise nothing is ruled out.
    odds_at : float
        ``exp(threshold)``, near the best threshold of the first candidate.
    value : float
        Loss of the first candidate there.
    words : (w, m) uint32
        Activations of these rows, see :mod:`scd.search.cpu.llvm`.
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
    sizes, kinds = distinct(steps)
    largest = np.abs(sizes).max()
    if steps[0] != 0 or largest > _LARGEST_STEP:
        return lower, reached
    factors = np.exp(sizes)
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
        smallest_fall, _ = _falls(max(slope - rounding, 0.0), second + curves[c] + rounding)
        _, largest_fall = _falls(slope + rounding, second + curves[c] - rounding)
        same_for_all = steps[c] == 0 or on[0][where] + on[1][where] in (0, m)  # what the threshold undoes
        lower[c] = np.inf if same_for_all else loss - largest_fall - rounding
        reached = min(reached, loss - smallest_fall + rounding)
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
    """Lower and upper bound on the fall of a self-concordant function from a point with this slope and curvature."""
    if slope == 0:
        return 0.0, 0.0
    if not curvature > 0:
        return 0.0, math.inf
    ratio = slope / curvature
    lower = curvature * ((1.0 + ratio) * math.log(1.0 + ratio) - ratio)
    return lower, curvature * ((1.0 - ratio) * math.log(1.0 - ratio) + ratio) if ratio < 1 else math.inf


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


# ---------------------------------------------------------------------- midpoint


@njit(nogil=True)
def to_midpoint(s, positive, t, slope, curvature):
    """The best of the midpoints of neighbouring distinct values around `t`; `t` if all values are equal.

    The loss is self-concordant, so its `slope` and `curvature` at `t` bound it at the midpoints. It is computed only at
    midpoints that the bounds cannot tell apart; at all of them if slope and curvature are NaN.
    """
    lowest, highest = extent(s)
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
    # plain sums of m terms, each below the largest logit + 1, have a smaller error than this
    reached += 2.0 * m * m * (max(highest - t, t - lowest) + 1.0) * 2.0**-52
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
    """Minimum and maximum."""
    lowest, highest = np.inf, -np.inf
    for r in range(len(s)):
        lowest, highest = min(lowest, s[r]), max(highest, s[r])
    return lowest, highest


@njit(nogil=True, fastmath={"nnan", "nsz", "reassoc"})
def _neighbours(s, t):
    """The largest value up to `t` and the smallest above it."""
    below, above = -np.inf, np.inf
    for r in range(len(s)):
        below = max(below, s[r] if s[r] <= t else -np.inf)
        above = min(above, s[r] if s[r] > t else np.inf)
    return below, above


@njit(nogil=True, fastmath={"nnan", "nsz", "reassoc"})
def _next_neighbours(s, below, above):
    """The largest value below `below` and the smallest above `above`."""
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
