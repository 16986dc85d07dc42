"""Random inputs from counters: the value of a row depends on its stream's key and on its number, on nothing else.

A decision-based attack uses one row of fresh noise per query. Drawing it from a sequential generator would cost a
sixth of a forward pass. Here every row is a pure function of (key of the stream, number of the row). So any thread can
fill any row, blocks can be cut anywhere, and a resumed attack draws the same noise.

The integers come from SplitMix64 with an increment of its own for every row (Steele, Lea, Flood 2014), the normal
numbers from the Box-Muller transform in float32. Logarithm, sine and cosine are polynomials (minimax coefficients of
the Cephes library, error below 2e-7): these vectorise, and the functions of a C library differ between machines.
"""

from __future__ import annotations

import numpy as np

from scd.numba_cache import njit

UNIT, UNIFORM, NORMAL = 0, 1, 2
"""Kinds of noise: uniform in [0, 1], uniform in [-1, 1], standard normal."""

TILE = 64  # pairs drawn together: long enough for the vector units, short enough for 3 features to be cheap

U64 = np.uint64
F32 = np.float32
GOLDEN = U64(0x9E3779B97F4A7C15)
MIX = (U64(0xBF58476D1CE4E5B9), U64(0x94D049BB133111EB))
_S27, _S30, _S31, _S33 = U64(27), U64(30), U64(31), U64(33)
_ONE, _LOW31 = U64(1), U64(0x7FFFFFFF)

_HALF, _UNIT, _TWO = F32(0.5), F32(1.0), F32(2.0)
TO_UNIT = F32(2.0**-31)
_MANTISSA, _EXPONENT_HALF, _SHIFT, _BIAS = np.int32(0x007FFFFF), np.int32(0x3F000000), np.int32(23), np.int32(126)
SQRT_HALF, LN2 = F32(0.7071067811865476), F32(0.6931471805599453)
LOG = (
    F32(7.0376836292e-2),
    F32(-1.1514610310e-1),
    F32(1.1676998740e-1),
    F32(-1.2420140846e-1),
    F32(1.4249322787e-1),
    F32(-1.6668057665e-1),
    F32(2.0000714765e-1),
    F32(-2.4999993993e-1),
    F32(3.3333331174e-1),
)
"""Coefficients of log(1 + m), the highest power first; so are those of `SINE` and `COSINE`."""
SINE = (F32(-1.9515295891e-4), F32(8.3321608736e-3), F32(-1.6666654611e-1))
COSINE = (F32(2.443315711809948e-5), F32(-1.388731625493765e-3), F32(4.166664568298827e-2))
ANGLE = F32(np.pi / 2 * 2.0**-24)
QUARTER_TURN = F32(np.pi / 4)
_ANGLE_BITS, _SWAP_BIT, _SIGN_BIT = np.int32(0x00FFFFFF), np.int32(1 << 24), np.int32(1 << 25)


@njit(nogil=True, inline="always")
def _mix(z):
    z = (z ^ (z >> _S30)) * MIX[0]
    z = (z ^ (z >> _S27)) * MIX[1]
    return z ^ (z >> _S31)


@njit(nogil=True)
def _draw(state, offsets, first, second):
    """Fill a tile with two 31-bit integers per pair."""
    for i in range(TILE):
        h = _mix(state + offsets[i])
        first[i] = np.int32(h >> _S33)
        second[i] = np.int32(h & _LOW31)


@njit(nogil=True)
def _to_normal(first, second, uniform, bits, out):
    """Turn a tile of integers into 2 * TILE standard normal numbers; `bits` is the int32 view of `uniform`."""
    for i in range(TILE):
        uniform[i] = (F32(first[i]) + _HALF) * TO_UNIT
    for i in range(TILE):
        first[i] = ((bits[i] >> _SHIFT) & np.int32(0xFF)) - _BIAS
        bits[i] = (bits[i] & _MANTISSA) | _EXPONENT_HALF
    for i in range(TILE):
        # log of the first uniform: mantissa moved to [sqrt(1/2), sqrt(2)), then a polynomial around 1
        small = uniform[i] < SQRT_HALF
        m = (uniform[i] + uniform[i] if small else uniform[i]) - _UNIT
        e = F32(first[i]) - (_UNIT if small else F32(0.0))
        p = ((((LOG[0] * m + LOG[1]) * m + LOG[2]) * m + LOG[3]) * m + LOG[4]) * m + LOG[5]
        p = ((p * m + LOG[6]) * m + LOG[7]) * m + LOG[8]
        s = m * m
        log = (p * m * s - _HALF * s) + m + e * LN2
        radius = np.sqrt(max(F32(0.0), -_TWO * log))
        # a point of the unit circle: an angle within an eighth of a turn of an axis, then one of four axes
        angle = F32(second[i] & _ANGLE_BITS) * ANGLE - QUARTER_TURN
        q = angle * angle
        sine = ((SINE[0] * q + SINE[1]) * q + SINE[2]) * q * angle + angle
        cosine = ((COSINE[0] * q + COSINE[1]) * q + COSINE[2]) * q * q - _HALF * q + _UNIT
        cosine = -cosine if (second[i] & _SIGN_BIT) != 0 else cosine
        swap = (second[i] & _SWAP_BIT) != 0
        out[i] = radius * (sine if swap else cosine)
        out[TILE + i] = radius * (cosine if swap else sine)


@njit(nogil=True)
def _to_uniform(first, second, out):
    """Turn a tile of integers into 2 * TILE numbers uniform in [0, 1]."""
    for i in range(TILE):
        out[i] = F32(first[i]) * TO_UNIT
        out[TILE + i] = F32(second[i]) * TO_UNIT


@njit(nogil=True)
def fill_noise(keys, stream, number, kind, begin, end, out, norm):
    """Fill rows begin..end-1 of `out` with noise, and `norm` with their L2 norms.

    Parameters
    ----------
    keys : ndarray of uint64, shape (n_streams, 2)
    stream, number : ndarray of int64, shape (n_rows,)
        The stream that a row belongs to, and its number in that stream.
    kind : int
        `UNIT`, `UNIFORM` or `NORMAL`.
    begin, end : int
        The rows to fill.
    out : ndarray of float32, shape (n_rows, d)
    norm : ndarray of float64, shape (n_rows,)
        Receives the L2 norm of each row.
    """
    first, second = np.empty(TILE, np.int32), np.empty(TILE, np.int32)
    uniform = np.empty(TILE, np.float32)
    bits, offsets = uniform.view(np.int32), np.empty(TILE, np.uint64)
    tile, squares = np.empty(2 * TILE, np.float32), np.empty(2 * TILE, np.float32)
    d = out.shape[1]
    for r in range(begin, end):
        key = keys[stream[r]]
        state = _mix(key[0] + U64(number[r] + 1) * GOLDEN)
        gamma = _mix(key[1] ^ state) | _ONE
        for i in range(TILE):
            offsets[i] = U64(i) * gamma
        squares[:] = F32(0.0)
        for start in range(0, d, 2 * TILE):
            _draw(state, offsets, first, second)
            state += U64(TILE) * gamma
            if kind == NORMAL:
                _to_normal(first, second, uniform, bits, tile)
            else:
                _to_uniform(first, second, tile)
                if kind == UNIFORM:
                    for i in range(2 * TILE):
                        tile[i] = _TWO * tile[i] - _UNIT
            width = min(2 * TILE, d - start)
            for i in range(width):
                out[r, start + i] = tile[i]
                squares[i] += tile[i] * tile[i]
        total = 0.0
        for i in range(2 * TILE):
            total += squares[i]
        norm[r] = np.sqrt(total)
