"""Random rows from counters: the value of a row depends on its key and its number, on nothing else.

A decision attack spends one row of fresh noise per query, and drawing it from a sequential generator costs a sixth
of a forward pass. Here every row is a pure function of (key of the stream, number of the row), so any thread may
fill any row, blocks may be cut anywhere, and a resumed attack draws what the first one drew.

The integers come from SplitMix64 with a step of its own for every row (Steele, Lea, Flood 2014), the normal numbers
from the Box-Muller transform in float32. Logarithm, sine and cosine are polynomials (minimax coefficients of the
Cephes library, error below 2e-7) because these vectorise, and because a C library's would differ between machines.
"""

from __future__ import annotations

import hashlib

import numpy as np

from scd.numba_cache import njit

U64 = np.uint64
F32 = np.float32
_GOLDEN = U64(0x9E3779B97F4A7C15)
_MIX_A, _MIX_B = U64(0xBF58476D1CE4E5B9), U64(0x94D049BB133111EB)
_S27, _S30, _S31, _S33 = U64(27), U64(30), U64(31), U64(33)
_ONE, _LOW31 = U64(1), U64(0x7FFFFFFF)
_TILE = 64  # pairs drawn together: long enough for the vector units, short enough for 3 features to be cheap

_HALF, _UNIT, _TWO = F32(0.5), F32(1.0), F32(2.0)
_TO_UNIT = F32(2.0**-31)
_MANTISSA, _EXPONENT_HALF, _SHIFT, _BIAS = np.int32(0x007FFFFF), np.int32(0x3F000000), np.int32(23), np.int32(126)
_SQRT_HALF, _LN2 = F32(0.7071067811865476), F32(0.6931471805599453)
_L0, _L1, _L2 = F32(7.0376836292e-2), F32(-1.1514610310e-1), F32(1.1676998740e-1)
_L3, _L4, _L5 = F32(-1.2420140846e-1), F32(1.4249322787e-1), F32(-1.6668057665e-1)
_L6, _L7, _L8 = F32(2.0000714765e-1), F32(-2.4999993993e-1), F32(3.3333331174e-1)
_ANGLE = F32(np.pi / 2 * 2.0**-24)
_QUARTER_TURN = F32(np.pi / 4)
_ANGLE_BITS, _SWAP_BIT, _SIGN_BIT = np.int32(0x00FFFFFF), np.int32(1 << 24), np.int32(1 << 25)
_S0, _S1, _S2 = F32(-1.9515295891e-4), F32(8.3321608736e-3), F32(-1.6666654611e-1)
_C0, _C1, _C2 = F32(2.443315711809948e-5), F32(-1.388731625493765e-3), F32(4.166664568298827e-2)


@njit(nogil=True, inline="always")
def _mix(z):
    z = (z ^ (z >> _S30)) * _MIX_A
    z = (z ^ (z >> _S27)) * _MIX_B
    return z ^ (z >> _S31)


@njit(nogil=True)
def _draw(state, offsets, first, second):
    """Fill a tile with two 31-bit integers per pair."""
    for i in range(_TILE):
        h = _mix(state + offsets[i])
        first[i] = np.int32(h >> _S33)
        second[i] = np.int32(h & _LOW31)


@njit(nogil=True)
def _to_normal(first, second, uniform, bits, out):
    """Turn a tile of integers into 2 * _TILE standard normal numbers; `bits` is the int32 view of `uniform`."""
    for i in range(_TILE):
        uniform[i] = (F32(first[i]) + _HALF) * _TO_UNIT
    for i in range(_TILE):
        first[i] = ((bits[i] >> _SHIFT) & np.int32(0xFF)) - _BIAS
        bits[i] = (bits[i] & _MANTISSA) | _EXPONENT_HALF
    for i in range(_TILE):
        # log of the first uniform: mantissa moved to [sqrt(1/2), sqrt(2)), then a polynomial around 1
        small = uniform[i] < _SQRT_HALF
        m = (uniform[i] + uniform[i] if small else uniform[i]) - _UNIT
        e = F32(first[i]) - (_UNIT if small else F32(0.0))
        p = ((((_L0 * m + _L1) * m + _L2) * m + _L3) * m + _L4) * m + _L5
        p = ((p * m + _L6) * m + _L7) * m + _L8
        s = m * m
        log = (p * m * s - _HALF * s) + m + e * _LN2
        radius = np.sqrt(max(F32(0.0), -_TWO * log))
        # a point of the unit circle: an angle within an eighth of a turn of an axis, then one of four axes
        angle = F32(second[i] & _ANGLE_BITS) * _ANGLE - _QUARTER_TURN
        q = angle * angle
        sine = ((_S0 * q + _S1) * q + _S2) * q * angle + angle
        cosine = ((_C0 * q + _C1) * q + _C2) * q * q - _HALF * q + _UNIT
        cosine = -cosine if (second[i] & _SIGN_BIT) != 0 else cosine
        swap = (second[i] & _SWAP_BIT) != 0
        out[i] = radius * (sine if swap else cosine)
        out[_TILE + i] = radius * (cosine if swap else sine)


@njit(nogil=True)
def _to_uniform(first, second, out):
    """Turn a tile of integers into 2 * _TILE numbers uniform in [0, 1]."""
    for i in range(_TILE):
        out[i] = F32(first[i]) * _TO_UNIT
        out[_TILE + i] = F32(second[i]) * _TO_UNIT


@njit(nogil=True)
def fill_noise(keys, stream, number, kind, begin, end, out, norm):
    """Fill rows begin..end-1 of `out` with noise, and `norm` with the length of each.

    Parameters
    ----------
    keys : ndarray of uint64, shape (n_streams, 2)
    stream, number : ndarray of int64, shape (n_rows,)
        Which stream a row belongs to, and which row of that stream it is.
    kind : int
        0 for uniform in [0, 1], 1 for uniform in [-1, 1], 2 for standard normal.
    begin, end : int
        The rows to fill.
    out : ndarray of float32, shape (n_rows, d)
    norm : ndarray of float64, shape (n_rows,)
        Receives the L2 norm of each row.
    """
    first, second = np.empty(_TILE, np.int32), np.empty(_TILE, np.int32)
    uniform = np.empty(_TILE, np.float32)
    bits, offsets = uniform.view(np.int32), np.empty(_TILE, np.uint64)
    tile, squares = np.empty(2 * _TILE, np.float32), np.empty(2 * _TILE, np.float32)
    d = out.shape[1]
    for r in range(begin, end):
        key = keys[stream[r]]
        state = _mix(key[0] + U64(number[r] + 1) * _GOLDEN)
        gamma = _mix(key[1] ^ state) | _ONE
        for i in range(_TILE):
            offsets[i] = U64(i) * gamma
        squares[:] = F32(0.0)
        for start in range(0, d, 2 * _TILE):
            _draw(state, offsets, first, second)
            state += U64(_TILE) * gamma
            if kind == 2:
                _to_normal(first, second, uniform, bits, tile)
            else:
                _to_uniform(first, second, tile)
                if kind == 1:
                    for i in range(2 * _TILE):
                        tile[i] = _TWO * tile[i] - _UNIT
            width = min(2 * _TILE, d - start)
            for i in range(width):
                out[r, start + i] = tile[i]
                squares[i] += tile[i] * tile[i]
        total = 0.0
        for i in range(2 * _TILE):
            total += squares[i]
        norm[r] = np.sqrt(total)
