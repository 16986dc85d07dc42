"""The networks that training changes, their random start, and numbers that all kernels share."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

GRID = float(1 << 20)
"""Output weights are multiples of ``1 / GRID``, so that sums of them are exact."""
FIXED_POINT = 1 << 16
"""Cross-entropy effects are rounded to multiples of ``1 / FIXED_POINT``: integer sums are exact in any order."""
MIN_MARGIN = 2.0**-16
"""Relative margin of a threshold that is outside all rows. When all projections coincide, a matrix product of another
shape may round differently; the margin keeps that from flipping the labels."""
NAMES = ("hidden", "thresholds", "output", "output_threshold")
"""The arrays of a network, in the order of :class:`Networks`."""


@dataclass(frozen=True)
class Settings:
    """Settings of the descent; the names and meanings are those of :class:`scd.SCDClassifier`."""

    loss: str
    weights: str
    n_iter: int
    hidden_nodes: int
    batch_fraction: float
    batch_size: int | None
    features_per_step: int
    step_hidden: float
    step_output: float
    threshold_window: int | None
    init_thresholds: str
    init_weights: str
    balanced_fraction: float
    rollback: bool
    nodes_per_iter: int

    @property
    def binary(self) -> bool:
        return self.weights == "binary"

    @property
    def renormalize(self) -> bool:
        return self.loss == "01" and not self.binary


@dataclass
class Networks:
    """The weights of V votes, in arrays or in tensors."""

    hidden: Any  # (V, h, d) float32
    thresholds: Any  # (V, h) float32
    output: Any  # (V, h) float64, multiples of 1 / GRID
    output_threshold: Any  # (V,) float64

    def copy_from(self, other: Networks, chosen: torch.Tensor, nodes: torch.Tensor) -> None:
        """Overwrite the votes that are `chosen`, (V,) bool; of their hidden nodes only these `nodes`, (V, h) bool.

        All of them are tensors.
        """
        masks = {"hidden": nodes & chosen[:, None], "thresholds": chosen, "output": chosen, "output_threshold": chosen}
        for name, mask in masks.items():
            own, new = getattr(self, name), getattr(other, name)
            if own.device.type == "cpu":  # few votes improve: copy those
                own[mask] = new[mask]
            else:  # counting them would synchronise with the device: copy under a mask
                import torch

                torch.where(mask.view(*mask.shape, *[1] * (own.ndim - mask.ndim)), new, own, out=own)

    def tensors(self, device: str) -> Networks:
        """The same arrays as tensors on a device."""
        import torch

        return Networks(*(torch.from_numpy(getattr(self, name)).to(device) for name in NAMES))

    def clone(self) -> Networks:
        return copy.deepcopy(self)


def initial_networks(settings: Settings, d: int, generators: list[np.random.Generator]) -> Networks:
    """Random weights, one generator per vote: nodes of unit L2 norm, or signs; thresholds are 0 until data set them."""
    h = settings.hidden_nodes
    hidden, output = np.empty((len(generators), h, d), dtype=np.float32), np.empty((len(generators), h))
    for v, generator in enumerate(generators):
        if settings.init_weights == "normal":
            w, u = generator.standard_normal((h, d)), generator.standard_normal(h)
        else:
            w, u = generator.uniform(-1, 1, (h, d)), generator.uniform(-1, 1, h)
        if settings.binary:
            w, u = np.where(w < 0, -1.0, 1.0), np.where(u < 0, -1.0, 1.0)
        else:
            w, u = w / np.sqrt((w * w).sum(1, keepdims=True)), u / np.sqrt((u * u).sum())
        hidden[v], output[v] = w, np.round(u * GRID) / GRID
    return Networks(hidden, np.zeros((len(output), h), dtype=np.float32), output, np.zeros(len(output)))
