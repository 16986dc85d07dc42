"""The search for a node's step and threshold, compiled: over all thresholds, or those within some ranks.

Over all thresholds
    Each candidate is screened by a histogram of effects over bins of its projections. The suffix sums of the histogram
    are the exact gains at the bin edges; adding a bin's positive effects bounds every threshold inside the bin. Only
    bins whose bound exceeds the best gain so far are sorted, so the result equals that of sorting everything::

        effects by bin       +  -      +  +      -  -      +  -  +
                        ---|---------|---------|---------|---------|--->  projection
        all effects            0          2         -2         1
        positive ones          1          2          0         2
        gain at left edge      1          1         -1         1          sum of all effects in and above the bin
        bound inside           2          1          1         2          effects above the bin + positive ones inside
                               ^                               ^
                               bins to sort if the best gain so far is 1

    A histogram update costs one store and a core retires one store per cycle. So two candidates fill their histograms
    in one pass, which reads the rows' effects once for both.

Which rows matter
    If features lie between 0 and some maximum, steps of one sign move every projection in one direction and not
    farther than some reach. So a histogram of the unmoved projections bounds what any of these candidates can gain at a
    threshold: rows farther than the reach beyond it count as they are, those between by their positive effects alone.
    Only thresholds whose bound exceeds the best gain so far matter, and with them only the rows that a step can carry
    across one. The thresholds of steps up are above those of steps down by about the reach, so the rows are much the
    same.

Within some ranks
    Only the rows near the current threshold are sorted.

Floating-point products and sums are neither fused nor reordered, so a vote does not depend on how many others are
trained with it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from scd.numba_cache import njit
from scd.search.cpu.llvm import plan, take
from scd.search.cpu.thresholds import ascending, lowest_threshold, threshold_at

_HALF, _LOW_HALF = np.uint32(16), np.uint32(0xFFFF)
_ROWS_PER_BIN = 8  # on average; more bins cost scans, fewer cost sorting (measured at 800 to 7,500 active rows)
_ROUNDINGS = 64.0  # spacings of float32 that a bin must be wide, far more than the rounding of its edges


class Candidates(NamedTuple):
    """Steps that are tried."""

    columns: Any
    """(D, n) float32 or uint8"""
    divisor: Any
    features: Any
    """(C,) int64"""
    steps: Any
    """(C,) float32"""
    rows: Any
    """(m,) uint32, ascending: the columns' rows that are searched."""


class Rows(NamedTuple):
    """The m rows of one vote that have an effect, those of positive effect first."""

    number: Any
    """(m,) uint32, in the columns."""
    p: Any
    """(m,) float32 projections before the step."""
    effects: Any
    """(m,) int32 or int64"""
    positive: Any
    """Rows of positive effect: unsigned, so that rows counted from it are not tested for being negative."""


class Move(NamedTuple):
    """The projections ``p + step * x`` that a candidate gives to the rows, and the bins they are counted in."""

    x: Any
    """(m,) float32"""
    step: Any
    low: Any
    """Left edge of the first bin."""
    scale: Any
    """Bins per unit of projection; 0 puts all rows in one bin."""


class Histograms(NamedTuple):
    """Histograms of two candidates side by side."""

    place: Any
    """(m,) uint32: bins of a row, of the first candidate in the lower 16 bits, of the second in the upper ones."""
    gains: Any
    """(2, bins): positive effects of each bin."""
    total: Any
    """(2, bins): all effects of each bin."""


class Unmoved(NamedTuple):
    """A histogram of the projections before any step."""

    place: Any
    """(m,) int32: bin of each row."""
    above: Any
    """(bins + 1,) int64: all effects in and above each bin."""
    below: Any
    """(bins + 1,) int64: positive effects below each bin."""
    low: Any
    high: Any
    """Minimum and maximum projection."""


# ---------------------------------------------------------------------- over all thresholds


@njit(nogil=True)
def search_thresholds(p, candidates, effects, maximum):
    """The best candidate, its lowest threshold and its gain, over all thresholds.

    Parameters
    ----------
    p : (m,) float32
        Projections of the candidates' rows.
    candidates : Candidates
    effects : (m,) int32 or int64
        No sum of them overflows their type.
    maximum : float32
        Features are between 0 and this; infinite: anywhere.
    """
    columns, divisor, features, steps, searched = candidates
    rows = _with_effects(p, effects, searched)
    m = len(rows.p)
    if m == 0:
        return 0, np.float32(np.nan), np.int64(0)
    low, high = rows.p[0], rows.p[0]
    for r in range(m):
        low, high = min(low, rows.p[r]), max(high, rows.p[r])
    chosen, none = np.arange(len(features)), np.int64(0)
    everywhere = np.array([[low, high], [low, high]])
    lowest = np.int64(np.iinfo(np.int64).min)
    inside, outside, unchanged = np.int64(0), np.int64(1), np.int64(0)  # no literals, or each is compiled on its own
    best, winner = _best_of(chosen[:1], candidates, rows, none, everywhere, inside, lowest, unchanged)
    bins, up, down = _bins_for(m), np.float32(0), np.float32(0)
    for c in range(len(features)):
        up, down = max(up, steps[c] * maximum), max(down, -steps[c] * maximum)
    if steps[0] == 0 and is_wide(low, high, bins, max(up, down)):
        kept, fixed, spans = narrowed(unmoved(rows.p, rows.effects, low, high, bins), up, down, best)
        if len(kept):
            some = chosen[((steps > 0) & (spans[0, 0] == spans[0, 0])) | ((steps < 0) & (spans[1, 0] == spans[1, 0]))]
            best, winner = _best_of(some, candidates, _part(rows, kept), fixed, spans, outside, best, winner)
    else:
        best, winner = _best_of(chosen[1:], candidates, rows, none, everywhere, inside, best, winner)
    column = columns[features[winner]]
    q = np.empty(m, dtype=np.float32)
    for r in range(m):
        q[r] = rows.p[r] + steps[winner] * (np.float32(column[rows.number[r]]) / divisor)
    return winner, lowest_threshold(q, rows.effects, best), best


@njit(nogil=True)
def _with_effects(p, effects, searched):
    """The rows that have an effect, among those `searched`."""
    n, m = len(p), 0
    number = np.empty(n, dtype=np.uint32)  # unsigned indices are not tested for being negative
    for i in range(n):  # the rows of positive effect first, so that the histograms need no branch
        number[m] = i
        m += effects[i] > 0
    positive = m
    for i in range(n):
        if effects[i] < 0:
            number[m] = i
            m += 1
    number = number[:m]
    pa, ea = np.empty(m, dtype=np.float32), np.empty(m, dtype=effects.dtype)
    for r in range(m):
        pa[r] = p[number[r]]
        ea[r] = effects[number[r]]
        number[r] = searched[number[r]]
    return Rows(number, pa, ea, np.uint64(positive))


@njit(nogil=True)
def _part(rows, kept):
    """The rows at these positions, those of positive effect first as before."""
    m, positive = len(kept), 0
    number = np.empty(m, dtype=rows.number.dtype)
    p, e = np.empty(m, dtype=rows.p.dtype), np.empty(m, dtype=rows.effects.dtype)
    for k in range(m):
        number[k], p[k], e[k] = rows.number[kept[k]], rows.p[kept[k]], rows.effects[kept[k]]
        positive += kept[k] < rows.positive
    return Rows(number, p, e, np.uint64(positive))


@njit(nogil=True, inline="always")
def _bins_for(m):
    bins = 128
    while bins < 2048 and bins < m // _ROWS_PER_BIN:
        bins *= 2
    return bins


@njit(nogil=True)
def _best_of(chosen, candidates, rows, fixed, spans, outside, best, winner):
    """The best gain and candidate among `chosen` and the best so far; the first among equals.

    Parameters
    ----------
    chosen : (k,) int64
        Candidates, in ascending order.
    candidates : Candidates
    rows : Rows
    fixed : int
        Sum of the effects of rows that are always on.
    spans : (2, 2) float32
        Thresholds between ``spans[0]`` are searched for steps up, between ``spans[1]`` for steps down.
    outside : {0, 1}
        1: the first and the last bin are for the projections outside the span, and no threshold is searched there.
    best, winner : int
        The best gain so far and its candidate.
    """
    m, bins = len(rows.p), _bins_for(len(rows.p))
    planned = plan(candidates.columns, candidates.divisor, rows.number)
    features, steps = candidates.features, candidates.steps
    lows, scales = np.empty(2, dtype=np.float32), np.empty(2, dtype=np.float32)
    for sign in range(2):
        low, high = spans[sign]
        scale = np.float32(bins - 2 * outside) / (high - low) if high > low else np.float32(0)
        scales[sign] = scale if np.isfinite(scale) else np.float32(0)
        lows[sign] = low - np.float32(1) / scale if outside and high > low else low
    x_first, x_second = np.empty(m, dtype=np.float32), np.empty(m, dtype=np.float32)
    gains, total = np.empty((2, bins), dtype=rows.effects.dtype), np.empty((2, bins), dtype=rows.effects.dtype)
    histograms = Histograms(np.empty(m, dtype=np.uint32), gains, total)
    for k in range(0, len(chosen), 2):
        a, b = chosen[k], chosen[min(k + 1, len(chosen) - 1)]
        take(candidates.columns[features[a]], planned, x_first)
        x_other = x_first
        if features[b] != features[a]:
            take(candidates.columns[features[b]], planned, x_second)
            x_other = x_second
        down_a, down_b = int(steps[a] < 0), int(steps[b] < 0)
        first = Move(x_first, steps[a], lows[down_a], scales[down_a])
        second = Move(x_other, steps[b], lows[down_b], scales[down_b])
        _bins_of_two(rows.p, first, second, bins, histograms.place)
        _add_effects(rows, histograms)
        if outside:
            for side in range(2):
                gains[side, 0] = gains[side, bins - 1] = 0
        bounds = _bounds(histograms, fixed)
        for side in range(2):
            c, move = (b, second) if side else (a, first)
            to_beat = best - 1 if c < winner else best
            if bounds[side] > to_beat:
                reached = _best_inside(rows, move, histograms, side, fixed, outside, to_beat)
                if reached > to_beat:
                    best, winner = reached, c
    return best, winner


@njit(nogil=True)
def _bins_of_two(p, first, second, bins, place):
    """Fill `place` with the bins of the rows under two candidates: see :class:`Histograms`."""
    x_a, step_a, low_a, scale_a = first
    x_b, step_b, low_b, scale_b = second
    top = np.float32(bins - 1)
    for r in range(len(p)):
        a = (p[r] + step_a * x_a[r] - low_a) * scale_a
        b = (p[r] + step_b * x_b[r] - low_b) * scale_b
        a = min(max(a, np.float32(0)), top)
        b = min(max(b, np.float32(0)), top)
        place[r] = np.uint32(np.int32(a)) | np.uint32(np.int32(b)) << _HALF


@njit(nogil=True)
def _add_effects(rows, histograms):
    """Fill the two histograms of positive effects and the two of all effects."""
    place, gains, total = histograms
    effects, positive = rows.effects, rows.positive
    gains_a, gains_b, total_a, total_b = gains[0], gains[1], total[0], total[1]
    bins = len(gains_a)
    for b in range(bins):
        gains_a[b] = 0
    for b in range(bins):
        gains_b[b] = 0
    for r in range(positive):
        w, e = place[r], effects[r]
        gains_a[w & _LOW_HALF] += e
        gains_b[w >> _HALF] += e
    for b in range(bins):
        total_a[b] = gains_a[b]
    for b in range(bins):
        total_b[b] = gains_b[b]
    for r in range(positive, np.uint64(len(effects))):
        w, e = place[r], effects[r]
        total_a[w & _LOW_HALF] += e
        total_b[w >> _HALF] += e


@njit(nogil=True)
def _bounds(histograms, fixed):
    """What no threshold of either candidate can exceed: the maximum of all effects above a bin + its positive ones.

    Both candidates in one loop, since neither's sums wait for the other's.
    """
    gains, total = histograms.gains, histograms.total
    gains_a, gains_b, total_a, total_b = gains[0], gains[1], total[0], total[1]
    zero = gains_a[0] - gains_a[0]
    bound_a, bound_b, above_a, above_b = zero, zero, zero, zero
    for b in range(len(gains_a) - 1, -1, -1):
        bound_a = max(bound_a, above_a + gains_a[b])
        bound_b = max(bound_b, above_b + gains_b[b])
        above_a += total_a[b]
        above_b += total_b[b]
    return max(fixed + bound_a, 0), max(fixed + bound_b, 0)


@njit(nogil=True)
def _best_inside(rows, move, histograms, side, fixed, outside, best):
    """The candidate's maximum gain if it exceeds `best`, else anything not above `best`."""
    p, effects, x, step = rows.p, rows.effects, move.x, move.step
    place, shift = histograms.place, _HALF if side else np.uint32(0)
    gains, total = histograms.gains[side], histograms.total[side]
    bins = len(gains)
    best = max(best, np.int64(0))
    above = fixed
    for b in range(bins - 1, outside - 1, -1):
        above += total[b]
        best = max(best, above)
    slot = np.zeros(bins, dtype=np.int32)  # 1, 2, ... for the bins worth sorting
    edge = np.empty(bins, dtype=np.int64)
    k = 0
    above = fixed
    for b in range(bins - 1, -1, -1):
        if above + gains[b] > best:
            k += 1
            slot[b] = k
            edge[k - 1] = above
        above += total[b]
    if k == 0:
        return best
    first = np.full(k, -1, dtype=np.int32)  # a linked list of rows for each of these bins
    following = np.empty(len(p), dtype=np.int32)
    for r in range(len(p)):
        s = slot[place[r] >> shift & _LOW_HALF]
        if s:
            following[r] = first[s - 1]
            first[s - 1] = r
    q = np.empty(len(p), dtype=np.float32)
    inside = np.empty(len(p), dtype=np.int32)
    for s in range(k):
        size = 0
        r = first[s]
        while r >= 0:
            q[size], inside[size] = p[r] + step * x[r], r
            size += 1
            r = following[r]
        order = ascending(q[:size])[::-1]
        gain = edge[s]
        for j in range(size):
            gain += effects[inside[order[j]]]
            if gain > best and (j + 1 == size or q[order[j + 1]] < q[order[j]]):
                best = gain
    return best


# ---------------------------------------------------------------------- which rows matter


@njit(nogil=True)
def unmoved(p, effects, low, high, bins):
    """The histogram :class:`Unmoved` of projections between `low` and `high`."""
    scale = np.float32(bins) / (high - low)
    place = np.empty(len(p), dtype=np.int32)
    above, below = np.zeros(bins + 1, dtype=np.int64), np.zeros(bins + 1, dtype=np.int64)
    for r in range(len(p)):
        b = np.int32(min((p[r] - low) * scale, np.float32(bins - 1)))
        place[r] = b
        above[b] += effects[r]
        below[b + 1] += max(effects[r], 0)
    for b in range(bins - 1, -1, -1):
        above[b] += above[b + 1]
    for b in range(bins):
        below[b + 1] += below[b]
    return Unmoved(place, above, below, low, high)


@njit(nogil=True, inline="always")
def is_wide(low, high, bins, reach):
    """Whether a bin between these projections is wide beside the rounding of sums, here and `reach` farther out."""
    width = (np.float64(high) - np.float64(low)) / bins
    size = np.float64(max(abs(low), abs(high))) + reach
    return np.isfinite(np.float32(1.0 / width)) and width > _ROUNDINGS * 2.0**-23 * size if width > 0 else False


@njit(nogil=True)
def narrowed(before, up, down, best):
    """What is needed of candidates that move all projections up by at most `up` or down by at most `down`.

    Parameters
    ----------
    before : Unmoved
    up, down : float32
    best : int
        A candidate must gain more than this.

    Returns
    -------
    kept : (k,) int
        Rows that are on at some of the thresholds that matter and off at others; none if no threshold matters.
    fixed : int
        Sum of the effects of rows that are on at all of them.
    spans : (2, 2) float32
        Ends of the thresholds that matter for steps up and for steps down; NaN if there are none. Thresholds up to a
        bin's width beyond have the exact gain, too.
    """
    place, above, below, low, high = before
    bins = len(above) - 1
    width = (np.float64(high) - np.float64(low)) / bins
    lowest, highest = bins, -1
    spans = np.full((2, 2), np.nan, dtype=np.float32)
    for sign in range(2):
        reach = np.float64(down if sign else up)
        if reach == 0:
            continue
        far = int(reach / width) + 2  # bins from which a row can come: one more on each side for the rounding
        fewer, more = (2, far) if sign else (far, 2)
        begin, end = bins, -1
        for b in range(bins):
            top, bottom = min(bins, b + more + 1), max(0, b - fewer)
            if above[top] + below[top] - below[bottom] > best:
                begin, end = min(begin, b), b
        if end < 0:
            continue
        lowest, highest = min(lowest, begin - fewer - 1), max(highest, end + more + 1)
        beyond = width + reach
        spans[sign, 0] = np.float64(low) + width * begin if begin else np.float64(low) - beyond
        spans[sign, 1] = np.float64(low) + width * (end + 1) if end < bins - 1 else np.float64(high) + beyond
    kept, k = np.empty(len(place) + 1, dtype=np.uint32), 0
    for r in range(len(place)):
        kept[k] = r
        k += (place[r] >= lowest) & (place[r] <= highest)
    return kept[:k], above[max(0, min(bins, highest + 1))], spans


# ---------------------------------------------------------------------- within some ranks


@njit(nogil=True)
def search_ranks(p, candidates, effects, current, radius):
    """As :func:`search_thresholds`, within `radius` ranks around the `current` threshold."""
    columns, divisor, features, steps, rows = candidates
    m, some = len(p), False
    for r in range(m):
        some |= effects[r] != 0
    if not some:
        return 0, np.float32(np.nan), 0
    total = effects.sum()
    q, keys, near = np.empty(m, dtype=np.float32), np.empty(m, dtype=np.float32), np.empty(m, dtype=np.int32)
    best, winner, threshold = np.int64(np.iinfo(np.int64).min), 0, np.float32(0)
    width = np.float32((p.max() - p.min()) * min(1.0, 4.0 * (radius + 1) / m))
    for c in range(len(features)):
        column = columns[features[c]]
        for r in range(m):
            q[r] = p[r] + steps[c] * (np.float32(column[rows[r]]) / divisor)
        size, left, below, gain_below, width = _near_current(q, effects, current, radius, width, near)
        for k in range(size):
            keys[k] = q[near[k]]
        order = np.argsort(keys[:size])
        gain = total - gain_below  # the cut below every near row
        for cut in range(max(0, left - radius)):
            gain -= effects[near[order[cut]]]
        for cut in range(max(0, left - radius), min(size, left + radius) + 1):
            first, last = below + cut == 0, below + cut == m
            if gain > best and (first or last or (0 < cut < size and keys[order[cut - 1]] < keys[order[cut]])):
                best, winner = gain, c
                if first or last:
                    threshold = threshold_at(q, np.argsort(q), below + cut)
                else:
                    threshold = threshold_at(keys, order, cut)
            if cut < size:
                gain -= effects[near[order[cut]]]
        width = width / 2 if size > 8 * (radius + 2) else width
    return winner, threshold, best


@njit(nogil=True)
def _near_current(q, effects, current, radius, width, near):
    """Fill `near` with the rows near the current threshold, enough for more than `radius` ranks on each side.

    Returns
    -------
    size : int
        Near rows.
    left : int
        Near rows up to the current threshold.
    below : int
        Rows below all near ones.
    gain_below : int
        Sum of the effects of those rows.
    width : float32
        Distance within which a row is near; doubled until it suffices.
    """
    while True:
        size, below, above, gain_below = 0, 0, 0, np.int64(0)
        for r in range(len(q)):
            if q[r] < current - width:
                below += 1
                gain_below += effects[r]
            elif q[r] > current + width:
                above += 1
            else:
                near[size] = r
                size += 1
        left = 0
        for k in range(size):
            left += q[near[k]] <= current
        if (left > radius + 1 or below == 0) and (size - left > radius + 1 or above == 0):
            return size, left, below, gain_below, width
        width = width * 2 if width > 0 else np.float32(1e-30)
