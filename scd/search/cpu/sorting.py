"""Sorting of float32 values by their bits, compiled."""

from __future__ import annotations

import numpy as np

from scd.numba_cache import njit

_FEW = 256  # values below which a comparison sort is quicker
_BITS = 11
_BUCKETS = 1 << _BITS


@njit(nogil=True)
def ascending(q):
    """Positions of the float32 values `q` from the least to the greatest; equal ones in any order."""
    m = len(q)
    if m < _FEW:
        return np.argsort(q)
    bits = q.view(np.uint32)
    keys, other = np.empty(m, dtype=np.uint32), np.empty(m, dtype=np.uint32)
    order, moved = np.empty(m, dtype=np.int64), np.empty(m, dtype=np.int64)
    counts = np.zeros((3, _BUCKETS), dtype=np.int64)
    for r in range(m):
        b = bits[r]
        # the bits of positive floats ascend with them, those of negative ones descend
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
