"""The outputs of any classifier as labels and probabilities of the data set's classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from scd.ensemble import label_type

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
    labels : callable, optional
        Maps inputs to labels (n,), where another rule than the largest score decides, as that of a support vector
        machine does.
    features : tuple of str, optional
        Names of the features, where the model has some.
    """

    outputs: Callable[[NDArray[np.float32]], NDArray[Any]]
    classes: tuple[str, ...] | None = None
    threshold: float = 0.5
    labels: Callable[[NDArray[np.float32]], NDArray[Any]] | None = None
    features: tuple[str, ...] | None = None


def check_features(predictor: Predictor, names: Sequence[str], where: str) -> None:
    """Refuse columns that are not the features of a model, in its order; a model may know no names.

    Parameters
    ----------
    predictor : Predictor
    names : sequence of str
        Of the columns.
    where : str
        What has them, for the message.

    Raises
    ------
    ValueError
        Names the first column that differs.
    """
    known = predictor.features
    if known is None or len(known) != len(names):  # another number is refused by the model
        return
    for name, expected in zip(names, known, strict=True):
        if name.replace(" ", "_") != expected.replace(" ", "_"):  # LightGBM replaces blanks
            raise ValueError(
                f"The columns of {where} must be the features of the model, in its order: {_listed(known)}. "
                f"Got {name} for {expected}."
            )


class ClassForward:
    """A trained classifier as one vote for the classes of a data set.

    Parameters
    ----------
    predictor : Predictor
    class_names : sequence of K str
        What the labels 0 to K - 1 of the data set mean.
    given : sequence of K, optional
        Names of the model's classes that are these labels.
    """

    def __init__(self, predictor: Predictor, class_names: Sequence[str], given: Sequence[Any] | None) -> None:
        self.predictor, self.class_names, self.given = predictor, class_names, given

    def labels(self, X: NDArray[np.float32]) -> NDArray[np.unsignedinteger[Any]]:
        """(n, 1) labels; of equal scores the first is the largest."""
        of_model = self.predictor.labels
        if of_model is None or len(self.predictor.classes or ()) != len(self.class_names):
            of_model = self.predictor.outputs  # of a model with more classes the scores are compared
        outputs = self._outputs(X, of_model)
        if outputs.dtype.kind != "f":
            labels = self._of_labels(outputs)
        elif outputs.shape[1] == 1:
            labels = (outputs[:, 0] > self.predictor.threshold) != self._reversed()
        else:
            labels = outputs[:, self._positions(outputs.shape[1])].argmax(axis=1)
        return labels.astype(label_type(len(self.class_names)))[:, None]

    def probabilities(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, 1) float64 probability of label 1; of more than two classes (n, 1, K), of each.

        Scores that are no probabilities pass a logistic function or softmax; labels are certain.
        """
        of_all = self._probabilities(self._outputs(X, self.predictor.outputs))
        return of_all[:, None] if len(self.class_names) > 2 else of_all[:, 1:]

    def _probabilities(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        if outputs.dtype.kind != "f":
            return np.eye(len(self.class_names))[self._of_labels(outputs)]
        if outputs.shape[1] == 1:
            score = outputs[:, 0].astype(np.float64)
            inside = self.predictor.threshold == 0.5 and bool(((score >= 0) & (score <= 1)).all())
            second = score if inside else expit(score - self.predictor.threshold)
            second = 1 - second if self._reversed() else second
            return np.stack([1 - second, second], axis=1)
        chosen = outputs[:, self._positions(outputs.shape[1])].astype(np.float64)
        if (outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=1e-3):
            total = chosen.sum(axis=1, keepdims=True)
            return np.where(total > 0, chosen / np.where(total > 0, total, 1), 1 / chosen.shape[1])
        return np.asarray(softmax(chosen, axis=1))

    def _outputs(self, X: NDArray[np.float32], of_model: Callable[[NDArray[np.float32]], NDArray[Any]]) -> NDArray[Any]:
        """The outputs of the model for (n, d) inputs: n labels, or floats of shape (n, K)."""
        outputs = np.asarray(of_model(X))
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

    def _of_labels(self, outputs: NDArray[Any]) -> NDArray[np.int64]:
        names = outputs.astype(np.str_)
        known, known_all = self.predictor.classes, self.predictor.classes is not None
        numbers = tuple(map(str, range(len(self.class_names))))
        if known is None and outputs.dtype.kind in "iu" and not set(numbers) & set(self.class_names):
            known, known_all = numbers, True  # as of scores, the class of each number is that of its position
        known = known or tuple(np.unique(names).tolist())
        chosen = classes_of(known, self.class_names, self.given, known_all)
        others = sorted(set(names.tolist()) - set(chosen))
        if others:
            raise ValueError(
                f"The model predicts the class {others[0]!r}, but a label must be one of {_listed(chosen)}; "
                "a model of more classes needs scores, such as predict_proba."
            )
        order = np.argsort(chosen)
        return np.asarray(order[np.searchsorted(np.array(chosen)[order], names)])

    def _positions(self, k: int) -> list[int]:
        known = self._known(k)
        return [known.index(name) for name in classes_of(known, self.class_names, self.given)]

    def _reversed(self) -> bool:
        return self._positions(2) == [1, 0]

    def _known(self, k: int) -> tuple[str, ...]:
        known = self.predictor.classes or tuple(map(str, range(k)))
        if len(known) != k:
            raise ValueError(f"The model names {len(known)} classes and returns {k} scores.")
        return known


def classes_of(
    known: Sequence[str], class_names: Sequence[str], given: Sequence[Any] | None, known_all: bool = True
) -> tuple[str, ...]:
    """Return which of the model's classes are the labels 0 to K - 1.

    They are those `given`; else those with the names of the data set's classes; else all, if there are K.

    Parameters
    ----------
    known : sequence of str
    class_names : sequence of K str
    given : sequence of K, optional
    known_all : bool
        Whether the model has no other classes than `known`.

    Raises
    ------
    ValueError
        If `given` are not among them, or they cannot be told.
    """
    k = len(class_names)
    if given is not None:
        chosen = tuple(str(each) for each in given)
        unknown = [name for name in chosen if name not in known and known_all]
        if len(chosen) != k or unknown:
            got = repr(unknown[0]) if unknown else f"{len(chosen)} names"
            raise ValueError(
                f"model.classes must be {_many(k)} of the model's classes {_listed(known)}, "
                f"one for each of the data set's; got {got}."
            )
        return chosen
    if all(name in known for name in class_names) or not known_all:
        return tuple(class_names)
    if len(known) == k:
        return tuple(known)
    raise ValueError(
        f"The model has {len(known)} classes ({_listed(known)}) and the data set has {_listed(class_names)}; "
        "say which are meant with model.classes=[first,second], a name for each of the data set's."
    )


def _many(k: int) -> str:
    return "two" if k == 2 else str(k)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown}, …"
