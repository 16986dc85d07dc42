"""The search over thresholds within some ranks of the current one, compiled."""

from __future__ import annotations

import numpy as np
from numba import prange

from scd.numba_cache import njit
from scd.search.cpu.thresholds import threshold_between


@njit(parallel=True, nogil=True)
def search_window_votes(
    p, columns, divisor, features, steps, effects, rows, current, radius, candidate, threshold, gain
):
    """Search every vote; ranks are counted among its `rows`."""
    for v in prange(len(p)):
        x = columns[v] if len(columns) > 1 else columns[0]
        found = _search_window(p[v], x, divisor, features[v], steps[v], effects[v], rows[v], current[v], radius)
        candidate[v], threshold[v], gain[v] = found


@njit(nogil=True)
def _search_window(p, columns, divisor, features, steps, effects, rows, current, radius):
    n = len(p)
    active = np.empty(n, dtype=np.int32)
    m, some = 0, False
    for i in range(n):
        if rows[i]:
            active[m] = i
            m += 1
            some |= effects[i] != 0
    if not some:
        return 0, np.float32(np.nan), 0
    pa = p[active[:m]]
    ea = effects[active[:m]]
    total = ea.sum()
    q = np.empty(m, dtype=np.float32)
    keys = np.empty(m, dtype=np.float32)
    near = np.empty(m, dtype=np.int32)
    best, winner, threshold = np.int64(np.iinfo(np.int64).min), 0, np.float32(0)
    width = np.float32((pa.max() - pa.min()) * min(1.0, 4.0 * (radius + 1) / m))
    for c in range(len(features)):
        column = columns[features[c]]
        for r in range(m):
            q[r] = pa[r] + steps[c] * (np.float32(column[active[r]]) / divisor)
        while True:  # the rows near the current threshold: widen until enough ranks lie on each side
            size, below, above, gain_below = 0, 0, 0, np.int64(0)
            for r in range(m):
                if q[r] < current - width:
                    below += 1
                    gain_below += ea[r]
                elif q[r] > current + width:
                    above += 1
                else:
                    near[size] = r
                    size += 1
            left = 0
            for k in range(size):
                left += q[near[k]] <= current
            if (left > radius + 1 or below == 0) and (size - left > radius + 1 or above == 0):
                break
            width = width * 2 if width > 0 else np.float32(1e-30)
        for k in range(size):
            keys[k] = q[near[k]]
        order = np.argsort(keys[:size])
        gain = total - gain_below  # the cut below every near row
        for cut in range(max(0, left - radius)):
            gain -= ea[near[order[cut]]]
        for cut in range(max(0, left - radius), min(size, left + radius) + 1):
            first, last = below + cut == 0, below + cut == m
            if gain > best and (first or last or (0 < cut < size and keys[order[cut - 1]] < keys[order[cut]])):
                best, winner = gain, c
                if first or last:
                    threshold = threshold_between(q, np.argsort(q), below + cut)
                else:
                    threshold = threshold_between(keys, order, cut)
            if cut < size:
                gain -= ea[near[order[cut]]]
        width = width / 2 if size > 8 * (radius + 2) else width
    return winner, threshold, best
