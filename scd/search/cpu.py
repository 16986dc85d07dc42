"""The searches on CPU: Numba, parallel over votes. The compiled parts are in the files ``cpu_*.py`` beside this one."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit, prange

from scd.devices import threads_for
from scd.search import Best, Window, cpu_node

_BLOCK = 256  # rows a projection works on at a time, so that the sums of a vote stay in the L1 cache


def project(columns: torch.Tensor, weights: torch.Tensor, divisor: float = 1.0) -> torch.Tensor:
    """See :func:`scd.search.reference.project`; sums in feature order whatever the shapes and threads."""
    out = np.zeros((weights.shape[0], weights.shape[1], columns.shape[1]), dtype=np.float32)
    _project(columns.numpy(), weights.numpy(), np.float32(divisor), out)
    return torch.from_numpy(out)


@njit(parallel=True, nogil=True, cache=True)
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
    votes = len(projections)
    candidate = np.zeros(votes, dtype=np.int64)
    threshold = np.zeros(votes, dtype=np.float32)
    gain = np.zeros(votes, dtype=np.int64)
    x = columns.numpy()[None] if columns.ndim == 2 else columns.numpy()
    node = (projections.numpy(), x, np.float32(divisor), features.numpy(), steps.numpy(), effects.numpy())
    found = (candidate, threshold, gain)
    with threads_for(votes):
        if window is None:
            narrow = np.abs(node[-1]).sum(axis=1).max() < 2**31  # then half the memory will do
            zero = np.zeros(1, dtype=np.int32 if narrow else np.int64)
            if _are_activations(columns, divisor):
                from scd.search.cpu_activations import search_activation_votes

                search_activation_votes(node[0], x, *node[3:], zero, *found)
            else:
                from scd.search.cpu_histogram import search_votes

                greatest = 255 / divisor if columns.dtype == torch.uint8 else np.inf
                search_votes(*node, zero, np.float32(greatest), *found)
        else:
            from scd.search.cpu_window import search_window_votes  # compiled only where it is used

            search_window_votes(*node, window.rows.numpy(), window.current.numpy(), window.radius, *found)
    return Best(*(torch.from_numpy(each) for each in found))


def _are_activations(columns: torch.Tensor, divisor: float) -> bool:
    return columns.ndim == 3 and columns.dtype == torch.uint8 and divisor == 1 and bool(columns.max() <= 1)


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
    votes = len(sums)
    candidate = np.zeros(votes, dtype=np.int64)
    threshold = np.zeros(votes, dtype=np.float64)
    loss = np.zeros(votes, dtype=np.float64)
    with threads_for(votes):
        from scd.search.cpu_logistic import search_logistic_votes

        search_logistic_votes(
            sums.numpy(), inputs.numpy(), features.numpy(), steps.numpy(), labels.numpy(), rows.numpy(),
            candidate, threshold, loss,
        )  # fmt: skip
    return torch.from_numpy(candidate), torch.from_numpy(threshold), torch.from_numpy(loss)


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
    out = torch.empty(sums.shape, dtype=torch.int64)
    node = (sums.numpy(), active.numpy(), nodes.numpy(), unit.numpy(), threshold.numpy(), batch.numpy(), negatives)
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
            projections.numpy(), active.numpy(), sums.numpy(), nodes.numpy(), unit.numpy(), columns.numpy(),
            np.float32(divisor), features.numpy(), steps.numpy(), norms.numpy(), thresholds.numpy(),
        )  # fmt: skip


def output_sums(active: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """See :func:`scd.search.reference.output_sums`."""
    votes, _, n = active.shape
    out = np.zeros((votes, n))
    with threads_for(votes):
        _output_sums(active.numpy(), output.numpy(), out)
    return torch.from_numpy(out)


@njit(parallel=True, nogil=True, cache=True)
def _output_sums(active, output, out):
    for v in prange(len(out)):
        for k in range(output.shape[1]):
            weight, on, total = output[v, k], active[v, k], out[v]
            for i in range(len(total)):
                total[i] += weight * on[i]
