"""Where a threshold lies between sorted projections, compiled."""

from __future__ import annotations

import numpy as np

from scd.numba_cache import njit
from scd.search.cpu.sorting import ascending
from scd.search.reference import LEAST_MARGIN

_ALL_BUT_SIGN = np.int32(0x7FFFFFFF)


@njit(nogil=True)
def lowest_threshold(q, ea, best):
    order = ascending(q)
    m = len(q)
    gain = np.int64(0)
    cut = m if best == 0 else -1
    for k in range(m - 1, -1, -1):
        gain += ea[order[k]]
        if gain == best and (k == 0 or q[order[k - 1]] < q[order[k]]):
            cut = k
    return threshold_between(q, order, cut)


@njit(nogil=True)
def threshold_below(q, at):
    """The threshold between the values `q` from `at` on and those below."""
    first, last = extremes(q)
    if not first < at <= last:
        return _beyond(first, last, len(q), at > last)
    lower, upper = np.empty_like(q), np.empty_like(q)
    for r in range(len(q)):
        lower[r], upper[r] = q[r] if q[r] < at else first, last if q[r] < at else q[r]
    return _midway(extremes(lower)[1], extremes(upper)[0])


@njit(nogil=True)
def extremes(q):
    """The least and the greatest of `q`: as integers that ascend with the values, for these take vectors."""
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
def threshold_between(q, order, cut):
    """See :func:`scd.search.reference.threshold_at`; the same arithmetic in float32."""
    m = len(order)
    if 0 < cut < m:
        return _midway(q[order[cut - 1]], q[order[cut]])
    return _beyond(q[order[0]], q[order[m - 1]], m, cut == m)


@njit(nogil=True)
def _midway(below, above):
    middle = below + (above - below) / np.float32(2)
    return middle if middle < above else below


@njit(nogil=True)
def _beyond(first, last, m, all_off):
    size = max(abs(first), abs(last))
    size = size if size > 0 else np.float32(1)
    margin = max((last - first) / np.float32(2 * m), size * np.float32(LEAST_MARGIN))
    return last + margin if all_off else first - margin
