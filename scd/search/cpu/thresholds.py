"""The threshold between sorted projections, the sort, and small tools of the searches, compiled."""

from __future__ import annotations

import numpy as np

from scd.engine.parameters import MIN_MARGIN
from scd.numba_cache import njit

_ALL_BUT_SIGN = np.int32(0x7FFFFFFF)
_FEW = 64  # values up to which a sort by insertion is faster than the radix sort
_BITS = 11  # of a digit of the radix sort: three digits make the 32 bits of a key
_BUCKETS = 1 << _BITS


@njit(nogil=True)
def lowest_threshold(q, effects, best):
    """The lowest threshold of (m,) float32 projections `q` above which the effects sum to `best`."""
    order = ascending(q)
    m = len(q)
    gain = np.int64(0)
    cut = m if best == 0 else -1
    for k in range(m - 1, -1, -1):
        gain += effects[order[k]]
        if gain == best and (k == 0 or q[order[k - 1]] < q[order[k]]):
            cut = k
    return threshold_at(q, order, cut)


@njit(nogil=True)
def threshold_below(q, at):
    """The threshold between the values of `q` that are `at` or more and those below."""
    first, last = extremes(q)
    if not first < at <= last:
        return _outside(first, last, len(q), at > last)
    lower, upper = np.empty_like(q), np.empty_like(q)
    for r in range(len(q)):
        lower[r], upper[r] = q[r] if q[r] < at else first, last if q[r] < at else q[r]
    return _midway(extremes(lower)[1], extremes(upper)[0])


@njit(nogil=True)
def threshold_at(q, order, cut):
    """See :func:`scd.search.reference.threshold_at`, with the same arithmetic in float32; `order` sorts `q`."""
    m = len(order)
    if 0 < cut < m:
        return _midway(q[order[cut - 1]], q[order[cut]])
    return _outside(q[order[0]], q[order[m - 1]], m, cut == m)


@njit(nogil=True, inline="always")
def _midway(below, above):
    middle = below + (above - below) / np.float32(2)
    return middle if middle < above else below


@njit(nogil=True, inline="always")
def _outside(first, last, m, all_off):
    size = max(abs(first), abs(last))
    size = size if size > 0 else np.float32(1)
    margin = max((last - first) / np.float32(2 * m), size * np.float32(MIN_MARGIN))
    return last + margin if all_off else first - margin


@njit(nogil=True)
def extremes(q):
    """Minimum and maximum of float32 `q`, compared as order-preserving int32.

    LLVM vectorises the minimum and maximum of integers, but not those of floats.
    """
    bits = q.view(np.int32)
    keys = np.empty(2, dtype=np.int32)
    low, high = np.int32(np.iinfo(np.int32).max), np.int32(np.iinfo(np.int32).min)
    for r in range(len(q)):
        key = np.int32(bits[r] ^ (bits[r] >> 31 & _ALL_BUT_SIGN))
        low, high = min(low, key), max(high, key)
    keys[0], keys[1] = low ^ (low >> 31 & _ALL_BUT_SIGN), high ^ (high >> 31 & _ALL_BUT_SIGN)
    found = keys.view(np.float32)
    return found[0], found[1]


@njit(nogil=True)
def _by_insertion(q):
    order = np.empty(len(q), dtype=np.int64)
    for i in range(len(q)):
        j = i
        while j > 0 and q[order[j - 1]] > q[i]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = i
    return order


@njit(nogil=True)
def ascending(q):
    """Positions that sort float32 `q` in ascending order, equal values in any order; a radix sort of their bits."""
    m = len(q)
    if m <= _FEW:
        return _by_insertion(q)
    bits = q.view(np.uint32)
    keys, other = np.empty(m, dtype=np.uint32), np.empty(m, dtype=np.uint32)
    order, moved = np.empty(m, dtype=np.int64), np.empty(m, dtype=np.int64)
    counts = np.zeros((3, _BUCKETS), dtype=np.int64)
    for r in range(m):
        b = bits[r]
        # the bits of positive floats ascend with the floats, those of negative ones descend
        key = b ^ (np.uint32(-np.int32(b >> np.uint32(31))) | np.uint32(0x80000000))
        keys[r], order[r] = key, r
        counts[0, key & np.uint32(_BUCKETS - 1)] += 1
        counts[1, (key >> np.uint32(_BITS)) & np.uint32(_BUCKETS - 1)] += 1
        counts[2, key >> np.uint32(2 * _BITS)] += 1
    for digit in range(3):
        total = 0
        for b in range(_BUCKETS):
            total, counts[digit, b] = total + counts[digit, b], total
        shift = np.uint32(digit * _BITS)
        for r in range(m):
            b = (keys[r] >> shift) & np.uint32(_BUCKETS - 1)
            place = counts[digit, b]
            counts[digit, b] = place + 1
            other[place], moved[place] = keys[r], order[r]
        keys, other = other, keys
        order, moved = moved, order
    return order


@njit(nogil=True)
def distinct(values):
    """The distinct `values` in ascending order, a few, and which of them each value is."""
    sizes, kinds, count = np.empty_like(values), np.empty(len(values), dtype=np.int64), 0
    for value in values:
        k = 0
        while k < count and sizes[k] < value:
            k += 1
        if k == count or sizes[k] != value:
            for later in range(count, k, -1):
                sizes[later] = sizes[later - 1]
            sizes[k] = value
            count += 1
    for c in range(len(values)):
        kinds[c] = 0
        while sizes[kinds[c]] != values[c]:
            kinds[c] += 1
    return sizes[:count], kinds


@njit(nogil=True)
def reordered(words, order):
    """(w, m) words of the rows `order` (m,)."""
    out = np.empty((len(words), len(order)), dtype=words.dtype)
    for block in range(len(words)):
        for r in range(np.uint64(len(order))):
            out[block, r] = words[block, order[r]]
    return out
