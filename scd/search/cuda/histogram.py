"""The search over all thresholds as Triton kernels: histograms, bounds from them, exact gains where it matters.

As on the CPU (:mod:`scd.search.cpu.hidden`), the suffix sums of a candidate's histogram are exact gains at
the bin edges; with a bin's own positive effects they bound every threshold inside it. Three launches a search:

``fill``    a program for every (vote, candidate): gather the feature, step, add the effects to the bins. Bins are of 32
            bits, which a card adds at twice the rate of 64; effects too large for them are shifted, rounding down.
``bound``   likewise: the best gain at an edge, which is reached, and the bound, which is not exceeded.
``refine``  a program for every vote, with exact bins of its own: goes in order through the candidates that can still
            win and compares all pairs of rows in their bins that can, which gives exact gains; then the lowest
            threshold of the winner.
"""

from __future__ import annotations

import triton
import triton.language as tl

from scd.search.reference import LEAST_MARGIN

LEAST = tl.constexpr(LEAST_MARGIN)


@triton.jit
def stepped(
    p, columns, own_columns, features, steps, rows, divisor, n, candidates, vote, c, places, mask,
):  # fmt: skip
    """Row numbers and float32 projections of candidate `c` for active rows number `places` of a vote."""
    row = tl.load(rows + vote * n + places, mask=mask, other=0)
    feature = tl.load(features + vote * candidates + c)
    step = tl.load(steps + vote * candidates + c)
    x = tl.load(columns + vote * own_columns + feature * n + row, mask=mask, other=0).to(tl.float32)
    before = tl.load(p + vote * n + row, mask=mask, other=0.0)
    # rounded after each operation, as on the CPU: no approximate division, and launched without fused multiply-add
    return row, before + step * tl.div_rn(x, tl.full(x.shape, divisor, tl.float32))


@triton.jit
def bin_of(q, low, scale, BINS: tl.constexpr):
    place = (q - low) * scale
    return tl.minimum(tl.maximum(place, 0.0), BINS - 1.0).to(tl.int32)


@triton.jit
def fill(
    p, columns, own_columns, features, steps, effects, rows, count, lows, scales, divisor, n, candidates,
    shifts, histogram,
    BINS: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Add effects to `histogram` (V, C, 2, BINS) int32, zeros before: positive ones first, negative ones second."""
    vote, c = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    low, scale, m = tl.load(lows + vote), tl.load(scales + vote), tl.load(count + vote)
    shift = tl.load(shifts + vote)
    bins = histogram + (vote * candidates + c) * 2 * BINS
    for start in range(0, m, ROWS):
        places = start + tl.arange(0, ROWS)
        mask = places < m
        row, q = stepped(
            p, columns, own_columns, features, steps, rows, divisor, n, candidates, vote, c, places, mask
        )  # fmt: skip
        effect = tl.load(effects + vote * n + row, mask=mask, other=0) >> shift
        side = tl.where(effect < 0, BINS, 0)
        tl.atomic_add(bins + side + bin_of(q, low, scale, BINS), effect.to(tl.int32), mask=mask, sem="relaxed")


@triton.jit
def above_bins(bins, BINS: tl.constexpr):
    """(BINS,) int64 sums of effects of the bins above each, of its own positive and of all its own effects."""
    positive = tl.load(bins + tl.arange(0, BINS)).to(tl.int64)
    own = positive + tl.load(bins + BINS + tl.arange(0, BINS)).to(tl.int64)
    return tl.sum(own, axis=0) - tl.cumsum(own, axis=0), positive, own


@triton.jit
def bound(histogram, count, shifts, bounds, size, candidates, BINS: tl.constexpr):
    """Write what every candidate reaches, `bounds[0]`, and what it cannot exceed, `bounds[1]`."""
    vote, c = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    shift = tl.load(shifts + vote)
    above, positive, own = above_bins(histogram + (vote * candidates + c) * 2 * BINS, BINS)
    at = bounds + vote * candidates + c
    lost = tl.where(shift > 0, tl.load(count + vote), 0).to(tl.int64)  # less than 1 a row, by rounding down
    tl.store(at, tl.maximum(tl.max(above + own, axis=0), 0) << shift)
    tl.store(at + size, tl.maximum(tl.max(above + positive, axis=0) + lost, 0) << shift)


@triton.jit
def collect_rows(
    p, columns, own_columns, features, steps, effects, rows, m, low, scale, divisor, n, candidates,
    vote, c, must, bins, scratch, size, values,
    BINS: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """List the rows in bins in which a threshold may gain `must` or more; returns their number.

    `bins` (2, BINS) int64 becomes the exact histogram. `values` gets the rows' projections, `scratch` their effects,
    bins, and the sums above their bins.
    """
    tl.debug_barrier()  # all threads have read the lists and bins of the candidate before
    tl.store(bins + tl.arange(0, 2 * BINS), tl.zeros((2 * BINS,), tl.int64))
    tl.debug_barrier()
    for start in range(0, m, ROWS):
        places = start + tl.arange(0, ROWS)
        mask = places < m
        row, q = stepped(
            p, columns, own_columns, features, steps, rows, divisor, n, candidates, vote, c, places, mask
        )  # fmt: skip
        effect = tl.load(effects + vote * n + row, mask=mask, other=0)
        side = tl.where(effect < 0, BINS, 0)
        tl.atomic_add(bins + side + bin_of(q, low, scale, BINS), effect, mask=mask, sem="relaxed")
    tl.debug_barrier()
    above, positive, _ = above_bins(bins, BINS)
    listed = m * 0
    for start in range(0, m, ROWS):
        places = start + tl.arange(0, ROWS)
        mask = places < m
        row, q = stepped(
            p, columns, own_columns, features, steps, rows, divisor, n, candidates, vote, c, places, mask
        )  # fmt: skip
        b = bin_of(q, low, scale, BINS)
        over = tl.gather(above, b, 0)
        wanted = mask & (over + tl.gather(positive, b, 0) >= must)
        to = listed + tl.cumsum(wanted.to(tl.int32), axis=0) - 1
        effect = tl.load(effects + vote * n + row, mask=mask, other=0)
        tl.store(values + vote * n + to, q, mask=wanted)
        tl.store(scratch + vote * n + to, effect, mask=wanted)
        tl.store(scratch + size + vote * n + to, b.to(tl.int64), mask=wanted)
        tl.store(scratch + 2 * size + vote * n + to, over, mask=wanted)
        listed += tl.sum(wanted.to(tl.int32), axis=0)
    tl.debug_barrier()
    return listed


@triton.jit
def gains_of(scratch, size, values, vote, n, start, listed, PAIRS: tl.constexpr):
    """Projections of some listed rows, and the exact gains of thresholds just below them."""
    i = start + tl.arange(0, PAIRS)
    at = vote * n + i
    q = tl.load(values + at, mask=i < listed, other=0.0)
    b = tl.load(scratch + size + at, mask=i < listed, other=-1)
    gain = tl.load(scratch + 2 * size + at, mask=i < listed, other=0)
    for other in range(0, listed, PAIRS):
        j = other + tl.arange(0, PAIRS)
        q_j = tl.load(values + vote * n + j, mask=j < listed, other=0.0)
        b_j = tl.load(scratch + size + vote * n + j, mask=j < listed, other=-2)
        e_j = tl.load(scratch + vote * n + j, mask=j < listed, other=0)
        counts = (b[:, None] == b_j[None, :]) & (q_j[None, :] >= q[:, None])
        gain += tl.sum(tl.where(counts, e_j[None, :], 0), axis=1)
    return i < listed, q, gain


@triton.jit
def refine(
    p, columns, own_columns, features, steps, effects, rows, count, lows, scales, divisor, n, candidates,
    bounds, sizes, histogram, scratch, size, values, candidate, threshold, gain,
    BINS: tl.constexpr, ROWS: tl.constexpr, PAIRS: tl.constexpr, CANDIDATES: tl.constexpr,
):  # fmt: skip
    """Write the first candidate of the greatest exact gain, that gain, and its lowest threshold.

    CANDIDATES is a power of two, `candidates` or more: which may win is looked up for all of them at once.
    """
    vote = tl.program_id(0).to(tl.int64)
    low, scale, m = tl.load(lows + vote), tl.load(scales + vote), tl.load(count + vote)
    if m > 0:
        every = tl.arange(0, CANDIDATES)
        at = bounds + vote * candidates + every
        reached = tl.max(tl.load(at, mask=every < candidates, other=0), axis=0)
        most = tl.load(at + sizes, mask=every < candidates, other=-1)
        best = reached - 1  # some candidate reaches more
        winner = vote * 0
        c = tl.min(tl.where(most > best, every, CANDIDATES), axis=0)
        while c < candidates:
            listed = collect_rows(
                p, columns, own_columns, features, steps, effects, rows, m, low, scale, divisor, n, candidates,
                vote, c, best + 1, histogram + vote * 2 * BINS, scratch, size, values, BINS, ROWS,
            )  # fmt: skip
            exact = reached * 0  # all off
            for start in range(0, listed, PAIRS):
                valid, q, found = gains_of(scratch, size, values, vote, n, start, listed, PAIRS)
                exact = tl.maximum(exact, tl.max(tl.where(valid, found, 0), axis=0))
            winner = tl.where(exact > best, c, winner)
            best = tl.maximum(exact, best)
            c = tl.min(tl.where((most > best) & (every > c), every, CANDIDATES), axis=0)
        listed = collect_rows(
            p, columns, own_columns, features, steps, effects, rows, m, low, scale, divisor, n, candidates,
            vote, winner, best, histogram + vote * 2 * BINS, scratch, size, values, BINS, ROWS,
        )  # fmt: skip
        cut = low * 0 + float("inf")  # the lowest row that is on
        for start in range(0, listed, PAIRS):
            valid, q, found = gains_of(scratch, size, values, vote, n, start, listed, PAIRS)
            cut = tl.minimum(cut, tl.min(tl.where(valid & (found == best), q, float("inf")), axis=0))
        below, first, last = low * 0 - float("inf"), low * 0 + float("inf"), low * 0 - float("inf")
        for start in range(0, m, ROWS):
            places = start + tl.arange(0, ROWS)
            _, q = stepped(
                p, columns, own_columns, features, steps, rows, divisor, n, candidates, vote, winner, places, places < m
            )  # fmt: skip
            first = tl.minimum(first, tl.min(tl.where(places < m, q, float("inf")), axis=0))
            last = tl.maximum(last, tl.max(tl.where(places < m, q, -float("inf")), axis=0))
            below = tl.maximum(below, tl.max(tl.where((places < m) & (q < cut), q, -float("inf")), axis=0))
        tl.store(candidate + vote, winner)
        tl.store(gain + vote, best)
        tl.store(threshold + vote, threshold_between(below, cut, first, last, m))


@triton.jit
def threshold_between(below, cut, first, last, m):
    """See :func:`scd.search.reference.threshold_at`; the same arithmetic in float32."""
    size = tl.maximum(tl.abs(first), tl.abs(last))
    size = tl.where(size > 0, size, 1.0)
    margin = tl.maximum(tl.div_rn(last - first, (2 * m).to(tl.float32)), size * LEAST)
    inside = (cut > first) & (cut < float("inf"))
    lower, upper = tl.where(inside, below, first), tl.where(inside, cut, first)
    middle = lower + (upper - lower) * 0.5
    middle = tl.where(middle < upper, middle, lower)
    return tl.where(inside, middle, tl.where(cut == first, first - margin, last + margin))
