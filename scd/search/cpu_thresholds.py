"""Where a threshold lies between sorted projections, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

from scd.search.cpu_sorting import ascending
from scd.search.reference import LEAST_MARGIN


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
def threshold_between(q, order, cut):
    """See :func:`scd.search.reference.threshold_at`; the same arithmetic in float32."""
    m = len(order)
    first, last = q[order[0]], q[order[m - 1]]
    if 0 < cut < m:
        below, above = q[order[cut - 1]], q[order[cut]]
        middle = below + (above - below) / np.float32(2)
        return middle if middle < above else below
    size = max(abs(first), abs(last))
    size = size if size > 0 else np.float32(1)
    margin = max((last - first) / np.float32(2 * m), size * np.float32(LEAST_MARGIN))
    return first - margin if cut == 0 else last + margin
