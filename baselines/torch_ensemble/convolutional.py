"""Base of the convolutional baselines: parameters, input shapes, checkpoints, votes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from baselines.torch_ensemble.checkpoint import Checkpoint
from baselines.torch_ensemble.forward import StackedNetworks
from baselines.torch_ensemble.layers import VoteNetwork
from baselines.torch_ensemble.softmax import shares_of_logits
from baselines.torch_ensemble.training import Training, train_votes
from scd.devices import parse_bytes, resolve_device
from scd.engine.samples.copies import mirrored_order
from scd.engine.smooth import share_of_logits
from scd.ensemble import Progress, VoteEnsemble
from scd.storage import Vote, check_array

LOGIT_SIZE = 10.0  # magnitude of a trained network's logits; the sharpness of smoothed labels is relative to it


class ConvolutionalVotes(VoteEnsemble):
    """Base of ensembles of convolutional networks trained by Adam on cross-entropy.

    Parameters
    ----------
    n_votes : int
        The paper uses 100 for LeNet and 10 for the others.
    epochs : int
    batch_size : int
        The last batch of an epoch has the remaining samples; a single remaining one joins the batch before it.
    learning_rate : float
    feature_shape : tuple of int or None
        Shape of a flat input: (channels, height, width) of an image, (d,) of a signal. None is a signal, which a
        network for images treats as one line of d pixels.
    votes_at_once : int or "auto"
        Votes trained together: on the CPU in a worker each, on CUDA as one network or in a stream each. "auto" is the
        number that fits `memory_budget`, on the CPU at most one per core. No effect on the result, except for rounding
        on CUDA.
    precision : {"float32", "tf32", "bf16"}
        Of training on CUDA; the CPU trains and every device predicts in float32.
    device : {"auto", "cpu", "cuda"} or a torch device
    memory_budget : int or str
        Bytes that training and prediction may take beyond the data, e.g. "2GiB"; at least one vote, or one
        input, is processed. No effect on the result, except for rounding on CUDA.
    voting : {"hard", "mean"}
        Majority of the votes' labels (paper), or mean of their probabilities. Decides predictions, not the votes.
    warm_start : bool
        Keep the votes of the last fit and train only what is missing to `n_votes`.
    random_state : int, RandomState or None
    verbose : bool
        Show a progress bar.
    adversarial : float
        Each step is taken on samples moved by at most this L2 distance to where the vote's loss is larger (adversarial
        training by PGD, Madry et al. 2018): five gradient steps, within the features' ranges. 0 is none (paper).
    mirrored : bool
        In each epoch a vote sees each image as it is or mirrored left to right, at random. Needs the `feature_shape`
        of an image. False is as in the paper.

    Attributes
    ----------
    classes_, n_features_in_, votes_, root_seed_ : see :class:`scd.ensemble.VoteEnsemble`
        A vote's arrays are the float32 weights and running statistics of its network by their names.

    Notes
    -----
    A vote depends on its number, the root seed and the data alone: to the bit on the CPU, to rounding on CUDA, where
    cuDNN may add up gradients in no fixed order (:mod:`baselines.torch_ensemble.training`).
    """

    resumable: ClassVar[bool] = True

    _forward: StackedNetworks

    takes: ClassVar[str] = "images"
    differentiable: ClassVar[bool] = True
    """What a row is to the networks: "images", "signals" or "words"."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_votes": [Interval(Integral, 1, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "feature_shape": [tuple, list, None],
        "votes_at_once": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "precision": [StrOptions({"float32", "tf32", "bf16"})],
        "device": [str],
        "memory_budget": [Interval(Integral, 1, None, closed="left"), str],
        "voting": [StrOptions({"hard", "mean"})],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "adversarial": [Interval(Real, 0, None, closed="left")],
        "mirrored": ["boolean"],
    }

    def __init__(
        self,
        n_votes: int = 10,
        epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        feature_shape: tuple[int, ...] | None = None,
        votes_at_once: int | str = "auto",
        precision: str = "float32",
        device: str = "auto",
        memory_budget: int | str = "2GiB",
        voting: str = "hard",
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
        adversarial: float = 0.0,
        mirrored: bool = False,
    ) -> None:
        self.n_votes = n_votes
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.feature_shape = feature_shape
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

    _output_bias: ClassVar[str] = ""
    """Name of the array with a number for each class, where there may be more than two."""

    def _network(self, votes: int, shape: tuple[int, ...], classes: int = 2) -> VoteNetwork:
        """The uninitialised network of `votes` votes for flat inputs of this shape."""
        raise TypeError(f"{type(self).__name__} must define _network.")

    def check_params(self) -> Self:
        super().check_params()
        resolve_device(self.device)
        parse_bytes(self.memory_budget)
        shape = self.feature_shape
        length, wanted = {"images": (3, "(channels, height, width)")}.get(self.takes, (1, "(d,)"))
        if self.takes == "rows" and shape is not None:
            length = len(shape)  # the network does not see it
        if shape is not None and (len(shape) != length or not all(_is_size(size) for size in shape)):
            raise ValueError(
                f"The 'feature_shape' parameter of {type(self).__name__}, the shape of an input, must be that of "
                f"{self.takes}, {wanted} of ints >= 1, or None. Got {tuple(shape)!r} instead."
            )
        return self

    @classmethod
    def load(cls, path: str | Path) -> Self:
        model = super().load(path)
        if model.feature_shape is not None:
            model.feature_shape = tuple(model.feature_shape)  # a list in the file
        return model

    def _kept_params(self) -> dict[str, Any]:
        kept = super()._kept_params()
        del kept["votes_at_once"]
        return {**kept, "feature_shape": self.feature_shape and tuple(self.feature_shape)}

    def _make(self, features: int, classes: int = 2) -> Callable[[int], VoteNetwork]:
        """Return a function that makes the network of n votes for inputs of `features` features."""
        shape = self.feature_shape
        if shape is None:
            shape = (1, 1, features) if self.takes == "images" else (features,)
        elif math.prod(shape) != features:
            raise ValueError(
                f"The 'feature_shape' parameter of {type(self).__name__} must have as many values as the inputs, "
                f"{features}. Got {tuple(shape)!r}, which has {math.prod(shape)}."
            )
        return partial(self._network, shape=tuple(shape), classes=classes)

    def _train(
        self,
        X: np.ndarray,
        y: np.ndarray,
        votes: range,
        root_seed: int,
        progress: Progress | None,
        checkpoint: Path | None = None,
    ) -> list[Vote]:
        make = self._make(X.shape[1], int(y.max()) + 1)
        mirror = None
        if self.mirrored:
            mirror = torch.from_numpy(mirrored_order(self.feature_shape, X.shape[1], type(self).__name__))
        kept = None
        if checkpoint is not None:
            kept = Checkpoint(checkpoint, self._belongs_to(X, y, votes, root_seed))
        training = Training(
            epochs=int(self.epochs),
            batch_size=int(self.batch_size),
            learning_rate=float(self.learning_rate),
            votes_at_once=None if self.votes_at_once == "auto" else int(self.votes_at_once),
            precision=self.precision,
            device=resolve_device(self.device),
            memory=parse_bytes(self.memory_budget),
            verbose=bool(self.verbose),
            adversarial=float(self.adversarial),
            mirror=mirror,
        )
        held = self._validation_samples(y, root_seed)
        validation = None
        if held is not None:
            validation = _tensor(X[held]), _tensor(y[held])
            X, y = X[~held], y[~held]
        return train_votes(make, _tensor(X), _tensor(y), votes, root_seed, training, progress, kept, validation)

    def _validation_samples(self, y: np.ndarray, root_seed: int) -> np.ndarray | None:
        """(n,) bool: samples that choose the epoch instead of training; None here, so that the last epoch is kept."""
        return None

    def _belongs_to(self, X: np.ndarray, y: np.ndarray, votes: range, root_seed: int) -> dict[str, Any]:
        """Everything that decides the votes of a call, as JSON reads it back."""
        data = hashlib.sha256(np.ascontiguousarray(X).data)
        data.update(np.ascontiguousarray(y).data)
        facts = {
            "class": type(self).__name__,
            "version": self.method_version,
            "params": self._kept_params(),
            "features": X.shape[1],
            "votes": [votes.start, votes.stop],
            "root_seed": root_seed,
            "data": data.hexdigest(),
        }
        return json.loads(json.dumps(facts, default=float))

    def smooth(self, x: torch.Tensor, beta: float, gamma: float) -> torch.Tensor:
        """(n,) differentiable surrogate of the fraction of votes for the second class; `beta` is ignored.

        Of K > 2 classes (n, K), that for each.
        """
        check_is_fitted(self, "votes_")
        logits = self._forward.logits(x.to(self._forward.device))
        if logits.ndim == 3:
            return shares_of_logits(logits, gamma, self.voting, scale=LOGIT_SIZE)
        return share_of_logits(logits, gamma, self.voting, scale=LOGIT_SIZE)

    def _vote_check(self, first: Vote, features: int) -> Callable[[Vote], None]:
        bias = first.get(self._output_bias)
        return self._check_of(self._make(features, 2 if bias is None else np.size(bias)))

    def _check_of(self, make: Callable[[int], VoteNetwork]) -> Callable[[Vote], None]:
        """Return what checks that a vote has the weights of this network."""
        with torch.device("meta"):  # shapes only
            shapes = {name: tuple(array.shape[1:]) for name, array in make(1).arrays().items()}

        def check(vote: Vote) -> None:
            for name, shape in shapes.items():
                array = check_array(vote, name, shape, "f")
                if name.endswith("running_var") and array.min() < 0:
                    raise ValueError(f"its array {name!r} holds negative variances.")

        return check

    def _stack(self, votes: list[Vote]) -> StackedNetworks:
        make = self._make(self.n_features_in_, len(self.classes_))
        return StackedNetworks(
            make, votes, self.n_features_in_, resolve_device(self.device), parse_bytes(self.memory_budget)
        )


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def _is_size(size: Any) -> bool:
    return isinstance(size, (int, np.integer)) and not isinstance(size, bool) and int(size) >= 1
