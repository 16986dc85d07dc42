"""Early stopping: a vote ends when its accuracy on held-out samples no longer improves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from scd.seeds import generator_for
from scd.storage import Vote


class EarlyStopping:
    """The scores of votes on held-out samples in the course of their training, and the best network of each.

    Parameters
    ----------
    n_votes : int
    patience : int
        Iterations without an improvement after which a vote ends.
    score : callable
        Maps a network to its score on the held-out samples; the higher the better. Called by several threads.

    Attributes
    ----------
    scores : list of list of float
        Of each vote, in the order of its calls.
    best : list of dict
        The network of each vote with the best score; the earliest of several.
    """

    def __init__(self, n_votes: int, patience: int, score: Callable[[Vote], float]) -> None:
        self.patience, self._score = patience, score
        self.scores: list[list[float]] = [[] for _ in range(n_votes)]
        self.best: list[Vote] = [{} for _ in range(n_votes)]
        self._best_at = [0] * n_votes

    def __call__(self, v: int, iteration: int, network: Vote) -> bool:
        """Record the present network of vote `v` after `iteration` iterations, and return whether the vote ends."""
        score = self._score(network)
        if score > max(self.scores[v], default=-np.inf):
            self.best[v], self._best_at[v] = network, iteration
        self.scores[v].append(score)
        return iteration - self._best_at[v] >= self.patience


def held_out_rows(y: NDArray[np.int64], fraction: float, root_seed: int) -> NDArray[np.bool_]:
    """(n,) bool: a random fraction of each class, at least one sample, for labels 0/1 (n,).

    Raises
    ------
    ValueError
        If fewer than two samples of a class are left.
    """
    generator, held_out = generator_for(root_seed, "validation"), np.zeros(len(y), dtype=np.bool_)
    for label in (0, 1):
        rows = np.flatnonzero(y == label)
        count = max(1, round(fraction * len(rows)))
        if len(rows) - count < 2:
            raise ValueError(
                "The 'validation_fraction' parameter of SCDClassifier must leave 2 samples of each class for training. "
                f"Got {fraction} of {len(rows)} samples."
            )
        held_out[generator.permutation(rows)[:count]] = True
    return held_out
