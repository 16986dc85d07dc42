"""The searches on CPU: Numba, parallel over votes. The compiled parts are in the files ``cpu_*.py`` beside this one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import prange

from scd.devices import threads_for
from scd.engine.parameters import GRID
from scd.numba_cache import njit
from scd.objective import FIXED_POINT, zero_one_output_effects
from scd.search import Best, Window
from scd.search.cpu import bits
from scd.search.cpu import node as cpu_node

_INT32 = 2**31  # what numbers of half the memory stay below
_BLOCK = 256  # rows a projection works on at a time, so that the sums of a vote stay in the L1 cache


def project(columns: torch.Tensor, weights: torch.Tensor, divisor: float = 1.0) -> torch.Tensor:
    """See :func:`scd.search.reference.project`; sums in feature order whatever the shapes and threads."""
    out = np.zeros((weights.shape[0], weights.shape[1], columns.shape[1]), dtype=np.float32)
    _project(columns.numpy(), weights.numpy(), np.float32(divisor), out)
    return torch.from_numpy(out)


@njit(parallel=True, nogil=True)
def _project(columns, weights, divisor, out):
    d, n = columns.shape
    for block in prange((n + _BLOCK - 1) // _BLOCK):
        low, high = block * _BLOCK, min(n, (block + 1) * _BLOCK)
        x = np.empty(high - low, dtype=np.float32)
        for v in range(len(weights)):
            for j in range(d):
                for i in range(high - low):
                    x[i] = np.float32(columns[j, low + i]) / divisor
                for k in range(weights.shape[1]):
                    w, total = weights[v, k, j], out[v, k, low:high]
                    for i in range(high - low):
                        total[i] += w * x[i]


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
    x = columns.numpy()[None] if columns.ndim == 2 else columns.numpy()
    node = (projections.numpy(), x, np.float32(divisor), features.numpy(), steps.numpy(), _shortest(effects))
    found = _nothing_found(len(projections))
    with threads_for(len(projections)):
        if window is None:
            from scd.search.cpu.hidden import search_votes

            greatest = 255 / divisor if columns.dtype == torch.uint8 else np.inf
            search_votes(*node, np.float32(greatest), *found)
        else:
            from scd.search.cpu.window import search_window_votes  # compiled only where it is used

            search_window_votes(*node, window.rows.numpy(), window.current.numpy(), window.radius, *found)
    return Best(*(torch.from_numpy(each) for each in found))


def _nothing_found(votes: int) -> tuple[Any, ...]:
    return np.zeros(votes, dtype=np.int64), np.zeros(votes, dtype=np.float32), np.zeros(votes, dtype=np.int64)


def _shortest(effects: torch.Tensor) -> Any:
    """The effects in the shortest type in which no sum of them overflows: half the memory, twice as many at a time."""
    narrow = effects.dtype == torch.int32 or cpu_node.greatest_total(effects.numpy()) < _INT32
    return effects.numpy().astype(np.int32 if narrow else np.int64, copy=False)


def activations(projections: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
    """See :func:`scd.search.reference.activations`; (V, ceil(h / 32), n) int32, the words of ``cpu_bits.py``."""
    votes, hidden, n = projections.shape
    words = torch.zeros(votes, -(-hidden // bits.LANES), n, dtype=torch.int32)
    for k in range(hidden):
        on = (projections[:, k] > thresholds[:, k, None]).to(torch.int32)
        words[:, k // bits.LANES] |= on << k % bits.LANES
    return words


def _words(active: torch.Tensor) -> Any:
    return active.numpy().view(np.uint32)


def search_output(
    sums: torch.Tensor,
    active: torch.Tensor,
    features: torch.Tensor,
    steps: torch.Tensor,
    effects: torch.Tensor,
    window: Window | None = None,
) -> Best:
    """See :func:`scd.search.reference.search_output`."""
    best = Best(*(torch.from_numpy(each) for each in _nothing_found(len(sums))))
    left = torch.ones(len(sums), dtype=torch.bool)
    if window is None:
        with threads_for(len(sums)):
            from scd.search.cpu.output import NO_BINS, search_activation_votes

            node = (sums.numpy(), _words(active), features.numpy(), steps.numpy(), _shortest(effects))
            search_activation_votes(*node, *(each.numpy() for each in best))
        left = best.candidate == NO_BINS
        if not left.any():
            return best
    columns = torch.from_numpy(np.stack([bits.unpack(words) for words in _words(active[left])]))
    found = search(sums[left].float(), columns, features[left], steps[left].float(), effects[left], window)
    for ours, theirs in zip(best, found, strict=True):
        ours[left] = theirs
    return best


def search_logistic(
    sums: torch.Tensor,
    active: torch.Tensor,
    features: torch.Tensor,
    steps: torch.Tensor,
    labels: torch.Tensor,
    rows: torch.Tensor,
    whole: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """See :func:`scd.search.reference.search_logistic`; Newton's method, guarded by a bracket, instead of bisection."""
    votes = len(sums)
    candidate = np.zeros(votes, dtype=np.int64)
    threshold = np.zeros(votes, dtype=np.float64)
    loss = np.zeros(votes, dtype=np.float64)
    with threads_for(votes):
        from scd.search.cpu.logistic import search_logistic_votes

        search_logistic_votes(
            sums.numpy(), _words(active), features.numpy(), steps.numpy(), labels.numpy(), rows.numpy(),
            candidate, threshold, loss,
        )  # fmt: skip
    return torch.from_numpy(candidate), torch.from_numpy(threshold), torch.from_numpy(loss)


def output_effects(batch: torch.Tensor, negatives: int, weights: tuple[int, int]) -> torch.Tensor:
    """See :func:`scd.objective.zero_one_output_effects`."""
    return zero_one_output_effects(batch, negatives, weights, _effects_type(max(weights), batch.shape[1]))


def _effects_type(greatest: float, rows: int) -> torch.dtype:
    """Of effects of at most this magnitude: 32 bits if these hold any sum of them."""
    return torch.int32 if greatest * rows < _INT32 else torch.int64


def hidden_effects(
    sums: torch.Tensor,
    active: torch.Tensor,
    nodes: torch.Tensor,
    unit: torch.Tensor,
    threshold: torch.Tensor,
    batch: torch.Tensor,
    negatives: int,
    weights: tuple[int, int] | None,
) -> torch.Tensor:
    """See :func:`scd.search.reference.hidden_effects`."""
    greatest = FIXED_POINT * float(unit.abs().max()) + 1 if weights is None else max(weights)
    out = torch.empty(sums.shape, dtype=_effects_type(greatest, sums.shape[1]))
    node = (sums.numpy(), _words(active), nodes.numpy(), unit.numpy(), threshold.numpy(), batch.numpy(), negatives)
    with threads_for(len(sums)):
        if weights is None:
            cpu_node.cross_entropy(*node, out.numpy())
        else:
            cpu_node.zero_one(*node, weights, out.numpy())
    return out


def take_step(
    projections: torch.Tensor,
    active: torch.Tensor,
    sums: torch.Tensor,
    nodes: torch.Tensor,
    unit: torch.Tensor,
    columns: torch.Tensor,
    divisor: float,
    features: torch.Tensor,
    steps: torch.Tensor,
    norms: torch.Tensor | None,
    thresholds: torch.Tensor,
) -> None:
    """See :func:`scd.search.reference.take_step`."""
    norms = torch.ones(len(nodes)) if norms is None else norms
    with threads_for(len(nodes)):
        cpu_node.take_step(
            projections.numpy(), _words(active), sums.numpy(), nodes.numpy(), unit.numpy(), columns.numpy(),
            np.float32(divisor), features.numpy(), steps.numpy(), norms.numpy(), thresholds.numpy(),
        )  # fmt: skip


def output_sums(active: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """See :func:`scd.search.reference.output_sums`."""
    weights = (output.numpy() * GRID).astype(np.int64)
    out = torch.empty(active.shape[0], active.shape[2], dtype=torch.float64)
    narrow = np.abs(weights).sum(axis=1).max() < _INT32
    with threads_for(len(out)):
        cpu_node.output_sums(_words(active), weights.astype(np.int32) if narrow else weights, out.numpy())
    return out
