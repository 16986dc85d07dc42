"""Moves of a direction estimate as Triton kernels: made from the streams of :mod:`attacks.engine.rng`, and added up.

The arithmetic is that of the host, operation by operation, launched without fused multiply-adds. Only the order in
which float64 numbers are added up differs, so that a row is that of the host but for a rare rounding.
"""

from __future__ import annotations

import triton
import triton.language as tl

from attacks.engine import rng

_GOLDEN = tl.constexpr(int(rng._GOLDEN))
_MIX_A, _MIX_B = tl.constexpr(int(rng._MIX_A)), tl.constexpr(int(rng._MIX_B))
_TO_UNIT, _ANGLE = tl.constexpr(float(rng._TO_UNIT)), tl.constexpr(float(rng._ANGLE))
_SQRT_HALF, _LN2 = tl.constexpr(float(rng._SQRT_HALF)), tl.constexpr(float(rng._LN2))
_QUARTER_TURN = tl.constexpr(float(rng._QUARTER_TURN))
_L0, _L1, _L2 = tl.constexpr(float(rng._L0)), tl.constexpr(float(rng._L1)), tl.constexpr(float(rng._L2))
_L3, _L4, _L5 = tl.constexpr(float(rng._L3)), tl.constexpr(float(rng._L4)), tl.constexpr(float(rng._L5))
_L6, _L7, _L8 = tl.constexpr(float(rng._L6)), tl.constexpr(float(rng._L7)), tl.constexpr(float(rng._L8))
_S0, _S1, _S2 = tl.constexpr(float(rng._S0)), tl.constexpr(float(rng._S1)), tl.constexpr(float(rng._S2))
_C0, _C1, _C2 = tl.constexpr(float(rng._C0)), tl.constexpr(float(rng._C1)), tl.constexpr(float(rng._C2))


@triton.jit
def _mix(z):
    z = (z ^ (z >> 30)) * _MIX_A
    z = (z ^ (z >> 27)) * _MIX_B
    return z ^ (z >> 31)


@triton.jit
def _to_normal(first, second):
    """Two standard normal numbers from two 31-bit integers, as `attacks.engine.rng._to_normal` makes them."""
    bits = ((first.to(tl.float32) + 0.5) * _TO_UNIT).to(tl.int32, bitcast=True)
    exponent = ((bits >> 23) & 0xFF) - 126
    mantissa = ((bits & 0x007FFFFF) | 0x3F000000).to(tl.float32, bitcast=True)
    small = mantissa < _SQRT_HALF
    m = tl.where(small, mantissa + mantissa, mantissa) - 1.0
    e = exponent.to(tl.float32) - tl.where(small, 1.0, 0.0)
    p = ((((_L0 * m + _L1) * m + _L2) * m + _L3) * m + _L4) * m + _L5
    p = ((p * m + _L6) * m + _L7) * m + _L8
    s = m * m
    log = (p * m * s - 0.5 * s) + m + e * _LN2
    radius = tl.sqrt_rn(tl.maximum(-2.0 * log, 0.0))
    angle = (second & 0x00FFFFFF).to(tl.float32) * _ANGLE - _QUARTER_TURN
    q = angle * angle
    sine = ((_S0 * q + _S1) * q + _S2) * q * angle + angle
    cosine = ((_C0 * q + _C1) * q + _C2) * q * q - 0.5 * q + 1.0
    cosine = tl.where((second & (1 << 25)) != 0, -cosine, cosine)
    swap = (second & (1 << 24)) != 0
    return radius * tl.where(swap, sine, cosine), radius * tl.where(swap, cosine, sine)


@triton.jit
def moves(
    keys, run, number, centres, length, out, d, low, high,
    NORMAL: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """Row r of `out` (n, d): the centre of its run, moved by the run's length in a random direction, clipped.

    `keys` (k, 2) int64, `centres` (k, d) float32 and `length` (k,) float64 belong to the runs; `run` and `number` (n,)
    int64 say whose move of its stream a row is. LANES is that of the streams: they draw pairs, a tile at a time.
    """
    r = tl.program_id(0).to(tl.int64)
    mine = tl.load(run + r)
    state = _mix(tl.load(keys + 2 * mine).to(tl.uint64) + (tl.load(number + r) + 1).to(tl.uint64) * _GOLDEN)
    gamma = _mix(tl.load(keys + 2 * mine + 1).to(tl.uint64) ^ state) | 1
    lane = tl.arange(0, LANES)
    offsets = lane.to(tl.uint64) * gamma
    row = out + r * d
    squares, others = tl.zeros((LANES,), tl.float32), tl.zeros((LANES,), tl.float32)
    for start in range(0, d, 2 * LANES):
        h = _mix(state + offsets)
        state += gamma * LANES
        first, second = (h >> 33).to(tl.int32), (h & 0x7FFFFFFF).to(tl.int32)
        if NORMAL:
            a, b = _to_normal(first, second)
        else:
            a = 2.0 * (first.to(tl.float32) * _TO_UNIT) - 1.0
            b = 2.0 * (second.to(tl.float32) * _TO_UNIT) - 1.0
        at = start + lane
        tl.store(row + at, a, mask=at < d)
        tl.store(row + at + LANES, b, mask=at + LANES < d)
        squares += tl.where(at < d, a * a, 0.0)
        others += tl.where(at + LANES < d, b * b, 0.0)
    norm = tl.sqrt(tl.sum(squares.to(tl.float64), axis=0) + tl.sum(others.to(tl.float64), axis=0))
    by = (tl.load(length + mine) / tl.maximum(norm, 1e-30)).to(tl.float32)
    tl.debug_barrier()  # all threads see the noise
    for start in range(0, d, 2 * LANES):
        at = start + tl.arange(0, 2 * LANES)
        inside = at < d
        x = tl.load(centres + mine * d + at, mask=inside) + by * tl.load(row + at, mask=inside)
        tl.store(row + at, tl.minimum(tl.maximum(x, low), high), mask=inside)


@triton.jit
def add(rows, centres, begins, crossed, sums, d, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Add the moves of every run to its `sums` (k, 2, d) float64: those that stayed, and those that crossed.

    The rows of run s are ``begins[s]`` to ``begins[s + 1] - 1``. A program for every (run, block of columns).
    """
    s = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = at < d
    centre = tl.load(centres + s * d + at, mask=inside, other=0.0)
    end = tl.load(begins + s + 1)
    stayed, went = tl.zeros((ROWS, COLUMNS), tl.float64), tl.zeros((ROWS, COLUMNS), tl.float64)
    for start in range(tl.load(begins + s), end, ROWS):
        r = start + tl.arange(0, ROWS)
        there = (r < end)[:, None] & inside[None, :]
        on = tl.load(crossed + r, mask=r < end, other=0)[:, None] != 0
        x = tl.load(rows + r[:, None] * d + at[None, :], mask=there, other=0.0)
        move = tl.where(there, x - centre[None, :], 0.0).to(tl.float64)
        went += tl.where(on, move, 0.0)
        stayed += tl.where(on, 0.0, move)
    total = sums + 2 * s * d + at
    tl.store(total, tl.load(total, mask=inside) + tl.sum(stayed, axis=0), mask=inside)
    tl.store(total + d, tl.load(total + d, mask=inside) + tl.sum(went, axis=0), mask=inside)
