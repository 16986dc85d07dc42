"""What a model sees of a data set: its rows of numbers or, of documents, the words themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


def inputs_for(model: Any, dataset: Any) -> Any:
    """The rows of `dataset` as `model` takes them, with ``flat``, ``rows``, ``n_features`` and ``feature_shape``.

    A model whose class says ``takes = "words"`` is given the word vectors, and gets rows of numbers of words; all
    others get the data set's own rows, which of documents are their mean word vectors.
    """
    if getattr(model, "takes", "rows") != "words":
        return dataset
    model.set_params(vectors=dataset.vectors.table)
    return WordInputs(dataset, min(model.max_words, dataset.longest()))


@dataclass(frozen=True)
class WordInputs:
    """Documents as rows of word numbers.

    Parameters
    ----------
    dataset : TextDataset
    n_features : int
        Words of a document that are seen, the first ones; what is shorter is filled up with zeros.
    """

    dataset: Any
    n_features: int

    @property
    def feature_shape(self) -> tuple[int]:
        """Shape of a row."""
        return (self.n_features,)

    def flat(self, split: str) -> np.ndarray:
        """(n, n_features) float32 rows of a split."""
        found: np.ndarray = self.dataset.words(split, self.n_features)
        return found

    def rows(self, split: str, indices: Any) -> np.ndarray:
        """(k, n_features) float32 rows of these documents of a split."""
        found: np.ndarray = self.dataset.words(split, self.n_features, indices)
        return found

    def features(self, documents: Sequence[Sequence[str]]) -> np.ndarray:
        """(n, n_features) float32 rows of any documents."""
        found: np.ndarray = self.dataset.vectors.padded(documents, self.n_features)
        return found
