"""What a model takes of a data set: rows of numbers or, of documents, the numbers of their words; and its scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.protocols import Dataset, Documents, Floats, Inputs, Labels, Model, TextDataset, WordModel

SCORES = ("votes", "soft", "label")


def inputs_for(model: Model, dataset: Dataset) -> Inputs:
    """The inputs of `dataset` as `model` takes them.

    A model with ``takes = "words"`` gets word numbers. All others get the data set's own rows, which of documents are
    their mean word vectors.
    """
    return word_inputs(model, dataset) if model.takes == "words" else dataset


def word_inputs(model: Model, dataset: Dataset) -> WordInputs:
    """The documents of `dataset` as word numbers, cut to the words that `model` reads."""
    documents, width = cast(TextDataset, dataset), cast(WordModel, model).max_words
    return WordInputs(documents, min(width, documents.longest()))


def adapt(model: Model, dataset: Dataset) -> None:
    """Set the parameters of an unfitted model that only the data decide: its shape, classes, columns, word vectors."""
    parameters = model.get_params(deep=False)
    if "feature_shape" in parameters:
        model.set_params(feature_shape=dataset.feature_shape)
    if "class_names" in parameters:
        model.set_params(class_names=dataset.class_names)
    if "feature_names" in parameters:
        model.set_params(feature_names=dataset.provenance.get("features"))
    if model.takes == "words":
        model.set_params(vectors=cast(TextDataset, dataset).vectors.table)


@dataclass(frozen=True)
class WordInputs:
    """Documents as rows of word numbers.

    Parameters
    ----------
    dataset : TextDataset
    n_features : int
        Words of a document that the model reads, the first ones; shorter documents are padded with zeros.
    """

    dataset: TextDataset
    n_features: int

    def flat(self, split: Any) -> Floats:
        """(n, n_features) float32 inputs of a split."""
        return self.dataset.words(split, self.n_features)

    def rows(self, split: Any, indices: Any) -> Floats:
        """(k, n_features) float32 inputs of these documents of a split."""
        return self.dataset.words(split, self.n_features, indices)

    def features(self, documents: Documents) -> Floats:
        """(n, n_features) float32 inputs of any documents."""
        return self.dataset.vectors.padded(documents, self.n_features)


def features_of(model: Model, dataset: TextDataset) -> Callable[[Documents], Floats]:
    """The function that maps any n documents to the inputs of `model`, (n, d)."""
    return word_inputs(model, dataset).features if model.takes == "words" else dataset.features


def score_function(model: Model, dataset: TextDataset, kind: str) -> Callable[[Documents], NDArray[np.float64]]:
    """The function that maps n documents to (n,) scores of class 1 in [0, 1], above 0.5 where class 1 is predicted.

    ``votes`` is the fraction of votes for class 1 (paper), ``soft`` the mean of the votes' probabilities, ``label`` 0
    or 1. Where the label is decided by another quantity, as by the majority of labels for ``soft`` under
    ``model.voting=hard``, the score is half of (score + label): it orders documents of one predicted label, and never
    contradicts the label.

    Parameters
    ----------
    model : fitted VoteEnsemble
    dataset : TextDataset
    kind : {"votes", "soft", "label"}
    """
    features = features_of(model, dataset)
    decides = {"hard": "votes", "mean": "soft"}[model.voting]

    def scores(documents: Documents) -> NDArray[np.float64]:
        x = features(documents)
        if kind == decides:
            return np.asarray(model.predict_proba(x)[:, 1], dtype=np.float64)
        label = np.asarray(model.predict(x), dtype=np.float64)
        if kind == "label":
            return label
        fraction = (model.votes(x) if kind == "votes" else model.vote_probabilities(x)).mean(axis=1)
        # a fraction of 0 with label 1 must still be above 0.5
        return np.where(label == 1, np.maximum((1 + fraction) / 2, np.nextafter(0.5, 1)), fraction / 2)

    return scores


def label_function(model: Model, dataset: TextDataset) -> Callable[[Documents], Labels]:
    """The function that maps n documents to the (n,) labels that the model predicts."""
    features = features_of(model, dataset)

    def labels(documents: Documents) -> Labels:
        return np.asarray(model.predict(features(documents)))

    return labels
