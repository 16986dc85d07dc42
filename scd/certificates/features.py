"""How many features must change before the label of a sign ensemble does (an L0 bound)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scd.certificates.units import Floats, SignUnits
from scd.storage import Vote


def fewest_features(votes: list[Vote], X: NDArray[np.float32], y: NDArray[np.int64]) -> Floats:
    """(n,) at least so many features must change, by any amount, before the label is not `y`.

    A feature can change the votes that read it, and no other. So features are counted, those first that most of the
    correct votes read, until as many votes are reached as must change. This says something where votes read different
    features (``SCDClassifier(parts=...)`` with ``basis="pixels"``); where each reads all features it is 1.

    Parameters
    ----------
    votes : list of dict
        As in :attr:`scd.SCDClassifier.votes_`, with hard voting.
    X : (n, d) float32
    y : (n,) int
        0 or 1: the labels that must stand.

    Returns
    -------
    ndarray of float64
        0 where the point is misclassified; inf where fewer votes read any feature than must change.
    """
    units = SignUnits(votes)
    reads = np.stack([np.any(vote["hidden"] != 0, axis=0) for vote in votes])
    fewest = np.zeros(len(X))
    for i, point in enumerate(units.at(X, y)):
        if point.flips > 0:
            readers = np.sort(reads[np.isfinite(point.need)].sum(axis=0))[::-1]
            reached = np.cumsum(readers) >= point.flips
            fewest[i] = 1 + np.argmax(reached) if reached.any() else np.inf
    return fewest
