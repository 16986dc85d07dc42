"""Rows that a search over all thresholds can leave out, compiled.

If features lie between 0 and some greatest one, steps of one sign move every projection to one side and not farther
than some reach. So a histogram of the unmoved projections bounds what any of these candidates can gain at a threshold:
rows farther than the reach beyond it count as they are, those between by their positive effects alone. Only thresholds
whose bound exceeds the best gain so far matter, and with them only the rows that a step can carry across one. The
thresholds of steps up lie above those of steps down by about the reach, so that the rows are much the same.
"""

from __future__ import annotations

import numpy as np

from scd.numba_cache import njit

_ROUNDINGS = 64.0  # spacings of float32 that a bin must be wide, far more than its edges are rounded by


@njit(nogil=True)
def histogram(pa, ea, low, high, bins):
    """Bin of each row, all effects of each bin and above it, and its positive ones and those below it."""
    scale = np.float32(bins) / (high - low)
    place = np.empty(len(pa), dtype=np.int32)
    above, below = np.zeros(bins + 1, dtype=np.int64), np.zeros(bins + 1, dtype=np.int64)
    for r in range(len(pa)):
        b = np.int32(min((pa[r] - low) * scale, np.float32(bins - 1)))
        place[r] = b
        above[b] += ea[r]
        below[b + 1] += max(ea[r], 0)
    for b in range(bins - 1, -1, -1):
        above[b] += above[b + 1]
    for b in range(bins):
        below[b + 1] += below[b]
    return place, above, below


@njit(nogil=True)
def is_wide(low, high, bins, reach):
    """Whether bins between these projections are wide beside the rounding of sums, here and `reach` farther out."""
    width = (np.float64(high) - np.float64(low)) / bins
    size = np.float64(max(abs(low), abs(high))) + reach
    return np.isfinite(np.float32(1.0 / width)) and width > _ROUNDINGS * 2.0**-23 * size if width > 0 else False


@njit(nogil=True)
def narrowed(place, above, below, low, high, up, down, best):
    """What candidates need that move all projections up, at most by `up`, or all down, and must gain more than `best`.

    Returns
    -------
    kept : (k,) int
        The rows that are on at some of the thresholds that matter and off at others; none if no threshold does.
    fixed : int
        Effects of the rows that are on at all of them.
    spans : (2, 2) float32
        Between which two lie the thresholds that matter of steps up, and of steps down; NaN if there are none. Those up
        to a bin's width beyond have the right gain, too.
    """
    bins = len(above) - 1
    width = (np.float64(high) - np.float64(low)) / bins
    lowest, highest = bins, -1
    spans = np.full((2, 2), np.nan, dtype=np.float32)
    for way in range(2):
        reach = np.float64(down if way else up)
        if reach == 0:
            continue
        far = int(reach / width) + 2  # bins from which a row can come: a bin for the rounding
        fewer, more = (2, far) if way else (far, 2)
        begin, end = bins, -1
        for b in range(bins):
            top, bottom = min(bins, b + more + 1), max(0, b - fewer)
            if above[top] + below[top] - below[bottom] > best:
                begin, end = min(begin, b), b
        if end < 0:
            continue
        lowest, highest = min(lowest, begin - fewer - 1), max(highest, end + more + 1)
        beyond = width + reach
        spans[way, 0] = np.float64(low) + width * begin if begin else np.float64(low) - beyond
        spans[way, 1] = np.float64(low) + width * (end + 1) if end < bins - 1 else np.float64(high) + beyond
    kept, k = np.empty(len(place) + 1, dtype=np.uint32), 0
    for r in range(len(place)):
        kept[k] = r
        k += (place[r] >= lowest) & (place[r] <= highest)
    return kept[:k], above[max(0, min(bins, highest + 1))], spans
