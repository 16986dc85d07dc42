"""ResNet50 baseline (torchvision's network, not pretrained): hard-voting ensemble of 10 networks."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import Interval
from torch import nn

from baselines.torch_ensemble.convolutional import ConvolutionalVotes
from baselines.torch_ensemble.layers import VoteNetwork, as_maps


class ResNet50Votes(ConvolutionalVotes):
    """Ensemble of residual networks of 50 layers (He et al. 2016): torchvision's, not pretrained.

    As in the authors' program the first convolution is 3×3 with stride 1, padding 1 and no bias, instead of 7×7 with
    stride 2, and the last layer has a unit for each class. Convolutions start Kaiming-normal by fan-out, the linear
    layer uniform in ±1/√2048, its bias too, batch normalisations as the identity, as in torchvision.

    Parameters and attributes: see :class:`baselines.torch_ensemble.convolutional.ConvolutionalVotes`. `batch_size` is 2
    or more, since batch normalisation needs two samples. A vote under training takes 1 GB with batches of 64 images of
    32×32, so `memory_budget` decides how many cores are used and, on CUDA, how many votes step at the same time.
    """

    keeps_inputs: ClassVar[bool] = True
    multiclass: ClassVar[bool] = True
    _output_bias: ClassVar[str] = "net.fc.bias"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ConvolutionalVotes._parameter_constraints,
        "batch_size": [Interval(Integral, 2, None, closed="left")],
    }

    def _network(self, votes: int, shape: tuple[int, ...], classes: int = 2) -> VoteNetwork:
        channels, height, width = shape
        return ResNet50(channels, height, width, classes)


class ResNet50(VoteNetwork):
    """One ResNet50 for flat images."""

    side_by_side = False

    def __init__(self, channels: int, height: int, width: int, classes: int = 2) -> None:
        super().__init__()
        from torchvision.models import resnet50

        self.size = (height, width)
        device = torch.get_default_device()
        with torch.device("meta"):  # without torch's own draws, which come from its global generator
            net = resnet50(weights=None)
            net.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
            net.fc = nn.Linear(net.fc.in_features, classes)
        self.net = net.to_empty(device=device).to(memory_format=torch.channels_last)

    def initialise(self, vote: int, generator: torch.Generator) -> None:
        """Draw the weights; `vote` is 0."""
        for layer in self.net.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.reset_running_stats()
                nn.init.ones_(layer.weight)
                nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.Linear):
                bound = layer.in_features**-0.5
                nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)

    def votes_first(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor[None]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 1, K) logits of (n, d) or (n, 1, d) inputs."""
        logits: torch.Tensor = self.net(as_maps(x, *self.size))
        return logits[:, None]
