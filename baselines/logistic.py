"""Logistic regression baseline (scikit-learn): one hyperplane, whose distances are exact."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import check_is_fitted

from scd.devices import resolve_device
from scd.ensemble import Progress, VoteEnsemble
from scd.forward import StackedVotes
from scd.smooth import smooth_share
from scd.storage import Vote, check_network

_ROUNDING = 2.0**-40  # of the sum of |x| |w|: far above what a float64 product of any length loses


class LogisticVotes(VoteEnsemble):
    """Logistic regression with an L2 penalty, as an ensemble of one vote.

    The solver (L-BFGS) draws nothing at random, so further votes would be the same. They are refused.

    Parameters
    ----------
    n_votes : int
        1.
    C : float
        Inverse strength of the penalty, scikit-learn's. The smaller, the farther the hyperplane is from the samples.
    max_iter : int
        Maximum number of iterations of the solver.
    device : {"auto", "cpu", "cuda"} or a torch device
        Where the model predicts; it is trained on the CPU.
    voting : {"hard", "mean"}
        The same for one vote.
    warm_start : bool
        Keep the vote of the last fit.
    random_state : int, RandomState or None
        No effect.
    verbose : bool
        No effect.

    Attributes
    ----------
    n_iter_ : (1,) int array
        Iterations run.
    classes_, n_features_in_, votes_, root_seed_ : see :class:`scd.ensemble.VoteEnsemble`
        The vote is a network of one sigmoid unit: ``hidden`` (1, d), ``thresholds`` (1,) minus scikit-learn's
        intercept, ``output`` (1,) 1, ``output_threshold`` () 0.5, ``n_iter`` ().
    """

    _forward: StackedVotes

    differentiable: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_votes": [Options(Integral, {1})],
        "C": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "voting": [StrOptions({"hard", "mean"})],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_votes: int = 1,
        C: float = 1.0,
        max_iter: int = 1000,
        device: str = "auto",
        voting: str = "hard",
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.n_votes = n_votes
        self.C = C
        self.max_iter = max_iter
        self.device = device
        self.voting = voting
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def check_params(self) -> LogisticVotes:
        super().check_params()
        resolve_device(self.device)
        return self

    @property
    def n_iter_(self) -> NDArray[Any]:
        """(1,) iterations run."""
        check_is_fitted(self, "votes_")
        return np.array([vote["n_iter"] for vote in self.votes_])

    def _train(
        self, X: NDArray[Any], y: NDArray[Any], votes: range, root_seed: int, progress: Progress | None
    ) -> list[Vote]:
        model = LogisticRegression(C=self.C, max_iter=self.max_iter).fit(X, y)
        vote = {
            "hidden": model.coef_.astype(np.float32),
            "thresholds": -model.intercept_.astype(np.float32),
            "output": np.ones(1),
            "output_threshold": np.array(0.5),
            "n_iter": np.array(model.n_iter_[0]),
        }
        if progress is not None:
            progress(1, 1, float("nan"))
        return [vote for _ in votes]

    def _vote_check(self, first: Vote, features: int) -> Callable[[Vote], None]:
        return partial(check_network, first=first, features=features)

    def _stack(self, votes: list[Vote]) -> StackedVotes:
        names = ("hidden", "thresholds", "output", "output_threshold")
        arrays = {name: np.stack([vote[name] for vote in votes]) for name in names}
        return StackedVotes(**arrays, activation="sigmoid", device=resolve_device(self.device))

    def vote_probabilities(self, X: Any) -> NDArray[Any]:
        """(n, 1) float64 in [0, 1]: scikit-learn's probability of the second class."""
        return expit(self._signed(self._checked(X)))[:, None]

    def _signed(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """(n,) float64 ``x . w - threshold``."""
        vote = self.votes_[0]
        return X.astype(np.float64) @ vote["hidden"][0].astype(np.float64) - float(vote["thresholds"][0])

    def smooth(self, x: torch.Tensor, beta: float, gamma: float) -> torch.Tensor:
        """(n,) smoothed probability of the second class: see :func:`scd.smooth.smooth_share`; `beta` is ignored."""
        check_is_fitted(self, "votes_")
        return smooth_share(self._forward, x, beta, gamma, self.voting)

    def certified_radius(
        self, X: Any, y: Any, norm: Literal["l2", "linf"] = "l2", **search: Any
    ) -> NDArray[np.float64]:
        """(n,) distance of each row of (n, d) `X` from the hyperplane, 0 where the row is misclassified.

        It is exact but for float64 rounding, which is taken off, and for the box of the data, which can only enlarge
        it. Nothing is searched: `search` has no effect.
        """
        X = self._checked(X)
        w, threshold = self.votes_[0]["hidden"][0].astype(np.float64), float(self.votes_[0]["thresholds"][0])
        gap = np.abs(self._signed(X)) - _ROUNDING * (np.abs(X) @ np.abs(w) + abs(threshold))
        length = np.linalg.norm(w) if norm == "l2" else np.abs(w).sum()
        with np.errstate(divide="ignore"):  # without weights nothing changes the label
            radius = np.where(gap > 0, gap / length, 0.0)
        found: NDArray[np.float64] = np.where(self.predict(X) == np.asarray(y), radius, 0.0)
        return found
