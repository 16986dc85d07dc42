"""Baseline for texts (convolutions over the word vectors of a document): hard-voting ensemble of 8 networks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval

from baselines.torch_ensemble.convolutional import ConvolutionalVotes
from baselines.torch_ensemble.forward import StackedNetworks
from baselines.torch_ensemble.layers import VoteNetwork
from baselines.torch_ensemble.wordcnn_network import WordCNN
from scd.devices import parse_bytes, resolve_device
from scd.ensemble import Progress
from scd.seeds import generator_for
from scd.storage import Vote

_NOT_OF_TEXTS = ("feature_shape", "adversarial", "mirrored")


class WordCNNVotes(ConvolutionalVotes):
    """Ensemble of convolutional networks for texts (Kim 2014; the settings of TextFooler's authors).

    The vectors of a document's words in their order, which are not trained; convolutions over 3, 4 and 5 words with
    `filters` maps each; ReLU; the maximum over the document; dropout; one linear layer to 2 units. A vote is the state
    after the epoch with the highest validation accuracy, the first one if several tie. The validation samples are a
    stratified random fraction of the training samples, the same for all votes; no vote is trained on them.

    Parameters
    ----------
    n_votes, epochs, batch_size, learning_rate, votes_at_once, precision, device, memory_budget, voting, warm_start, \
random_state, verbose : see :class:`baselines.torch_ensemble.convolutional.ConvolutionalVotes`
    vectors : (1 + V, d) float32 array or None
        Word vectors; row 0 is zeros. An input holds the row numbers of a document's words in it, followed by zeros.
        Files do not hold the vectors: give them to a loaded ensemble by ``set_params(vectors=...)``.
    max_words : int
        Number of words of a document that are used, the first ones; read by the code that makes the inputs.
    filters : int
    dropout : float in [0, 1)
    validation_share : float in (0, 1)

    Attributes
    ----------
    classes_, n_features_in_, votes_, root_seed_ : see :class:`scd.ensemble.VoteEnsemble`

    Notes
    -----
    The paper names Kim's network and GloVe's vectors only; filters, dropout, batches and Adam's step are those of
    TextFooler's authors, who do not train the vectors and scale them to unit length, as the data sets here do.
    Different: they choose the epoch on the test set, drop out numbers of the words' vectors too, and give a word
    without a vector a random one, where it is zeros here. On the CPU a pass uses a table of the words that
    occur (:mod:`baselines.torch_ensemble.wordcnn_network`), on CUDA convolutions; the two differ by rounding.
    """

    takes: ClassVar[str] = "words"
    keeps_inputs: ClassVar[bool] = True
    differentiable: ClassVar[bool] = False
    feature_shape: Any = None  # a row of any length will do
    adversarial: float = 0.0  # numbers of words cannot be moved
    mirrored: bool = False  # a text has no mirror image
    smooth: ClassVar[None] = None  # type: ignore[assignment]  # numbers of words have no gradient

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{k: v for k, v in ConvolutionalVotes._parameter_constraints.items() if k not in _NOT_OF_TEXTS},
        "vectors": [np.ndarray, None],
        "max_words": [Interval(Integral, 1, None, closed="left")],
        "filters": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "validation_share": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self,
        n_votes: int = 8,
        epochs: int = 10,
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        vectors: np.ndarray | None = None,
        max_words: int = 400,
        filters: int = 150,
        dropout: float = 0.3,
        validation_share: float = 0.1,
        votes_at_once: int | str = "auto",
        precision: str = "float32",
        device: str = "auto",
        memory_budget: int | str = "2GiB",
        voting: str = "hard",
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.n_votes = n_votes
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.vectors = vectors
        self.max_words = max_words
        self.filters = filters
        self.dropout = dropout
        self.validation_share = validation_share
        self.votes_at_once = votes_at_once
        self.precision = precision
        self.device = device
        self.memory_budget = memory_budget
        self.voting = voting
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _table(self) -> np.ndarray:
        """The vectors, as torch takes them."""
        if self.vectors is None or self.vectors.ndim != 2 or self.vectors[0].any():
            got = "None" if self.vectors is None else f"an array of shape {self.vectors.shape}"
            raise ValueError(
                f"The 'vectors' parameter of {type(self).__name__} must be a (1 + V, d) float32 array whose first "
                f"row is zeros. Got {got} instead."
            )
        return np.require(self.vectors, np.float32, ["C", "W"])

    def _kept_params(self) -> dict[str, Any]:
        kept = super()._kept_params()
        kept["vectors"] = None if self.vectors is None else hashlib.sha256(self._table().data).hexdigest()
        return kept

    def _word_network(self, votes: int, dimension: int) -> VoteNetwork:
        return WordCNN(votes, self._table, dimension, int(self.filters), float(self.dropout))

    def _make(self, features: int, classes: int = 2) -> Callable[[int], VoteNetwork]:
        return partial(self._word_network, dimension=self._table().shape[1])

    def _train(
        self,
        X: np.ndarray,
        y: np.ndarray,
        votes: range,
        root_seed: int,
        progress: Progress | None,
        checkpoint: Path | None = None,
    ) -> list[Vote]:
        if X.min() < 0 or X.max() >= len(self._table()):
            raise ValueError(f"Inputs must hold numbers of word vectors, 0 to {len(self._table()) - 1}.")
        return super()._train(X, y, votes, root_seed, progress, checkpoint)

    def _validation_samples(self, y: np.ndarray, root_seed: int) -> np.ndarray:
        """(n,) bool: a random fraction of each class, at least one sample of each."""
        held = np.zeros(len(y), dtype=bool)
        for label in (0, 1):
            samples = generator_for(root_seed, "validation", label).permutation(np.flatnonzero(y == label))
            held[samples[: max(1, round(self.validation_share * len(samples)))]] = True
        return held

    def _vote_check(self, first: Vote, features: int) -> Callable[[Vote], None]:
        shape = np.shape(first.get("convs.0.weight", ()))
        if len(shape) < 2:
            raise ValueError("its array 'convs.0.weight' is missing.")
        return self._check_of(partial(self._word_network, dimension=shape[1]))

    def _stack(self, votes: list[Vote]) -> StackedNetworks:
        make = partial(self._word_network, dimension=votes[0]["convs.0.weight"].shape[1])
        return StackedNetworks(
            make, votes, self.n_features_in_, resolve_device(self.device), parse_bytes(self.memory_budget)
        )
