"""What surrounds the search of a hidden node, compiled: the effects of its rows before, its new outputs after.

Each vote is read once and nothing is stored in between; in torch every operation would read the memory of all votes.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from scd.engine.parameters import GRID
from scd.numba_cache import njit
from scd.objective import FIXED_POINT
from scd.search.cpu.llvm import LANES, bit_of

BLOCK = 256
"""Rows worked on at a time, whose intermediate numbers stay in the L1 cache."""

_ROUND = 1.5 * 2.0**52  # magic number: adding it rounds a float64 to an integer held in the low mantissa bits
_LOG2_E = 1 / math.log(2)
_LN2 = float.fromhex("0x1.62e42feep-1")  # its product with an integer below 2**20 is exact
_LN2_REST = float.fromhex("0x1.a39ef35793c76p-33")
_EXP = np.array([1 / math.factorial(k) for k in range(15, -1, -1)])
_ATANH = np.array([1 / (2 * k + 1) for k in range(15, -1, -1)])  # of the square; to 2**-55 for arguments below 1/3


class Node(NamedTuple):
    """One hidden node of each vote, and the output node that it feeds."""

    sums: Any
    """(V, n) float64: the output node's sums."""
    words: Any
    """(V, w, n) uint32: activations of all hidden nodes, see :mod:`scd.search.cpu.llvm`."""
    nodes: Any
    """(V,) int64: number of the hidden node."""
    unit: Any
    """(V,) float64: its output weight."""


class Step(NamedTuple):
    """A step on one weight of each vote's hidden node: see :func:`scd.search.reference.take_step`."""

    columns: Any
    divisor: Any
    features: Any
    steps: Any
    norms: Any
    thresholds: Any


@njit(parallel=True, nogil=True)
def max_total(effects):
    """The maximum, over the votes, of the sum of the magnitudes of a vote's effects."""
    totals = np.zeros(len(effects), dtype=np.int64)
    for v in prange(len(effects)):
        e, total = effects[v], np.int64(0)
        for i in range(len(e)):
            total += abs(e[i])
        totals[v] = total
    return totals.max()


@njit(parallel=True, nogil=True)
def output_sums(words, weights, out):
    """See :func:`scd.search.reference.output_sums`: `weights` are in units of ``1 / GRID``, so integers are added."""
    number, n = weights.dtype.type, out.shape[1]
    for v in prange(len(out)):
        total = np.empty(BLOCK, dtype=weights.dtype)
        for first in range(0, n, BLOCK):
            m = min(BLOCK, n - first)
            total[:] = 0
            for k in range(weights.shape[1]):
                word, weight, bit = words[v, k // LANES, first : first + m], weights[v, k], bit_of(k)
                for i in range(m):
                    total[i] += weight if word[i] & bit else number(0)
            sums = out[v, first : first + m]
            for i in range(m):
                sums[i] = total[i] / GRID


@njit(parallel=True, nogil=True)
def zero_one(node, threshold, batch, negatives, weights, out):
    """See :func:`scd.objective.zero_one_effects`."""
    sums, words, nodes, unit = node
    for v in prange(len(sums)):
        s, a, inside, e, u, t = sums[v], words[v, nodes[v] // LANES], batch[v], out[v], unit[v], threshold[v]
        bit = bit_of(nodes[v])
        for label in range(2):
            first, last = (negatives, len(s)) if label else (0, negatives)
            weight = weights[1] if label else -weights[0]
            for i in range(np.uint64(first), np.uint64(last)):
                off = s[i] - (u if a[i] & bit else 0.0) - t
                e[i] = (np.int64(off + u > 0) - np.int64(off > 0)) * inside[i] * weight


@njit(parallel=True, nogil=True)
def cross_entropy(node, threshold, batch, negatives, out):
    """See :func:`scd.objective.cross_entropy_effects`: the same, except where a rounding error of 1e-15 decides."""
    sums, words, nodes, unit = node
    for v in prange(len(sums)):
        word, bit = words[v, nodes[v] // LANES], bit_of(nodes[v])
        _cross_entropy_of(sums[v], word, bit, unit[v], threshold[v], batch[v], negatives, out[v])


@njit(nogil=True)
def _cross_entropy_of(sums, word, bit, unit, threshold, batch, negatives, out):
    off, on, change = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    x, y, z, square = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    for first in range(0, len(sums), BLOCK):
        m = min(BLOCK, len(sums) - first)
        part = slice(first, first + m)
        s, a, inside, e = sums[part], word[part], batch[part], out[part]
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
            e[i] = np.int64(change[i] * (FIXED_POINT * inside[i]) + _ROUND - _ROUND)


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


@njit(parallel=True, nogil=True)
def take_step(projections, words, sums, nodes, unit, step):
    """See :func:`scd.search.reference.take_step`; what it changes is in no tuple, see :func:`hidden.search_votes`."""
    columns, divisor, features, steps, norms, thresholds = step
    for v in prange(len(nodes)):
        p, a, s, x = projections[v, nodes[v]], words[v, nodes[v] // LANES], sums[v], columns[features[v]]
        u, size, norm, t, bit = unit[v], steps[v], norms[v], thresholds[v], bit_of(nodes[v])
        for i in range(len(p)):
            p[i] = (p[i] + size * (np.float32(x[i]) / divisor)) / norm
        for i in range(len(p)):
            s[i] += (u if p[i] > t else 0.0) - (u if a[i] & bit else 0.0)
            a[i] = (a[i] & ~bit) | (bit if p[i] > t else np.uint32(0))
