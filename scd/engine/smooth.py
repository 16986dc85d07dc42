"""A differentiable surrogate of the fraction of votes, for attacks and analyses that need a gradient.

The derivative of a sign is 0 wherever it exists, so signs become sigmoids: ``beta`` is the sharpness of the hidden
units, ``gamma`` that of a vote's label. Both are relative to the weights, so that the same values suit weights of
length 1, signs (-1/+1) and trained weights of any length:

- a hidden sign unit is ``sigmoid(beta * (x . W - threshold) / |W|)``. The quotient is the L2 distance of the input
  to the unit's hyperplane, in feature units: the unit switches over a distance of about ``1 / beta``;
- a vote's label is ``sigmoid(gamma * (a . w - threshold) / |w|)``.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch

from scd.engine.forward import StackedVotes

_TENSORS: WeakKeyDictionary[StackedVotes, tuple[torch.Tensor, ...]] = WeakKeyDictionary()


def smooth_share(votes: StackedVotes, x: torch.Tensor, beta: float, gamma: float, voting: str = "hard") -> torch.Tensor:
    """The smoothed fraction of votes for the second class; it tends to the fraction as `beta` and `gamma` grow.

    Parameters
    ----------
    votes : StackedVotes
    x : (n, d) float32 tensor, on any device
    beta : float
        Sharpness of the hidden units; ignored for sigmoid units.
    gamma : float
        Sharpness of the votes' labels.
    voting : {"hard", "mean"}
        With "mean" the ensemble averages probabilities, not labels: `gamma` is ignored.

    Returns
    -------
    (n,) float32 tensor in [0, 1], on the votes' device
        Differentiable in `x`. Takes about ``16 * n * V * h`` bytes for V votes of h units.
    """
    weights, thresholds, length, output, output_threshold, output_length = _tensors(votes)
    z = x.to(weights.device) @ weights.T - thresholds
    a = torch.sigmoid(z * (beta / length) if votes.activation == "sign" else z)
    logits = (a.view(len(x), *output.shape) * output).sum(1) - output_threshold
    return share_of_logits(logits, gamma, voting, output_length)


def share_of_logits(
    logits: torch.Tensor, gamma: float, voting: str = "hard", scale: torch.Tensor | float = 1.0
) -> torch.Tensor:
    """The smoothed fraction of votes with these logits.

    Parameters
    ----------
    logits : (n, V) tensor
        Positive where a vote predicts the second class.
    gamma, voting : see :func:`smooth_share`
    scale : float or (V,) tensor
        A typical size of the logits, to which `gamma` is relative.

    Returns
    -------
    (n,) tensor in [0, 1]
    """
    return torch.sigmoid(logits * (gamma / scale) if voting == "hard" else logits).mean(1)


def _tensors(votes: StackedVotes) -> tuple[torch.Tensor, ...]:
    """Float32 weights on the votes' device, and their lengths; on the CPU the large arrays are shared, not copied."""
    if votes not in _TENSORS:
        arrays = (votes.weights, votes.thresholds, votes.output, votes.output_threshold)
        weights, thresholds, output, output_threshold = (
            torch.from_numpy(a).to(votes.device, torch.float32) for a in arrays
        )
        lengths = [w.double().norm(dim=dim).float() for w, dim in ((weights, 1), (output, 0))]
        lengths = [torch.where(length > 0, length, torch.ones_like(length)) for length in lengths]  # of dead units
        _TENSORS[votes] = (weights, thresholds, lengths[0], output, output_threshold, lengths[1])
    return _TENSORS[votes]
