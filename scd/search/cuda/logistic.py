"""The output node's search under cross-entropy as Triton kernels."""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl


class Case(NamedTuple):
    """What is searched: contiguous tensors, which are pointers in the kernels, and numbers."""

    sums: Any
    """(V, n) float64"""
    inputs: Any
    """(V, h, n) uint8 activations of the hidden nodes."""
    own_inputs: Any
    """h * n"""
    features: Any
    """(V, C) int64"""
    steps: Any
    """(V, C) float64"""
    labels: Any
    """(n,) uint8"""
    rows: Any
    """(V, n) uint8: the batch."""
    n: Any
    candidates: Any


@triton.jit
def stepped_sums(case, vote, c, start, ROWS: tl.constexpr):
    """Sums after the step of candidate `c` for some rows, whether they are in the batch, and their labels."""
    i = start + tl.arange(0, ROWS)
    inside = i < case.n
    feature = tl.load(case.features + vote * case.candidates + c)
    step = tl.load(case.steps + vote * case.candidates + c)
    on = tl.load(case.inputs + vote * case.own_inputs + feature * case.n + i, mask=inside, other=0).to(tl.float64)
    q = tl.load(case.sums + vote * case.n + i, mask=inside, other=0.0) + step * on
    batch = tl.load(case.rows + vote * case.n + i, mask=inside, other=0) != 0
    return q, batch & inside, tl.load(case.labels + i, mask=inside, other=0) != 0


@triton.jit
def softplus(z):
    return tl.maximum(z, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(z)))


@triton.jit
def loss_at(case, vote, c, threshold, ROWS: tl.constexpr):
    """Cross-entropy of candidate `c` at this threshold, summed over the batch."""
    total = tl.zeros((ROWS,), tl.float64)
    for start in range(0, case.n, ROWS):
        q, batch, label = stepped_sums(case, vote, c, start, ROWS)
        z = tl.where(label, threshold - q, q - threshold)
        total += tl.where(batch, softplus(z), 0.0)
    return tl.sum(total, axis=0)


@triton.jit
def roughly(case, vote, c, low, high, positive, ROWS: tl.constexpr):
    """Approximate the best threshold: Newton's method with sigmoids in float32, which are several times as fast."""
    t, move, rounds = (low + high) / 2.0, high - low, 0
    while (tl.abs(move) > 1e-3) & (rounds < 30):
        firsts, seconds = tl.zeros((ROWS,), tl.float32), tl.zeros((ROWS,), tl.float32)
        for start in range(0, case.n, ROWS):
            q, batch, _ = stepped_sums(case, vote, c, start, ROWS)
            sigma = 1.0 / (1.0 + tl.exp(tl.minimum(t - q, 80.0).to(tl.float32)))
            firsts += tl.where(batch, sigma, 0.0)
            seconds += tl.where(batch, sigma * (1.0 - sigma), 0.0)
        first, second = tl.sum(firsts, axis=0).to(tl.float64), tl.sum(seconds, axis=0).to(tl.float64)
        low, high = tl.where(first < positive, low, t), tl.where(first < positive, t, high)
        new = t + (first - positive) / tl.maximum(second, 1e-300)
        new = tl.where((low < new) & (new < high), new, (low + high) / 2.0)
        move, t, rounds = new - t, new, rounds + 1
    return t


@triton.jit
def solve(case, threshold, loss, ROWS: tl.constexpr):
    """Write the best threshold of every candidate and the loss there: Newton's method within a bracket."""
    vote, c = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    sizes, positives = tl.zeros((ROWS,), tl.int32), tl.zeros((ROWS,), tl.int32)
    lows, highs = tl.full((ROWS,), float("inf"), tl.float64), tl.full((ROWS,), -float("inf"), tl.float64)
    for start in range(0, case.n, ROWS):
        q, batch, label = stepped_sums(case, vote, c, start, ROWS)
        sizes += batch.to(tl.int32)
        positives += (batch & label).to(tl.int32)
        lows = tl.minimum(lows, tl.where(batch, q, float("inf")))
        highs = tl.maximum(highs, tl.where(batch, q, -float("inf")))
    positive = tl.sum(positives, axis=0).to(tl.float64)
    reach = tl.log(tl.sum(sizes, axis=0).to(tl.float64)) + 1.0
    low, high = tl.min(lows, axis=0) - reach, tl.max(highs, axis=0) + reach
    t = roughly(case, vote, c, low, high, positive, ROWS)
    move, rounds = high - low, 0
    while (tl.abs(move) > 1e-9) & (rounds < 100):
        firsts, seconds = tl.zeros((ROWS,), tl.float64), tl.zeros((ROWS,), tl.float64)
        for start in range(0, case.n, ROWS):
            q, batch, _ = stepped_sums(case, vote, c, start, ROWS)
            sigma = 1.0 / (1.0 + tl.exp(tl.minimum(t - q, 700.0)))
            firsts += tl.where(batch, sigma, 0.0)
            seconds += tl.where(batch, sigma * (1.0 - sigma), 0.0)
        first, second = tl.sum(firsts, axis=0), tl.sum(seconds, axis=0)
        low, high = tl.where(first < positive, low, t), tl.where(first < positive, t, high)
        new = t + (first - positive) / tl.maximum(second, 1e-300)
        new = tl.where((low < new) & (new < high), new, (low + high) / 2.0)
        move, t, rounds = new - t, new, rounds + 1
    tl.store(threshold + vote * case.candidates + c, t)
    tl.store(loss + vote * case.candidates + c, loss_at(case, vote, c, t, ROWS))


@triton.jit
def gap(before, below, above, after, side: tl.constexpr):
    """The neighbouring distinct sums below the threshold (side 0), around it (1) or above it (2)."""
    if side == 0:
        left, right = before, below
    elif side == 1:
        left, right = below, above
    else:
        left, right = above, after
    return left, right


@triton.jit
def to_midpoint(case, candidate, threshold, ROWS: tl.constexpr):
    """Move the winner's threshold to the better of the midpoints of neighbouring distinct sums around it."""
    vote = tl.program_id(0).to(tl.int64)
    c, t = tl.load(candidate + vote), tl.load(threshold + vote)
    never = tl.full((), float("inf"), tl.float64)
    below, above, before, after = -never, never, -never, never
    for start in range(0, case.n, ROWS):
        q, batch, _ = stepped_sums(case, vote, c, start, ROWS)
        below = tl.maximum(below, tl.max(tl.where(batch & (q <= t), q, -float("inf")), axis=0))
        above = tl.minimum(above, tl.min(tl.where(batch & (q > t), q, float("inf")), axis=0))
    for start in range(0, case.n, ROWS):
        q, batch, _ = stepped_sums(case, vote, c, start, ROWS)
        before = tl.maximum(before, tl.max(tl.where(batch & (q < below), q, -float("inf")), axis=0))
        after = tl.minimum(after, tl.min(tl.where(batch & (q > above), q, float("inf")), axis=0))
    best, where = never, t
    for side in tl.static_range(3):
        left, right = gap(before, below, above, after, side)
        if (left > -never) & (right < never):
            middle = (left + right) / 2.0
            found = loss_at(case, vote, c, middle, ROWS)
            where = tl.where(found < best, middle, where)
            best = tl.minimum(found, best)
    tl.store(threshold + vote, where)
