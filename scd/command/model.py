"""A trained model, from a file or behind a URL, as a function from inputs to names of classes."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scd.command.samples import names_of
from scd.storage import load_votes

_VOTES = re.compile(r"votes_(\d+)-(\d+)\.npz")


@dataclass(frozen=True)
class ModelOptions:
    """How a model file is read; see :class:`baselines.file.FileModel`.

    Attributes
    ----------
    classes : tuple of str
        Names of the model's classes, in its order; empty: those that the model has, else 0, 1, …
    threshold : float
    channels_last : bool
    trusted : tuple of str
    trust_pickle : bool
    rate_limit : float or None
        Requests per second to a service.
    token_variable : str or None
        Environment variable with the token for a service.
    """

    classes: tuple[str, ...] = ()
    threshold: float = 0.5
    channels_last: bool = False
    trusted: tuple[str, ...] = ()
    trust_pickle: bool = False
    rate_limit: float | None = None
    token_variable: str | None = None


class NamedClassifier:
    """A trained classifier: maps (n, d) float32 inputs to the names of their classes, (n,) str.

    Parameters
    ----------
    predictor : scd.foreign.outputs.Predictor
    names : sequence of str
        Of its classes, in its order; empty: those that it has.
    """

    def __init__(self, predictor: Any, names: Sequence[str]) -> None:
        own = predictor.classes
        renamed = bool(names) and own is not None and set(own) != set(names)
        if renamed and own != tuple(map(str, range(len(names)))):
            raise ValueError(f"--classes must not differ from the model's classes {', '.join(own)}.")
        self.predictor, self.names = predictor, tuple(names if renamed else own or names)
        self._given = bool(names) and (own is None or renamed)

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.str_]:
        """Return the name of the class of each input."""
        outputs = np.asarray((self.predictor.labels or self.predictor.outputs)(inputs))
        if outputs.dtype.kind in "iubUO" and outputs.shape == (len(inputs),):
            numbers = self._given and outputs.dtype.kind not in "UO"
            return self._named(outputs) if numbers else outputs.astype(np.str_)
        if outputs.dtype.kind != "f" or outputs.ndim > 2 or len(outputs) != len(inputs):
            raise ValueError(
                f"The model must return a label or a row of scores for each of {len(inputs)} inputs. "
                f"Got {outputs.dtype} of shape {outputs.shape}."
            )
        if not np.isfinite(outputs).all():
            raise ValueError("The model must return finite scores. Got NaN or infinity.")
        scores = outputs.reshape(len(inputs), -1)
        if scores.shape[1] == 1:
            return self._named((scores[:, 0] > self.predictor.threshold).astype(np.int64), 2)
        return self._named(scores.argmax(axis=1), scores.shape[1])

    def _named(self, positions: NDArray[Any], count: int | None = None) -> NDArray[np.str_]:
        names = self.names or tuple(map(str, range(count or 0)))
        if count not in (None, len(names)) or positions.max(initial=0) >= len(names):
            found = count or int(positions.max()) + 1
            raise ValueError(f"The model has {found} classes, and {len(names)} are named: {', '.join(names)}.")
        self.names = names
        named: NDArray[np.str_] = np.array(names)[positions]
        return named

    def check_classes(self, classes: NDArray[np.str_], predicted: NDArray[np.str_]) -> None:
        """Refuse classes of samples that a model which numbers its classes does not have.

        Parameters
        ----------
        classes, predicted : ndarray of str, shape (n,)
            Of the samples, and what the model predicts for them. Of a model that returns numbers as labels only these
            are known.

        Raises
        ------
        ValueError
            They would be taken for other classes of the model.
        """
        numbers = tuple(map(str, range(len(self.names))))
        if not self.names:
            numbers = tuple(np.unique(predicted).tolist())
            if not all(name.isdecimal() for name in numbers) or np.isin(numbers, classes).all():
                return
        others = np.setdiff1d(classes, numbers).tolist()
        if self.names in ((), numbers) and others:
            raise ValueError(
                f"The classes of --data must be {', '.join(numbers)}, as the model numbers them, or be named in its "
                f"order with --classes. Got {', '.join(others[:10])}."
            )

    def check_features(self, names: Sequence[str], path: str) -> None:
        """Refuse a table whose columns are not the features of the model, in its order, by a ValueError."""
        import_module("scd.foreign.outputs").check_features(self.predictor, names, path)


def load_model(path: str, feature_shape: tuple[int, ...], options: ModelOptions) -> NamedClassifier:
    """Load a model.

    Parameters
    ----------
    path : str
        A file of `scd.foreign.formats`; an ``.npz`` file of :meth:`scd.SCDClassifier.save`; a folder of the store with
        votes of a sign network; or the address of a service of `scd.foreign.service`.
    feature_shape : tuple of int
        Shape of a sample.
    options : ModelOptions

    Raises
    ------
    ValueError, FileNotFoundError, ImportError
        One sentence on what is missing or wrong.
    """
    if is_address(path):
        return NamedClassifier(_service(path, options), options.classes)
    file = Path(path).expanduser()
    if not file.exists():
        raise FileNotFoundError(f"--model {path} is not there.")
    if file.is_dir() or file.suffix.lower() == ".npz":
        return NamedClassifier(_sign_network(file, int(np.prod(feature_shape))), options.classes)
    return NamedClassifier(_foreign(file, path, feature_shape, options), options.classes)


def is_address(path: str) -> bool:
    """Return whether a model is a service."""
    return path.startswith(("http://", "https://"))


def _service(url: str, options: ModelOptions) -> Any:
    """The predictor of a model behind a URL; labels that are all whole numbers become integers."""
    variable = options.token_variable
    token = None if variable is None else os.environ.get(variable)
    if variable is not None and not token:
        raise ValueError(f"--token-variable must be an environment variable with a token. Got {variable}.")
    service = import_module("scd.foreign.service").Service(url, rate_limit=options.rate_limit, token=token)

    def labels(x: NDArray[np.float32]) -> NDArray[Any]:
        found: NDArray[np.str_] = service(x)
        return found.astype(np.int64) if all(map(_is_number, found.tolist())) else found

    return import_module("scd.foreign.outputs").Predictor(labels)


def _is_number(label: str) -> bool:
    return label.isdecimal() and str(int(label)) == label


def _foreign(file: Path, path: str, feature_shape: tuple[int, ...], options: ModelOptions) -> Any:
    """The predictor of a model of another program."""
    readers = import_module("scd.foreign.formats")  # by name: its folder is a room of its own in a checkout
    known, ending = readers.formats(), file.suffix.lower().removeprefix(".")
    if ending not in known:
        raise ValueError(
            f"--model must end in .npz, {', '.join(f'.{each}' for each in known)}, or be a folder of votes or the "
            f"address of a service, such as http://localhost:8000/predict. Got {path}."
        )
    kind = known[ending]
    if kind.runs_code and not options.trust_pickle:
        raise ValueError(
            f"Loading {path} can run code that it holds: give --trust-pickle if you trust its author, or save the "
            "model as .onnx, .skops or in another form that holds no code."
        )
    readers.needed(kind.package, kind.install, f"A model of the form .{ending}")
    request = readers.Request(file, feature_shape, options.threshold, options.channels_last, options.trusted)
    try:
        return kind.load(request)
    except ImportError:
        raise
    except Exception as error:  # loaders of damaged files raise almost anything
        first = (str(error).splitlines() or [type(error).__name__])[0]
        first = re.sub(r"model\.trusted=\[([^\]]*)\]", r"--trusted \1", first)
        raise ValueError(f"The model file {path} cannot be used: {first}") from error


def _sign_network(path: Path, features: int) -> Any:
    """The predictor of an ensemble of sign networks."""
    from scd.classifier import SCDClassifier  # loads torch

    outputs = import_module("scd.foreign.outputs")
    if path.is_file():
        model = SCDClassifier.load(path)
        if model.n_features_in_ != features:
            raise ValueError(f"The model {path} takes {model.n_features_in_} features. A sample has {features}.")
        classes, columns = names_of(model.classes_), getattr(model, "feature_names_in_", None)
        known = None if columns is None else tuple(map(str, columns))

        def named(x: NDArray[np.float32]) -> NDArray[np.str_]:
            return np.asarray(classes[np.searchsorted(model.classes_, model.predict(x))])

        return outputs.Predictor(named, tuple(classes.tolist()), features=known)
    votes = _votes_of(path)
    model = SCDClassifier(n_votes=len(votes)).use_votes(votes, n_features=features)
    return outputs.Predictor(model.predict, ("0", "1"))


def _votes_of(folder: Path) -> list[Any]:
    """The votes of a fit in the store, in the order of their numbers."""
    shards = sorted((int(m[1]), int(m[2]), p) for p in folder.iterdir() if (m := _VOTES.fullmatch(p.name)))
    votes: list[Any] = []
    for first, last, path in shards:
        if first != len(votes):
            raise ValueError(f"The folder {folder} must have all votes from number 0. Number {len(votes)} is missing.")
        votes += load_votes(path)[0]
        if len(votes) != last + 1:
            raise ValueError(f"{path} must hold the votes {first} to {last}. Got {len(votes) - first} votes.")
    if not votes:
        raise ValueError(f"--model {folder} must be a file, or a folder with votes_….npz of a sign network.")
    return votes
