"""The searches on CPU: Numba, parallel over votes.

This file turns tensors into arrays, chooses types and calls the compiled kernels, in the order of an iteration:

``output``      step and threshold of the output node, 0-1 loss
``logistic``    the same under cross-entropy
``node``        effects of a hidden node's rows before its search, and its new outputs after
``hidden``      step and threshold of a hidden node, or of any node within a window of ranks
``thresholds``  the threshold between sorted projections
``llvm``        activations as bits, and features of chosen rows
"""

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
from scd.search.cpu import node as hidden_node
from scd.search.cpu.llvm import LANES, unpack

_INT32 = 2**31  # integers below this fit 32 bits, half the memory
_BLOCK = 256  # rows a projection works on at a time, so that the sums of a vote stay in the L1 cache


def project(columns: torch.Tensor, weights: torch.Tensor, divisor: float = 1.0) -> torch.Tensor:
    """See :func:`scd.search.reference.project`; sums in feature order whatever the shapes and threads."""
    out = np.zeros((weights.shape[0], weights.shape[1], columns.shape[1]), dtype=np.float32)
    with threads_for(-(-columns.shape[1] // _BLOCK)):
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
    from scd.search.cpu import hidden  # here, because the output node's search may do without it

    candidates = hidden.Candidates(x, np.float32(divisor), features.numpy(), steps.numpy())
    found, arrays = _room_for(len(projections))
    with threads_for(len(projections)):
        if window is None:
            maximum = np.float32(255 / divisor if columns.dtype == torch.uint8 else np.inf)
            hidden.search_votes(projections.numpy(), candidates, _shortest(effects), maximum, *arrays)
        else:
            ranks = hidden.Ranks(window.rows.numpy(), window.current.numpy(), window.radius)
            hidden.search_window_votes(projections.numpy(), candidates, _shortest(effects), ranks, *arrays)
    return found


def _room_for(votes: int) -> tuple[Best, tuple[Any, ...]]:
    """Tensors for what a search finds, and the same memory as arrays."""
    best = Best(torch.zeros(votes, dtype=torch.int64), torch.zeros(votes), torch.zeros(votes, dtype=torch.int64))
    return best, tuple(each.numpy() for each in best)


def _shortest(effects: torch.Tensor) -> Any:
    """The effects in the shortest type in which no sum of them overflows: 32 bits take half the memory and time."""
    narrow = effects.dtype == torch.int32 or hidden_node.max_total(effects.numpy()) < _INT32
    return effects.numpy().astype(np.int32 if narrow else np.int64, copy=False)


def activations(projections: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
    """See :func:`scd.search.reference.activations`; (V, ceil(h / 32), n) int32 words of bits."""
    votes, hidden, n = projections.shape
    words = torch.zeros(votes, -(-hidden // LANES), n, dtype=torch.int32)
    for k in range(hidden):
        on = (projections[:, k] > thresholds[:, k, None]).to(torch.int32)
        words[:, k // LANES] |= on << k % LANES
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
    best, arrays = _room_for(len(sums))
    left = torch.ones(len(sums), dtype=torch.bool)
    if window is None:
        with threads_for(len(sums)):
            from scd.search.cpu.output import NO_BINS, search_activation_votes

            node = (sums.numpy(), _words(active), features.numpy(), steps.numpy(), _shortest(effects))
            search_activation_votes(*node, *arrays)
        left = best.candidate == NO_BINS
        if not left.any():
            return best
    columns = torch.from_numpy(np.stack([unpack(words) for words in _words(active[left])]))
    found = search(sums[left].float(), columns, features[left], steps[left].float(), effects[left], window)
    for mine, other in zip(best, found, strict=True):
        mine[left] = other
    return best


def search_logistic(
    sums: torch.Tensor,
    active: torch.Tensor,
    features: torch.Tensor,
    steps: torch.Tensor,
    labels: torch.Tensor,
    rows: torch.Tensor,
    integral: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """See :func:`scd.search.reference.search_logistic`; Newton's method, guarded by a bracket, instead of bisection."""
    votes = len(sums)
    found = (np.zeros(votes, dtype=np.int64), np.zeros(votes), np.zeros(votes))
    node = (sums.numpy(), _words(active), features.numpy(), steps.numpy())
    with threads_for(votes):
        from scd.search.cpu.logistic import search_logistic_votes

        search_logistic_votes(*node, labels.numpy(), rows.numpy(), *found)
    candidate, threshold, loss = (torch.from_numpy(each) for each in found)
    return candidate, threshold, loss


def output_effects(batch: torch.Tensor, negatives: int, weights: tuple[int, int]) -> torch.Tensor:
    """See :func:`scd.objective.zero_one_output_effects`."""
    return zero_one_output_effects(batch, negatives, weights, _effects_type(max(weights), batch.shape[1]))


def _effects_type(maximum: float, rows: int) -> torch.dtype:
    """Type of effects of at most this magnitude: 32 bits if no sum of them overflows."""
    return torch.int32 if maximum * rows < _INT32 else torch.int64


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
    maximum = FIXED_POINT * float(unit.abs().max()) + 1 if weights is None else max(weights)
    out = torch.empty(sums.shape, dtype=_effects_type(maximum, sums.shape[1]))
    node = hidden_node.Node(sums.numpy(), _words(active), nodes.numpy(), unit.numpy())
    rows = (threshold.numpy(), batch.numpy(), negatives)
    with threads_for(len(sums)):
        if weights is None:
            hidden_node.cross_entropy(node, *rows, out.numpy())
        else:
            hidden_node.zero_one(node, *rows, weights, out.numpy())
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
    node = (_words(active), sums.numpy(), nodes.numpy(), unit.numpy())
    arrays = (features.numpy(), steps.numpy(), norms.numpy(), thresholds.numpy())
    with threads_for(len(nodes)):
        hidden_node.take_step(
            projections.numpy(), *node, hidden_node.Step(columns.numpy(), np.float32(divisor), *arrays)
        )


def output_sums(active: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """See :func:`scd.search.reference.output_sums`."""
    weights = (output.numpy() * GRID).astype(np.int64)
    out = torch.empty(active.shape[0], active.shape[2], dtype=torch.float64)
    narrow = np.abs(weights).sum(axis=1).max() < _INT32
    with threads_for(len(out)):
        hidden_node.output_sums(_words(active), weights.astype(np.int32) if narrow else weights, out.numpy())
    return out
