"""Training on CPU: Numba, each vote on one thread.

``descent``     the votes and the threads
``vote``        whole iterations of one vote
``output``      step and threshold of the output node, 0-1 loss
``logistic``    the same under cross-entropy
``node``        effects of a hidden node's rows before its search, and its new outputs after
``hidden``      step and threshold of a hidden node, or of any node within a window of ranks
``thresholds``  the threshold between sorted projections
``llvm``        activations as bits, and features of chosen rows
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scd.numba_cache import njit
from scd.search.cpu.llvm import LANES

_BLOCK = 256  # rows a projection works on at a time, so that its sums stay in the L1 cache


@njit(nogil=True)
def project_vote(columns, hidden, divisor, out):
    """Fill `out` (h, n) float32: see :func:`scd.search.reference.project`; sums in feature order."""
    d, n = columns.shape
    x = np.empty(_BLOCK, dtype=np.float32)
    for low in range(0, n, _BLOCK):
        size = min(_BLOCK, n - low)
        for k in range(len(hidden)):
            for i in range(size):
                out[k, low + i] = 0
        for j in range(d):
            for i in range(size):
                x[i] = np.float32(columns[j, low + i]) / divisor
            for k in range(len(hidden)):
                w, total = hidden[k, j], out[k, low : low + size]
                for i in range(size):
                    total[i] += w * x[i]


def activations(projections: NDArray[Any], thresholds: NDArray[Any]) -> NDArray[np.uint32]:
    """(ceil(h / 32), n) words of bits: where (h, n) float32 `projections` are above (h,) `thresholds`."""
    hidden, n = projections.shape
    words = np.zeros((-(-hidden // LANES), n), dtype=np.uint32)
    for k in range(hidden):
        words[k // LANES] |= (projections[k] > thresholds[k]).astype(np.uint32) << np.uint32(k % LANES)
    return words
