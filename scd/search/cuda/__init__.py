"""The searches on CUDA: Triton kernels in the files beside this one, between operations of torch.

``histogram``  step and threshold of a node over all thresholds
``logistic``   the output node under cross-entropy
``counts``     the same with binary weights

Nothing here synchronises with the device: how many rows have an effect, which candidates need exact gains and what they
reach are decided there. The search within a window of ranks is the reference's, which does synchronise.

Under Triton's interpreter (``TRITON_INTERPRET=1`` before the first import) the same kernels run on CPU tensors, slowly.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch

from scd.search import Best, Window, reference
from scd.search.cuda import counts as counting
from scd.search.cuda import histogram as screening
from scd.search.cuda import logistic

_BINS = 2048
_ROWS = 1024  # rows a program works on at a time
_REFINED = {"ROWS": 4096, "num_warps": 16}  # one program per vote, so each has a multiprocessor for itself
_COUNTED = {"PART": 2048, "ROWS": 128}  # rows counted by a program, and at a time
_MAX_COUNTED = 63  # hidden nodes up to which the counts of a program stay in registers
_PAIRS = 32  # rows of one side of a comparison of all pairs
_HISTOGRAM_BYTES = 512 << 20  # of histograms at a time

project = reference.project
activations = reference.activations
output_sums = reference.output_sums
output_effects = reference.output_effects
hidden_effects = reference.hidden_effects
take_step = reference.take_step


def search(
    projections: torch.Tensor,
    columns: torch.Tensor,
    features: torch.Tensor,
    steps: torch.Tensor,
    effects: torch.Tensor,
    window: Window | None = None,
    divisor: float = 1.0,
) -> Best:
    """See :class:`scd.search.Search`."""
    if window is not None:
        return reference.search(projections, columns, features, steps, effects, window, divisor)
    votes = len(projections)
    part = max(1, _HISTOGRAM_BYTES // (2 * _BINS * 4 * features.shape[1]))
    found = [
        _search(
            projections[i : i + part],
            columns if columns.ndim == 2 else columns[i : i + part],
            features[i : i + part],
            steps[i : i + part],
            effects[i : i + part],
            divisor,
        )
        for i in range(0, votes, part)
    ]
    return found[0] if len(found) == 1 else Best(*(torch.cat(each) for each in zip(*found, strict=True)))


def _search(p, columns, features, steps, effects, divisor):
    (votes, n), candidates, device = p.shape, features.shape[1], p.device
    p, columns, features, steps, effects = (x.contiguous() for x in (p, columns, features, steps, effects))
    rows, count = _active_rows(effects)
    low, scale = _bins_of(p, effects != 0)
    shifts = _shifts(effects)
    histogram = torch.zeros(votes, candidates, 2, _BINS, dtype=torch.int32, device=device)
    exact = torch.empty(votes, 2, _BINS, dtype=torch.int64, device=device)
    bounds = torch.empty(2, votes, candidates, dtype=torch.int64, device=device)
    listed = torch.empty(3, votes, n, dtype=torch.int64, device=device)
    values = torch.empty(votes, n, dtype=torch.float32, device=device)
    best = Best(
        torch.zeros(votes, dtype=torch.int64, device=device),
        torch.full((votes,), torch.nan, dtype=torch.float32, device=device),
        torch.zeros(votes, dtype=torch.int64, device=device),
    )
    own_columns = columns.shape[1] * n if columns.ndim == 3 else 0
    case = screening.Case(
        p, columns, own_columns, features, steps, effects, rows, count, low, scale, divisor, n, candidates
    )
    screen = screening.Bounds(bounds, votes * candidates)
    grid = (votes, candidates)
    screening.fill[grid](case, shifts, histogram, BINS=_BINS, ROWS=_ROWS, enable_fp_fusion=False)
    screening.bound[grid](histogram, count, shifts, screen, candidates, BINS=_BINS)
    work = screening.Work(exact, values, listed, votes * n)
    sizes = {"BINS": _BINS, "PAIRS": _PAIRS, "CANDIDATES": _power_of_two(candidates), **_REFINED}
    screening.refine[(votes,)](case, screen, work, screening.Found(*best), enable_fp_fusion=False, **sizes)
    return best


def _active_rows(effects):
    """(V, n) int32: numbers of the rows that have an effect first, in order; (V,) int32: how many these are."""
    votes, n = effects.shape
    on = effects != 0
    place = torch.where(on, on.cumsum(1) - 1, n)  # the others share a last place
    number = torch.arange(n, dtype=torch.int32, device=effects.device).expand(votes, n)
    rows = torch.zeros(votes, n + 1, dtype=torch.int32, device=effects.device).scatter_(1, place, number)
    return rows[:, :n].contiguous(), on.sum(1, dtype=torch.int32)


def _shifts(effects):
    """(V,) int64: bits by which effects are shifted, so that no sum of them overflows 31 bits."""
    return torch.ceil(torch.log2((effects.abs().sum(1) >> 30).double() + 1)).long()


def _bins_of(p, on):
    """(V,) float32 minimum projection of the rows that are `on`, and bins per unit; 0: all in one bin."""
    low, high = p.masked_fill(~on, torch.inf).amin(1), p.masked_fill(~on, -torch.inf).amax(1)
    scale = _BINS / (high - low)
    return low, torch.where(scale.isfinite() & (scale > 0), scale, 0.0)


def search_output(sums, active, features, steps, effects, window=None):
    """See :func:`scd.search.reference.search_output`."""
    return search(sums.float(), active, features, steps.float(), effects, window)


def search_logistic(
    sums: torch.Tensor,
    inputs: torch.Tensor,
    features: torch.Tensor,
    steps: torch.Tensor,
    labels: torch.Tensor,
    rows: torch.Tensor,
    integral: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """See :func:`scd.search.reference.search_logistic`; Newton's method, guarded by a bracket, instead of bisection."""
    (votes, n), candidates = sums.shape, features.shape[1]
    sums, inputs, features, steps = (x.contiguous() for x in (sums, inputs, features, steps))
    rows, labels = rows.to(torch.uint8).contiguous(), labels.to(torch.uint8)
    threshold = torch.empty(votes, candidates, dtype=torch.float64, device=sums.device)
    loss = torch.empty_like(threshold)
    nodes = inputs.shape[1]
    kernels: ModuleType
    case: tuple[Any, ...]
    if integral and nodes <= _MAX_COUNTED:
        sizes = {"VALUES": max(16, _power_of_two(2 * nodes + 1)), "NODES": max(16, _power_of_two(nodes + 1))}
        counts = torch.zeros(votes, 2, sizes["NODES"], sizes["VALUES"], dtype=torch.float32, device=sums.device)
        parts = -(-n // _COUNTED["PART"])
        counting.count[(votes, parts, 2)](sums, inputs, labels, rows, n, nodes, counts, **_COUNTED, **sizes)
        case, kernels = counting.Case(counts, nodes, features, steps, candidates), counting
    else:
        sizes, kernels = {"ROWS": _ROWS}, logistic
        case = logistic.Case(sums, inputs, nodes * n, features, steps, labels, rows, n, candidates)
    kernels.solve[(votes, candidates)](case, threshold, loss, **sizes)
    best = loss.amin(1)
    candidate = (loss == best[:, None]).to(torch.uint8).argmax(1)  # the first: argmin does not say which
    moved = threshold.gather(1, candidate[:, None])[:, 0].contiguous()
    kernels.to_midpoint[(votes,)](case, candidate, moved, **sizes)
    return candidate, moved, best


def _power_of_two(minimum):
    """The smallest power of two that is `minimum` or more."""
    return 1 << (minimum - 1).bit_length()
