"""Binarised-network baseline (Larq/Keras, straight-through estimator): hard-voting ensemble of 100 networks."""

from __future__ import annotations

import contextlib
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils._param_validation import Interval, StrOptions

from baselines.workers.bnn_vote import Settings, prepare, require_packages, train_vote
from baselines.workers.pool import train_in_parallel
from scd.devices import resolve_device
from scd.engine.sign_networks import SignNetworks
from scd.ensemble import Progress
from scd.storage import Vote


class BNNVotes(SignNetworks):
    """Ensemble of networks with binary weights and sign units, trained with straight-through gradients.

    A vote is ``QuantDense(hidden_nodes)`` of the real input with a bias, batch normalisation (momentum 0.9, no scale),
    ``QuantDense(2)`` of the signs without a bias and softmax. Both kernels are binarised by ``ste_sign`` and their
    latent weights clipped to [-1, 1]; Adam minimises the cross-entropy. TensorFlow runs only in worker processes: the
    process that fits never loads it, and predictions do not need it.

    Parameters
    ----------
    n_votes : int
        The paper uses 10 on ECG data and 100 elsewhere.
    hidden_nodes : int
    input_quantizer : {"approx_sign", "ste_sign", "swish_sign"}
        Replaces the derivative of the hidden units' sign. The paper names approx_sign; the authors' program has
        ste_sign.
    epochs : int
    batch_size : int
        The last batch of an epoch has the remaining samples.
    learning_rate : float
    n_jobs : int or None
        Processes that fit votes at the same time; -1 is one for each core. No effect on the result.
    device : {"auto", "cpu", "cuda"} or a torch device
        Where votes predict; they are trained on the CPU.
    voting : {"hard", "mean"}
        Majority of the votes' labels (paper), or mean of their probabilities. Decides predictions, not the votes.
    warm_start : bool
        Keep the votes of the last fit and train only what is missing to `n_votes`.
    random_state : int, RandomState or None
    verbose : bool
        Show a progress bar.

    Attributes
    ----------
    classes_, n_features_in_, votes_, root_seed_ : see :class:`scd.ensemble.VoteEnsemble`
        A vote's arrays: ``hidden`` (h, d) int8 of ±1, ``thresholds`` (h,) float32, ``output`` (h,) int8 and
        ``output_threshold`` () int64, made of Keras's weights by :func:`baselines.workers.bnn_vote.fold`.

    Notes
    -----
    Labels equal those of the Keras network, except for samples on the threshold of a hidden unit that its float32
    product and batch normalisation round to the other side.
    """

    keeps_inputs: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_votes": [Interval(Integral, 1, None, closed="left")],
        "hidden_nodes": [Interval(Integral, 1, None, closed="left")],
        "input_quantizer": [StrOptions({"approx_sign", "ste_sign", "swish_sign"})],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "n_jobs": [Interval(Integral, 1, None, closed="left"), Interval(Integral, None, -1, closed="right"), None],
        "device": [str],
        "voting": [StrOptions({"hard", "mean"})],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_votes: int = 100,
        hidden_nodes: int = 20,
        input_quantizer: str = "approx_sign",
        epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        n_jobs: int | None = -1,
        device: str = "auto",
        voting: str = "hard",
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.n_votes = n_votes
        self.hidden_nodes = hidden_nodes
        self.input_quantizer = input_quantizer
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.n_jobs = n_jobs
        self.device = device
        self.voting = voting
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def check_params(self) -> BNNVotes:
        super().check_params()
        resolve_device(self.device)
        return self

    def warm_up(self, X: np.ndarray, y: np.ndarray) -> None:
        """Load TensorFlow in the worker processes, which takes seconds, before a fit is timed."""
        start = partial(prepare, self._settings(), X.shape[1])
        with contextlib.suppress(ImportError):  # fit_votes raises it
            require_packages()
            train_in_parallel(start, range(effective_n_jobs(self.n_jobs)), self.n_jobs, "processes", outside=True)

    def _settings(self) -> Settings:
        return Settings(
            int(self.hidden_nodes),
            self.input_quantizer,
            int(self.epochs),
            int(self.batch_size),
            float(self.learning_rate),
        )

    def _train(
        self, X: np.ndarray, y: np.ndarray, votes: range, root_seed: int, progress: Progress | None
    ) -> list[Vote]:
        require_packages()
        train = partial(train_vote, self._settings(), X, y, root_seed)
        return train_in_parallel(train, votes, self.n_jobs, "processes", progress, bool(self.verbose), outside=True)
