"""The direction estimate of HopSkipJump with rows that are made on the device of the model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from attacks.engine.bisection import BoundarySearch
from attacks.engine.cuda import Card
from attacks.engine.run_state import Selection


def directions_on_card(
    card: Card,
    search: BoundarySearch,
    who: Selection,
    evaluations: NDArray[np.int64],
    delta: NDArray[np.float64],
    keys: NDArray[np.uint64],
) -> NDArray[np.float32]:
    """See :func:`attacks.engine.gradient_estimate.estimate_directions`: the same questions in the same order."""
    runs, d = search.runs, search.task.x.shape[1]
    direction = np.empty((len(who), d), dtype=np.float32)
    for low, high in _groups(evaluations, card.block_rows):
        count, some = evaluations[low:high], who[low:high]
        owner = np.repeat(np.arange(high - low), count)
        number = np.arange(len(owner)) - (np.cumsum(count) - count)[owner]
        centres, crossed = card.put(runs.point[some]), np.zeros(high - low, dtype=np.int64)
        sums = torch.zeros(high - low, 2, d, dtype=torch.float64, device=card.device)
        for begin in range(0, len(owner), card.block_rows):
            mine = owner[begin : begin + card.block_rows]
            numbers = number[begin : begin + card.block_rows]
            rows = card.moves(centres, keys[low:high], mine, numbers, delta[low:high], search.linf)
            adversarial = search.journal.ask(rows, runs.example[some[mine]])
            runs.spent += np.bincount(some[mine], minlength=len(runs))
            crossed += np.bincount(mine[adversarial], minlength=high - low)
            card.add(rows, centres, mine, adversarial, sums)
        direction[low:high] = _combined(card, sums, crossed, count, search.linf)
    return direction


def _groups(evaluations: NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """Neighbouring runs that together ask at most `most` rows, or a single one that asks more."""
    low, total = 0, 0
    for k, count in enumerate(evaluations):
        if k > low and total + count > most:
            yield low, k
            low, total = k, 0
        total += int(count)
    if len(evaluations):
        yield low, len(evaluations)


def _combined(
    card: Card, sums: torch.Tensor, crossed: NDArray[np.int64], evaluations: NDArray[np.int64], linf: bool
) -> NDArray[np.float32]:
    """Weigh the two sums of moves of every run into one direction, as the host does."""
    share = crossed / evaluations
    one_sided = (crossed == 0) | (crossed == evaluations)
    weights = np.where(one_sided[:, None], 1.0, np.stack([share, 1.0 - share], axis=1))
    weight = card.put(weights)[:, :, None]
    gradient = weight[:, 1] * sums[:, 1] - weight[:, 0] * sums[:, 0]
    if linf:
        gradient = gradient.sign()
    else:
        norm = (gradient * gradient).sum(1, keepdim=True).sqrt()
        gradient = gradient / torch.where(norm > 0, norm, torch.ones_like(norm))
    found: NDArray[np.float32] = gradient.float().cpu().numpy()
    return found
