"""What surrounds the search of a hidden node, compiled: the effects of its rows before, its new outputs after.

Each vote is read once and nothing is kept in between; in torch every operation would go through all votes' memory.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from scd.objective import FIXED_POINT

_BLOCK = 256  # rows worked on at a time, whose intermediate numbers stay in the L1 cache
_ROUND = 1.5 * 2.0**52  # added to a float64, this leaves a whole number, in the lowest bits
_LOG2_E = 1 / math.log(2)
_LN2 = float.fromhex("0x1.62e42feep-1")  # its product with a whole number below 2**20 is exact
_LN2_REST = float.fromhex("0x1.a39ef35793c76p-33")
_EXP = np.array([1 / math.factorial(k) for k in range(15, -1, -1)])
_ATANH = np.array([1 / (2 * k + 1) for k in range(15, -1, -1)])  # of the square; to 2**-55 for arguments below 1/3


@njit(parallel=True, nogil=True, cache=True)
def zero_one(sums, active, nodes, unit, threshold, batch, negatives, weights, out):
    """See :func:`scd.objective.zero_one_effects`."""
    for v in prange(len(sums)):
        s, a, inside, e, u, t = sums[v], active[v, nodes[v]], batch[v], out[v], unit[v], threshold[v]
        for label in range(2):
            first, last = (negatives, len(s)) if label else (0, negatives)
            weight = weights[1] if label else -weights[0]
            for i in range(np.uint64(first), np.uint64(last)):
                off = s[i] - u * a[i] - t
                e[i] = (np.int64(off + u > 0) - np.int64(off > 0)) * inside[i] * weight


@njit(parallel=True, nogil=True, cache=True)
def cross_entropy(sums, active, nodes, unit, threshold, batch, negatives, out):
    """See :func:`scd.objective.cross_entropy_effects`: the same but where a rounding of 1e-15 decides."""
    for v in prange(len(sums)):
        _cross_entropy_of(sums[v], active[v, nodes[v]], unit[v], threshold[v], batch[v], negatives, out[v])


@njit(nogil=True, cache=True)
def _cross_entropy_of(sums, active, unit, threshold, batch, negatives, out):
    off, on, change = np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK)
    x, y, z, square = np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK)
    for first in range(0, len(sums), _BLOCK):
        m = min(_BLOCK, len(sums) - first)
        part = slice(first, first + m)
        s, a, inside, e = sums[part], active[part], batch[part], out[part]
        for i in range(m):
            off[i] = s[i] - unit * a[i] - threshold
            on[i] = off[i] + unit
            x[i], y[i] = -abs(off[i]), -abs(on[i])
        _exponentials(x)
        _exponentials(y)
        for i in range(m):
            z[i] = (x[i] - y[i]) / (2 + x[i] + y[i])
            square[i] = z[i] * z[i]
        _polynomial(_ATANH, square, x)
        for i in range(m):
            # softplus(off) - softplus(on); log((1 + x) / (1 + y)) = 2 atanh(z)
            change[i] = max(off[i], 0.0) - max(on[i], 0.0) + 2 * z[i] * x[i]
        for i in range(max(negatives - first, 0), m):
            change[i] += on[i] - off[i]
        for i in range(m):
            e[i] = np.int64(change[i] * (FIXED_POINT * inside[i]) + _ROUND - _ROUND)


@njit(nogil=True, cache=True)
def _exponentials(x):
    """``exp(x)`` of float64 numbers that are not above 0, in their place; that of -700 for those below."""
    powers, rest = np.empty(_BLOCK), np.empty(_BLOCK)
    bits = powers.view(np.int64)
    for i in range(_BLOCK):
        least = max(x[i], -700.0)
        powers[i] = least * _LOG2_E + _ROUND
        power = powers[i] - _ROUND
        rest[i] = least - power * _LN2 - power * _LN2_REST
    _polynomial(_EXP, rest, x)
    for i in range(_BLOCK):
        bits[i] = (bits[i] + 1023) << 52
    for i in range(_BLOCK):
        x[i] *= powers[i]


@njit(nogil=True, cache=True)
def _polynomial(coefficients, x, out):
    """The polynomial of these 16 coefficients, the highest first: four terms a loop, each of which takes vectors."""
    for i in range(_BLOCK):
        out[i] = 0
    for k in range(0, 16, 4):
        a, b, c, d = coefficients[k], coefficients[k + 1], coefficients[k + 2], coefficients[k + 3]
        for i in range(_BLOCK):
            out[i] = (((out[i] * x[i] + a) * x[i] + b) * x[i] + c) * x[i] + d


@njit(parallel=True, nogil=True, cache=True)
def take_step(projections, active, sums, nodes, unit, columns, divisor, features, steps, norms, thresholds):
    """See :func:`scd.search.reference.take_step`."""
    for v in prange(len(nodes)):
        p, a, s, x = projections[v, nodes[v]], active[v, nodes[v]], sums[v], columns[features[v]]
        u, step, norm, t = unit[v], steps[v], norms[v], thresholds[v]
        for i in range(len(p)):
            p[i] = (p[i] + step * (np.float32(x[i]) / divisor)) / norm
        for i in range(len(p)):
            on = np.uint8(p[i] > t)
            s[i] += u * (np.float64(on) - np.float64(a[i]))
            a[i] = on
