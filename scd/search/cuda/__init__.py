"""The searches on CUDA: Triton kernels in the files ``cuda_*.py`` beside this one, between operations of torch.

Nothing here waits for the device: how many rows have an effect, which candidates are worth a closer look and what they
reach are decided there. The search within a window of ranks sorts, as the reference does, and waits.

Under Triton's interpreter (``TRITON_INTERPRET=1`` before the first import) the same kernels run on CPU tensors, slowly.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch

from scd.search import Best, Window, reference
from scd.search.cuda import counts as cuda_counts
from scd.search.cuda import histogram as cuda_histogram
from scd.search.cuda import logistic

_BINS = 2048
_ROWS = 1024  # rows a program works on at a time
_REFINED = {"ROWS": 4096, "num_warps": 16}  # one program a vote, so each has a multiprocessor for itself
_COUNTED = {"PART": 2048, "ROWS": 128}  # rows of a program, and at a time, that are counted
_MOST_COUNTED = 63  # hidden nodes up to which the counts of a program stay in registers
_PAIRS = 32  # rows of one side of a comparison of all pairs
_SCRATCH_BYTES = 512 << 20  # of histograms at a time

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
    part = max(1, _SCRATCH_BYTES // (2 * _BINS * 4 * features.shape[1]))
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
    scratch = torch.empty(3, votes, n, dtype=torch.int64, device=device)
    values = torch.empty(votes, n, dtype=torch.float32, device=device)
    best = Best(
        torch.zeros(votes, dtype=torch.int64, device=device),
        torch.full((votes,), torch.nan, dtype=torch.float32, device=device),
        torch.zeros(votes, dtype=torch.int64, device=device),
    )
    own_columns = columns.shape[1] * n if columns.ndim == 3 else 0
    case = (p, columns, own_columns, features, steps, effects, rows, count, low, scale, divisor, n, candidates)
    cuda_histogram.fill[(votes, candidates)](*case, shifts, histogram, BINS=_BINS, ROWS=_ROWS, enable_fp_fusion=False)
    size = votes * candidates
    cuda_histogram.bound[(votes, candidates)](histogram, count, shifts, bounds, size, candidates, BINS=_BINS)
    cuda_histogram.refine[(votes,)](
        *case, bounds, size, exact, scratch, votes * n, values, *best,
        BINS=_BINS, PAIRS=_PAIRS, CANDIDATES=_power_of_two(candidates), enable_fp_fusion=False, **_REFINED,
    )  # fmt: skip
    return best


def _active_rows(effects):
    """(V, n) int32: the rows that have an effect first, in their order; (V,) int32: how many they are."""
    votes, n = effects.shape
    on = effects != 0
    place = torch.where(on, on.cumsum(1) - 1, n)  # the others share a place behind
    number = torch.arange(n, dtype=torch.int32, device=effects.device).expand(votes, n)
    rows = torch.zeros(votes, n + 1, dtype=torch.int32, device=effects.device).scatter_(1, place, number)
    return rows[:, :n].contiguous(), on.sum(1, dtype=torch.int32)


def _shifts(effects):
    """(V,) int64: bits by which effects are shifted so that 31 bits hold any sum of them."""
    return torch.ceil(torch.log2((effects.abs().sum(1) >> 30).double() + 1)).long()


def _bins_of(p, on):
    """(V,) float32 lowest projection of a row that is `on`, and bins for a unit of projection; 0: all in one bin."""
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
    whole: bool = False,
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
    if whole and nodes <= _MOST_COUNTED:
        sizes = {"VALUES": max(16, _power_of_two(2 * nodes + 1)), "NODES": max(16, _power_of_two(nodes + 1))}
        counts = torch.zeros(votes, 2, sizes["NODES"], sizes["VALUES"], dtype=torch.float32, device=sums.device)
        parts = -(-n // _COUNTED["PART"])
        cuda_counts.count[(votes, parts, 2)](sums, inputs, labels, rows, n, nodes, counts, **_COUNTED, **sizes)
        case, kernels = (counts, nodes, features, steps, candidates), cuda_counts
    else:
        sizes, kernels = {"ROWS": _ROWS}, logistic
        case = (sums, inputs, nodes * n, features, steps, labels, rows, n, candidates)
    kernels.solve[(votes, candidates)](*case, threshold, loss, **sizes)
    least = loss.amin(1)
    candidate = (loss == least[:, None]).to(torch.uint8).argmax(1)  # the first: argmin promises none
    moved = threshold.gather(1, candidate[:, None])[:, 0].contiguous()
    kernels.to_midpoint[(votes,)](*case, candidate, moved, **sizes)
    return candidate, moved, least


def _power_of_two(least):
    return 1 << (least - 1).bit_length()
