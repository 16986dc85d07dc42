"""Adversarial training: votes train on samples that are moved against them.

Coordinate descent and moves alternate. The iterations are cut into parts; before each part but the first, every sample
is moved within an L2 ball so that fewer of the votes classify it correctly, and the votes go on with the samples and
their moved copies. A vote cannot be moved against in isolation: what an attack on the ensemble uses is what its votes
have in common. So votes are trained in groups, each against the majority of its own group. No gradient trains a weight;
that of the smoothed votes with respect to the sample chooses the direction of its move, as in a white-box attack.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from scd.descent import RECORD, Descent
from scd.forward import StackedVotes
from scd.smooth import smooth_share

_PARTS = 10  # of the iterations
_STEPS, _LENGTH = 5, 0.4  # steps of a move, and the length of each in radii
_BETA, _GAMMA = 3.0, 10.0  # sharpness of the units (per radius) and of the votes' labels, see scd.smooth
_ROWS = 1024  # samples moved at a time

Floats = NDArray[np.float32]


def groups_of(votes: range, size: int) -> list[range]:
    """The groups of `size` votes, 0 to size - 1 and so on, that hold any of these."""
    return [range(first, first + size) for first in range(votes.start - votes.start % size, votes.stop, size)]


def descend_against_moves(
    descent: Descent,
    X: Floats,
    y: NDArray[np.int64],
    order: NDArray[np.int64],
    radius: float,
    progress: Callable[[Descent], None],
) -> None:
    """Run all iterations of a descent on samples and copies of them, and move the copies between its parts.

    At the end the columns are again what they were.

    Parameters
    ----------
    descent : Descent
        Before its first iteration, on the float32 columns ``np.concatenate([X, X])[order].T``.
    X : (n, d) float32
    y : (n,) int
        Labels 0 and 1.
    order : (2 n,) int
    radius : float
        Largest L2 distance of a move.
    progress : callable
        See :meth:`scd.descent.Descent.run`.
    """
    n_iter = descent.settings.n_iter
    part = RECORD * max(1, -(-n_iter // (_PARTS * RECORD)))
    copies = torch.from_numpy(np.argsort(order)[len(X) :])
    for start in range(0, n_iter, part):
        if start:
            descent.replace(copies, torch.from_numpy(moved(_smoothable(descent), X, y, radius)))
        descent.run(progress, until=min(start + part, n_iter))
    descent.columns[:, copies.to(descent.device)] = torch.from_numpy(X).T.to(descent.device)


def _smoothable(descent: Descent) -> StackedVotes:
    names = ("hidden", "thresholds", "output", "output_threshold")
    arrays = {name: getattr(descent.best, name).cpu().numpy() for name in names}
    return StackedVotes(**arrays, device=str(descent.device))


def moved(votes: StackedVotes, X: Floats, y: NDArray[np.int64], radius: float) -> Floats:
    """Samples, each moved so that fewer votes classify it correctly: projected gradient steps of unit direction.

    Parameters
    ----------
    votes : StackedVotes
    X : (n, d) float32
    y : (n,) int
        Labels 0 and 1.
    radius : float
        Largest L2 distance of a move. A move also stays in the box that holds all of `X`.

    Returns
    -------
    (n, d) float32
    """
    low, high = torch.from_numpy(X.min(axis=0)), torch.from_numpy(X.max(axis=0))
    result = np.empty_like(X)
    for start in range(0, len(X), _ROWS):
        rows = slice(start, start + _ROWS)
        origin = torch.from_numpy(X[rows])
        away = torch.from_numpy(1 - 2 * y[rows]).to(votes.device, torch.float32)
        change = torch.zeros_like(origin)
        for _ in range(_STEPS):
            x = (origin + change).requires_grad_()
            loss = (away * smooth_share(votes, x, _BETA / radius, _GAMMA)).sum()
            (gradient,) = torch.autograd.grad(loss, x)
            change += _LENGTH * radius * torch.nn.functional.normalize(gradient, eps=1e-30)
            change *= (radius / change.norm(dim=1, keepdim=True).clamp_min(1e-30)).clamp_max(1)
            change = torch.minimum(torch.maximum(change, low - origin), high - origin)
        result[rows] = torch.clamp(origin + change, low, high).numpy()
    return result
