"""What surrounds the search of a hidden node, compiled: the effects of its rows before, its new outputs after.

Each vote is read once and nothing is stored in between; in torch every operation would read the memory of all votes.
"""

from __future__ import annotations

import math

import numpy as np

from scd.engine.parameters import FIXED_POINT
from scd.numba_cache import njit
from scd.search.cpu.llvm import LANES

BLOCK = 256
"""Rows worked on at a time, whose intermediate numbers stay in the L1 cache."""

_BYTE, _BITS, _TWICE, _THRICE = (np.uint32(i) for i in (255, 8, 16, 24))
_ROUND = 1.5 * 2.0**52  # magic number: adding it rounds a float64 to an integer held in the low mantissa bits
_LOG2_E = 1 / math.log(2)
_LN2 = float.fromhex("0x1.62e42feep-1")  # its product with an integer below 2**20 is exact
_LN2_REST = float.fromhex("0x1.a39ef35793c76p-33")
_EXP = np.array([1 / math.factorial(k) for k in range(15, -1, -1)])
_ATANH = np.array([1 / (2 * k + 1) for k in range(15, -1, -1)])  # of the square; to 2**-55 for arguments below 1/3


@njit(nogil=True)
def output_sums_vote(words, output, out):
    """See :func:`scd.search.reference.output_sums`: `output` (h,) float64 are multiples of ``1 / GRID``, sums exact.

    Four tables, of the sums of eight nodes each, serve a word of activations.
    """
    tables = np.zeros((4, 256))
    a, b, c, d = tables
    for i in range(len(out)):
        out[i] = 0.0
    for block in range(len(words)):
        word, nodes = words[block], min(len(output) - LANES * block, LANES)
        for k in range(LANES):
            table, size = tables[k // 8], 1 << k % 8
            weight = output[LANES * block + k] if k < nodes else 0.0
            for t in range(size):
                table[size + t] = table[t] + weight
        if nodes <= 24:
            for i in range(len(out)):
                w = word[i]
                out[i] += a[w & _BYTE] + b[w >> _BITS & _BYTE] + c[w >> _TWICE & _BYTE]
        else:
            for i in range(len(out)):
                w = word[i]
                out[i] += a[w & _BYTE] + b[w >> _BITS & _BYTE] + c[w >> _TWICE & _BYTE] + d[w >> _THRICE]


@njit(nogil=True)
def zero_one_vote(sums, word, bit, unit, threshold, negatives, weights, out):
    """See :func:`scd.engine.objective.zero_one_effects`; returns the sum of the effects' magnitudes.

    Parameters
    ----------
    sums : (m,) float64
        Of the rows of the batch, as the next.
    word, bit : (m,) uint32, and the node's bit
        Its activations, see :mod:`scd.search.cpu.llvm`.
    unit, threshold : float
        The node's output weight, and the output threshold.
    negatives : int
        Rows of label 0; they come first.
    weights : (int, int)
        Of a correct row of label 0 and of label 1.
    out : (m,) int32 or int64
    """
    total = 0.0
    for label in range(2):
        first, last = (negatives, len(sums)) if label else (0, negatives)
        weight, counted = weights[1] if label else -weights[0], 0
        for i in range(np.uint64(first), np.uint64(last)):
            off = sums[i] - (unit if word[i] & bit else 0.0) - threshold
            change = np.int64(off + unit > 0) - np.int64(off > 0)
            out[i] = change * weight
            counted += change & 1
        total += float(counted) * weights[label]
    return total


@njit(nogil=True)
def cross_entropy_vote(sums, word, bit, unit, threshold, negatives, out):
    """As :func:`zero_one_vote`, see :func:`scd.engine.objective.cross_entropy_effects`.

    The same as there, except where a rounding error of 1e-15 decides.
    """
    if FIXED_POINT * abs(unit) + 1 < 2**31:
        _cross_entropy_of(sums, word, bit, unit, threshold, negatives, out)
        total = 0
        for i in range(len(out)):
            total += abs(np.int64(out[i]))
        return float(total)
    if out.itemsize > 4:
        _cross_entropy_of(sums, word, bit, unit, threshold, negatives, out)
    return np.inf


@njit(nogil=True)
def _cross_entropy_of(sums, word, bit, unit, threshold, negatives, out):
    off, on, change = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    x, y, z, square = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    for first in range(0, len(sums), BLOCK):
        m = min(BLOCK, len(sums) - first)
        part = slice(first, first + m)
        s, a, e = sums[part], word[part], out[part]
        for i in range(m):
            off[i] = s[i] - (unit if a[i] & bit else 0.0) - threshold
            on[i] = off[i] + unit
            x[i], y[i] = -abs(off[i]), -abs(on[i])
        exponentials(x)
        exponentials(y)
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
            e[i] = np.int64(change[i] * FIXED_POINT + _ROUND - _ROUND)


@njit(nogil=True)
def exponentials(x):
    """Replace BLOCK float64 numbers below 700 by ``exp(x)``; numbers below -700 are taken as -700."""
    powers, rest = np.empty(BLOCK), np.empty(BLOCK)
    bits = powers.view(np.int64)
    for i in range(BLOCK):
        clipped = max(x[i], -700.0)
        powers[i] = clipped * _LOG2_E + _ROUND
        power = powers[i] - _ROUND
        rest[i] = clipped - power * _LN2 - power * _LN2_REST
    _polynomial(_EXP, rest, x)
    for i in range(BLOCK):
        bits[i] = (bits[i] + 1023) << 52
    for i in range(BLOCK):
        x[i] *= powers[i]


@njit(nogil=True)
def _polynomial(coefficients, x, out):
    """The polynomial of these 16 coefficients, the highest first: four terms per loop, which LLVM vectorises."""
    for i in range(BLOCK):
        out[i] = 0
    for k in range(0, 16, 4):
        a, b, c, d = coefficients[k], coefficients[k + 1], coefficients[k + 2], coefficients[k + 3]
        for i in range(BLOCK):
            out[i] = (((out[i] * x[i] + a) * x[i] + b) * x[i] + c) * x[i] + d


@njit(nogil=True)
def take_step_vote(p, word, bit, sums, unit, x, divisor, step, norm, threshold):
    """See :func:`scd.search.reference.take_step`: a step along the feature ``x / divisor``, then division by `norm`."""
    for i in range(len(p)):
        p[i] = (p[i] + step * (np.float32(x[i]) / divisor)) / norm
    for i in range(len(p)):
        sums[i] += (unit if p[i] > threshold else 0.0) - (unit if word[i] & bit else 0.0)
        word[i] = (word[i] & ~bit) | (bit if p[i] > threshold else np.uint32(0))
