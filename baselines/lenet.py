"""LeNet baseline (two convolutions, three linear layers): hard-voting ensemble of 100 networks."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F

from baselines.torch_ensemble.convolutional import ConvolutionalVotes
from baselines.torch_ensemble.layers import VoteConv, VoteLinear, VoteNetwork, as_maps, as_vote_rows


class LeNetVotes(ConvolutionalVotes):
    """Ensemble of LeNets with ReLU and max-pooling (LeCun et al. 1998, as in the authors' program).

    Convolution to 6 maps, 5×5, padding 2; ReLU; max-pooling 2×2; convolution to 16 maps and the rest alike; linear
    layers of 120 and 84 units and one for each class, with ReLU between. Convolutions start Kaiming-normal by fan-out,
    linear layers Xavier-normal, biases 0. Pooling rounds odd sizes up, so images of any size are accepted.

    Parameters and attributes: see :class:`baselines.torch_ensemble.convolutional.ConvolutionalVotes`.

    Notes
    -----
    The authors' trainer holds out a fifth of the training samples, which the paper does not mention. Here all samples
    are used for training.
    """

    keeps_inputs: ClassVar[bool] = True
    multiclass: ClassVar[bool] = True
    _output_bias: ClassVar[str] = "fc3.bias"

    def _network(self, votes: int, shape: tuple[int, ...], classes: int = 2) -> VoteNetwork:
        channels, height, width = shape
        return LeNet(votes, channels, height, width, classes)


class LeNet(VoteNetwork):
    """V LeNets for flat images."""

    def __init__(self, votes: int, channels: int, height: int, width: int, classes: int = 2) -> None:
        super().__init__()
        self.votes, self.size = votes, (height, width)
        self.conv1 = VoteConv(votes, channels, 6, (5, 5), padding=(2, 2))
        self.conv2 = VoteConv(votes, 6, 16, (5, 5), padding=(2, 2))
        self.fc1 = VoteLinear(votes, 16 * -(-height // 4) * -(-width // 4), 120)
        self.fc2 = VoteLinear(votes, 120, 84)
        self.fc3 = VoteLinear(votes, 84, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, V, K) logits of (n, d) inputs shared by the votes, or of (n, V, d) inputs, one set per vote."""
        x = as_maps(x, *self.size)
        for conv in (self.conv1, self.conv2):
            x = F.relu(F.max_pool2d(conv(x), 2, ceil_mode=True))  # as ReLU before it, at a quarter of the work
        x = F.relu(self.fc1(as_vote_rows(x, self.votes)))
        logits: torch.Tensor = self.fc3(F.relu(self.fc2(x)))
        return logits.transpose(0, 1)
