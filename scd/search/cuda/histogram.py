"""The search over all thresholds as Triton kernels: histograms, bounds from them, exact gains where it matters.

As on the CPU (:mod:`scd.search.cpu.hidden`, with a picture), the suffix sums of a candidate's histogram are exact gains
at the bin edges; with a bin's own positive effects they bound every threshold inside it. A search is three launches::

    candidate             0     1     2     3
    fill                 :|.   |:.   .::   ||:    histograms, one program per (vote, candidate)
    bound   reached       3     9     2     8     maximum gain at a bin edge: some threshold has it
            limit         7    12     5    11     no threshold of the candidate has more
                                ^           ^
    refine                candidates with limit >= max(reached) = 9 can win: their exact gains

``fill``    gathers the feature, steps and adds the effects to the bins. Bins have 32 bits, which a GPU adds at twice
            the rate of 64; effects too large for them are shifted, rounding down.
``bound``   turns each histogram into the two numbers above.
``refine``  has one program per vote, with exact bins of its own. It takes the candidates that can win in order and
            compares all pairs of rows in those of their bins that can, which gives exact gains.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from scd.engine.parameters import MIN_MARGIN

MARGIN = tl.constexpr(MIN_MARGIN)


class Case(NamedTuple):
    """What is searched: contiguous tensors, which are pointers in the kernels, and numbers."""

    p: Any
    """(V, n) float32 projections."""
    columns: Any
    """(D, n) or (V, D, n), float32 or uint8."""
    own_columns: Any
    """Elements from a vote's columns to the next vote's; 0 where they are shared."""
    features: Any
    """(V, C) int64"""
    steps: Any
    """(V, C) float32"""
    effects: Any
    """(V, n) int64"""
    rows: Any
    """(V, n) int32: numbers of the active rows, those that have an effect, first."""
    count: Any
    """(V,) int32 active rows."""
    lows: Any
    """(V,) float32: left edge of the first bin."""
    scales: Any
    """(V,) float32: bins per unit of projection."""
    divisor: Any
    n: Any
    candidates: Any


class Bounds(NamedTuple):
    """What the screening found."""

    bounds: Any
    """(2, V, C) int64: what each candidate reaches, and what it cannot exceed."""
    size: Any
    """V * C"""


class Work(NamedTuple):
    """Memory that ``refine`` works in."""

    bins: Any
    """(V, 2, BINS) int64 exact histogram."""
    projections: Any
    """(V, n) float32 projections of listed rows."""
    listed: Any
    """(3, V, n) int64: their effects, their bins, and the sums above their bins."""
    size: Any
    """V * n"""


class Found(NamedTuple):
    """:class:`scd.search.Best`, as pointers."""

    candidate: Any
    threshold: Any
    gain: Any


@triton.jit
def stepped(case, vote, c, places, mask):
    """Row numbers and float32 projections of candidate `c` for active rows number `places` of a vote."""
    row = tl.load(case.rows + vote * case.n + places, mask=mask, other=0)
    feature = tl.load(case.features + vote * case.candidates + c)
    step = tl.load(case.steps + vote * case.candidates + c)
    x = tl.load(case.columns + vote * case.own_columns + feature * case.n + row, mask=mask, other=0).to(tl.float32)
    before = tl.load(case.p + vote * case.n + row, mask=mask, other=0.0)
    # rounded after each operation, as on the CPU: no approximate division, and launched without fused multiply-add
    return row, before + step * tl.div_rn(x, tl.full(x.shape, case.divisor, tl.float32))


@triton.jit
def bin_of(q, low, scale, BINS: tl.constexpr):
    place = (q - low) * scale
    return tl.minimum(tl.maximum(place, 0.0), BINS - 1.0).to(tl.int32)


@triton.jit
def fill(case, shifts, histogram, BINS: tl.constexpr, ROWS: tl.constexpr):
    """Add effects to `histogram` (V, C, 2, BINS) int32, zeros before: positive ones first, negative ones second."""
    vote, c = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    low, scale, m = tl.load(case.lows + vote), tl.load(case.scales + vote), tl.load(case.count + vote)
    shift = tl.load(shifts + vote)
    bins = histogram + (vote * case.candidates + c) * 2 * BINS
    for start in range(0, m, ROWS):
        places = start + tl.arange(0, ROWS)
        mask = places < m
        row, q = stepped(case, vote, c, places, mask)
        effect = tl.load(case.effects + vote * case.n + row, mask=mask, other=0) >> shift
        side = tl.where(effect < 0, BINS, 0)
        tl.atomic_add(bins + side + bin_of(q, low, scale, BINS), effect.to(tl.int32), mask=mask, sem="relaxed")


@triton.jit
def above_bins(bins, BINS: tl.constexpr):
    """(BINS,) int64 sums of effects of the bins above each, of its own positive and of all its own effects."""
    positive = tl.load(bins + tl.arange(0, BINS)).to(tl.int64)
    own = positive + tl.load(bins + BINS + tl.arange(0, BINS)).to(tl.int64)
    return tl.sum(own, axis=0) - tl.cumsum(own, axis=0), positive, own


@triton.jit
def bound(histogram, count, shifts, screen, candidates, BINS: tl.constexpr):
    """Write what every candidate reaches and what it cannot exceed: see :class:`Bounds`."""
    vote, c = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    shift = tl.load(shifts + vote)
    above, positive, own = above_bins(histogram + (vote * candidates + c) * 2 * BINS, BINS)
    at = screen.bounds + vote * candidates + c
    lost = tl.where(shift > 0, tl.load(count + vote), 0).to(tl.int64)  # less than 1 per row, by rounding down
    tl.store(at, tl.maximum(tl.max(above + own, axis=0), 0) << shift)
    tl.store(at + screen.size, tl.maximum(tl.max(above + positive, axis=0) + lost, 0) << shift)


@triton.jit
def collect_rows(case, vote, grid, c, must, work, BINS: tl.constexpr, ROWS: tl.constexpr):
    """List the rows in bins in which a threshold may gain `must` or more in `work`; returns their number.

    `grid` is the vote's left edge, bins per unit and number of active rows.
    """
    low, scale, m = grid
    bins = work.bins + vote * 2 * BINS
    tl.debug_barrier()  # all threads have read the lists and bins of the candidate before
    tl.store(bins + tl.arange(0, 2 * BINS), tl.zeros((2 * BINS,), tl.int64))
    tl.debug_barrier()
    for start in range(0, m, ROWS):
        places = start + tl.arange(0, ROWS)
        mask = places < m
        row, q = stepped(case, vote, c, places, mask)
        effect = tl.load(case.effects + vote * case.n + row, mask=mask, other=0)
        side = tl.where(effect < 0, BINS, 0)
        tl.atomic_add(bins + side + bin_of(q, low, scale, BINS), effect, mask=mask, sem="relaxed")
    tl.debug_barrier()
    above, positive, _ = above_bins(bins, BINS)
    listed = m * 0
    for start in range(0, m, ROWS):
        places = start + tl.arange(0, ROWS)
        mask = places < m
        row, q = stepped(case, vote, c, places, mask)
        b = bin_of(q, low, scale, BINS)
        over = tl.gather(above, b, 0)
        wanted = mask & (over + tl.gather(positive, b, 0) >= must)
        to = listed + tl.cumsum(wanted.to(tl.int32), axis=0) - 1
        effect = tl.load(case.effects + vote * case.n + row, mask=mask, other=0)
        tl.store(work.projections + vote * case.n + to, q, mask=wanted)
        tl.store(work.listed + vote * case.n + to, effect, mask=wanted)
        tl.store(work.listed + work.size + vote * case.n + to, b.to(tl.int64), mask=wanted)
        tl.store(work.listed + 2 * work.size + vote * case.n + to, over, mask=wanted)
        listed += tl.sum(wanted.to(tl.int32), axis=0)
    tl.debug_barrier()
    return listed


@triton.jit
def gains_of(work, vote, n, start, listed, PAIRS: tl.constexpr):
    """Projections of some listed rows, and the exact gains of thresholds just below them."""
    i = start + tl.arange(0, PAIRS)
    at = vote * n + i
    q = tl.load(work.projections + at, mask=i < listed, other=0.0)
    b = tl.load(work.listed + work.size + at, mask=i < listed, other=-1)
    gain = tl.load(work.listed + 2 * work.size + at, mask=i < listed, other=0)
    for other in range(0, listed, PAIRS):
        j = other + tl.arange(0, PAIRS)
        q_j = tl.load(work.projections + vote * n + j, mask=j < listed, other=0.0)
        b_j = tl.load(work.listed + work.size + vote * n + j, mask=j < listed, other=-2)
        e_j = tl.load(work.listed + vote * n + j, mask=j < listed, other=0)
        counts = (b[:, None] == b_j[None, :]) & (q_j[None, :] >= q[:, None])
        gain += tl.sum(tl.where(counts, e_j[None, :], 0), axis=1)
    return i < listed, q, gain


@triton.jit
def refine(
    case, screen, work, found,
    BINS: tl.constexpr, ROWS: tl.constexpr, PAIRS: tl.constexpr, CANDIDATES: tl.constexpr,
):  # fmt: skip
    """Write the first candidate of the maximum exact gain, that gain, and its lowest threshold.

    CANDIDATES is a power of two, `case.candidates` or more: which may win is looked up for all of them at once.
    """
    vote, n, candidates = tl.program_id(0).to(tl.int64), case.n, case.candidates
    low, scale, m = tl.load(case.lows + vote), tl.load(case.scales + vote), tl.load(case.count + vote)
    if m > 0:
        every = tl.arange(0, CANDIDATES)
        at = screen.bounds + vote * candidates + every
        reached = tl.max(tl.load(at, mask=every < candidates, other=0), axis=0)
        limit = tl.load(at + screen.size, mask=every < candidates, other=-1)
        best = reached - 1  # some candidate reaches more
        winner = vote * 0
        c = tl.min(tl.where(limit > best, every, CANDIDATES), axis=0)
        while c < candidates:
            listed = collect_rows(case, vote, (low, scale, m), c, best + 1, work, BINS, ROWS)
            exact = reached * 0  # all off
            for start in range(0, listed, PAIRS):
                valid, q, gain = gains_of(work, vote, n, start, listed, PAIRS)
                exact = tl.maximum(exact, tl.max(tl.where(valid, gain, 0), axis=0))
            winner = tl.where(exact > best, c, winner)
            best = tl.maximum(exact, best)
            c = tl.min(tl.where((limit > best) & (every > c), every, CANDIDATES), axis=0)
        listed = collect_rows(case, vote, (low, scale, m), winner, best, work, BINS, ROWS)
        cut = low * 0 + float("inf")  # the lowest row that is on
        for start in range(0, listed, PAIRS):
            valid, q, gain = gains_of(work, vote, n, start, listed, PAIRS)
            cut = tl.minimum(cut, tl.min(tl.where(valid & (gain == best), q, float("inf")), axis=0))
        below, first, last = low * 0 - float("inf"), low * 0 + float("inf"), low * 0 - float("inf")
        for start in range(0, m, ROWS):
            places = start + tl.arange(0, ROWS)
            _, q = stepped(case, vote, winner, places, places < m)
            first = tl.minimum(first, tl.min(tl.where(places < m, q, float("inf")), axis=0))
            last = tl.maximum(last, tl.max(tl.where(places < m, q, -float("inf")), axis=0))
            below = tl.maximum(below, tl.max(tl.where((places < m) & (q < cut), q, -float("inf")), axis=0))
        tl.store(found.candidate + vote, winner)
        tl.store(found.gain + vote, best)
        tl.store(found.threshold + vote, threshold_below(below, cut, first, last, m))


@triton.jit
def threshold_below(below, cut, first, last, m):
    """The threshold just below the projection `cut`: see :func:`scd.search.reference.threshold_at`, in float32.

    `below` is the largest projection below `cut`; `first` and `last` are the extremes of all m projections.
    """
    size = tl.maximum(tl.abs(first), tl.abs(last))
    size = tl.where(size > 0, size, 1.0)
    margin = tl.maximum(tl.div_rn(last - first, (2 * m).to(tl.float32)), size * MARGIN)
    inside = (cut > first) & (cut < float("inf"))
    lower, upper = tl.where(inside, below, first), tl.where(inside, cut, first)
    middle = lower + (upper - lower) * 0.5
    middle = tl.where(middle < upper, middle, lower)
    return tl.where(inside, middle, tl.where(cut == first, first - margin, last + margin))
