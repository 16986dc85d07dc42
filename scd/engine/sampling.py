"""The random draws of training: batches, hidden nodes, features; one generator a vote."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch

from scd.devices import threads_for
from scd.engine.parameters import Settings
from scd.engine.pcg import draw, states_of

_BLOCK_ON_DEVICE = 32  # iterations drawn and uploaded together, while the device works on those before


class Draw(NamedTuple):
    """What one iteration of V votes takes by chance, from k hidden nodes a vote."""

    batch: torch.Tensor
    """(V, n) bool: the same fraction of each class, without replacement."""
    nodes: torch.Tensor
    """(k, V) int64: hidden nodes, each at most once a vote."""
    features: torch.Tensor
    """(k, V, F) int64: features, without replacement."""


class Draws:
    """The draws of one iteration after the other.

    A generator's state is taken over at the start, so nothing else may be asked of it. It is asked in the order of the
    iterations, so what a vote draws depends on neither the other votes nor on how many iterations are drawn at a time.

    Parameters
    ----------
    generators : list of V numpy generators
    shape : (d, n)
        Features and rows; rows are ordered by class, label 0 first.
    negatives : int
        Rows of label 0.
    settings : Settings
    device : torch.device
    """

    def __init__(
        self,
        generators: list[np.random.Generator],
        shape: tuple[int, int],
        negatives: int,
        settings: Settings,
        device: torch.device,
    ) -> None:
        self.states, self.shape, self.negatives = states_of(generators), shape, negatives
        self.settings, self.device = settings, device
        self.block = 1 if device.type == "cpu" else _BLOCK_ON_DEVICE
        self.waiting: list[Draw] = []
        self.ahead: Future[tuple[np.ndarray, ...]] | None = None
        self.worker = None if device.type == "cpu" else ThreadPoolExecutor(1)

    def next(self) -> Draw:
        """The draws of the next iteration."""
        if not self.waiting:
            arrays = self.ahead.result() if self.ahead else self._draw_block()
            parts = [self._to_device(array) for array in arrays]
            self.waiting = [Draw(*each) for each in zip(*parts, strict=True)][::-1]
            self.ahead = self.worker.submit(self._draw_block) if self.worker else None
        return self.waiting.pop()

    def _draw_block(self) -> tuple[np.ndarray, ...]:
        s, (d, n) = self.settings, self.shape
        votes, k = len(self.states), s.nodes_per_iter
        batch = np.ones((self.block, votes, n), dtype=np.bool_)
        nodes = np.empty((self.block, k, votes), dtype=np.int64)
        features = np.empty((self.block, k, votes, s.features_per_step), dtype=np.int64)
        sizes = (self.negatives, n - self.negatives)
        first, second = (size - max(1, round(s.batch_fraction * size)) for size in sizes)  # left out
        with threads_for(votes):
            draw(self.states, self.negatives, first, second, d, s.hidden_nodes, batch, nodes, features)
        return batch, nodes, features

    def _to_device(self, array: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        return tensor if self.device.type == "cpu" else tensor.pin_memory().to(self.device, non_blocking=True)
