"""Multilayer perceptron trained adversarially: hard-voting ensemble, for two classes or more. Not in the paper."""

from __future__ import annotations

import math
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from baselines.torch_ensemble.convolutional import ConvolutionalVotes
from baselines.torch_ensemble.layers import VoteLinear, VoteNetwork
from scd.engine.samples.basis import basis, coefficients
from scd.engine.samples.copies import mirrored_order
from scd.ensemble import Progress
from scd.storage import Vote


class AdversarialMLPVotes(ConvolutionalVotes):
    """Ensemble of networks of one logistic hidden layer, trained by Adam on samples that are moved against them.

    The network is that of :class:`baselines.mlp.MLPVotes`; the training is that of the convolutional baselines.

    Parameters
    ----------
    hidden_nodes : int
        Units of the hidden layer.
    feature_shape : tuple of int or None
        Shape of a flat input, for `mirrored` and `basis` alone: the network does not know the order of its inputs.
    basis : {"pixels", "blocks", "dct", "pca"}
        What training sees and moves: the features, or their coefficients in a few orthonormal directions, as
        :class:`scd.SCDClassifier` does. The trained votes have weights of the features. With `mirrored` an epoch is
        then one on all images and their mirror images.
    basis_size : int or "auto"
        Blocks or frequencies along each axis, or number of components; see :func:`scd.engine.samples.basis.basis`.
    n_votes, epochs, batch_size, learning_rate, votes_at_once, precision, device, memory_budget, voting, warm_start, \
random_state, verbose, adversarial, mirrored : see :class:`baselines.torch_ensemble.convolutional.ConvolutionalVotes`

    Attributes
    ----------
    classes_, n_features_in_, votes_, root_seed_ : see :class:`scd.ensemble.VoteEnsemble`
    """

    takes: ClassVar[str] = "rows"
    keeps_inputs: ClassVar[bool] = True
    multiclass: ClassVar[bool] = True
    _output_bias: ClassVar[str] = "output.bias"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ConvolutionalVotes._parameter_constraints,
        "hidden_nodes": [Interval(Integral, 1, None, closed="left")],
        "basis": [StrOptions({"pixels", "blocks", "dct", "pca"})],
        "basis_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    }

    def __init__(
        self,
        n_votes: int = 10,
        hidden_nodes: int = 20,
        epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        votes_at_once: int | str = "auto",
        precision: str = "float32",
        device: str = "auto",
        memory_budget: int | str = "2GiB",
        voting: str = "hard",
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
        adversarial: float = 0.5,
        mirrored: bool = False,
        feature_shape: tuple[int, ...] | None = None,
        basis: str = "pixels",
        basis_size: int | str = "auto",
    ) -> None:
        self.n_votes = n_votes
        self.hidden_nodes = hidden_nodes
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.votes_at_once = votes_at_once
        self.precision = precision
        self.device = device
        self.memory_budget = memory_budget
        self.voting = voting
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.adversarial = adversarial
        self.mirrored = mirrored
        self.feature_shape = feature_shape
        self.basis = basis
        self.basis_size = basis_size

    def _train(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        votes: range,
        root_seed: int,
        progress: Progress | None,
        checkpoint: Path | None = None,
    ) -> list[Vote]:
        if self.basis == "pixels":
            return super()._train(X, y, votes, root_seed, progress, checkpoint)
        rows = basis(self.basis, self.basis_size, X, self.feature_shape, type(self).__name__)
        inputs = coefficients(X, rows)
        if self.mirrored:  # the coefficients of a mirrored image are those of the image in mirrored directions
            order = mirrored_order(self.feature_shape, X.shape[1], type(self).__name__)
            inputs = np.concatenate([inputs, coefficients(X, rows[:, order])])
            y = np.tile(y, 2)
        plain = {**self.get_params(), "basis": "pixels", "mirrored": False, "feature_shape": None}
        trained = type(self)(**plain)._train(inputs, y, votes, root_seed, progress, checkpoint)
        return [{**vote, "hidden.weight": vote["hidden.weight"] @ rows} for vote in trained]

    def _network(self, votes: int, shape: tuple[int, ...], classes: int = 2) -> VoteNetwork:
        return Perceptron(votes, math.prod(shape), int(self.hidden_nodes), classes)

    def certified_radius(
        self, X: Any, y: Any, norm: Literal["l2", "linf"] = "l2", **search: Any
    ) -> NDArray[np.float64]:
        """(n,) radius within which no perturbation changes the majority: :func:`scd.certificates.certify_sigmoid`.

        `X` is (n, d). 0 where the row is misclassified. Nothing is searched: `search` has no effect.

        Raises
        ------
        ValueError
            If the votes' probabilities are averaged, or there are more than two classes.
        """
        from scd.certificates import certify_sigmoid

        X, y = self._certified_inputs(X, y)
        if self.voting != "hard" or len(self.classes_) > 2:
            raise ValueError(
                "Certified radii of AdversarialMLPVotes need the 'voting' parameter 'hard' and two classes. "
                f"Got {self.voting!r} and {len(self.classes_)} classes."
            )
        votes = [
            {
                "hidden": vote["hidden.weight"],
                "thresholds": -vote["hidden.bias"],
                "output": np.diff(vote["output.weight"].astype(np.float64), axis=0)[0],
                "output_threshold": -np.diff(vote["output.bias"].astype(np.float64))[0],
            }
            for vote in self.votes_
        ]
        return certify_sigmoid(votes, X, y, norm).radius


class Perceptron(VoteNetwork):
    """V networks of one hidden layer of logistic units."""

    def __init__(self, votes: int, features: int, hidden_nodes: int, classes: int = 2) -> None:
        super().__init__()
        self.votes = votes
        self.hidden = VoteLinear(votes, features, hidden_nodes)
        self.output = VoteLinear(votes, hidden_nodes, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, V, K) logits of (n, d) inputs shared by the votes, or of (n, V, d) inputs, one set per vote."""
        each = x[:, None].expand(-1, self.votes, -1) if x.ndim == 2 else x
        logits: torch.Tensor = self.output(torch.sigmoid(self.hidden(each.transpose(0, 1))))
        return logits.transpose(0, 1)
