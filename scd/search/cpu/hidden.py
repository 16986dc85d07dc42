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
from numba import prange

from scd.numba_cache import njit
from scd.search.cpu.llvm import plan, take
from scd.search.cpu.narrowing import histogram, is_wide, narrowed
from scd.search.cpu.thresholds import lowest_threshold

_HALF, _LOW_HALF = np.uint32(16), np.uint32(0xFFFF)
_ROWS_PER_BIN = 8  # on average; more bins cost scans, fewer cost sorting (measured at 800 to 7,500 active rows)


@njit(parallel=True, nogil=True)
def search_votes(p, columns, divisor, features, steps, effects, greatest, candidate, threshold, gain):
    """Search every vote.

    No sum of `effects` overflows their type. Features lie between 0 and `greatest`; infinite: anywhere.
    """
    for v in prange(len(p)):
        x = columns[v] if len(columns) > 1 else columns[0]
        found = _search_vote(p[v], x, divisor, features[v], steps[v], effects[v], greatest)
        candidate[v], threshold[v], gain[v] = found


@njit(nogil=True)
def _search_vote(p, columns, divisor, features, steps, effects, greatest):
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
    ea = np.empty(m, dtype=effects.dtype)
    for r in range(m):
        pa[r] = p[active[r]]
        ea[r] = effects[active[r]]
    low, high = pa[0], pa[0]
    for r in range(m):
        low, high = min(low, pa[r]), max(high, pa[r])
    chosen, none = np.arange(len(features)), np.int64(0)
    candidates, rows = (columns, divisor, features, steps), (active, pa, ea, np.uint64(positive))
    all_of_them = np.array([[low, high], [low, high]])
    lowest = np.int64(np.iinfo(np.int64).min)
    best, winner = _best_of(chosen[:1], candidates, rows, none, all_of_them, 0, lowest, 0)
    bins, up, down = _bins_for(m), np.float32(0), np.float32(0)
    for c in range(len(features)):
        up, down = max(up, steps[c] * greatest), max(down, -steps[c] * greatest)
    if steps[0] == 0 and is_wide(low, high, bins, max(up, down)):
        kept, fixed, spans = narrowed(*histogram(pa, ea, low, high, bins), low, high, up, down, best)
        if len(kept):
            some = chosen[((steps > 0) & (spans[0, 0] == spans[0, 0])) | ((steps < 0) & (spans[1, 0] == spans[1, 0]))]
            best, winner = _best_of(some, candidates, _part(rows, kept), fixed, spans, 1, best, winner)
    else:
        best, winner = _best_of(chosen[1:], candidates, rows, none, all_of_them, 0, best, winner)
    column = columns[features[winner]]
    q = np.empty(m, dtype=np.float32)
    for r in range(m):
        q[r] = pa[r] + steps[winner] * (np.float32(column[active[r]]) / divisor)
    return winner, lowest_threshold(q, ea, best), best


@njit(nogil=True)
def _part(rows, kept):
    """The rows with these numbers, those of positive effect first as before."""
    active, pa, ea, positive = rows
    m, before = len(kept), 0
    some, p, e = np.empty(m, dtype=active.dtype), np.empty(m, dtype=pa.dtype), np.empty(m, dtype=ea.dtype)
    for k in range(m):
        some[k], p[k], e[k] = active[kept[k]], pa[kept[k]], ea[kept[k]]
        before += kept[k] < positive
    return some, p, e, np.uint64(before)


@njit(nogil=True)
def _bins_for(m):
    bins = 128
    while bins < 2048 and bins < m // _ROWS_PER_BIN:
        bins *= 2
    return bins


@njit(nogil=True)
def _best_of(chosen, candidates, rows, fixed, spans, outside, best, winner):
    """The best gain and candidate among `chosen` and the best so far; the first among equals.

    `fixed` is the effect of rows that are always on. Thresholds in ``spans[0]`` are searched, those of steps down in
    ``spans[1]``, and beyond unless one bin (`outside`) at each end is for the projections there.
    """
    columns, divisor, features, steps = candidates
    active, pa, ea, positive = rows
    m, bins = len(pa), _bins_for(len(pa))
    planned = plan(columns, divisor, active)
    lows, scales = np.empty(2, dtype=np.float32), np.empty(2, dtype=np.float32)
    for way in range(2):
        low, high = spans[way]
        scale = np.float32(bins - 2 * outside) / (high - low) if high > low else np.float32(0)
        scales[way] = scale if np.isfinite(scale) else np.float32(0)
        lows[way] = low - np.float32(1) / scale if outside and high > low else low
    xa, xb = np.empty(m, dtype=np.float32), np.empty(m, dtype=np.float32)
    where = np.empty(m, dtype=np.uint32)  # the bins of two candidates, 16 bits each
    gains = np.empty((2, bins), dtype=ea.dtype)  # positive effects of each bin
    total = np.empty((2, bins), dtype=ea.dtype)  # all effects of each bin
    for first in range(0, len(chosen), 2):
        a, b = chosen[first], chosen[min(first + 1, len(chosen) - 1)]
        take(columns[features[a]], planned, xa)
        other = xa
        if features[b] != features[a]:
            take(columns[features[b]], planned, xb)
            other = xb
        way_a, way_b = int(steps[a] < 0), int(steps[b] < 0)
        grid_a, grid_b = (lows[way_a], scales[way_a]), (lows[way_b], scales[way_b])
        _bins_of_two(pa, xa, steps[a], grid_a, other, steps[b], grid_b, bins, where)
        _add_effects(where, ea, positive, gains, total)
        if outside:
            gains[:, 0], gains[:, bins - 1] = 0, 0
        bounds = _bounds(gains, total, fixed)
        for side in range(2):
            c, x = (b, other) if side else (a, xa)
            beaten = best - 1 if c < winner else best
            if bounds[side] > beaten:
                places = (where, _HALF if side else np.uint32(0))
                reached = _best_inside(pa, steps[c], x, ea, places, gains[side], total[side], fixed, outside, beaten)
                if reached > beaten:
                    best, winner = reached, c
    return best, winner


@njit(nogil=True)
def _bins_of_two(pa, xa, step_a, grid_a, xb, step_b, grid_b, bins, where):
    """The bins of the rows under a candidate, and under another in the upper halves."""
    (low_a, scale_a), (low_b, scale_b), top = grid_a, grid_b, np.float32(bins - 1)
    for r in range(len(pa)):
        a = (pa[r] + step_a * xa[r] - low_a) * scale_a
        b = (pa[r] + step_b * xb[r] - low_b) * scale_b
        a = min(max(a, np.float32(0)), top)
        b = min(max(b, np.float32(0)), top)
        where[r] = np.uint32(np.int32(a)) | np.uint32(np.int32(b)) << _HALF


@njit(nogil=True)
def _add_effects(where, ea, positive, gains, total):
    """Fill the two histograms of positive and those of all effects; the first `positive` rows have positive ones.

    `positive` is unsigned, so that rows counted from it are not tested for being negative.
    """
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
    for r in range(positive, np.uint64(len(ea))):
        w, e = where[r], ea[r]
        total_a[w & _LOW_HALF] += e
        total_b[w >> _HALF] += e


@njit(nogil=True)
def _bounds(gains, total, fixed):
    """What no threshold of a candidate can beat: the greatest of all effects above a bin and its own positive ones.

    Of two candidates side by side, since neither's sums wait for the other's.
    """
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
def _best_inside(pa, step, xa, ea, places, gains, total, fixed, outside, best):
    """The candidate's greatest gain if it exceeds `best`, else anything not above `best`."""
    where, shift = places
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


@njit(nogil=True)
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
