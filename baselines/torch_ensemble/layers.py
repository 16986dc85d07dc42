"""Layers of many votes side by side: a convolution of V votes has V groups, a linear layer is one batched product.

One vote is the plain layer of torch. Inputs are shared by the votes in prediction; in training each vote has its own.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.graph import saved_tensors_hooks


class VoteNetwork(nn.Module):
    """Base of V networks of one kind, which map inputs (n, ...), or (n, V, ...), to logits (n, V, K).

    A network is made uninitialised; `initialise` draws a vote's weights, `arrays` returns views of them.
    """

    side_by_side: ClassVar[bool] = True
    """Whether one network may hold more than one vote."""

    random_training: ClassVar[bool] = False
    """Whether training is random; it then draws from `generators`, one per vote, set for each epoch."""

    generators: list[torch.Generator] | None = None

    def initialise(self, vote: int, generator: torch.Generator) -> None:
        """Draw the weights of the vote at this position.

        Convolutions are Kaiming-normal by fan-out, linear layers Xavier-normal, biases 0, as in the authors' LeNet.
        """
        with torch.no_grad():
            for layer in self.modules():
                if isinstance(layer, VoteConv):
                    nn.init.kaiming_normal_(
                        layer.weight[vote], mode="fan_out", nonlinearity="relu", generator=generator
                    )
                    layer.bias[vote].zero_()
                elif isinstance(layer, VoteLinear):
                    nn.init.xavier_normal_(layer.weight[vote], generator=generator)
                    layer.bias[vote].zero_()

    def saved_bytes(self, inputs: torch.Tensor, device: str) -> int:
        """Bytes that one of `inputs`, (n, ...), occupies on `device` until its gradient is computed."""
        return saved_bytes(self, inputs)

    def votes_first(self, tensor: torch.Tensor) -> torch.Tensor:
        """One of the network's tensors, or another of the same shape, as a view (V, ...)."""
        return tensor

    def arrays(self) -> dict[str, torch.Tensor]:
        """Views (V, ...) of everything that training changes and prediction needs, by name."""
        tensors = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        return {name: self.votes_first(t.detach()) for name, t in tensors.items() if t.is_floating_point()}


class VoteConv(nn.Module):
    """Convolutions of V votes with stride 1, (n, C, H, W) -> (n, V * channels_out, H', W').

    Parameters
    ----------
    votes, channels_in, channels_out : int
    kernel, padding : (vertical, horizontal) int
    """

    def __init__(
        self,
        votes: int,
        channels_in: int,
        channels_out: int,
        kernel: tuple[int, int],
        padding: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        self.padding = padding
        self.weight = nn.Parameter(torch.empty(votes, channels_out, channels_in, *kernel))
        self.bias = nn.Parameter(torch.empty(votes, channels_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve (n, channels_in, H, W) maps shared by all votes, or (n, V * channels_in, H, W), one set per vote."""
        groups = x.shape[1] // self.weight.shape[2]
        return F.conv2d(x, self.weight.flatten(0, 1), self.bias.flatten(), padding=self.padding, groups=groups)


class VoteLinear(nn.Module):
    """Linear layers of V votes, (V, n, features_in) -> (V, n, features_out)."""

    def __init__(self, votes: int, features_in: int, features_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(votes, features_out, features_in))
        self.bias = nn.Parameter(torch.empty(votes, features_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(self.weight) == 1:  # the plain product is the faster one
            return F.linear(x[0], self.weight[0], self.bias[0])[None]
        return torch.baddbmm(self.bias[:, None], x, self.weight.transpose(1, 2))


def as_maps(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(n, C, H, W) of flat inputs (n, C * H * W), or (n, V * C, H, W) of (n, V, C * H * W)."""
    maps = x.reshape(len(x), -1, height, width)
    # oneDNN is faster with this layout, by a factor of 3 with many groups
    return maps.contiguous(memory_format=torch.channels_last) if maps.device.type == "cpu" else maps


def as_vote_rows(maps: torch.Tensor, votes: int) -> torch.Tensor:
    """(V, n, C * H * W) of (n, V * C, H, W)."""
    return maps.reshape(len(maps), votes, -1).transpose(0, 1)


def saved_bytes(network: VoteNetwork, inputs: torch.Tensor) -> int:
    """Bytes of activations that a network keeps for an input until its gradient is computed.

    Parameters
    ----------
    network : VoteNetwork
        Of one vote, made on torch's device "meta", so that nothing is computed.
    inputs : (n, ...) tensor
        Only their shape and type are used.
    """

    def saved_of(count: int) -> int:
        total = 0

        def note(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal total
            total += tensor.numel() * tensor.element_size()
            return tensor

        with saved_tensors_hooks(note, lambda tensor: tensor):
            network(torch.empty((count, *inputs.shape[1:]), dtype=inputs.dtype, device="meta"))
        return total

    return (saved_of(4) - saved_of(2)) // 2  # the weights are saved too, whatever the number of inputs
