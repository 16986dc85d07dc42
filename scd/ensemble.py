"""What all vote ensembles have in common: growth, majority, prefixes, files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, check_random_state, check_X_y, validate_data

from scd.storage import Vote, load_votes, save_votes

if TYPE_CHECKING:
    from scd.engine.forward import DeviceLabels

_MAY_CHANGE = frozenset(
    {"n_votes", "voting", "n_jobs", "device", "backend", "memory_budget", "verbose", "warm_start", "random_state"}
)
_KEPT_IN_FILES = (bool, int, float, str, type(None))

Progress = Callable[[int, int, float], None]
"""Called with (steps done, total steps, mean best score so far in [0, 1] or NaN)."""


class Forward(Protocol):
    """Trained votes that predict together."""

    def labels(self, X: NDArray[Any]) -> NDArray[Any]:
        """(n, V) uint8 (uint16 beyond 256 classes): the position of the class that a vote predicts."""
        ...

    def probabilities(self, X: NDArray[Any]) -> NDArray[Any]:
        """(n, V) float in [0, 1]: a vote's probability of the second class; of more classes (n, V, K), of each."""
        ...


class VoteEnsemble(ClassifierMixin, BaseEstimator):
    """Base of ensembles of independent votes, for two classes or, where `multiclass` says so, for more.

    An ensemble predicts by hard voting, the label of most votes (``voting="hard"``, the paper), or by the
    mean of the votes' probabilities (``voting="mean"``, the authors' program for some models).
    A tie is the first class of those in it.

    A subclass has the parameters ``n_votes``, ``voting``, ``random_state``, ``warm_start`` and the methods ``_train``,
    which trains the votes with given numbers and must not depend on which others are trained, ``_stack``, which makes
    trained votes predict together, and ``_vote_check``, which refuses votes that no training gives.

    Attributes
    ----------
    classes_ : (K,) array
    n_features_in_ : int
    votes_ : list of dict of arrays
        The trained votes: arrays only, no object of a library.
    root_seed_ : int
        Vote number v draws from a seed derived from this and v.
    """

    method_version: ClassVar[int] = 1
    """A class raises this whenever a change of its code changes its votes: the store then trains again."""

    resumable: ClassVar[bool] = False
    """Whether `fit_votes` takes a `checkpoint` file and, after a kill within a shard, resumes from it."""

    shard_votes: ClassVar[int] = 10
    """Votes trained together on a CPU: with more, fixed costs are spread further; with fewer, a kill loses less."""

    takes: ClassVar[str] = "rows"
    """Inputs: "rows" of numbers, "images", "signals" or "words", which are numbers of words of a document."""

    differentiable: ClassVar[bool] = False
    """Whether `smooth` gives a differentiable approximation, which white-box attacks need."""

    multiclass: ClassVar[bool] = False
    """Whether there may be more than two classes."""

    certifies_multiclass: ClassVar[bool] = False
    """Whether its method `certified_radius`, if it has one, takes more than two classes."""

    keeps_inputs: ClassVar[bool] = False
    """Whether no prediction writes into its inputs, so that an attack need not copy them. Each class says it itself."""

    device: str = "cpu"

    n_votes: int
    voting: str
    n_features_in_: int
    random_state: Any
    warm_start: bool
    _parameter_constraints: ClassVar[dict[str, list[Any]]]

    def _train(
        self, X: NDArray[Any], y: NDArray[Any], votes: range, root_seed: int, progress: Progress | None
    ) -> list[Vote]:
        """Train the votes with these numbers on (n, d) float32 samples and (n,) labels, positions of classes."""
        raise TypeError(f"{type(self).__name__} must implement _train.")

    def _stack(self, votes: list[Vote]) -> Forward:
        raise TypeError(f"{type(self).__name__} must implement _stack.")

    def check_votes(self, votes: list[Vote], features: int) -> None:
        """Raise a ValueError that names the first vote, and its array, that no training of this class gives.

        Without these checks, damaged votes predict from memory that is not theirs, or for ever.
        """
        if not votes:
            raise ValueError(f"{type(self).__name__} needs at least one vote. Got none.")
        number = 0
        try:
            check = self._vote_check(votes[0], features)
            for number, vote in enumerate(votes):  # noqa: B007  (named in the error)
                check(vote)
        except ValueError as error:
            raise ValueError(f"Vote {number} of {type(self).__name__} cannot be used: {error}") from None

    def _vote_check(self, first: Vote, features: int) -> Callable[[Vote], None]:
        """Return what raises a ValueError for a vote that cannot predict beside vote `first`."""
        return lambda vote: None

    def check_params(self) -> Self:
        """Raise a ValueError that names the first bad parameter, the allowed values and the given one."""
        self._validate_params()
        return self

    def warm_up(self, X: NDArray[np.float32], y: NDArray[Any]) -> None:
        """Compile what training needs, so that its time is not counted as training; by default there is nothing."""

    def fit(self, X: Any, y: Any) -> Self:
        """Train `n_votes` votes; with `warm_start`, only those still missing.

        Parameters
        ----------
        X : (n, d) array
        y : (n,) array
            Two classes; more only if `multiclass` is True.

        Raises
        ------
        ValueError
            Bad parameter, NaN or infinity, one class or too many, fewer than two samples of a class.
        """
        return self._fit(X, y)

    def _fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        self.check_params()
        grows = self.warm_start and hasattr(self, "votes_")
        names = getattr(self, "feature_names_in_", None)  # validate_data records those of X instead
        X, y = validate_data(self, X, y, dtype=np.float32, ensure_min_samples=2)
        classes, encoded = self._encode(y)
        more = self._weighted(classes, encoded, sample_weight)
        done: list[Vote] = []
        if grows:
            self._check_names_of_growth(names)
            self._check_warm_start(classes, X.shape[1])
            done, root = self.votes_[: self.n_votes], self.root_seed_
        else:
            root = self.root_seed()
        missing = range(len(done), self.n_votes)
        new = self._train(X, encoded, missing, root, None, **more) if missing else []
        return self.use_votes(done + new, classes, X.shape[1], root)

    def _weighted(self, classes: NDArray[Any], y: NDArray[Any], sample_weight: Any = None) -> dict[str, Any]:
        """Further arguments of `_train`, in an ensemble that weights samples."""
        return {}

    def fit_votes(
        self, X: Any, y: Any, votes: range, progress: Progress | None = None, checkpoint: Path | None = None
    ) -> list[Vote]:
        """Train only the votes with these numbers and return them; the estimator is unchanged.

        ``use_votes`` makes an ensemble of them. Votes 0-4 and then 5-9 are the same as votes 0-9 at once.

        Parameters
        ----------
        X : (n, d) array
        y : (n,) array
        votes : range
        progress : callable, optional
        checkpoint : path, optional
            File in which a `resumable` ensemble saves the state of this call, to resume from it after a kill. It is
            removed at the end. Other ensembles ignore it.
        """
        self.check_params()
        X, y = check_X_y(X, y, dtype=np.float32)
        classes, encoded = self._encode(y)
        if not len(votes):
            return []
        more = self._weighted(classes, encoded)
        if self.resumable:
            more["checkpoint"] = checkpoint
        return self._train(X, encoded, votes, self.root_seed(), progress, **more)

    def use_votes(self, votes: list[Vote], classes: Any = (0, 1), n_features: int | None = None, root: int = 0) -> Self:
        """Become the fitted ensemble of these trained votes.

        ``feature_names_in_`` is kept if there are as many names as features.

        Raises
        ------
        ValueError
            If the votes cannot be those of a trained ensemble of this class: see :meth:`check_votes`.
        """
        features = int(n_features if n_features is not None else self.n_features_in_)
        self.check_votes(votes, features)
        self.classes_ = np.asarray(classes)
        self.n_features_in_ = features
        if len(getattr(self, "feature_names_in_", range(features))) != features:
            del self.feature_names_in_
        self.root_seed_ = root
        self.votes_ = votes
        self._trained_with = {"features": self.n_features_in_, **self._kept_params()}
        self._forward = self._stack(votes)
        self._members: dict[int, Forward] = {}
        return self

    def set_params(self, **params: Any) -> Self:
        """Set parameters as in scikit-learn; a fitted ensemble moves to a new `device` immediately."""
        super().set_params(**params)
        if "device" in params and hasattr(self, "votes_"):
            self._forward, self._members = self._stack(self.votes_), {}
        return self

    def _kept_params(self) -> dict[str, Any]:
        """The parameters that a warm start may not change."""
        return {k: v for k, v in self.get_params(deep=False).items() if k not in _MAY_CHANGE}

    def _check_names_of_growth(self, names: NDArray[Any] | None) -> None:
        """Refuse to grow votes on other columns than those named `names`, and keep these names."""
        given = getattr(self, "feature_names_in_", None)
        if names is None:
            return
        self.feature_names_in_ = names
        if given is not None and not np.array_equal(names, given):
            raise ValueError(
                "The feature names should match those that were passed during fit: warm_start adds votes trained on "
                f"the same columns in the same order, {_shown(names)}. Got {_shown(given)}."
            )

    def _check_warm_start(self, classes: NDArray[Any], n_features: int) -> None:
        if not np.array_equal(classes, self.classes_):
            raise ValueError(f"warm_start needs the same classes: {_shown(self.classes_)}. Got {_shown(classes)}.")
        for name, now in {"features": n_features, **self._kept_params()}.items():
            if self._trained_with[name] != now:
                raise ValueError(
                    f"warm_start adds votes trained in the same way: {name} was {self._trained_with[name]!r}. "
                    f"Got {now!r} instead; set warm_start=False to train all votes again."
                )

    def root_seed(self) -> int:
        """The seed from which all votes derive theirs; `random_state` itself if it is an int."""
        if isinstance(self.random_state, (int, np.integer)):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _encode(self, y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        check_classification_targets(y)
        name = type(self).__name__
        kind = type_of_target(y, input_name="y", raise_unknown=True)
        classes, encoded, counts = np.unique(y, return_inverse=True, return_counts=True)
        if (kind != "binary" or len(classes) > 2) and not (self.multiclass and kind in ("binary", "multiclass")):
            raise ValueError(
                f"Only binary classification is supported. The type of the target is {kind}. "
                f"{name} needs two classes; got {len(classes)}: {_shown(classes)}."
            )
        if len(classes) < 2:
            raise ValueError(f"{name} needs two classes; the data contain one class only: {_shown(classes)}.")
        if counts.min() < 2:
            raise ValueError(f"{name} needs at least 2 samples of each class; got {counts.min()} of {_shown(classes)}.")
        return classes, encoded.astype(np.int64)

    def votes(self, X: Any) -> NDArray[Any]:
        """(n, n_votes) uint8 (uint16 beyond 256 classes): the position in `classes_` of each vote's class."""
        X = self._checked(X)
        return self._forward.labels(X)

    def vote_probabilities(self, X: Any) -> NDArray[Any]:
        """(n, n_votes) float64 in [0, 1]: each vote's probability of the second class; of K > 2, (n, n_votes, K).

        For a sign network, which outputs no probability, it is the sigmoid of the output sum minus its threshold.
        """
        X = self._checked(X)
        return self._forward.probabilities(X).astype(np.float64, copy=False)

    def member_labels(self, X: Any, members: Any) -> NDArray[Any]:
        """(n,) class that vote number ``members[i]`` alone predicts for input i of (n, d) `X`."""
        X = self._checked(X)
        members = np.asarray(members)
        if members.shape != (len(X),) or members.min() < 0 or members.max() >= len(self.votes_):
            raise ValueError(
                f"members must hold one vote number in 0..{len(self.votes_) - 1} for each of the {len(X)} inputs."
            )
        out = np.empty(len(X), dtype=np.int64)
        for v in np.unique(members):
            if v not in self._members:
                self._members[v] = self._stack([self.votes_[v]])
            own = members == v
            out[own] = self._members[v].labels(X if own.all() else X[own])[:, 0]
        return self.classes_[out]

    def _checked(self, X: Any) -> NDArray[Any]:
        if self._is_valid(X):  # scikit-learn's checks take a third of the time of a prediction of a few inputs
            plain: NDArray[Any] = X
            return plain
        check_is_fitted(self, "votes_")
        inputs: NDArray[Any] = validate_data(self, X, dtype=np.float32, reset=False)
        return inputs

    def _is_valid(self, X: Any) -> bool:
        """Whether `X` is an array that `validate_data` returns as it is; False if only that can tell."""
        if type(X) is not np.ndarray or X.dtype != np.float32 or X.ndim != 2 or not len(X):
            return False
        if not hasattr(self, "votes_") or hasattr(self, "feature_names_in_") or X.shape[1] != self.n_features_in_:
            return False
        with np.errstate(over="ignore", invalid="ignore"):
            return bool(np.isfinite(X.sum()))

    def _certified_inputs(self, X: Any, y: Any) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Inputs and labels of `certified_radius` as (n, d) float32, and (n,) 0 or 1."""
        X, y = self._checked(X), np.asarray(y)
        if y.shape != (len(X),) or not np.isin(y, self.classes_).all():
            raise ValueError(f"The 'y' of certified_radius must hold one of {self.classes_} for each of {len(X)} rows.")
        return X, (y == self.classes_[1]).astype(np.int64)

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """(n, K) float64: for each class the fraction of votes or, with ``voting="mean"``, the mean probability."""
        k = len(self.classes_) if hasattr(self, "votes_") else 2
        if k > 2:
            if self.voting == "hard":
                return vote_counts(self.votes(X), k) / len(self.votes_)
            means: NDArray[Any] = self.vote_probabilities(X).mean(axis=1)
            return means
        second = self.votes(X).mean(axis=1) if self.voting == "hard" else self.vote_probabilities(X).mean(axis=1)
        return np.column_stack([1 - second, second])

    def predict(self, X: Any) -> NDArray[Any]:
        """(n,) class of the majority of votes, or of the highest mean probability; a tie is the first class."""
        if len(getattr(self, "classes_", ())) > 2:
            position = self.predict_proba(X).argmax(axis=1)
        elif self.voting == "hard":
            position = majority(self.votes(X))
        else:
            position = (self.vote_probabilities(X).mean(axis=1) > 0.5).astype(np.int64)
        predicted: NDArray[Any] = self.classes_[position]
        return predicted

    def device_labels(self) -> DeviceLabels | None:
        """`predict` that also takes tensors on the ensemble's CUDA device; None without one or for other networks."""
        from scd.engine.forward import DeviceLabels, takes_tensors

        check_is_fitted(self, "votes_")
        forward = self._forward if self.voting == "hard" else None
        if not takes_tensors(forward):
            return None
        return DeviceLabels(self.predict, forward, self.classes_, bool(vars(type(self)).get("keeps_inputs")))

    def subset(self, k: int) -> Self:
        """The fitted ensemble of the first `k` votes."""
        check_is_fitted(self, "votes_")
        if not (isinstance(k, (int, np.integer)) and 1 <= k <= len(self.votes_)):
            raise ValueError(
                f"The 'k' of subset must be an int in the range [1, {len(self.votes_)}]. Got {k!r} instead."
            )
        other = type(self)(**{**self.get_params(deep=False), "n_votes": int(k)})
        if hasattr(self, "feature_names_in_"):
            other.feature_names_in_ = self.feature_names_in_
        return other.use_votes(self.votes_[:k], self.classes_, self.n_features_in_, self.root_seed_)

    def save(self, path: str | Path) -> None:
        """Write the fitted ensemble to one npz file without pickle, whole or not at all."""
        check_is_fitted(self, "votes_")
        meta = {
            "class": type(self).__name__,
            "params": self._stored_params(),
            "classes": self.classes_.tolist(),
            "classes_dtype": self.classes_.dtype.str,
            "n_features": self.n_features_in_,
            "root_seed": self.root_seed_,
        }
        if hasattr(self, "feature_names_in_"):
            meta["feature_names"] = self.feature_names_in_.tolist()
        save_votes(path, self.votes_, meta)

    def _stored_params(self) -> dict[str, Any]:
        """Parameters as JSON holds them, without those that it cannot hold."""
        params = {k: v.item() if isinstance(v, np.generic) else v for k, v in self.get_params(deep=False).items()}
        return {
            k: v
            for k, v in params.items()
            if k != "device"  # the machine that loads it may have other devices
            and all(isinstance(part, _KEPT_IN_FILES) for part in (v if isinstance(v, (list, tuple)) else [v]))
        }

    @classmethod
    def _restored_params(cls, stored: dict[str, Any]) -> dict[str, Any]:
        """What `_stored_params` returned before JSON."""
        return stored

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no file, or it is damaged, of another class, or holds what no training gives.
        """
        votes, meta = load_votes(path)
        if meta.get("class") != cls.__name__:
            raise ValueError(f"{path} holds a {meta.get('class')}, not a {cls.__name__}.")
        try:
            model = cls(**cls._restored_params(meta["params"])).check_params()
            classes, names = np.array(meta["classes"], dtype=meta["classes_dtype"]), meta.get("feature_names")
            features, root = meta["n_features"], meta["root_seed"]
            known = classes.shape == (2,) or (cls.multiclass and classes.ndim == 1 and len(classes) > 2)
            if not known or len(np.unique(classes)) < len(classes):
                raise ValueError(f"it has the classes {meta['classes']!r}, not two different ones")
            if type(features) is not int or features < 1 or type(root) is not int:
                raise ValueError(f"n_features and root_seed must be ints. Got {features!r} and {root!r}")
            if names is not None:
                if not (isinstance(names, list) and len(names) == features and all(isinstance(n, str) for n in names)):
                    raise ValueError(f"it does not name each of its {features} features")
                model.feature_names_in_ = np.array(names, dtype=object)
            return model.use_votes(votes, classes, features, root)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
            raise ValueError(f"{path} is damaged or not a file of saved votes: {reason}.") from error

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = self.multiclass
        return tags


def label_type(k: int) -> type[np.unsignedinteger[Any]]:
    """Type of the positions of k classes."""
    return np.uint8 if k <= 256 else np.uint16


def vote_counts(votes: NDArray[Any], k: int) -> NDArray[np.int64]:
    """(n, k) number of votes for each of k classes; `votes` (n, V) are positions of classes."""
    return np.stack([(votes == label).sum(axis=1) for label in range(k)], axis=1)


def majority(votes: NDArray[Any]) -> NDArray[Any]:
    """(n,) int64 hard majority of (n, V) votes 0/1; a tie is 0."""
    labels: NDArray[Any] = (2 * votes.sum(axis=1, dtype=np.int64) > votes.shape[1]).astype(np.int64)
    return labels


def _shown(classes: NDArray[Any]) -> str:
    return ", ".join(repr(c) for c in classes.tolist()[:5]) + (", ..." if len(classes) > 5 else "")
