"""Labels of rows that lie on the device of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard

import numpy as np
import torch

from scd.forward import StackedVotes


def takes_tensors(forward: object) -> TypeGuard[StackedVotes]:
    """Whether these votes are sign networks on a CUDA device."""
    return isinstance(forward, StackedVotes) and forward.activation == "sign" and forward.device != "cpu"


class DeviceLabels:
    """The hard majority of sign networks on a CUDA device, as a function of rows here or there.

    An attack that finds a `device` on the function it asks makes its rows there and hands over tensors.

    Parameters
    ----------
    predict : callable
        Answers rows in the host's memory, (n, d) float32 to (n,) classes.
    forward : StackedVotes
        The same networks, on a device.
    classes : (2,) array

    Attributes
    ----------
    device : str
    """

    def __init__(self, predict: Callable[[np.ndarray], np.ndarray], forward: StackedVotes, classes: np.ndarray) -> None:
        self._predict, self._forward, self._classes = predict, forward, classes
        self.device = forward.device

    def __call__(self, rows: np.ndarray | torch.Tensor) -> np.ndarray:
        """(n,) classes of (n, d) float32 rows."""
        if not isinstance(rows, torch.Tensor):
            return self._predict(rows)
        second = 2 * self._forward.labels_on_device(rows).sum(1) > self._forward.n_votes
        return self._classes[second.to(torch.int64).cpu().numpy()]
