"""Chooses the epoch of a training by rows that are not trained on."""

from __future__ import annotations

import torch

from baselines.torch_ensemble.layers import VoteNetwork

_ROWS = 256  # predicted at a time


class BestEpochs:
    """Of each vote of a network the state after the epoch that predicts most validation rows rightly.

    Parameters
    ----------
    network : VoteNetwork
        Of V votes, before its first epoch.
    X : (m, ...) tensor
        Validation rows on the network's device.
    y : (m,) int64 tensor
        Their labels.

    Attributes
    ----------
    right : (V, 1) int64 tensor
        Validation rows that the kept states predict rightly; -1 before the first epoch.
    arrays : dict of tensor
        The kept states: copies of :meth:`VoteNetwork.arrays`.
    """

    def __init__(self, network: VoteNetwork, X: torch.Tensor, y: torch.Tensor) -> None:
        self.X, self.y = X, y
        self.arrays = {name: tensor.clone() for name, tensor in network.arrays().items()}
        self.right = torch.full((len(next(iter(self.arrays.values()))), 1), -1, device=X.device)

    def look_at(self, network: VoteNetwork) -> None:
        """Keep the votes that are better than ever before; of equals the first stays."""
        network.eval()
        right = torch.zeros_like(self.right)
        with torch.inference_mode():
            for x, y in zip(self.X.split(_ROWS), self.y.split(_ROWS), strict=True):
                logits = network(x)
                predicted = (logits[..., 1] > logits[..., 0]).long()
                right[:, 0] += (predicted == y[:, None]).sum(dim=0)
        network.train()
        better = (right > self.right).flatten()
        self.right[better] = right[better]
        for name, tensor in network.arrays().items():
            self.arrays[name][better] = tensor[better]
