"""Joint prediction of trained torch networks."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from baselines.torch_ensemble.layers import VoteNetwork
from baselines.torch_ensemble.training import cuda_precision
from scd.devices import one_torch_thread
from scd.ensemble import label_type
from scd.storage import Vote

_CACHED_BYTES = 64 << 20  # of activations at a time in a worker on the CPU: more do not fit its cache


class StackedNetworks:
    """Trained votes: the logit, probability and label of each.

    Parameters
    ----------
    make : callable
        Makes the uninitialised network of n votes.
    votes : list of dict
        Arrays by name, as training returns them.
    features : int
        d of the (n, d) inputs.
    device : str
    memory : int
        Bytes that activations may take.
    """

    def __init__(
        self, make: Callable[[int], VoteNetwork], votes: list[Vote], features: int, device: str, memory: int
    ) -> None:
        with torch.device("meta"):
            kind = make(1)
        groups = [votes] if kind.side_by_side else [[vote] for vote in votes]
        self.networks = [_network(make(len(group)), group).to(device) for group in groups]
        self.votes, self.device = len(votes), device
        self.input_bytes = kind.saved_bytes(torch.empty(0, features), device) * len(groups[0])
        self.memory = memory

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """(n, V) second class's logit minus the first's, differentiable, of (n, d) float32 inputs on the device.

        Of K > 2 classes (n, V, K), all logits.
        """
        of_all = torch.cat([network(x) for network in self.networks], dim=1)
        return of_all[..., 1] - of_all[..., 0] if of_all.shape[-1] == 2 else of_all

    def probabilities(self, X: np.ndarray) -> np.ndarray:
        """(n, V) float64 softmax of the second class for (n, d) inputs; of K > 2 classes (n, V, K), of all."""
        on_cpu = self.device == "cpu"
        workers = torch.get_num_threads() if on_cpu else 1
        room = min(self.memory // workers, _CACHED_BYTES) if on_cpu else self.memory
        size = max(1, min(room // self.input_bytes, -(-len(X) // workers)))
        parts = [X[start : start + size] for start in range(0, max(1, len(X)), size)]
        if not on_cpu:
            with cuda_precision(self.device, "float32"):
                return np.concatenate([self._probabilities(part) for part in parts])
        with one_torch_thread():  # the threads of one operation wait for each other, which is slow on a loaded machine
            if len(parts) == 1:
                return self._probabilities(X)
            with ThreadPoolExecutor(min(workers, len(parts))) as pool:
                return np.concatenate(list(pool.map(self._probabilities, parts)))

    def _probabilities(self, X: np.ndarray) -> np.ndarray:
        inputs = np.require(X, np.float32, ["C", "W"])
        with torch.inference_mode():
            logits = self.logits(torch.from_numpy(inputs).to(self.device))
            found = torch.sigmoid(logits.double()) if logits.ndim == 2 else torch.softmax(logits.double(), dim=2)
            return found.cpu().numpy()

    def labels(self, X: np.ndarray) -> np.ndarray:
        """(n, V) label of the highest probability; a tie is the first."""
        found = self.probabilities(X)
        if found.ndim == 3:
            return found.argmax(axis=2).astype(label_type(found.shape[2]))
        return (found > 0.5).astype(np.uint8)


def _network(network: VoteNetwork, votes: list[Vote]) -> VoteNetwork:
    """Fill an uninitialised network with trained votes, to predict."""
    for name, tensor in network.arrays().items():
        tensor.copy_(torch.from_numpy(np.stack([vote[name] for vote in votes])))
    return network.eval().requires_grad_(False)
