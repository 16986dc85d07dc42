"""The probes of a gradient estimate as Triton kernels: drawn from the streams of `rng`, and summed.

The arithmetic is that of the CPU, operation by operation, without fused multiply-adds. Only the order in which
float64 numbers are summed differs, so an input equals that of the CPU except for a rare difference in rounding.
"""

from __future__ import annotations

import triton
import triton.language as tl

from . import rng

_GOLDEN, _MIX = tl.constexpr(int(rng.GOLDEN)), tl.constexpr(tuple(map(int, rng.MIX)))
_TO_UNIT, _ANGLE, _QUARTER_TURN, _SQRT_HALF, _LN2 = (
    tl.constexpr(float(value)) for value in (rng.TO_UNIT, rng.ANGLE, rng.QUARTER_TURN, rng.SQRT_HALF, rng.LN2)
)
_LOG, _SINE, _COSINE = (tl.constexpr(tuple(map(float, row))) for row in (rng.LOG, rng.SINE, rng.COSINE))


@triton.jit
def _mix(z):
    z = (z ^ (z >> 30)) * _MIX[0]
    z = (z ^ (z >> 27)) * _MIX[1]
    return z ^ (z >> 31)


@triton.jit
def _to_normal(first, second):
    """Return two standard normal numbers for two 31-bit integers, as `attacks.engine.kernels.rng._to_normal` does."""
    bits = ((first.to(tl.float32) + 0.5) * _TO_UNIT).to(tl.int32, bitcast=True)
    exponent = ((bits >> 23) & 0xFF) - 126
    mantissa = ((bits & 0x007FFFFF) | 0x3F000000).to(tl.float32, bitcast=True)
    small = mantissa < _SQRT_HALF
    m = tl.where(small, mantissa + mantissa, mantissa) - 1.0
    e = exponent.to(tl.float32) - tl.where(small, 1.0, 0.0)
    p = ((((_LOG[0] * m + _LOG[1]) * m + _LOG[2]) * m + _LOG[3]) * m + _LOG[4]) * m + _LOG[5]
    p = ((p * m + _LOG[6]) * m + _LOG[7]) * m + _LOG[8]
    s = m * m
    log = (p * m * s - 0.5 * s) + m + e * _LN2
    radius = tl.sqrt_rn(tl.maximum(-2.0 * log, 0.0))
    angle = (second & 0x00FFFFFF).to(tl.float32) * _ANGLE - _QUARTER_TURN
    q = angle * angle
    sine = ((_SINE[0] * q + _SINE[1]) * q + _SINE[2]) * q * angle + angle
    cosine = ((_COSINE[0] * q + _COSINE[1]) * q + _COSINE[2]) * q * q - 0.5 * q + 1.0
    cosine = tl.where((second & (1 << 25)) != 0, -cosine, cosine)
    swap = (second & (1 << 24)) != 0
    return radius * tl.where(swap, sine, cosine), radius * tl.where(swap, cosine, sine)


@triton.jit
def perturb(keys, run, number, centres, radius, out, d, low, high, NORMAL: tl.constexpr, LANES: tl.constexpr):
    """Fill row r of `out` (n, d) with the centre of its run, moved by the run's radius in a random direction, clipped.

    `keys` (k, 2) int64, `centres` (k, d) float32 and `radius` (k,) float64 belong to the runs. `run` and `number` (n,)
    int64 are the run of each row and its number in the run's stream. LANES is the tile of the streams, which draw
    pairs, one tile at a time.
    """
    r = tl.program_id(0).to(tl.int64)
    owner = tl.load(run + r)
    state = _mix(tl.load(keys + 2 * owner).to(tl.uint64) + (tl.load(number + r) + 1).to(tl.uint64) * _GOLDEN)
    gamma = _mix(tl.load(keys + 2 * owner + 1).to(tl.uint64) ^ state) | 1
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
    by = (tl.load(radius + owner) / tl.maximum(norm, 1e-30)).to(tl.float32)
    tl.debug_barrier()  # all threads see the noise
    for start in range(0, d, 2 * LANES):
        at = start + tl.arange(0, 2 * LANES)
        inside = at < d
        x = tl.load(centres + owner * d + at, mask=inside) + by * tl.load(row + at, mask=inside)
        tl.store(row + at, tl.minimum(tl.maximum(x, low), high), mask=inside)


@triton.jit
def add_probes(probes, centres, begins, crossed, sums, d, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Add the perturbations of every run to its `sums` (k, 2, d) float64: [0] stayed, [1] crossed the boundary.

    The probes of run s are ``begins[s]`` to ``begins[s + 1] - 1``. One program for every (run, block of columns).
    """
    s = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = at < d
    centre = tl.load(centres + s * d + at, mask=inside, other=0.0)
    end = tl.load(begins + s + 1)
    stayed, moved = tl.zeros((ROWS, COLUMNS), tl.float64), tl.zeros((ROWS, COLUMNS), tl.float64)
    for start in range(tl.load(begins + s), end, ROWS):
        r = start + tl.arange(0, ROWS)
        valid = (r < end)[:, None] & inside[None, :]
        on = tl.load(crossed + r, mask=r < end, other=0)[:, None] != 0
        x = tl.load(probes + r[:, None] * d + at[None, :], mask=valid, other=0.0)
        move = tl.where(valid, x - centre[None, :], 0.0).to(tl.float64)
        moved += tl.where(on, move, 0.0)
        stayed += tl.where(on, 0.0, move)
    total = sums + 2 * s * d + at
    tl.store(total, tl.load(total, mask=inside) + tl.sum(stayed, axis=0), mask=inside)
    tl.store(total + d, tl.load(total + d, mask=inside) + tl.sum(moved, axis=0), mask=inside)
