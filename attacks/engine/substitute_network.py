"""The substitute of a black-box target: a small ReLU network with known gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from scd.devices import one_torch_thread
from scd.seeds import stream_key

from ..oracle import DEFAULT_MEMORY, rows_within

OPTIMIZERS: dict[str, tuple[int, Callable[..., torch.optim.Optimizer]]] = {
    "sgd": (200, partial(torch.optim.SGD, lr=0.01, momentum=0.9)),
    "adam": (128, partial(torch.optim.Adam, lr=1e-4)),
}
"""Batch size and optimiser: "sgd" as in the paper's supplement, "adam" as in the authors' program."""


def torch_generator(seed: int, *names: int | str) -> torch.Generator:
    """Return a CPU generator whose draws depend on `seed` and `names` only, whatever the device of the network."""
    key = stream_key(seed, "substitute", *names)
    return torch.Generator().manual_seed(int(key[0] >> np.uint64(1)))


class SubstituteNetwork:
    """Two hidden layers of ReLU units and linear outputs, one for each label.

    Weights and biases are initialised uniform in +-1/sqrt(inputs of the layer), torch's default for a linear layer,
    drawn from a generator of this network.

    Parameters
    ----------
    n_features, hidden_nodes : int
    seed : int
    optimizer : {"sgd", "adam"}
        See `OPTIMIZERS`.
    device : torch.device
    n_classes : int
    """

    def __init__(
        self, n_features: int, hidden_nodes: int, seed: int, optimizer: str, device: torch.device, n_classes: int = 2
    ) -> None:
        sizes = (n_features, hidden_nodes, hidden_nodes, n_classes)
        # without skip_init torch would draw from its global generator
        layers = [nn.utils.skip_init(nn.Linear, a, b) for a, b in pairwise(sizes)]
        generator = torch_generator(seed, "weights")
        with torch.no_grad():
            for layer in layers:
                bound = layer.in_features**-0.5
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-bound, bound, generator=generator)
        first, second, out = layers
        self.network = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), out).to(device)
        self.seed, self.optimizer, self.device = seed, optimizer, device
        # not from the memory budget: gradients in blocks of another size round differently
        self._block_rows = rows_within(DEFAULT_MEMORY, n_features)

    @one_torch_thread()
    def train(self, rows: NDArray[np.float32], labels: NDArray[Any], epochs: int, turn: int) -> None:
        """Train further with a new optimiser; the number `turn` names the order of the batches.

        Parameters
        ----------
        rows : ndarray of float32, shape (n, d)
        labels : ndarray of int, shape (n,)
        epochs : int
            Passes over the samples, each in a new random order.
        turn : int
        """
        size, make = OPTIMIZERS[self.optimizer]
        optimizer = make(self.network.parameters())
        generator = torch_generator(self.seed, "order", turn)
        x, y = torch.from_numpy(rows), torch.from_numpy(labels.astype(np.int64))
        for _ in range(epochs):
            for batch in torch.randperm(len(x), generator=generator).split(size):
                optimizer.zero_grad()
                logits = self.network(x[batch].to(self.device))
                nn.functional.cross_entropy(logits, y[batch].to(self.device)).backward()
                optimizer.step()

    @one_torch_thread()
    def labels(self, rows: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the label of the larger output; (n, d) to (n,)."""
        with torch.no_grad():
            parts = [self.network(x).argmax(dim=1).cpu().numpy() for x, _ in self._blocks(rows, np.zeros(len(rows)))]
        return np.concatenate(parts)

    def logit_signs(self, rows: NDArray[np.float32], labels: NDArray[Any]) -> NDArray[np.float32]:
        """Return the sign (-1, 0, 1) of the gradient of the output of each label; (n, d), (n,) to (n, d)."""
        return self._signs(rows, labels, loss=False)

    def loss_signs(self, rows: NDArray[np.float32], labels: NDArray[Any]) -> NDArray[np.float32]:
        """Return the sign (-1, 0, 1) of the gradient of each cross-entropy; (n, d), (n,) to (n, d)."""
        return self._signs(rows, labels, loss=True)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return weights and biases by name."""
        return {f"network.{name}": value.cpu().numpy() for name, value in self.network.state_dict().items()}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Set weights and biases from `to_arrays`; the dict may contain other arrays too."""
        names = self.network.state_dict()
        self.network.load_state_dict({name: torch.from_numpy(arrays[f"network.{name}"].copy()) for name in names})

    @one_torch_thread()
    def _signs(self, rows: NDArray[np.float32], labels: NDArray[Any], loss: bool) -> NDArray[np.float32]:
        signs, done = np.empty_like(rows), 0
        for x, y in self._blocks(rows, labels):
            x.requires_grad_(True)
            logits = self.network(x)
            value = nn.functional.cross_entropy(logits, y, reduction="none") if loss else logits.gather(1, y[:, None])
            (gradient,) = torch.autograd.grad(value.sum(), x)
            signs[done : done + len(x)] = gradient.sign().cpu().numpy()
            done += len(x)
        return signs

    def _blocks(self, rows: NDArray[np.float32], labels: NDArray[Any]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for begin in range(0, len(rows), self._block_rows):
            part = slice(begin, begin + self._block_rows)
            y = torch.from_numpy(labels[part].astype(np.int64))
            yield torch.tensor(rows[part], device=self.device), y.to(self.device)
