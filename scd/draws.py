"""The random draws of training: batches, hidden nodes, features; one generator a vote."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from scd.networks import Settings

_BLOCK_ON_DEVICE = 32  # iterations drawn and uploaded together, so that the device need not wait for each


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

    A generator is asked in the order of the iterations, and for nothing else, so what a vote draws depends on neither
    the other votes nor on how many iterations are drawn at a time.

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
        self.generators, self.shape, self.negatives = generators, shape, negatives
        self.settings, self.device = settings, device
        self.block = 1 if device.type == "cpu" else _BLOCK_ON_DEVICE
        self.waiting: list[Draw] = []

    def next(self) -> Draw:
        """The draws of the next iteration."""
        if not self.waiting:
            parts = [self._to_device(part) for part in self._draw_block()]
            self.waiting = [Draw(*each) for each in zip(*parts, strict=True)][::-1]
        return self.waiting.pop()

    def _draw_block(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        s, (d, n) = self.settings, self.shape
        votes, k = len(self.generators), s.nodes_per_iter
        batch = np.ones((self.block, votes, n), dtype=np.bool_)
        nodes = np.empty((self.block, k, votes), dtype=np.int64)
        features = np.empty((self.block, k, votes, s.features_per_step), dtype=np.int64)
        classes = ((0, self.negatives), (self.negatives, n - self.negatives))
        left_out = [size - max(1, round(s.batch_fraction * size)) for _, size in classes]
        for v, g in enumerate(self.generators):
            for i in range(self.block):
                if s.batch_fraction < 1:
                    for (start, size), out in zip(classes, left_out, strict=True):
                        batch[i, v, start + g.choice(size, out, replace=False, shuffle=False)] = False
                nodes[i, :, v] = g.choice(s.hidden_nodes, k, replace=False)
                for each in range(k):
                    features[i, each, v] = g.choice(d, s.features_per_step, replace=False)
        return batch, nodes, features

    def _to_device(self, array: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        return tensor if self.device.type == "cpu" else tensor.pin_memory().to(self.device, non_blocking=True)
