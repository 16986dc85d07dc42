"""The outputs of any classifier as labels and probabilities of the data set's two classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SHOWN = 20  # classes in a message


@dataclass(frozen=True)
class Predictor:
    """A trained classifier.

    Attributes
    ----------
    outputs : callable
        Maps float32 inputs (n, d) to labels (n,), integers or texts; to scores (n, K), the largest of which decides; or
        to scores (n,) or (n, 1) of the second of two classes.
    classes : tuple of str, optional
        Names of the K classes; None where the model has none.
    threshold : float
        A single score above it means the second class.
    """

    outputs: Callable[[NDArray[np.float32]], NDArray[Any]]
    classes: tuple[str, ...] | None = None
    threshold: float = 0.5


class PairForward:
    """A trained classifier as one vote for two classes.

    Parameters
    ----------
    predictor : Predictor
    class_names : sequence of two str
        What label 0 and label 1 of the data set mean.
    given : sequence of two, optional
        Names of the model's classes that are label 0 and label 1.
    """

    def __init__(self, predictor: Predictor, class_names: Sequence[str], given: Sequence[Any] | None) -> None:
        self.predictor, self.class_names, self.given = predictor, class_names, given

    def labels(self, X: NDArray[np.float32]) -> NDArray[np.uint8]:
        """(n, 1) uint8: 1 where the second class is predicted."""
        outputs = self._outputs(X)
        if outputs.dtype.kind != "f":
            second = self._of_labels(outputs)
        elif outputs.shape[1] == 1:
            second = (outputs[:, 0] > self.predictor.threshold) != self._reversed()
        else:
            pair = outputs[:, self._positions(outputs.shape[1])]
            second = pair[:, 1] > pair[:, 0]
        return second.astype(np.uint8)[:, None]

    def probabilities(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, 1) float64 in [0, 1]: scores that are no probabilities pass a logistic function; labels are 0 or 1."""
        outputs = self._outputs(X)
        if outputs.dtype.kind != "f":
            return self._of_labels(outputs).astype(np.float64)[:, None]
        if outputs.shape[1] == 1:
            score = outputs[:, 0].astype(np.float64)
            inside = self.predictor.threshold == 0.5 and bool(((score >= 0) & (score <= 1)).all())
            second = score if inside else _logistic(score - self.predictor.threshold)
            return (1 - second if self._reversed() else second)[:, None]
        pair = outputs[:, self._positions(outputs.shape[1])].astype(np.float64)
        total = pair.sum(axis=1)
        if (outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=1e-3):
            return np.where(total > 0, pair[:, 1] / np.where(total > 0, total, 1), 0.5)[:, None]
        return _logistic(pair[:, 1] - pair[:, 0])[:, None]

    def _outputs(self, X: NDArray[np.float32]) -> NDArray[Any]:
        """The outputs of the model for (n, d) inputs: n labels, or floats of shape (n, K)."""
        outputs = np.asarray(self.predictor.outputs(X))
        if outputs.dtype.kind == "f" and outputs.ndim == 1:
            outputs = outputs[:, None]
        expected = 2 if outputs.dtype.kind == "f" else 1
        if outputs.ndim != expected or len(outputs) != len(X) or outputs.dtype.kind not in "fiubUO":
            raise ValueError(
                f"The model must return a label or a row of scores for each of {len(X)} inputs, "
                f"got {outputs.dtype} of shape {outputs.shape}."
            )
        if outputs.dtype.kind == "f" and not np.isfinite(outputs).all():
            raise ValueError("The model must return finite scores, got NaN or infinity.")
        return outputs

    def _of_labels(self, outputs: NDArray[Any]) -> NDArray[np.bool_]:
        names = outputs.astype(np.str_)
        known = self.predictor.classes or tuple(np.unique(names).tolist())
        zero, one = pair_of(known, self.class_names, self.given, known_all=self.predictor.classes is not None)
        others = sorted(set(names.tolist()) - {zero, one})
        if others:
            raise ValueError(
                f"The model predicts the class {others[0]!r}, but a label must be one of two, {zero!r} and {one!r}; "
                "a model of more classes needs scores, such as predict_proba."
            )
        return np.asarray(names == one)

    def _positions(self, k: int) -> list[int]:
        known = self._known(k)
        return [known.index(name) for name in pair_of(known, self.class_names, self.given)]

    def _reversed(self) -> bool:
        return self._positions(2) == [1, 0]

    def _known(self, k: int) -> tuple[str, ...]:
        known = self.predictor.classes or tuple(map(str, range(k)))
        if len(known) != k:
            raise ValueError(f"The model names {len(known)} classes and returns {k} scores.")
        return known


def pair_of(
    known: Sequence[str], class_names: Sequence[str], given: Sequence[Any] | None, known_all: bool = True
) -> tuple[str, str]:
    """Return which of the model's classes are label 0 and label 1.

    They are those `given`; else those with the names of the data set's classes; else the two that there are.

    Parameters
    ----------
    known : sequence of str
    class_names : sequence of two str
    given : sequence of two, optional
    known_all : bool
        Whether the model has no other classes than `known`.

    Raises
    ------
    ValueError
        If `given` are not among them, or they cannot be told.
    """
    if given is not None:
        pair = [str(each) for each in given]
        unknown = [name for name in pair if name not in known and known_all]
        if unknown:
            raise ValueError(f"model.classes must be two of the model's classes {_listed(known)}; got {unknown[0]!r}.")
        return pair[0], pair[1]
    if all(name in known for name in class_names) or not known_all:
        return class_names[0], class_names[1]
    if len(known) == 2:
        return known[0], known[1]
    raise ValueError(
        f"The model has {len(known)} classes ({_listed(known)}) and the data set has {class_names[0]!r} and "
        f"{class_names[1]!r}; say which are meant with model.classes=[first,second]."
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown}, …"


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 0.5 * (1 + np.tanh(x / 2))  # without overflow
    return found
