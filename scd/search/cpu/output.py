"""The output node's search over all thresholds, compiled: its inputs are activations, 0 or 1.

A step on an input shifts the rows in which it is on and leaves the others. The step is a multiple of the bins' width,
so a shifted row moves by an integer number of bins. One pass from the last bin to the first adds up the effects of the
rows in which each input is on, for 32 inputs at a time. From these sums follow the gains of all steps, up and down, at
all bin edges. Where the positive effects in a bin could raise the gain at its edge to the maximum of these, its rows
are sorted: a few bins of a few steps. The result equals that of sorting everything.
"""

from __future__ import annotations

import numpy as np

from scd.numba_cache import njit
from scd.search.cpu.llvm import LANES, add_where_on, bit_of
from scd.search.cpu.thresholds import ascending, distinct, extremes, reordered, threshold_below

NO_BINS = -1
"""The candidate of a vote whose steps do not move all sums by an integer number of bins."""

_ROWS_PER_BIN = 8  # on average
_MIN_BINS = 64
_BINS_TOGETHER = 16


@njit(nogil=True)
def search_activations(sums, words, features, steps, effects):
    """The best candidate, its lowest threshold and its gain.

    Parameters
    ----------
    sums : (n,) float64
    words : (w, n) uint32
        See :mod:`scd.search.cpu.llvm`.
    features, steps : (C,) int64 and float32
        The unchanged weights first.
    effects : (n,) int32 or int64
        No sum of them overflows their type.
    """
    active, q, e = _with_effects(sums, effects)
    m = len(q)
    if m == 0:
        return 0, np.float32(np.nan), np.int64(0)
    sizes, kinds = distinct(steps)
    low, scale, bins = _grid(q, sizes)
    place = np.empty(m, dtype=np.uint32)
    for r in range(m):
        place[r] = np.int32((np.float64(q[r]) - low) * scale)
    shifts = np.empty(len(sizes), dtype=np.int64)
    for k in range(len(sizes)):
        shifts[k] = np.int64(np.rint(np.float64(sizes[k]) * scale))
        if not _moves_by(q, place, low, scale, sizes[k], shifts[k]):
            return NO_BINS, np.float32(np.nan), np.int64(0)
    order, pa, ea, starts = _by_bin(place, bins, active, q, e)
    words = reordered(words, order)
    everything, positive = _from_each_bin_on(ea, starts)
    on = np.zeros((len(words), bins + 1, LANES), dtype=effects.dtype)
    for block in range(len(words)):
        _where_on(words[block], ea, starts, on[block])
    wanted = np.zeros((len(sizes), len(words), LANES), dtype=np.bool_)
    for c in range(len(features)):
        wanted[kinds[c], features[c] // LANES, features[c] % LANES] = True
    best, gains = np.int64(0), np.zeros(wanted.shape, dtype=effects.dtype)
    at = np.full(wanted.shape, np.inf, dtype=np.float32)  # all off
    for k in range(len(sizes)):
        for block in range(len(words)):
            _best_at_edges(everything, on[block], shifts[k], gains[k, block])
            best = max(best, _max_of(gains[k, block], wanted[k, block]))
    gains = np.zeros(wanted.shape, dtype=effects.dtype)
    for k in range(len(sizes)):
        for block in range(len(words)):
            for b in _doubtful(everything, positive, on[block], shifts[k], best, wanted[k, block]):
                rows = (pa, ea, starts, words[block])
                _look_inside(rows, everything, on[block], b, sizes[k], shifts[k], gains[k, block], at[k, block])
                best = max(best, _max_of(gains[k, block], wanted[k, block]))
    winner, gain, value = 0, np.int64(-1), np.float32(0)
    for c in range(len(features)):
        where = (kinds[c], features[c] // LANES, features[c] % LANES)
        if gains[where] > gain:
            winner, gain, value = c, np.int64(gains[where]), at[where]
    word, bit = words[features[winner] // LANES], bit_of(features[winner])
    for r in range(m):
        pa[r] += steps[winner] if word[r] & bit else np.float32(0)
    return winner, threshold_below(pa, value), gain


@njit(nogil=True)
def _with_effects(sums, effects):
    """The rows that have effects, their projections and their effects."""
    m, active = np.uint32(0), np.empty(len(sums), dtype=np.uint32)  # unsigned indices are not tested for being negative
    for i in range(np.uint32(len(sums))):
        active[m] = i
        m = np.uint32(m + np.uint32(effects[i] != 0))
    active = active[:m]
    q, e = np.empty(m, dtype=np.float32), np.empty(m, dtype=effects.dtype)
    for r in range(m):
        q[r], e[r] = sums[active[r]], effects[active[r]]
    return active, q, e


@njit(nogil=True, inline="always")
def _grid(q, sizes):
    """Left edge, bins per unit and number of bins, for `q` moved by any of the ascending `sizes`."""
    low, high = extremes(q)
    down, up = max(-np.float64(sizes[0]), 0.0), max(np.float64(sizes[-1]), 0.0)
    width = np.float64(high) - np.float64(low) + down + up
    scale, size = max(len(q) // _ROWS_PER_BIN, _MIN_BINS) / width if width > 0 else 0.0, max(down, up)
    if size > 0:
        scale = np.floor(scale * size) / size
    return np.float64(low) - down, scale, int(width * scale) + 2


@njit(nogil=True, inline="always")
def _moves_by(q, place, low, scale, size, shift):
    """Whether a step of this size moves every value by `shift` bins; rounding may prevent it."""
    others = 0
    for r in range(len(q)):
        others += np.int32((np.float64(q[r] + size) - low) * scale) != place[r] + shift
    return others == 0


@njit(nogil=True)
def _by_bin(place, bins, active, q, e):
    """The rows, their projections and effects ordered by their bins, and where each bin starts (bins + 1)."""
    starts, one = np.zeros(bins + 2, dtype=np.uint32), np.uint32(1)
    for r in range(len(place)):
        starts[place[r] + np.uint32(2)] += one
    for b in range(2, bins + 2):
        starts[b] += starts[b - 1]
    order, pa, ea = np.empty_like(active), np.empty_like(q), np.empty_like(e)
    for r in range(len(place)):
        b = place[r] + one
        k = starts[b]
        order[k], pa[k], ea[k] = active[r], q[r], e[r]
        starts[b] = np.uint32(k + one)
    return order, pa, ea, starts[: bins + 1]


@njit(nogil=True)
def _from_each_bin_on(ea, starts):
    """(bins + 1,) the effects of the rows from each bin on, and the positive ones."""
    bins = len(starts) - 1
    everything, positive = np.zeros(bins + 1, dtype=ea.dtype), np.zeros(bins + 1, dtype=ea.dtype)
    total, gained = everything[bins], positive[bins]
    for b in range(bins - 1, -1, -1):
        for r in range(starts[b], starts[b + 1]):
            total += ea[r]
            gained += max(ea[r], 0)
        everything[b], positive[b] = total, gained
    return everything, positive


@njit(nogil=True)
def _where_on(word, ea, starts, on):
    """Fill `on` (bins + 1, 32): the effects, from each bin on, of the rows in which each input is on."""
    for b in range(len(on) - 2, -1, -1):
        for lane in range(LANES):
            on[b, lane] = on[b + 1, lane]
        add_where_on(word, ea, starts[b], starts[b + 1], on[b])


@njit(nogil=True)
def _best_at_edges(everything, on, shift, best):
    """Raise `best` (32,) to the maximum gain of a step on each input with the threshold at a bin edge."""
    number, last = on.dtype.type, len(on) - 1
    for edge in range(last):
        here, before, total = on[edge], on[min(max(edge - shift, 0), last)], everything[edge]
        for lane in range(LANES):
            gain = number(total - here[lane] + before[lane])
            best[lane] = gain if gain > best[lane] else best[lane]


@njit(nogil=True, inline="always")
def _max_of(gains, wanted):
    best = np.int64(0)
    for lane in range(LANES):
        best = max(best, np.int64(gains[lane]) if wanted[lane] else 0)
    return best


@njit(nogil=True)
def _doubtful(everything, positive, on, shift, best, wanted):
    """The bins in which a step on one of the `wanted` (32,) inputs may gain `best`."""
    found, size, bins = np.empty(len(on), dtype=np.int64), 0, len(on) - 1
    for first in range(0, bins, _BINS_TOGETHER):
        last = min(first + _BINS_TOGETHER, bins)
        if _some_may(everything, positive, on, shift, best, wanted, first, last):
            for b in range(first, last):
                found[size] = b
                size += _some_may(everything, positive, on, shift, best, wanted, b, b + 1)
    return found[:size]


@njit(nogil=True)
def _some_may(everything, positive, on, shift, best, wanted, first, last):
    """Whether the gain of a step at the edge above one of these bins, with the positive effects in it, reaches `best`.

    The difference never exceeds the sum of all effects. Far below 0 it may overflow: then a bin is sorted needlessly.
    """
    number, highest, bins = on.dtype.type, np.full(LANES, -1, dtype=on.dtype), len(on) - 1
    for b in range(first, last):
        low, high = min(max(b - shift, 0), bins), min(max(b + 1 - shift, 0), bins)
        more = positive[b] - positive[b + 1]
        if shift != 0:  # else the rows that move are of those that are here
            more += positive[low] - positive[high]
        here, before, total = on[b + 1], on[high], number(everything[b + 1] + more - best)
        for lane in range(LANES):
            gain = number(total - here[lane] + before[lane])
            highest[lane] = gain if gain > highest[lane] else highest[lane]
    some = False
    for lane in range(LANES):
        some |= highest[lane] >= 0 and wanted[lane]
    return some


@njit(nogil=True)
def _look_inside(rows, everything, on, b, size, shift, gains, at):
    """Raise `gains` (32,) to those of thresholds in bin `b`; `at` becomes the minimum value above such a threshold."""
    pa, ea, starts, word = rows
    low, high = min(max(b - shift, 0), len(on) - 1), min(max(b + 1 - shift, 0), len(on) - 1)
    left, moved = pa[starts[b] : starts[b + 1]], pa[starts[low] : starts[high]] + size
    total = everything[b + 1] - on[b + 1] + on[high]
    if _all_equal(left) and _all_equal(moved):  # few hidden nodes have few distinct sums
        equal = len(left) > 0 and len(moved) > 0 and left[0] == moved[0]
        left_first = len(left) > 0 and (len(moved) == 0 or left[0] > moved[0])
        for turn in range(2):  # the larger value first
            if len(left) and left_first == (turn == 0):
                total += everything[b] - everything[b + 1] - on[b] + on[b + 1]
                _raise(gains, at, total, left[0])
            elif len(moved) and left_first == (turn == 1):
                total += on[low] - on[high]
                if not equal:
                    _raise(gains, at, total, moved[0])
        return
    m, both = len(left), len(left) + len(moved)
    value = np.empty(both, dtype=np.float32)
    for r in range(both):
        value[r] = left[r] if r < m else moved[r - m]
    order = ascending(value)[::-1]
    inside, effect = np.empty(both, dtype=np.uint32), np.empty(both, dtype=ea.dtype)
    for k in range(both):
        is_moved = order[k] >= m
        r = order[k] - m + starts[low] if is_moved else order[k] + starts[b]
        inside[k], effect[k] = word[r] ^ np.uint32(is_moved - 1), ea[r]  # the inputs that leave the row here, as bits
    first = 0
    for k in range(both):
        if k + 1 == both or value[order[k + 1]] < value[order[k]]:
            add_where_on(inside, effect, first, k + 1, total)
            _raise(gains, at, total, value[order[k]])
            first = k + 1


@njit(nogil=True, inline="always")
def _all_equal(values):
    if len(values) == 0:
        return True
    low, high = extremes(values)
    return low == high


@njit(nogil=True)
def _raise(gains, at, total, value):
    for lane in range(LANES):
        if total[lane] > gains[lane] or (total[lane] == gains[lane] and value < at[lane]):
            gains[lane], at[lane] = total[lane], value
