"""Any scikit-learn-compatible classifier as an ensemble: pipelines, XGBoost, LightGBM, CatBoost, your own class."""

from __future__ import annotations

import importlib
import inspect
import pickle
import warnings
from collections.abc import Callable
from functools import partial
from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from baselines.foreign.formats import needed, trusted_types
from baselines.workers.pool import train_in_parallel
from scd.ensemble import Progress, VoteEnsemble, label_type
from scd.seeds import generator_for, vote_seed
from scd.storage import Vote
from scd.trees import Trees, check_tree_kinds, joined_trees

_SKOPS, _PICKLE = "skops", "pickle"  # names of a vote's array: how it is stored
_COMPARED = 256  # training samples on which votes are compared


class EstimatorVotes(VoteEnsemble):
    """Ensemble of independent fits of one classifier, one by default.

    Vote i is fitted with every ``random_state`` of the classifier set to a seed derived from the root seed and i (in a
    pipeline, those of its steps) and, with `bootstrap`, on a bootstrap sample of each class.

    A fitted vote is stored by skops, which holds no code. It is loaded only if its types are those that skops trusts or
    are of the packages that `estimator` names, so a store from someone else runs nothing. With `trust_pickle` it is
    stored as a pickle, which runs whatever code it holds when it is loaded.

    Parameters
    ----------
    estimator : estimator or dict
        An unfitted classifier; or ``{"_target_": "sklearn.svm.SVC", "C": 10}``, a class by its path and its keyword
        arguments, whose values may be such dicts and lists of them.
    bootstrap : bool
        Fit each vote on a sample drawn with replacement. Needed for several votes of a classifier without
        ``random_state``.
    trust_pickle : bool
    n_votes : int
    n_jobs : int or None
        Votes fitted at the same time, in threads; -1 is one for each core. No effect on the result.
    voting : {"hard", "mean"}
        Majority of the votes' labels, or mean of their probabilities (`predict_proba`; labels where there is none).
    warm_start : bool
        Keep the votes of the last fit and train only what is missing to `n_votes`.
    random_state : int, RandomState or None
    verbose : bool
        Show a progress bar.

    Attributes
    ----------
    classes_, n_features_in_, votes_, root_seed_ : see :class:`scd.ensemble.VoteEnsemble`
        A vote's array, ``skops`` or ``pickle``, is its file as bytes (uint8).
    """

    multiclass: ClassVar[bool] = True
    _forward: _Fitted

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "bootstrap": ["boolean"],
        "trust_pickle": ["boolean"],
        "n_votes": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Interval(Integral, 1, None, closed="left"), Interval(Integral, None, -1, closed="right"), None],
        "voting": [StrOptions({"hard", "mean"})],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        bootstrap: bool = False,
        trust_pickle: bool = False,
        n_votes: int = 1,
        n_jobs: int | None = 1,
        voting: str = "hard",
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.estimator = estimator
        self.bootstrap = bootstrap
        self.trust_pickle = trust_pickle
        self.n_votes = n_votes
        self.n_jobs = n_jobs
        self.voting = voting
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def check_params(self) -> Any:
        """See :meth:`scd.ensemble.VoteEnsemble.check_params`; the classifier is built, and skops must be there."""
        super().check_params()
        made = self._unfitted()
        if self.n_votes > 1 and not self.bootstrap and not _seeds_of(made):
            raise ValueError(
                f"The 'n_votes' parameter of EstimatorVotes must be 1, because {type(made).__name__} has no "
                "random_state: its votes would be equal. Set bootstrap=true (model.bootstrap=true) to fit each on a "
                f"bootstrap sample. Got {self.n_votes} instead."
            )
        if not self.trust_pickle:
            try:
                needed("skops.io", "skops", "Storing a fitted classifier without pickle")
            except ImportError as error:
                raise ValueError(f"{error} Or store it by pickle: model.trust_pickle=true.") from error
        return self

    def _unfitted(self) -> Any:
        """The unfitted classifier."""
        given = self.estimator
        if given is None:
            raise ValueError(
                "The 'estimator' parameter of EstimatorVotes must be a classifier: give its class, such as "
                "model.estimator._target_=sklearn.svm.SVC."
            )
        made = build(given) if isinstance(given, dict) else clone(given)
        if not (hasattr(made, "predict") and hasattr(made, "fit") and hasattr(made, "get_params")):
            raise ValueError(
                "The 'estimator' parameter of EstimatorVotes must be a scikit-learn-compatible classifier, with fit, "
                f"predict and get_params. Got {type(made).__name__} instead."
            )
        return made

    def _train(
        self, X: NDArray[Any], y: NDArray[Any], votes: range, root_seed: int, progress: Progress | None
    ) -> list[Vote]:
        train = partial(_train_vote, self._unfitted(), X, y, root_seed, bootstrap=self.bootstrap, store=self._stored)
        trained = train_in_parallel(train, votes, self.n_jobs, "threads", progress, bool(self.verbose))
        if len(trained) > 1 and len({answers for _, answers in trained}) == 1:
            warnings.warn(
                "All votes are equal: the classifier does not depend on its random_state. bootstrap=true fits each on "
                "a bootstrap sample.",
                stacklevel=2,
            )
        return [vote for vote, _ in trained]

    def _stored(self, fitted: Any) -> Vote:
        """A fitted classifier as the array of a vote; refused if it could not be loaded again."""
        if self.trust_pickle:
            return {_PICKLE: np.frombuffer(pickle.dumps(fitted), dtype=np.uint8)}
        import skops.io

        content = skops.io.dumps(fitted)
        vote = {_SKOPS: np.frombuffer(content, dtype=np.uint8)}
        self._loaded(vote)
        return vote

    def _loaded(self, vote: Vote) -> Any:
        """The fitted classifier of a vote."""
        if _PICKLE in vote:
            if not self.trust_pickle:
                raise ValueError("it is a pickle, which model.trust_pickle=true loads if you trust its author.")
            return pickle.loads(_bytes(vote))
        io = needed("skops.io", "skops", "Loading a fitted classifier")
        content = _bytes(vote)
        try:
            allowed = trusted_types(io.get_untrusted_types(data=content), sorted(self._packages()))
        except ValueError as error:
            raise ValueError(f"{error} Or store it by pickle: model.trust_pickle=true.") from None
        return io.loads(content, trusted=allowed)

    def _packages(self) -> set[str]:
        """Packages whose types may be loaded, each with a dot: those of the classifier and of its parameters."""
        made = self._unfitted()
        objects = [made, *(value for value in made.get_params(deep=True).values() if hasattr(value, "get_params"))]
        return {f"{type(each).__module__.split('.')[0]}." for each in objects} | {"sklearn."}

    def check_trees(self, n_votes: int) -> None:
        """Raise ValueError if so many votes of the classifier will be no sum of trees; nothing need be fitted."""
        check_tree_kinds([self._unfitted()] * n_votes, self.voting)

    def trees(self) -> Trees:
        """Return the fitted votes as one sum of trees, for attacks and certificates that see them.

        Raises
        ------
        ValueError
            If they are no tree ensembles, or together no sum of trees: see :func:`scd.trees.joined_trees`.
        """
        check_is_fitted(self, "votes_")
        return joined_trees(self._forward.members, self.voting)

    def certified_radius(
        self, X: Any, y: Any, norm: Literal["l2", "linf"] = "l2", **search: Any
    ) -> NDArray[np.float64]:
        """(n,) certified radii of tree ensembles: see :meth:`baselines.forest.ForestVotes.certified_radius`."""
        from scd.certificates import certify_trees

        return certify_trees(self.trees(), *self._certified_inputs(X, y), norm, **search).radius

    def _vote_check(self, first: Vote, features: int) -> Callable[[Vote], None]:
        def check(vote: Vote) -> None:
            content = vote.get(_SKOPS, vote.get(_PICKLE))
            if content is None or content.dtype != np.uint8 or content.ndim != 1:
                raise ValueError("it holds no classifier.")

        return check

    def _stack(self, votes: list[Vote]) -> _Fitted:
        return _Fitted([self._loaded(vote) for vote in votes], len(self.classes_))


class _Fitted:
    """Fitted classifiers of the labels 0 to k - 1 that predict together."""

    def __init__(self, members: list[Any], k: int) -> None:
        self.members, self.k = members, k

    def labels(self, X: NDArray[Any]) -> NDArray[Any]:
        """(n, V) labels."""
        return np.stack([_column(member.predict(X)) for member in self.members], axis=1).astype(label_type(self.k))

    def probabilities(self, X: NDArray[Any]) -> NDArray[Any]:
        """(n, V) float64 probability of label 1, of more than two classes (n, V, k).

        A label is certain where a member has no probabilities.
        """
        return np.stack([_probabilities(member, X, self.k) for member in self.members], axis=1)


def _probabilities(member: Any, X: NDArray[Any], k: int) -> NDArray[np.float64]:
    """Probability (n,) of label 1 or, of more than two classes, those of all, (n, k)."""
    if hasattr(member, "predict_proba"):
        of_all = np.asarray(member.predict_proba(X), dtype=np.float64)
        return of_all[:, 1] if k == 2 else of_all
    labels = _column(member.predict(X))
    return labels.astype(np.float64) if k == 2 else np.eye(k)[labels.astype(np.int64)]


def _column(predicted: Any) -> NDArray[Any]:
    return np.asarray(predicted).reshape(-1)  # CatBoost predicts a column


def _bytes(vote: Vote) -> bytes:
    return bytes(vote[_SKOPS if _SKOPS in vote else _PICKLE])


def _seeds_of(estimator: Any) -> list[str]:
    """Names of the parameters of an estimator and of its parts that seed it."""
    return [name for name in estimator.get_params(deep=True) if name.split("__")[-1] == "random_state"]


def _train_vote(
    estimator: Any,
    X: NDArray[Any],
    y: NDArray[Any],
    root_seed: int,
    vote: int,
    *,
    bootstrap: bool,
    store: Callable[[Any], Vote],
) -> tuple[Vote, bytes]:
    """A stored vote, and its outputs for some training samples."""
    seeded = clone(estimator)
    seeds = dict.fromkeys(_seeds_of(seeded), vote_seed(root_seed, vote))
    if seeds:
        seeded.set_params(**seeds)
    some = X[:_COMPARED]
    if bootstrap:
        rng = generator_for(root_seed, "bootstrap", vote)
        of_each = [np.flatnonzero(y == label) for label in np.unique(y)]
        rows = np.concatenate([rng.choice(own, len(own)) for own in of_each])
        X, y = X[np.sort(rows)], y[np.sort(rows)]
    fitted = seeded.fit(X, y)
    return store(fitted), _probabilities(fitted, some, len(np.unique(y))).tobytes()


def build(node: Any) -> Any:
    """Build what ``_target_`` names, with its keyword arguments, and those within them; lists of pairs become steps.

    Parameters
    ----------
    node : dict, list or plain value

    Raises
    ------
    ValueError
        If a target is no class with ``fit``: nothing else is called.
    """
    if isinstance(node, list):
        made = [build(each) for each in node]
        pair = len(made) == 2 and isinstance(made[0], str) and hasattr(made[1], "fit")
        return tuple(made) if pair else made
    if not isinstance(node, dict):
        return node
    if "_target_" not in node:
        return {key: build(value) for key, value in node.items()}
    kind = _class_of(node["_target_"])
    try:
        return kind(**{key: build(value) for key, value in node.items() if key != "_target_"})
    except TypeError as error:
        raise ValueError(f"{node['_target_']} cannot be built: {error}") from None


def _class_of(target: Any) -> Any:
    module, _, name = str(target).rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name) if module else None
    except (ImportError, AttributeError) as error:
        raise ValueError(f"model.estimator._target_={target} cannot be imported: {error}.") from None
    if not (inspect.isclass(found) and hasattr(found, "fit")):
        raise ValueError(f"model.estimator._target_ must be a class with fit, such as sklearn.svm.SVC. Got {target!r}.")
    return found
