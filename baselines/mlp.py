"""Multilayer-perceptron baseline (scikit-learn's MLPClassifier): ensemble of 100 networks, for two classes or more."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from baselines.torch_ensemble.softmax import SoftmaxVotes, check_softmax, shares_of_logits
from baselines.workers.mlp_vote import train_vote
from baselines.workers.pool import train_in_parallel
from scd.devices import resolve_device
from scd.engine.forward import StackedVotes
from scd.engine.smooth import smooth_share
from scd.ensemble import Progress, VoteEnsemble
from scd.storage import Vote, check_network


class MLPVotes(VoteEnsemble):
    """Ensemble of one-hidden-layer logistic networks trained by stochastic gradient descent.

    A vote is ``MLPClassifier((hidden_nodes,), "logistic", solver="sgd")`` with Nesterov momentum. Samples are float32,
    so scikit-learn trains and predicts in float32. All votes predict together through one matrix product, with the
    labels of the fitted ``MLPClassifier`` objects.

    Parameters
    ----------
    n_votes : int
    hidden_nodes : int
    learning_rate : float
        The paper's is 0.01 (IMDB 0.1), constant.
    momentum : float in [0, 1]
    alpha : float
        L2 penalty.
    max_iter : int
        Maximum number of epochs.
    tol : float
        Training ends when the loss falls by less than this for ten epochs.
    batch_size : int or "auto"
        "auto" is 200, or all samples if there are fewer.
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
    n_iter_ : (n_votes,) int array
        Epochs run.
    classes_, n_features_in_, votes_, root_seed_ : see :class:`scd.ensemble.VoteEnsemble`
        A vote's arrays: ``hidden`` (h, d), ``thresholds`` (h,) and ``output_threshold`` () are minus scikit-learn's
        intercepts, ``output`` (h,), ``n_iter`` () epochs run. Of K > 2 classes ``output`` is (h, K) and
        ``output_threshold`` (K,), and the outputs pass a softmax.

    Notes
    -----
    The authors seed vote i with i and combine votes by the mean probability. Here vote i's seed is derived from the
    root seed and i, and votes are combined by the majority of their labels, as in the paper's text.
    """

    _forward: StackedVotes | SoftmaxVotes

    differentiable: ClassVar[bool] = True
    keeps_inputs: ClassVar[bool] = True
    multiclass: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_votes": [Interval(Integral, 1, None, closed="left")],
        "hidden_nodes": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
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
        learning_rate: float = 0.01,
        momentum: float = 0.9,
        alpha: float = 1e-4,
        max_iter: int = 1000,
        tol: float = 1e-4,
        batch_size: int | str = "auto",
        n_jobs: int | None = -1,
        device: str = "auto",
        voting: str = "hard",
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.n_votes = n_votes
        self.hidden_nodes = hidden_nodes
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.alpha = alpha
        self.max_iter = max_iter
        self.tol = tol
        self.batch_size = batch_size
        self.n_jobs = n_jobs
        self.device = device
        self.voting = voting
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def check_params(self) -> MLPVotes:
        super().check_params()
        resolve_device(self.device)
        return self

    @property
    def n_iter_(self) -> np.ndarray:
        """(n_votes,) epochs run."""
        check_is_fitted(self, "votes_")
        return np.array([vote["n_iter"] for vote in self.votes_])

    def _network(self) -> MLPClassifier:
        """One unfitted, unseeded vote."""
        return MLPClassifier(
            hidden_layer_sizes=(self.hidden_nodes,),
            activation="logistic",
            solver="sgd",
            learning_rate_init=self.learning_rate,
            momentum=self.momentum,
            nesterovs_momentum=True,
            alpha=self.alpha,
            max_iter=self.max_iter,
            tol=self.tol,
            batch_size=self.batch_size,
        )

    def _train(
        self, X: np.ndarray, y: np.ndarray, votes: range, root_seed: int, progress: Progress | None
    ) -> list[Vote]:
        train = partial(train_vote, self._network(), X, y, root_seed)
        results = train_in_parallel(train, votes, self.n_jobs, "processes", progress, bool(self.verbose))
        raised = [warning for _, warned in results for warning in warned]
        unfinished = [category for category, _ in raised].count(ConvergenceWarning)
        if unfinished:
            warnings.warn(
                f"{unfinished} of {len(votes)} votes had not converged after max_iter={self.max_iter} epochs.",
                ConvergenceWarning,
                stacklevel=3,
            )
        for category, message in dict.fromkeys(w for w in raised if w[0] is not ConvergenceWarning):
            warnings.warn(message, category, stacklevel=3)
        return [vote for vote, _ in results]

    def _vote_check(self, first: Vote, features: int) -> Callable[[Vote], None]:
        check = check_network if np.ndim(first.get("output", ())) < 2 else check_softmax
        return partial(check, first=first, features=features)

    def _stack(self, votes: list[Vote]) -> StackedVotes | SoftmaxVotes:
        if votes[0]["output"].ndim == 2:
            return SoftmaxVotes(votes, resolve_device(self.device))
        names = ("hidden", "thresholds", "output", "output_threshold")
        arrays = {name: np.stack([vote[name] for vote in votes]) for name in names}
        return StackedVotes(**arrays, activation="sigmoid", device=resolve_device(self.device))

    def smooth(self, x: torch.Tensor, beta: float, gamma: float) -> torch.Tensor:
        """(n,) smoothed fraction of votes for class 1: see :func:`scd.engine.smooth.smooth_share`; of K > 2 (n, K).

        Differentiable in the (n, d) float32 `x`. The hidden units are smooth already, so `beta` is ignored; `gamma` is
        the sharpness of the votes' labels.
        """
        check_is_fitted(self, "votes_")
        if isinstance(self._forward, SoftmaxVotes):
            logits = self._forward.logits(x.to(self._forward.device))
            return shares_of_logits(logits, gamma, self.voting, self._forward.length)
        return smooth_share(self._forward, x, beta, gamma, self.voting)

    def certified_radius(
        self, X: Any, y: Any, norm: Literal["l2", "linf"] = "l2", **search: Any
    ) -> NDArray[np.float64]:
        """(n,) radius around each row of (n, d) `X` within which no perturbation changes the majority away from `y`.

        0 where the row is misclassified. See :func:`scd.certificates.certify_sigmoid`. Nothing is searched: `search`
        has no effect.

        Raises
        ------
        ValueError
            If the votes' probabilities are averaged, or there are more than two classes.
        """
        from scd.certificates import certify_sigmoid

        check_is_fitted(self, "votes_")
        if self.voting != "hard" or len(self.classes_) > 2:
            raise ValueError(
                "Certified radii of MLPVotes need the 'voting' parameter 'hard' and two classes. "
                f"Got {self.voting!r} and {len(self.classes_)} classes."
            )
        return certify_sigmoid(self.votes_, *self._certified_inputs(X, y), norm).radius
