"""The last check of an attack: distances are measured again, and adversarials confirmed by a fresh prediction."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from attacks.engine.validation import Task
from attacks.oracle import LabelOracle
from attacks.result import AttackResult

_RELATIVE, _ABSOLUTE = 1e-6, 1e-9  # both measurements are float64; they differ in the order of their sums only


def confirmed(name: str, result: AttackResult, task: Task, oracle: LabelOracle) -> AttackResult:
    """Return the result of an attack in which every success holds.

    The model is queried once more at every adversarial, outside the count and the budget. One that it now classifies
    correctly is a failure without a distance, with a warning. Such a model gives one input different labels.

    Parameters
    ----------
    name : str
        Class of the attack, for messages.
    result : AttackResult
    task : Task
        The originals.
    oracle : LabelOracle
        Its examples are those of the result.

    Raises
    ------
    RuntimeError
        If a recorded distance is not that between the adversarial and its original.
    """
    found = np.flatnonzero(result.success)
    check_distances(name, result, task)
    labels = oracle.query_uncounted(result.adversarials[found], found)
    unconfirmed = found[labels == task.y[found]]
    if not len(unconfirmed):
        return result
    warn_unconfirmed(name, len(unconfirmed), len(found))
    return result.without(unconfirmed)


def warn_unconfirmed(name: str, n_unconfirmed: int, n_found: int) -> None:
    """Warn that some of the adversarials found are none for a second prediction."""
    warnings.warn(
        f"{n_unconfirmed} of {n_found} adversarials that {name} found were not confirmed by a fresh prediction; they "
        "count as failed. The model gives one input different labels, so the others may be chance as well.",
        RuntimeWarning,
        stacklevel=2,
    )


def check_distances(name: str, result: AttackResult, task: Task) -> None:
    """Raise RuntimeError unless the recorded distances are those of the adversarials to their originals."""
    for e in np.flatnonzero(result.success):
        difference = result.adversarials[e].astype(np.float64) - task.x[e]
        measured = np.array([np.linalg.norm(difference), np.abs(difference).max()])
        recorded: NDArray[np.float64] = np.array([result.l2[e], result.linf[e]])
        if not np.allclose(recorded, measured, rtol=_RELATIVE, atol=_ABSOLUTE):
            raise RuntimeError(
                f"{name} recorded the distances {recorded.tolist()} (L2, L-infinity) for example "
                f"{result.index[e]}, but its adversarial is {measured.tolist()} from the original. "
                "This is an error of the attack; please report it."
            )
