"""Random-forest baseline (scikit-learn's trees): hard-voting ensemble of 100 trees, for two classes or more."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.utils._param_validation import Interval, RealNotInt, StrOptions
from sklearn.utils.validation import check_is_fitted

from baselines.workers.pool import train_in_parallel
from scd.devices import in_threads
from scd.ensemble import Progress, VoteEnsemble, label_type
from scd.numba_cache import njit
from scd.seeds import vote_seed
from scd.storage import Vote, check_array
from scd.trees import Trees, forest_trees

_DEPTH = 10  # comparisons of an input in a tree, roughly


class ForestVotes(VoteEnsemble):
    """Random forest that predicts by the majority of its trees' labels.

    Tree i is scikit-learn's forest of one tree with a seed derived from the root seed and i, so a forest can be grown,
    cut to its first k trees and stored like every other vote ensemble. The defaults are scikit-learn's, which is the
    paper's text ("random feature selection"); ``min_samples_leaf=10, max_features=None`` are the authors' program.
    scikit-learn's own forest averages the trees' class fractions instead of their labels.

    Parameters
    ----------
    n_votes : int
        Trees.
    min_samples_leaf : int, or float in (0, 1)
        Minimum number, or fraction, of the samples.
    max_features : {"sqrt", "log2"}, int, float in (0, 1] or None
        Features tried at a split; None is all.
    max_depth : int or None
    bootstrap : bool
        Draw each tree's samples with replacement.
    n_jobs : int or None
        Trees fitted at the same time; -1 is one for each core. No effect on the result.
    voting : {"hard", "mean"}
        Majority of the votes' labels (paper), or mean of their probabilities. Decides predictions, not the votes.
    warm_start : bool
        Keep the trees of the last fit and train only what is missing to `n_votes`.
    random_state : int, RandomState or None
    verbose : bool
        Show a progress bar.

    Attributes
    ----------
    classes_, n_features_in_, votes_, root_seed_ : see :class:`scd.ensemble.VoteEnsemble`
        A vote's arrays, one entry per node, the root first: ``left`` and ``right`` int32 (-1 at a leaf), ``feature``
        int32, ``threshold`` float64, ``share`` float64 (fraction of the second class among the node's samples;
        the label is the second class where it is above 0.5). Of K > 2 classes ``share`` is (nodes, K), the fraction of
        each class, and the label is the first of the largest.
    """

    method_version: ClassVar[int] = 2  # trees keep class fractions instead of labels
    keeps_inputs: ClassVar[bool] = True
    multiclass: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_votes": [Interval(Integral, 1, None, closed="left")],
        "min_samples_leaf": [
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="neither"),
        ],
        "max_features": [
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="right"),
            StrOptions({"sqrt", "log2"}),
            None,
        ],
        "max_depth": [Interval(Integral, 1, None, closed="left"), None],
        "bootstrap": ["boolean"],
        "n_jobs": [Interval(Integral, 1, None, closed="left"), Interval(Integral, None, -1, closed="right"), None],
        "voting": [StrOptions({"hard", "mean"})],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_votes: int = 100,
        min_samples_leaf: int | float = 1,
        max_features: str | int | float | None = "sqrt",
        max_depth: int | None = None,
        bootstrap: bool = True,
        n_jobs: int | None = -1,
        voting: str = "hard",
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.n_votes = n_votes
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.max_depth = max_depth
        self.bootstrap = bootstrap
        self.n_jobs = n_jobs
        self.voting = voting
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _tree(self) -> RandomForestClassifier:
        """One unfitted, unseeded vote."""
        return RandomForestClassifier(
            n_estimators=1,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            max_depth=self.max_depth,
            bootstrap=self.bootstrap,
        )

    def _train(
        self, X: np.ndarray, y: np.ndarray, votes: range, root_seed: int, progress: Progress | None
    ) -> list[Vote]:
        if isinstance(self.max_features, Integral) and int(self.max_features) > X.shape[1]:
            raise ValueError(
                f"The 'max_features' parameter of ForestVotes must be at most the number of features, {X.shape[1]}. "
                f"Got {self.max_features} instead."
            )
        train = partial(_train_vote, self._tree(), X, y, root_seed)
        # scikit-learn grows trees without the interpreter lock, so threads share the samples
        return train_in_parallel(train, votes, self.n_jobs, "threads", progress, bool(self.verbose))

    def check_trees(self, n_votes: int) -> None:
        """Any number of trees is a sum of trees."""

    def trees(self) -> Trees:
        """Return the fitted trees as a sum, for attacks and certificates that see them."""
        check_is_fitted(self, "votes_")
        return forest_trees(self.votes_, self.voting)

    def certified_radius(
        self, X: Any, y: Any, norm: Literal["l2", "linf"] = "l2", **search: Any
    ) -> NDArray[np.float64]:
        """(n,) radius around each row of (n, d) `X` within which no perturbation changes the label away from `y`.

        0 where the row is misclassified, inf where nothing changes the label. The other arguments and the method:
        :func:`scd.certificates.certify_trees`, which also returns what proves the radii.
        """
        from scd.certificates import certify_trees

        return certify_trees(self.trees(), *self._certified_inputs(X, y), norm, **search).radius

    def _vote_check(self, first: Vote, features: int) -> Callable[[Vote], None]:
        return partial(_check_tree, features=features, classes=np.shape(first.get("share", ()))[1:])

    def _stack(self, votes: list[Vote]) -> StackedTrees:
        return StackedTrees(votes)


def _check_tree(vote: Vote, features: int, classes: tuple[int, ...]) -> None:
    """Raise a ValueError if these arrays are not those of one tree: every path from the root must end in a leaf.

    `classes` is () for two classes and (K,) for more.
    """
    nodes = len(np.atleast_1d(vote.get("share", ())))
    if not nodes:
        raise ValueError("it has no nodes.")
    left, right, feature = (check_array(vote, name, (nodes,), "iu") for name in ("left", "right", "feature"))
    check_array(vote, "threshold", (nodes,), "f")
    share = check_array(vote, "share", (nodes, *classes), "f")
    if share.min() < 0 or share.max() > 1:
        raise ValueError("its array 'share' must hold fractions in [0, 1].")
    inner = left >= 0
    # children that come after their parents leave no cycle
    parents = np.flatnonzero(inner)
    for name, child in (("left", left[inner]), ("right", right[inner])):
        if (child <= parents).any() or (child >= nodes).any():
            raise ValueError(f"its array {name!r} must lead from each node to a later one, below {nodes}.")
    if (feature[inner] < 0).any() or (feature[inner] >= features).any():
        raise ValueError(f"its array 'feature' must hold numbers of features, 0 to {features - 1}.")


class StackedTrees:
    """All trees of a forest as one set of arrays.

    Parameters
    ----------
    votes : list of dict
        Trees as :class:`ForestVotes` stores them.
    """

    def __init__(self, votes: list[Vote]) -> None:
        sizes = [len(vote["share"]) for vote in votes]
        self.roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        self.left, self.right, self.feature, self.threshold, self.share = (
            np.concatenate([vote[name] for vote in votes])
            for name in ("left", "right", "feature", "threshold", "share")
        )
        if self.share.ndim == 1:
            self.label = (self.share > 0.5).astype(np.uint8)
        else:
            self.label = self.share.argmax(axis=1).astype(label_type(self.share.shape[1]))

    def labels(self, X: np.ndarray) -> np.ndarray:
        """(n, trees) labels of the trees for (n, d) inputs, which are compared as float32."""
        return self._leaves(X, self.label)

    def probabilities(self, X: np.ndarray) -> np.ndarray:
        """(n, trees) float64 fraction of the second class in the leaf of each input; (n, trees, K) of more classes."""
        if self.share.ndim == 1:
            return self._leaves(X, self.share)
        return self.share[self._leaves(X, np.arange(len(self.share)))]

    def _leaves(self, X: np.ndarray, values: np.ndarray) -> np.ndarray:
        out = np.empty((len(X), len(self.roots)), dtype=values.dtype)
        inputs = np.ascontiguousarray(X, dtype=np.float32)

        trees = (self.roots, self.left, self.right, self.feature, self.threshold, values)
        in_threads(lambda begin, end: _descend(inputs, *trees, out, begin, end), len(inputs), _DEPTH * out.size)
        return out


@njit(nogil=True)
def _descend(X, roots, left, right, feature, threshold, values, out, begin, end):  # pragma: no cover
    for i in range(begin, end):
        for t in range(len(roots)):
            root = roots[t]
            node = root
            while left[node] >= 0:
                go_left = np.float64(X[i, feature[node]]) <= threshold[node]
                node = root + (left[node] if go_left else right[node])
            out[i, t] = values[node]


def fit_tree(tree: RandomForestClassifier, X: np.ndarray, y: np.ndarray, root_seed: int, vote: int) -> Any:
    """Fit tree number `vote` with scikit-learn and return it as scikit-learn's own forest of one tree."""
    return clone(tree).set_params(random_state=vote_seed(root_seed, vote)).fit(X, y)


def _train_vote(tree: RandomForestClassifier, X: np.ndarray, y: np.ndarray, root_seed: int, vote: int) -> Vote:
    nodes = fit_tree(tree, X, y, root_seed, vote).estimators_[0].tree_
    share = nodes.value[:, 0] / nodes.value[:, 0].sum(axis=1, keepdims=True)
    return {
        "left": nodes.children_left.astype(np.int32),
        "right": nodes.children_right.astype(np.int32),
        "feature": nodes.feature.astype(np.int32),
        "threshold": nodes.threshold.astype(np.float64),
        "share": np.ascontiguousarray(share[:, 1]) if share.shape[1] == 2 else share,
    }
