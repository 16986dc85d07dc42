"""The score that an attack on texts sees of a fitted model: ``attack.score``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.stages.inputs import inputs_for

Documents = list[list[str]]
SCORES = ("votes", "soft", "label")


def score_function(model: Any, dataset: Any, kind: str) -> Callable[[Documents], np.ndarray]:
    """What maps n documents to (n,) float64 scores of class 1 in [0, 1]; above a half where class 1 is predicted.

    ``votes`` is the share of votes for class 1 (paper), ``soft`` the mean of the votes' own probabilities, ``label`` 0
    or 1. Where something else decides, as for ``soft`` the majority of labels under ``model.voting=hard``, the score is
    half the sum of it and the decision: it orders documents of one predicted label, and never contradicts the label.

    Parameters
    ----------
    model : fitted VoteEnsemble
    dataset : TextDataset
    kind : {"votes", "soft", "label"}
    """
    inputs = inputs_for(model, dataset)
    decides = {"hard": "votes", "mean": "soft"}[getattr(model, "voting", "hard")]

    def scores(documents: Documents) -> np.ndarray:
        x = inputs.features(documents)
        if kind == decides:
            return np.asarray(model.predict_proba(x)[:, 1], dtype=np.float64)
        label = np.asarray(model.predict(x), dtype=np.float64)
        if kind == "label":
            return label
        share = (model.votes(x) if kind == "votes" else model.vote_probabilities(x)).mean(axis=1)
        # a share of nothing with label 1 must still be above a half
        return np.where(label == 1, np.maximum((1 + share) / 2, np.nextafter(0.5, 1)), share / 2)

    return scores


def label_function(model: Any, dataset: Any) -> Callable[[Documents], np.ndarray]:
    """What maps n documents to the (n,) labels that the model predicts."""
    inputs = inputs_for(model, dataset)

    def labels(documents: Documents) -> np.ndarray:
        return np.asarray(model.predict(inputs.features(documents)))

    return labels
