"""What the stages need of data sets, models and attacks, which they reach through configurations only.

The base classes :class:`data.dataset.Dataset`, :class:`scd.ensemble.VoteEnsemble` and :class:`attacks.base.Attack`
provide all of it, with defaults. :mod:`pipeline.config.build` refuses what does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Config = dict[str, Any]
"""A resolved configuration, or one of its groups."""

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
Documents = Sequence[Sequence[str]]
"""Documents as lists of tokens."""
Clip = tuple[float, float] | tuple[tuple[float, ...], tuple[float, ...]]
"""Lower and upper bound: two numbers for all features, or two tuples with a number for each."""
Vote = dict[str, NDArray[Any]]
"""The arrays of one trained vote."""
LabelFunction = Callable[..., NDArray[Any]]
"""Maps inputs (n, d), and for single members also their n numbers, to n labels or scores."""


class Access(StrEnum):
    """What an attack may see of a model: the value of its `requires`."""

    LABEL = "label"
    """Predicted labels."""
    SCORE = "score"
    """Probabilities of the classes; of documents, the score of class 1."""
    MEMBERS = "members"
    """The label of each vote alone."""
    GRADIENT = "gradient"
    """Labels, and a differentiable approximation of the model: not black-box."""
    WEIGHTS = "weights"
    """Labels, and radii that the model certifies from the weights of its votes: not black-box."""
    TREES = "trees"
    """Labels, and the trees of the model: not black-box."""
    VOTES = "votes"
    """Labels, and the weights of sign networks that vote: not black-box."""


class Inputs(Protocol):
    """A data set as a model takes it."""

    @property
    def n_features(self) -> int:
        """Features of one flat input."""
        ...

    def flat(self, split: Any) -> Floats:
        """All inputs of "train" or "test", (n, d)."""
        ...

    def rows(self, split: Any, indices: Any) -> Floats:
        """The inputs with these numbers, (k, d)."""
        ...


@runtime_checkable
class Dataset(Inputs, Protocol):
    """A classification problem with a training and a test split."""

    name: str
    x_train: NDArray[Any]
    y_train: Labels
    x_test: NDArray[Any]
    y_test: Labels
    feature_shape: tuple[int, ...]
    clip: Clip
    class_names: tuple[str, ...]
    checksum: str
    provenance: dict[str, Any]

    def subset(self, train: Labels, test: Labels) -> Self:
        """The data set of these rows of its splits."""
        ...

    def with_note(self, note: str) -> Self:
        """The same data set with one more note in its provenance."""
        ...


class WordTable(Protocol):
    """Vectors of words."""

    @property
    def table(self) -> Floats:
        """(1 + V, dimension); the first row is zeros."""
        ...

    def padded(self, documents: Any, width: int) -> Floats:
        """(n, width) numbers of the words of documents."""
        ...


@runtime_checkable
class TextDataset(Dataset, Protocol):
    """A data set of documents, whose rows are mean word vectors."""

    vectors: WordTable

    def documents(self, split: Any, indices: Any = None) -> list[list[str]]:
        """The tokens of documents of a split."""
        ...

    def features(self, documents: Documents) -> Floats:
        """Mean word vectors of any documents, (n, d)."""
        ...

    def words(self, split: Any, width: int, indices: Any = None) -> Floats:
        """Numbers of the first words of documents of a split, (n, width)."""
        ...

    def longest(self) -> int:
        """Tokens of the longest document."""
        ...


class DeviceLabels(Protocol):
    """Labels of inputs in memory or on a GPU."""

    device: str

    def __call__(self, rows: Any) -> NDArray[Any]:
        """(n,) labels of (n, d) inputs."""
        ...


@runtime_checkable
class Model(Protocol):
    """An ensemble of independent votes for two classes or, if it is `multiclass`, for more."""

    method_version: int
    takes: str
    differentiable: bool
    multiclass: bool
    shard_votes: int
    device: str
    voting: str
    n_votes: int

    def check_params(self) -> Any:
        """Raise ValueError for a parameter out of range."""
        ...

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name."""
        ...

    def set_params(self, **params: Any) -> Any:
        """Set parameters."""
        ...

    def warm_up(self, X: Floats, y: Labels) -> None:
        """Compile what training needs."""
        ...

    def fit_votes(
        self,
        X: Any,
        y: Any,
        votes: range,
        progress: Callable[[int, int, float], None] | None = None,
        checkpoint: Path | None = None,
    ) -> list[Vote]:
        """Train the votes with these numbers and return them."""
        ...

    def use_votes(self, votes: list[Vote], classes: Any = (0, 1), n_features: int | None = None, root: int = 0) -> Any:
        """Become the fitted ensemble of these votes."""
        ...

    def votes(self, X: Floats) -> NDArray[np.uint8]:
        """(n, n_votes) label of each vote, the position of its class."""
        ...

    def vote_probabilities(self, X: Floats) -> NDArray[np.float64]:
        """(n, n_votes) probability of class 1 by each vote; of more than two classes (n, n_votes, K)."""
        ...

    def member_labels(self, X: Floats, members: Any) -> Labels:
        """(n,) label of one vote for each input."""
        ...

    def predict(self, X: Floats) -> Labels:
        """(n,) labels."""
        ...

    def predict_proba(self, X: Floats) -> NDArray[np.float64]:
        """(n, 2) probabilities of the classes."""
        ...

    def device_labels(self) -> DeviceLabels | None:
        """`predict` that also takes tensors on the model's GPU; None where the model has none."""
        ...


class SmoothModel(Model, Protocol):
    """A model that is `differentiable`."""

    def smooth(self, x: Any, beta: float, gamma: float) -> Any:
        """(n,) differentiable approximation of the fraction of votes for class 1."""
        ...


@runtime_checkable
class CertifiedModel(Model, Protocol):
    """A model that certifies radii; of more than two classes if it says so."""

    certifies_multiclass: bool

    def certified_radius(self, X: Floats, y: Labels, norm: Any = "l2", **search: Any) -> NDArray[np.float64]:
        """(n,) radius in "l2" or "linf" within which no perturbation changes the label."""
        ...


@runtime_checkable
class TreeModel(Model, Protocol):
    """A model that is a sum of trees, for two classes."""

    def check_trees(self, n_votes: int) -> None:
        """Raise ValueError if so many votes of the unfitted model will be no sum of trees."""
        ...

    def trees(self) -> Any:
        """The trees, a :class:`scd.trees.Trees`."""
        ...


@runtime_checkable
class SignModel(Model, Protocol):
    """A model whose votes are sign networks."""

    def sign_votes(self) -> list[Vote]:
        """The arrays of the votes, for hard voting."""
        ...


@runtime_checkable
class FileModel(Model, Protocol):
    """A model that depends on files besides the data set."""

    def inputs(self) -> dict[str, str]:
        """Checksums that decide the predictions."""
        ...


class WordModel(Model, Protocol):
    """A model that `takes` "words", with the parameter `vectors`."""

    max_words: int


class Result(Protocol):
    """Columns that the results of all attacks have, one entry an example."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def index(self) -> Labels: ...
    @property
    def label(self) -> Labels: ...
    @property
    def success(self) -> NDArray[np.bool_]: ...
    @property
    def queries(self) -> Labels: ...
    @property
    def reason(self) -> NDArray[np.str_]: ...


class RowsResult(Result, Protocol):
    """What an attack on rows of numbers returns: see :class:`attacks.result.AttackResult`."""

    @property
    def adversarials(self) -> Floats: ...
    @property
    def l2(self) -> NDArray[np.float64]: ...
    @property
    def linf(self) -> NDArray[np.float64]: ...
    @property
    def restart(self) -> Labels: ...
    @property
    def trace(self) -> Mapping[str, NDArray[Any]]: ...
    @property
    def extra(self) -> Mapping[str, NDArray[Any]]: ...
    @property
    def adversarial_label(self) -> NDArray[Any] | None: ...
    @property
    def tables(self) -> Mapping[str, Mapping[str, NDArray[Any]]]: ...


class TextResult(Result, Protocol):
    """What an attack on documents returns: see :class:`attacks.text.result.TextResult`."""

    @property
    def adversarial(self) -> Sequence[Any]: ...
    @property
    def similarity(self) -> NDArray[np.float64]: ...
    @property
    def words(self) -> Labels: ...
    @property
    def words_changed(self) -> Labels: ...
    @property
    def score_before(self) -> NDArray[np.float64]: ...
    @property
    def score_after(self) -> NDArray[np.float64]: ...
    def documents(self) -> Iterator[dict[str, Any]]:
        """A dict of plain values for each document."""
        ...


@runtime_checkable
class AnyAttack(Protocol):
    """What attacks on rows and on documents have in common."""

    requires: str
    takes: str
    method_version: int
    call_options: frozenset[str]
    unbounded: bool
    trains_on_points: bool

    def check_ready(self) -> None:
        """Raise for a missing file or package."""
        ...

    def inputs(self) -> dict[str, str]:
        """Checksums and versions that decide the numbers."""
        ...

    def notes(self) -> list[str]:
        """Sentences for the reader of the results."""
        ...

    def starts_from(self) -> frozenset[str]:
        """Training data that the call needs: "nearest", "given" or neither."""
        ...


@runtime_checkable
class Attack(AnyAttack, Protocol):
    """An attack on rows of numbers."""

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError if samples of this shape cannot be attacked."""
        ...

    def __call__(
        self,
        labels: LabelFunction,
        x: Floats,
        y: Labels,
        *,
        clip: Clip | None,
        index: Labels,
        state: Path,
        **access: Any,
    ) -> RowsResult:
        """Attack the examples `x`; `access` holds what else `requires` and `starts_from` entitle it to."""
        ...


@runtime_checkable
class TextAttack(AnyAttack, Protocol):
    """An attack on documents."""

    score: str

    def __call__(
        self,
        scores: Callable[[Documents], NDArray[np.float64]],
        documents: Documents,
        y: Labels,
        *,
        index: Labels,
        state: Path,
    ) -> TextResult:
        """Attack documents."""
        ...


@dataclass(frozen=True)
class Job:
    """One run: its settings and the objects built from them, each once."""

    config: Config
    dataset: Dataset
    model: Model
    attack: Attack | TextAttack | None
    """None for attack=none."""
    outputs: Path
    changed: tuple[str, ...] = ()
    """Settings that differ from those of conf/, as ``model.n_iter=30``; see :mod:`pipeline.config.compose`."""

    @property
    def model_name(self) -> str:
        """Name of the model's configuration."""
        return str(self.config["model"]["name"])

    @property
    def attack_name(self) -> str:
        """Name of the attack's configuration."""
        return str(self.config["attack"]["name"])

    @property
    def scale(self) -> str:
        """Name of the scale."""
        return str(self.config["scale"]["name"])

    @property
    def seed(self) -> int:
        """Seed of the votes and of the attack."""
        return int(self.config["seed"])
