"""Votes for more than two classes that end in a linear layer and a softmax: one hidden layer, or none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scd.devices import one_torch_thread
from scd.ensemble import label_type
from scd.storage import Vote, check_array

_CHUNK_BYTES = 64 << 20  # of hidden values at a time


class SoftmaxVotes:
    """V networks of one layer of sigmoid units, or without it, and a softmax over K classes, evaluated together.

    Labels are computed in float64: so they do not depend on the other inputs of a call.

    Parameters
    ----------
    votes : list of dict
        ``output`` (h, K) and ``output_threshold`` (K,): the logits are ``a . output - output_threshold``. Of a hidden
        layer ``hidden`` (h, d) and ``thresholds`` (h,): its units are ``a = sigmoid(x . hidden - thresholds)``; without
        one a is x, and h is d.
    device : str
        A torch device.
    """

    def __init__(self, votes: list[Vote], device: str) -> None:
        self.device, self.n_votes = device, len(votes)
        self.has_hidden = "hidden" in votes[0]
        names = ("hidden", "thresholds", "output", "output_threshold") if self.has_hidden else _OUTPUT
        stacked = {name: np.stack([vote[name] for vote in votes]).astype(np.float64) for name in names}
        self._arrays = {name: torch.from_numpy(array).to(device) for name, array in stacked.items()}
        centred = stacked["output"] - stacked["output"].mean(axis=2, keepdims=True)
        k = centred.shape[2]
        # root mean square of |w_i - w_j| over the pairs of classes; of two classes |w_1 - w_0|
        length = np.sqrt(2 / (k - 1) * (centred**2).sum(axis=(1, 2)))
        self.n_classes, self.length = k, torch.from_numpy(np.where(length > 0, length, 1.0)).to(device)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """(n, V, K) float64 logits of (n, d) inputs on the device, differentiable."""
        a = x.double()[None].expand(self.n_votes, -1, -1)
        if self.has_hidden:
            hidden = self._arrays["hidden"]
            z = x.double() @ hidden.flatten(0, 1).T
            a = torch.sigmoid(z.view(len(x), *hidden.shape[:2]).transpose(0, 1) - self._arrays["thresholds"][:, None])
        found = torch.baddbmm(-self._arrays["output_threshold"][:, None], a, self._arrays["output"])
        return found.transpose(0, 1)

    def labels(self, X: NDArray[Any]) -> NDArray[Any]:
        """(n, V) position of the class of the largest logit; a tie is the first."""
        kind = label_type(self.n_classes)
        parts = [logits.cpu().numpy().argmax(axis=2).astype(kind) for logits in self._parts(X)]
        return np.concatenate(parts) if parts else np.zeros((0, self.n_votes), dtype=kind)

    def probabilities(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """(n, V, K) softmax of the logits."""
        parts = [torch.softmax(logits, dim=2).cpu().numpy() for logits in self._parts(X)]
        return np.concatenate(parts) if parts else np.zeros((0, self.n_votes, self.n_classes))

    def _parts(self, X: NDArray[Any]) -> Iterator[torch.Tensor]:
        """Logits of some inputs at a time."""
        width = self._arrays["output"].shape[1] if self.has_hidden else X.shape[1]
        rows = max(1, _CHUNK_BYTES // (8 * self.n_votes * width))
        for start in range(0, len(X), rows):
            x = torch.from_numpy(np.array(X[start : start + rows], dtype=np.float32)).to(self.device)
            with one_torch_thread(), torch.inference_mode():
                yield self.logits(x)


_OUTPUT = ("output", "output_threshold")


def shares_of_logits(
    logits: torch.Tensor, gamma: float, voting: str = "hard", scale: torch.Tensor | float = 1.0
) -> torch.Tensor:
    """The smoothed fraction of votes for each class.

    Parameters
    ----------
    logits : (n, V, K) tensor
    gamma : float
        Sharpness of the votes' labels.
    voting : {"hard", "mean"}
        With "mean" the ensemble averages probabilities, not labels: `gamma` is ignored.
    scale : float or (V,) tensor
        A typical size of the logits, to which `gamma` is relative.

    Returns
    -------
    (n, K) float32 tensor
        Rows add up to 1.
    """
    sharpness = gamma / torch.as_tensor(scale, device=logits.device) if voting == "hard" else torch.ones(())
    sharpened = logits * sharpness.to(logits.device).reshape(-1, 1)
    return torch.softmax(sharpened, dim=2).mean(1).float()


def check_softmax(vote: Vote, first: Vote, features: int) -> None:
    """Check a vote as `SoftmaxVotes` takes it; `first` is the vote whose classes and hidden nodes all have.

    Raises
    ------
    ValueError
        See :func:`scd.storage.check_array`.
    """
    shape: Sequence[int] = np.shape(first["output"])
    if len(shape) != 2 or min(shape) < 1 or ("hidden" not in first and shape[0] != features):
        raise ValueError(f"its array 'output' cannot have the shape {tuple(shape)}.")
    nodes, k = shape
    check_array(vote, "output", (nodes, k), "f")
    check_array(vote, "output_threshold", (k,), "f")
    if "hidden" in first:
        check_array(vote, "hidden", (nodes, features), "f")
        check_array(vote, "thresholds", (nodes,), "f")
