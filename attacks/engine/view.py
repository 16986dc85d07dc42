"""What a caller may pass, as what attacks work on: samples of any shape, labels of any kind, fixed features, a target.

An attack moves rows of features until an integer label differs from the original's. A view turns a problem of another
form into that one, and the record back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..oracle import LabelOracle, check_callable
from ..result import ALREADY_MISCLASSIFIED, AttackResult
from .adapters import output_function
from .validation import Described, as_array, read_task, refuse

ALREADY_THE_TARGET = "already of the target class"
_BLOCK = 4096  # inputs of one call for the labels of the originals


def label_function(model: Any) -> Any:
    """Return the function from inputs to labels of a model; a function is returned as it is.

    Parameters
    ----------
    model : callable or object
        A torch module, which must be in evaluation mode and returns a row of scores for each input; a classifier of
        ART; a model of Foolbox; an object with ``predict``, which returns labels or rows of scores; or a function.
    """
    torch = sys.modules.get("torch")  # without it, the model cannot be a module
    if torch is not None and isinstance(model, torch.nn.Module):
        if model.training:
            raise ValueError("A torch module must be in evaluation mode: call eval() first. Got one in training mode.")
        return lambda inputs: _largest(_scores_of(torch, model, inputs))
    outputs = output_function(model)
    if outputs is not None:
        return lambda inputs: _largest(outputs(inputs))
    predict = getattr(model, "predict", None)  # of whatever library
    if callable(model) or not callable(predict):
        return model
    return lambda inputs: _largest(np.asarray(predict(inputs)))


def _scores_of(torch: Any, module: Any, inputs: Any) -> NDArray[Any]:
    parameter = next(module.parameters(), torch.empty(0))
    kind = parameter.dtype if parameter.is_floating_point() else torch.float32
    with torch.no_grad():
        scores = module(torch.as_tensor(inputs).to(parameter.device, kind)).cpu()
    found: NDArray[Any] = (scores if scores.dtype == torch.float64 else scores.float()).numpy()
    return found


def _largest(outputs: NDArray[Any]) -> NDArray[Any]:
    """Labels as they are; of rows of scores the position of the largest."""
    if outputs.ndim < 2:
        return outputs
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        raise ValueError(
            f"The model queried by an attack must return labels, or a row of two or more scores an input. "
            f"Got shape {outputs.shape} instead."
        )
    if outputs.dtype.kind == "f" and np.isnan(outputs).any():
        raise ValueError("The model queried by an attack must return scores that are numbers. Got NaN instead.")
    return outputs.argmax(axis=1)


class View:
    """A caller's problem as rows and integer labels.

    Parameters
    ----------
    class_name : str
        Of the attack, for messages.
    model : callable
        Maps inputs of the caller's shape to n labels, integers or texts.
    x : array of shape (n, *shape)
        Originals.
    y : array of shape (n,), optional
        True labels, integers or texts. None: those that the model predicts, which costs the query of an example's own
        label.
    clip, index
        Those of the call: a bad one is refused before any query.
    mask : array of bool, optional
        Features that must not change; it has the shape of a sample.
    target : label, or array of labels of shape (n,), optional
        The class that the adversarials must have. None: any other than the true one.

    Attributes
    ----------
    rows : ndarray of shape (n, k)
        The features that may change.
    y : ndarray of int64, shape (n,)
        Codes of the true labels; of a problem with a target, zeros.
    free : ndarray of bool, shape (d,)
        Which features they are.
    """

    def __init__(
        self, class_name: str, model: Any, x: Any, y: Any, clip: Any, index: Any, mask: Any, target: Any
    ) -> None:
        self.class_name, self.model = class_name, model
        given = as_array(x)
        if given.ndim < 2 or given.dtype.kind not in "fiub" or 0 in given.shape:
            got = Described(f"{given.dtype} of shape {given.shape}")
            raise refuse(class_name, "x", "a numeric array of shape (n, *shape of a sample), none of them 0", got)
        self.shape = given.shape[1:]
        self.x = np.ascontiguousarray(given.reshape(len(given), -1), dtype=np.float32)
        self.free = self._free(mask)
        self.rows = self.x[:, self.free]
        self.own: NDArray[Any] | None = None  # the model's labels of the originals, where they are known
        task = (self.rows, np.zeros(len(given), dtype=int), self.clip(clip), index)
        read_task(class_name, *task, unbounded=True)  # before any query
        if y is None:
            blocks = (self.x[i : i + _BLOCK].copy() for i in range(0, len(self.x), _BLOCK))
            self.own = np.concatenate([self._predict(block) for block in blocks])
        self.names = self._labels("y", self.own if y is None else y)
        self.target = None if target is None else self._labels("target", np.broadcast_to(as_array(target), len(self.x)))
        self.known, codes = np.unique(self.names, return_inverse=True)
        self.y = np.zeros(len(self.x), dtype=np.int64) if target is not None else codes.reshape(-1).astype(np.int64)

    def _free(self, mask: Any) -> NDArray[np.bool_]:
        if mask is None:
            return np.ones(self.x.shape[1], dtype=bool)
        fixed = as_array(mask)
        if fixed.dtype != bool or fixed.shape != self.shape or fixed.all():
            got = Described(f"{fixed.dtype} of shape {fixed.shape}" + (", all True" if fixed.all() else ""))
            raise refuse(self.class_name, "mask", f"bools of shape {self.shape}, not all True", got)
        return ~fixed.reshape(-1)

    def _labels(self, name: str, value: Any) -> NDArray[Any]:
        labels = as_array(value)
        if labels.dtype.kind == "O" and all(isinstance(label, str) for label in labels.tolist()):
            labels = labels.astype(np.str_)  # of a column of a table
        if labels.shape != (len(self.x),) or labels.dtype.kind not in "iubU":
            got = Described(f"{labels.dtype} of shape {labels.shape}")
            raise refuse(self.class_name, name, f"an array of {len(self.x)} integers or texts", got)
        return labels

    def clip(self, clip: Any) -> Any:
        """The bounds of the features that may change; those of each feature have the shape of a sample."""
        try:
            low, high = clip
        except (TypeError, ValueError):
            return clip  # which the attack refuses
        return tuple(np.asarray(b).reshape(-1)[self.free] if np.shape(b) == self.shape else b for b in (low, high))

    def samples(self, value: Any) -> Any:
        """Samples of the caller's shape as rows of the features that may change; None stays None."""
        if value is None:
            return None
        rows = as_array(value)
        if rows.shape[1:] != self.shape:
            got = Described(f"shape {rows.shape}")
            raise refuse(self.class_name, "pool or starts", f"samples of shape {self.shape} like x", got)
        return rows.reshape(len(rows), -1)[:, self.free]

    def pool_labels(self, value: Any) -> Any:
        """Codes of the labels of a pool: those that differ from an example's code are tried as its start."""
        if value is None:
            return None
        labels = as_array(value)
        if self.target is None:
            return self._codes(labels)
        one = np.unique(self.target)
        return (labels == one[0]).astype(np.int64) if len(one) == 1 else None  # of several targets all are tried

    def starts(self, value: Any) -> Any:
        """One start for each example: from such an array, or from a dict of true label, or of target, to sample."""
        if not isinstance(value, Mapping):
            return self.samples(value)
        names = (self.names if self.target is None else self.target).tolist()
        missing = sorted({str(name) for name in names if name not in value})
        if missing:
            raise refuse(self.class_name, "starts", f"a sample for every label, also for {missing}", list(value))
        return self.samples(np.stack([np.reshape(value[name], self.shape) for name in names]))

    def identity(self) -> dict[str, NDArray[Any]]:
        """Arrays that belong to the fingerprint of an attack on this view."""
        found = {"names": self.names, "fixed": self.x[:, ~self.free], "free": self.free}
        return found if self.target is None else {**found, "target": self.target}

    def labels(self, rows: NDArray[np.float32], examples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes of the labels of rows (m, k) of the examples (m,)."""
        out = np.empty(len(rows), dtype=np.int64)
        asked = np.ones(len(rows), dtype=bool)
        if self.own is not None:  # the originals are not queried twice
            asked = (rows != self.rows[examples]).any(axis=1)
            out[~asked] = self.coded(self.own[examples[~asked]], examples[~asked])
        if asked.any():
            out[asked] = self.coded(self.predict(rows[asked], examples[asked]), examples[asked])
        return out

    def predict(self, rows: NDArray[np.float32], examples: NDArray[np.int64]) -> NDArray[Any]:
        """The model's labels of rows (m, k) of the examples (m,)."""
        inputs = self.x[examples]
        inputs[:, self.free] = rows
        return self._predict(inputs)

    def _predict(self, inputs: NDArray[np.float32]) -> NDArray[Any]:
        labels = np.asarray(self.model(inputs.reshape(len(inputs), *self.shape)))
        if labels.dtype.kind == "f" and np.array_equal(labels, np.rint(labels)):
            labels = labels.astype(np.int64)
        if labels.dtype.kind == "O":
            labels = labels.astype(np.str_)
        if labels.shape != (len(inputs),) or labels.dtype.kind not in "iubU":
            raise ValueError(
                f"The model queried by an attack must return one label per input, integers or texts. "
                f"Got {labels.dtype} of shape {labels.shape} instead."
            )
        return labels

    def coded(self, labels: NDArray[Any], examples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes of the model's labels for inputs of the examples."""
        wanted = self.names if self.target is None else self.target
        if (labels.dtype.kind == "U") != (wanted.dtype.kind == "U"):
            raise ValueError(
                "The labels of the model must be of the kind of the labels that are given, integers or texts. "
                f"Got {labels[0]!r} and {wanted[0]!r}."
            )
        if self.target is not None:
            return (labels == self.target[examples]).astype(np.int64)
        return self._codes(labels)

    def _codes(self, labels: NDArray[Any]) -> NDArray[np.int64]:
        """Positions among the true labels; one past them for others."""
        at = np.minimum(np.searchsorted(self.known, labels), len(self.known) - 1)
        return np.where(self.known[at] == labels, at, len(self.known)).astype(np.int64)

    def restored(self, result: AttackResult) -> AttackResult:
        """The record in the caller's form: samples of its shape, its labels."""
        adversarials = self.x.copy()
        adversarials[:, self.free] = result.adversarials
        adversarials[~result.success] = np.nan
        reason = result.reason
        if self.target is not None:
            reason = np.where(reason == ALREADY_MISCLASSIFIED, ALREADY_THE_TARGET, reason)
        return replace(
            result, label=self.names, adversarials=adversarials.reshape(len(self.x), *self.shape), reason=reason
        )


class ViewOracle(LabelOracle):
    """The model behind a view: its label function also gets the examples of the rows."""

    def __init__(self, view: View, **settings: Any) -> None:
        super().__init__(view.model, len(view.rows), view.rows.shape[1], **settings)
        self.view = view
        self.labels: Callable[..., Any] = view.labels  # which has no device

    def _predict(self, inputs: Any, examples: NDArray[np.int64]) -> Any:
        return self.view.labels(inputs, examples)


def _has_texts(y: Any) -> bool:
    """Whether labels are texts."""
    first = y[0] if isinstance(y, list | tuple) and len(y) else y
    return isinstance(first, str) or (not isinstance(y, list | tuple) and as_array(y).dtype.kind in "OSU")


def view_of(class_name: str, model: Any, x: Any, y: Any, clip: Any, index: Any, mask: Any, target: Any) -> View | None:
    """Return the view of a caller's problem, parameters as of `View`; None if attacks work on it as it is."""
    check_callable("labels", model)
    rows = np.ndim(x[0]) == 1 if isinstance(x, list | tuple) and len(x) else np.ndim(x) == 2
    if rows and y is not None and not _has_texts(y) and mask is None and target is None:
        return None
    return View(class_name, model, x, y, clip, index, mask, target)
