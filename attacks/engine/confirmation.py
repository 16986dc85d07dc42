"""The last check of an attack: distances are measured again, and adversarials confirmed by a fresh prediction."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..oracle import LabelOracle
from ..result import ALREADY_MISCLASSIFIED, NOT_FOOLED, NOT_REACHED, TRAINED_ON, AttackResult
from .validation import Task
from .view import ALREADY_THE_TARGET, View

_RELATIVE, _ABSOLUTE = 1e-6, 1e-9  # both measurements are float64; they differ in the order of their sums only


def confirmed(name: str, result: AttackResult, task: Task, oracle: LabelOracle, labels: Any) -> AttackResult:
    """Return the result of an attack in which every success holds.

    The model is queried once more at every adversarial, outside the count and the budget. One that it now classifies
    correctly is a failure without a distance, with a warning: such a model gives one input different labels.

    Parameters
    ----------
    name : str
        Class of the attack, for messages.
    result : AttackResult
    task : Task
        The originals.
    oracle : LabelOracle
        Its examples are those of the result.
    labels : callable
        The caller's label function: see `caller_confirms`.

    Raises
    ------
    RuntimeError
        If a recorded distance is not that between the adversarial and its original.
    """
    found = np.flatnonzero(result.success)
    check_distances(name, result, task)
    if caller_confirms(labels):
        return result
    codes, names = _fresh_labels(result.adversarials[found], found, oracle, labels)
    result = replace(result, adversarial_label=_spread(names, found, len(result.index)))
    unconfirmed = found[codes == task.y[found]]
    if not len(unconfirmed):
        return result
    attacked = ~np.isin(result.reason, (ALREADY_MISCLASSIFIED, TRAINED_ON))
    warn_unconfirmed(name, len(unconfirmed), len(found), int(attacked.sum()))
    return result.without(unconfirmed)


def with_target(result: AttackResult, names: NDArray[np.int64], target: NDArray[np.int64]) -> AttackResult:
    """Return the record of an attack towards target classes (n,) with the labels (n,) of the caller."""
    found = result.adversarial_label
    reason = np.where(result.reason == ALREADY_MISCLASSIFIED, ALREADY_THE_TARGET, result.reason)
    reason = np.where(reason == NOT_FOOLED, NOT_REACHED, reason)
    labels = None if found is None else np.where(result.success, target, -1)
    return replace(result, label=names, reason=reason, adversarial_label=labels)


def _fresh_labels(
    rows: NDArray[np.float32], examples: NDArray[np.intp], oracle: LabelOracle, labels: Any
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the labels of rows of examples as the attack knows them, and as the caller does."""
    if not isinstance(labels, View):
        codes = oracle.look(rows, examples)
        return codes, codes
    size = oracle.batch_rows
    blocks = [slice(begin, begin + size) for begin in range(0, len(rows), size)]
    parts = [labels.predict(rows[block], examples[block]) for block in blocks]
    if not parts:
        return np.zeros(0, dtype=np.int64), labels.names[:0]
    names = np.concatenate(parts)
    return labels.coded(names, examples), names


def _spread(names: NDArray[Any], found: NDArray[np.intp], n: int) -> NDArray[Any]:
    """Return the labels of the adversarials in an array of all n examples."""
    names = names.astype(np.int64) if names.dtype.kind in "bu" else names
    out = np.full(n, "" if names.dtype.kind == "U" else -1, dtype=names.dtype)
    out[found] = names
    return out


def caller_confirms(model: Any) -> bool:
    """Return whether a label or score function says, by its attribute `caller_confirms`, that its owner confirms."""
    return bool(getattr(model, "caller_confirms", False))


def warn_unconfirmed(name: str, n_unconfirmed: int, n_found: int, n_attacked: int) -> None:
    """Warn that some of the adversarials found are none for a second prediction."""
    warnings.warn(
        f"{n_unconfirmed} of {n_found} adversarials that {name} found were not confirmed by a fresh prediction; they "
        f"count as failed. The verified success rate is {(n_found - n_unconfirmed) / n_attacked:.1%}. The model gives "
        "one input different labels, so the other adversarials may be chance as well.",
        RuntimeWarning,
        stacklevel=5,
    )


def check_distances(name: str, result: AttackResult, task: Task) -> None:
    """Raise RuntimeError unless the recorded distances are those of the adversarials to their originals."""
    for e in np.flatnonzero(result.success):
        difference = result.adversarials[e].astype(np.float64) - task.x[e]
        measured: NDArray[np.float64] = np.array([np.linalg.norm(difference), np.abs(difference).max()])
        recorded = np.array([result.l2[e], result.linf[e]])
        if not np.allclose(recorded, measured, rtol=_RELATIVE, atol=_ABSOLUTE):
            raise RuntimeError(
                f"{name} recorded the distances {recorded.tolist()} (L2, L-infinity) for example "
                f"{result.index[e]}, but its adversarial is {measured.tolist()} from the original. "
                "This is an error of the attack; please report it."
            )
