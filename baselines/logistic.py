"""Logistic regression baseline (scikit-learn): hyperplanes, whose distances are exact; two classes or more."""

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

from baselines.torch_ensemble.softmax import SoftmaxVotes, check_softmax, shares_of_logits
from scd.devices import resolve_device
from scd.engine.forward import StackedVotes
from scd.engine.smooth import smooth_share
from scd.ensemble import Progress, VoteEnsemble
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
        intercept, ``output`` (1,) 1, ``output_threshold`` () 0.5, ``n_iter`` (). Of K > 2 classes it is a softmax:
        ``output`` (d, K), ``output_threshold`` (K,) minus the intercepts, ``n_iter`` ().
    """

    _forward: StackedVotes | SoftmaxVotes

    differentiable: ClassVar[bool] = True
    multiclass: ClassVar[bool] = True
    certifies_multiclass: ClassVar[bool] = True

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
        }
        if len(model.coef_) > 1:
            vote = {"output": model.coef_.T.astype(np.float32), "output_threshold": -model.intercept_}
        vote["n_iter"] = np.array(model.n_iter_[0])
        if progress is not None:
            progress(1, 1, float("nan"))
        return [vote for _ in votes]

    def _vote_check(self, first: Vote, features: int) -> Callable[[Vote], None]:
        check = check_network if "hidden" in first else check_softmax
        return partial(check, first=first, features=features)

    def _stack(self, votes: list[Vote]) -> StackedVotes | SoftmaxVotes:
        if "hidden" not in votes[0]:
            return SoftmaxVotes(votes, resolve_device(self.device))
        names = ("hidden", "thresholds", "output", "output_threshold")
        arrays = {name: np.stack([vote[name] for vote in votes]) for name in names}
        return StackedVotes(**arrays, activation="sigmoid", device=resolve_device(self.device))

    def vote_probabilities(self, X: Any) -> NDArray[Any]:
        """(n, 1) float64 in [0, 1]: scikit-learn's probability of the second class; of K > 2 classes (n, 1, K)."""
        if isinstance(getattr(self, "_forward", None), SoftmaxVotes):
            return super().vote_probabilities(X)
        return expit(self._signed(self._checked(X)))[:, None]

    def _signed(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """(n,) float64 ``x . w - threshold``."""
        vote = self.votes_[0]
        return X.astype(np.float64) @ vote["hidden"][0].astype(np.float64) - float(vote["thresholds"][0])

    def smooth(self, x: torch.Tensor, beta: float, gamma: float) -> torch.Tensor:
        """(n,) smoothed probability of the second class: see :func:`scd.engine.smooth.smooth_share`; `beta` is ignored.

        Of K > 2 classes it is the softmax (n, K), and `gamma` is ignored, too.
        """
        check_is_fitted(self, "votes_")
        if isinstance(self._forward, SoftmaxVotes):
            return shares_of_logits(self._forward.logits(x.to(self._forward.device)), gamma, voting="mean")
        return smooth_share(self._forward, x, beta, gamma, self.voting)

    def certified_radius(
        self, X: Any, y: Any, norm: Literal["l2", "linf"] = "l2", **search: Any
    ) -> NDArray[np.float64]:
        """(n,) distance of each row of (n, d) `X` from the hyperplane, 0 where the row is misclassified.

        Of more than two classes it is the distance from the nearest hyperplane between `y` and another class. It is
        exact but for float64 rounding, which is taken off, and for the box of the data, which can only enlarge it.
        Nothing is searched: `search` has no effect.
        """
        X = self._checked(X)
        if "hidden" not in self.votes_[0]:
            return self._radius_of_pairs(X, np.asarray(y), norm)
        w, threshold = self.votes_[0]["hidden"][0].astype(np.float64), float(self.votes_[0]["thresholds"][0])
        gap = np.abs(self._signed(X)) - _ROUNDING * (np.abs(X) @ np.abs(w) + abs(threshold))
        length = np.linalg.norm(w) if norm == "l2" else np.abs(w).sum()
        with np.errstate(divide="ignore"):  # without weights nothing changes the label
            radius = np.where(gap > 0, gap / length, 0.0)
        found: NDArray[np.float64] = np.where(self.predict(X) == np.asarray(y), radius, 0.0)
        return found

    def _radius_of_pairs(self, X: NDArray[Any], y: NDArray[Any], norm: str) -> NDArray[np.float64]:
        """`certified_radius` of more than two classes."""
        vote = self.votes_[0]
        w, threshold = vote["output"].astype(np.float64), vote["output_threshold"]
        scores = X.astype(np.float64) @ w - threshold
        rounding = _ROUNDING * (np.abs(X) @ np.abs(w) + np.abs(threshold))
        radius = np.where(self.predict(X) == y, np.inf, 0.0)
        for i, label in enumerate(self.classes_):
            rows = np.flatnonzero((y == label) & (radius > 0))
            for j in np.flatnonzero(np.arange(w.shape[1]) != i):
                difference = w[:, i] - w[:, j]
                length = np.linalg.norm(difference) if norm == "l2" else np.abs(difference).sum()
                gap = scores[rows, i] - scores[rows, j] - rounding[rows, i] - rounding[rows, j]
                with np.errstate(divide="ignore"):  # between classes of equal weights nothing changes the label
                    radius[rows] = np.minimum(radius[rows], np.where(gap > 0, gap / length, 0.0))
        return radius
