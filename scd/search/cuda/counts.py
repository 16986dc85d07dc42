"""The output node's search under cross-entropy for binary weights, as Triton kernels.

The sums are integers from -h to h, so a candidate's rows are described by how many of each label have each sum. Rows
are counted once for all candidates. A candidate's counts follow from two of these: those of all rows, minus those in
which its input is on, plus the latter moved by its step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from scd.search.cuda.logistic import gap, softplus


class Case(NamedTuple):
    """What is searched: contiguous tensors, which are pointers in the kernels, and numbers."""

    counts: Any
    """(V, 2, NODES, VALUES) float32: see :func:`count`."""
    h: Any
    features: Any
    """(V, C) int64"""
    steps: Any
    """(V, C) float64"""
    candidates: Any


@triton.jit
def count(
    sums, inputs, labels, rows, n, h, counts,
    PART: tl.constexpr, ROWS: tl.constexpr, VALUES: tl.constexpr, NODES: tl.constexpr,
):  # fmt: skip
    """Add rows to `counts` (V, 2, NODES, VALUES) float32, zeros before: label, node that is on, sum plus h.

    A program counts the rows of one label in a part of PART rows; node h counts all rows. Sums of ones are exact in
    any order up to 2**24.
    """
    vote, label = tl.program_id(0).to(tl.int64), tl.program_id(2)
    value, node = tl.arange(0, VALUES), tl.arange(0, NODES)
    total = tl.zeros((VALUES, NODES), tl.float32)
    for start in range(0, PART, ROWS):
        i = tl.program_id(1) * PART + start + tl.arange(0, ROWS)
        counted = tl.load(rows + vote * n + i, mask=i < n, other=0) != 0
        counted = counted & (tl.load(labels + i, mask=i < n, other=0) == label)
        place = tl.load(sums + vote * n + i, mask=i < n, other=0.0).to(tl.int32) + h
        at_sum = ((value[:, None] == place[None, :]) & counted[None, :]).to(tl.float16)
        known = (node[None, :] < h) & (i[:, None] < n)
        on = tl.load(inputs + (vote * h + node[None, :]) * n + i[:, None], mask=known, other=0).to(tl.float16)
        on = tl.where(node[None, :] == h, 1.0, on).to(tl.float16)
        total = tl.dot(at_sum, on, total)
    to = counts + ((vote * 2 + label) * NODES + node[None, :]) * VALUES + value[:, None]
    tl.atomic_add(to, total, mask=node[None, :] <= h, sem="relaxed")


@triton.jit
def after_step(case, vote, label, feature, step, VALUES: tl.constexpr, NODES: tl.constexpr):
    """(VALUES,) float64 rows of a label with each sum from -h up, after a step on one input."""
    value = tl.arange(0, VALUES)
    own = case.counts + (vote * 2 + label) * NODES * VALUES
    every = tl.load(own + case.h * VALUES + value)
    on = tl.load(own + feature * VALUES + value)
    source = value - step
    moved = tl.load(own + feature * VALUES + source, mask=(source >= 0) & (source < VALUES), other=0.0)
    return (every - on + moved).to(tl.float64)


@triton.jit
def loss_of(zeros, ones, q, threshold):
    """Cross-entropy at a threshold, for `zeros` and `ones` rows of label 0 and 1 with each of the sums `q`."""
    return tl.sum(zeros * softplus(q - threshold) + ones * softplus(threshold - q), axis=0)


@triton.jit
def solve(case, threshold, loss, VALUES: tl.constexpr, NODES: tl.constexpr):
    """Write the best threshold of every candidate and the loss there: Newton's method within a bracket."""
    vote, c = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    feature = tl.load(case.features + vote * case.candidates + c)
    step = tl.load(case.steps + vote * case.candidates + c).to(tl.int32)
    zeros = after_step(case, vote, 0, feature, step, VALUES, NODES)
    ones = after_step(case, vote, 1, feature, step, VALUES, NODES)
    q = (tl.arange(0, VALUES) - case.h).to(tl.float64)
    both, positive = zeros + ones, tl.sum(ones, axis=0)
    reach = tl.log(tl.sum(both, axis=0)) + 1.0
    low = tl.min(tl.where(both > 0.0, q, float("inf")), axis=0) - reach
    high = tl.max(tl.where(both > 0.0, q, -float("inf")), axis=0) + reach
    t, move, rounds = (low + high) / 2.0, high - low, 0
    while (tl.abs(move) > 1e-9) & (rounds < 100):
        sigma = 1.0 / (1.0 + tl.exp(tl.minimum(t - q, 700.0)))
        first, second = tl.sum(both * sigma, axis=0), tl.sum(both * sigma * (1.0 - sigma), axis=0)
        low, high = tl.where(first < positive, low, t), tl.where(first < positive, t, high)
        new = t + (first - positive) / tl.maximum(second, 1e-300)
        new = tl.where((low < new) & (new < high), new, (low + high) / 2.0)
        move, t, rounds = new - t, new, rounds + 1
    tl.store(threshold + vote * case.candidates + c, t)
    tl.store(loss + vote * case.candidates + c, loss_of(zeros, ones, q, t))


@triton.jit
def to_midpoint(case, candidate, threshold, VALUES: tl.constexpr, NODES: tl.constexpr):
    """Move the winner's threshold to the better of the midpoints of neighbouring distinct sums around it."""
    vote = tl.program_id(0).to(tl.int64)
    c, t = tl.load(candidate + vote), tl.load(threshold + vote)
    feature = tl.load(case.features + vote * case.candidates + c)
    step = tl.load(case.steps + vote * case.candidates + c).to(tl.int32)
    zeros = after_step(case, vote, 0, feature, step, VALUES, NODES)
    ones = after_step(case, vote, 1, feature, step, VALUES, NODES)
    q = (tl.arange(0, VALUES) - case.h).to(tl.float64)
    there, never = zeros + ones > 0.0, tl.full((), float("inf"), tl.float64)
    below = tl.max(tl.where(there & (q <= t), q, -never), axis=0)
    above = tl.min(tl.where(there & (q > t), q, never), axis=0)
    before = tl.max(tl.where(there & (q < below), q, -never), axis=0)
    after = tl.min(tl.where(there & (q > above), q, never), axis=0)
    best, where = never, t
    for side in tl.static_range(3):
        left, right = gap(before, below, above, after, side)
        inside = (left > -never) & (right < never)
        middle = tl.where(inside, (left + right) / 2.0, t)
        found = tl.where(inside, loss_of(zeros, ones, q, middle), never)
        where = tl.where(found < best, middle, where)
        best = tl.minimum(found, best)
    tl.store(threshold + vote, where)
