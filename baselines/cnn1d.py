"""Baseline for heartbeats (three convolutions along the signal): hard-voting ensemble of 10 networks."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F

from baselines.torch_ensemble.convolutional import ConvolutionalVotes
from baselines.torch_ensemble.layers import VoteConv, VoteLinear, VoteNetwork, as_maps, as_vote_rows


class CNN1DVotes(ConvolutionalVotes):
    """Ensemble of convolutional networks for signals (paper, section 3.5).

    Convolution to 64 maps, 1×16; ReLU; max-pooling 4; to 128 maps, 1×16; ReLU; max-pooling 4; to 256 maps, 1×16; ReLU;
    max-pooling 2; one linear layer with a unit for each class.

    Parameters and attributes: see :class:`baselines.torch_ensemble.convolutional.ConvolutionalVotes`.

    Notes
    -----
    Chosen here, since the paper does not say: ReLU after each convolution; convolutions keep the length (zeros, 7
    before and 8 after) and pooling rounds it up, so short signals are accepted; the fully connected layer is the
    output; weights start as LeNet's; Adam with the settings of the other networks.
    """

    takes: ClassVar[str] = "signals"
    keeps_inputs: ClassVar[bool] = True
    multiclass: ClassVar[bool] = True
    _output_bias: ClassVar[str] = "fc.bias"

    def _network(self, votes: int, shape: tuple[int, ...], classes: int = 2) -> VoteNetwork:
        (length,) = shape
        return CNN1D(votes, length, classes)


class CNN1D(VoteNetwork):
    """V networks for signals of one length."""

    _pools = (4, 4, 2)

    def __init__(self, votes: int, length: int, classes: int = 2) -> None:
        super().__init__()
        self.votes = votes
        self.length = length
        self.conv1 = VoteConv(votes, 1, 64, (1, 16))
        self.conv2 = VoteConv(votes, 64, 128, (1, 16))
        self.conv3 = VoteConv(votes, 128, 256, (1, 16))
        for pool in self._pools:
            length = -(-length // pool)
        self.fc = VoteLinear(votes, 256 * length, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, V, K) logits of (n, d) inputs shared by the votes, or of (n, V, d) inputs, one set per vote."""
        x = as_maps(x, 1, self.length)
        for conv, pool in zip((self.conv1, self.conv2, self.conv3), self._pools, strict=True):
            x = F.max_pool2d(conv(F.pad(x, (7, 8))), (1, pool), ceil_mode=True)
            x = F.relu(x)  # as before the pooling, with less work
        logits: torch.Tensor = self.fc(as_vote_rows(x, self.votes))
        return logits.transpose(0, 1)
