"""The search over all thresholds, compiled: screened by histograms, exact.

Each candidate is screened by a histogram of effects over bins of its projections. The suffix sums of the histogram are
the exact gains at the bin edges; adding a bin's positive effects bounds every threshold inside the bin. Only the bins
whose bound beats the best gain so far are sorted, so the result equals that of sorting everything. Two candidates at a
time fill their histograms, since an addition to a bin costs a store and the rows' effects are read once for both.

Floating-point products and sums are not fused or reordered, so that a vote does not depend on how many others are
trained with it.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from scd.search.cpu_narrowing import histogram, is_wide, narrowed
from scd.search.cpu_thresholds import lowest_threshold

_LANES = 64
_LANE_DIGITS = np.uint32(6)
_HALF, _LOW_HALF = np.uint32(16), np.uint32(0xFFFF)
_BOTH = np.uint32(0x00010001)
_ROWS_PER_BIN = 8  # on average; more bins cost scans, fewer cost sorting (measured at 800 to 7,500 active rows)


@njit(parallel=True, nogil=True, cache=True)
def search_votes(p, columns, divisor, features, steps, effects, zero, greatest, candidate, threshold, gain):
    """Search every vote.

    `zero` is an array (1,) of the integer type in which no sum of effects overflows. Features lie between 0 and
    `greatest`; infinite: anywhere.
    """
    for v in prange(len(p)):
        x = columns[v] if len(columns) > 1 else columns[0]
        found = _search_vote(p[v], x, divisor, features[v], steps[v], effects[v], zero, greatest)
        candidate[v], threshold[v], gain[v] = found


@njit(nogil=True, cache=True)
def _search_vote(p, columns, divisor, features, steps, effects, zero, greatest):
    n = len(p)
    active = np.empty(n, dtype=np.uint32)  # unsigned indices are not tested for being negative
    m = 0
    for i in range(n):  # the rows of positive effect first, so that neither scatter below needs a branch
        active[m] = i
        m += effects[i] > 0
    positive = m
    for i in range(n):
        if effects[i] < 0:
            active[m] = i
            m += 1
    if m == 0:
        return 0, np.float32(np.nan), np.int64(0)
    active = active[:m]
    pa = np.empty(m, dtype=np.float32)
    ea = np.empty(m, dtype=zero.dtype)
    for r in range(m):
        pa[r] = p[active[r]]
        ea[r] = effects[active[r]]
    low, high = pa[0], pa[0]
    for r in range(m):
        low, high = min(low, pa[r]), max(high, pa[r])
    chosen, none = np.arange(len(features)), np.int64(0)
    candidates, rows = (columns, divisor, features, steps), (active, pa, ea, positive)
    best, winner = _best_of(chosen[:1], candidates, rows, none, low, high, 0, np.int64(np.iinfo(np.int64).min), 0)
    bins = _bins_for(m)
    # two steps on one feature go both ways, so that together they need almost all rows
    apart = len(features) > 2 and features[1] != features[2] and steps[0] == 0
    if apart and is_wide(low, high, bins, np.abs(steps).max() * greatest):
        place, above, below = histogram(pa, ea, low, high, bins)
        for sign in (1, -1):
            reach = np.float32(0)
            for c in range(len(features)):
                reach = max(reach, sign * steps[c] * greatest)
            down, up = (np.float32(0), reach) if sign > 0 else (reach, np.float32(0))
            beaten = best - 1 if winner else best  # an equal candidate may come before the winner
            kept, fixed, first, last = narrowed(place, above, below, low, high, down, up, beaten)
            if len(kept):
                some = chosen[sign * steps > 0]
                part = _part(rows, kept)
                best, winner = _best_of(some, candidates, part, fixed, first, last, 1, best, winner)
    else:
        best, winner = _best_of(chosen[1:], candidates, rows, none, low, high, 0, best, winner)
    column = columns[features[winner]]
    q = np.empty(m, dtype=np.float32)
    for r in range(m):
        q[r] = pa[r] + steps[winner] * (np.float32(column[active[r]]) / divisor)
    return winner, lowest_threshold(q, ea, best), best


@njit(nogil=True, cache=True)
def _part(rows, kept):
    """The rows with these numbers, those of positive effect first as before."""
    active, pa, ea, positive = rows
    m, before = len(kept), 0
    some, p, e = np.empty(m, dtype=active.dtype), np.empty(m, dtype=pa.dtype), np.empty(m, dtype=ea.dtype)
    for k in range(m):
        some[k], p[k], e[k] = active[kept[k]], pa[kept[k]], ea[kept[k]]
        before += kept[k] < positive
    return some, p, e, before


@njit(nogil=True, cache=True)
def _bins_for(m):
    bins = 128
    while bins < 2048 and bins < m // _ROWS_PER_BIN:
        bins *= 2
    return bins


@njit(nogil=True, cache=True)
def _best_of(chosen, candidates, rows, fixed, low, high, outside, best, winner):
    """The best gain and candidate among `chosen` and the best so far; the first among equals.

    `fixed` is the effect of rows that are always on. Thresholds between `low` and `high` are searched, and beyond them
    unless one bin (`outside`) at each end is for the projections there.
    """
    columns, divisor, features, steps = candidates
    active, pa, ea, positive = rows
    m, bins = len(pa), _bins_for(len(pa))
    digits = np.uint32(0)
    while _LANES << digits < bins:
        digits = np.uint32(digits + np.uint32(1))
    scale = np.float32(bins - 2 * outside) / (high - low) if high > low else np.float32(0)
    if not np.isfinite(scale):
        scale = np.float32(0)
    if outside:
        low -= np.float32(1) / scale
    xa, xb = np.empty(m, dtype=np.float32), np.empty(m, dtype=np.float32)
    where = np.empty(m, dtype=np.uint32)  # the bins of two candidates, 16 bits each
    gains = np.empty((2, bins), dtype=ea.dtype)  # positive effects of each bin
    total = np.empty((2, bins), dtype=ea.dtype)  # all effects of each bin
    lanes = np.empty((2, _LANES), dtype=ea.dtype)
    for first in range(0, len(chosen), 2):
        a, b = chosen[first], chosen[min(first + 1, len(chosen) - 1)]
        _take(columns[features[a]], active, divisor, xa)
        other = xa
        if features[b] != features[a]:
            _take(columns[features[b]], active, divisor, xb)
            other = xb
        _bins_of_two(pa, xa, steps[a], other, steps[b], low, scale, digits, where)
        _add_effects(where, ea, positive, gains, total)
        for side in range(2):
            c, x = (b, other) if side else (a, xa)
            if outside:
                gains[side, 0], gains[side, bins - 1] = 0, 0
            beaten = best - 1 if c < winner else best
            if _bound(gains[side], total[side], lanes[0], lanes[1], fixed) > beaten:
                shift = _HALF if side else np.uint32(0)
                places = (where, shift, digits)
                reached = _best_inside(pa, steps[c], x, ea, places, gains[side], total[side], fixed, outside, beaten)
                if reached > beaten:
                    best, winner = reached, c
    return best, winner


@njit(nogil=True, cache=True)
def _take(column, active, divisor, out):
    """The feature of the active rows."""
    for r in range(len(out)):
        out[r] = np.float32(column[active[r]])
    if divisor != 1:
        for r in range(len(out)):
            out[r] /= divisor


@njit(nogil=True, cache=True)
def _bins_of_two(pa, xa, step_a, xb, step_b, low, scale, digits, where):
    """The places of the rows' bins under a candidate, and under another in the upper halves."""
    top = np.float32((_LANES << digits) - 1)
    for r in range(len(pa)):
        a = (pa[r] + step_a * xa[r] - low) * scale
        b = (pa[r] + step_b * xb[r] - low) * scale
        a = min(max(a, np.float32(0)), top)
        b = min(max(b, np.float32(0)), top)
        where[r] = np.uint32(np.int32(a)) | np.uint32(np.int32(b)) << _HALF
    for r in range(len(pa)):  # in one loop both take twice the time
        where[r] = _place(where[r], digits)


@njit(nogil=True, cache=True, inline="always")
def _place(b, digits):
    """Where bin `b` is kept: `_LANES` runs of ``2**digits`` bins lie interleaved, to be summed side by side.

    Both halves of `b` at a time.
    """
    inside = ((np.uint32(1) << digits) - np.uint32(1)) * _BOTH
    return (b & inside) << _LANE_DIGITS | b >> digits & np.uint32(_LANES - 1) * _BOTH


@njit(nogil=True, cache=True)
def _add_effects(where, ea, positive, gains, total):
    """Fill the two histograms of positive and those of all effects; the first `positive` rows have positive ones."""
    gains_a, gains_b, total_a, total_b = gains[0], gains[1], total[0], total[1]
    bins = len(gains_a)
    for b in range(bins):
        gains_a[b] = 0
    for b in range(bins):
        gains_b[b] = 0
    for r in range(positive):
        w, e = where[r], ea[r]
        gains_a[w & _LOW_HALF] += e
        gains_b[w >> _HALF] += e
    for b in range(bins):
        total_a[b] = gains_a[b]
    for b in range(bins):
        total_b[b] = gains_b[b]
    for r in range(positive, len(ea)):
        w, e = where[r], ea[r]
        total_a[w & _LOW_HALF] += e
        total_b[w >> _HALF] += e


@njit(nogil=True, cache=True)
def _bound(gains, total, above, bound, fixed):
    """What no threshold can beat: the greatest, over bins, of all effects above the bin and its own positive ones.

    `above` and `bound` are scratch, one number a lane.
    """
    for lane in range(_LANES):
        above[lane] = 0
    for lane in range(_LANES):
        bound[lane] = 0
    for first in range(len(gains) - _LANES, -1, -_LANES):
        g, t = gains[first : first + _LANES], total[first : first + _LANES]
        for lane in range(_LANES):
            here = above[lane] + g[lane]
            bound[lane] = here if here > bound[lane] else bound[lane]
            above[lane] += t[lane]
    greatest, higher = np.int64(0), fixed
    for lane in range(_LANES - 1, -1, -1):
        greatest = max(greatest, higher + bound[lane])
        higher += above[lane]
    return greatest


@njit(nogil=True, cache=True)
def _best_inside(pa, step, xa, ea, places, gains, total, fixed, outside, best):
    """The candidate's greatest gain if it exceeds `best`, else anything not above `best`."""
    where, shift, digits = places
    bins = len(gains)
    best = max(best, np.int64(0))
    above = fixed
    for b in range(bins - 1, outside - 1, -1):
        above += total[_place(np.uint32(b), digits)]
        best = max(best, above)
    slot = np.zeros(bins, dtype=np.int32)  # 1, 2, ... for the bins worth sorting
    edge = np.empty(bins, dtype=np.int64)
    k = 0
    above = fixed
    for b in range(bins - 1, -1, -1):
        place = _place(np.uint32(b), digits)
        if above + gains[place] > best:
            k += 1
            slot[place] = k
            edge[k - 1] = above
        above += total[place]
    if k == 0:
        return best
    first = np.full(k, -1, dtype=np.int32)
    following = np.empty(len(pa), dtype=np.int32)
    for r in range(len(pa)):
        s = slot[where[r] >> shift & _LOW_HALF]
        if s:
            following[r] = first[s - 1]
            first[s - 1] = r
    q = np.empty(len(pa), dtype=np.float32)
    rows = np.empty(len(pa), dtype=np.int32)
    for s in range(k):
        size = 0
        r = first[s]
        while r >= 0:
            q[size], rows[size] = pa[r] + step * xa[r], r
            size += 1
            r = following[r]
        order = _descending(q[:size])
        gain = edge[s]
        for j in range(size):
            gain += ea[rows[order[j]]]
            if gain > best and (j + 1 == size or q[order[j + 1]] < q[order[j]]):
                best = gain
    return best


@njit(nogil=True, cache=True)
def _descending(q):
    """Positions of `q` from the greatest value to the least: by insertion for the few rows that a bin mostly holds."""
    if len(q) > 32:
        return np.argsort(-q)
    order = np.empty(len(q), dtype=np.int64)
    for i in range(len(q)):
        j = i
        while j > 0 and q[order[j - 1]] < q[i]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = i
    return order
