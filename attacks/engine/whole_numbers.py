"""Features that stay whole numbers: adversarials are rounded, and moved outward until the rounded ones are adversarial.

An attack searches among all real numbers. Rounding its adversarial, which lies at the boundary, may undo it. So the
adversarial moves on, along the ray from its original, until its rounded version is adversarial or cannot change.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..result import NOT_WHOLE, AttackResult
from .checkpoint import RecordedQueries
from .initial_points import query_in_blocks
from .validation import Described, Task, as_array, refuse

RESERVED_QUERIES = 32
"""Queries of an example that the attack leaves for the rounded points; of a small budget at most a tenth."""
_ATTEMPTS, _GROWTH = 64, 1.25  # steps outward, and the factor of the length of each to the one before


def read_integer(class_name: str, integer: Any, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Return which features are whole numbers, shape (d,); None if none is.

    Parameters
    ----------
    class_name : str
        Of the attack, for messages.
    integer : bool or array of bool
        All, none, or an array of the shape of a sample.
    shape : tuple of int
        Shape of a sample.
    """
    if integer is None or integer is False:
        return None
    whole = np.ones(shape, dtype=bool) if integer is True else as_array(integer)
    if whole.dtype != bool or whole.shape != shape:
        got = Described(f"{whole.dtype} of shape {whole.shape}")
        raise refuse(class_name, "integer", f"True, False or bools of shape {shape}", got)
    return whole.reshape(-1) if whole.any() else None


def check_whole(class_name: str, task: Task, whole: NDArray[np.bool_]) -> None:
    """Raise ValueError for originals that are no whole numbers where they should be."""
    values = task.x[:, whole]
    if not np.array_equal(values, np.rint(values)):
        e, c = np.argwhere(values != np.rint(values))[0]
        got = Described(f"{values[e, c]:g} in row {e}")
        raise refuse(class_name, "x", "whole numbers in the features of 'integer'", got)


def reserved(budget: int | None) -> int:
    """Return how many of the queries of an example the attack leaves for the rounded points."""
    return 0 if budget is None else min(RESERVED_QUERIES, budget // 10)


def rounded(result: AttackResult, task: Task, journal: RecordedQueries, whole: NDArray[np.bool_]) -> AttackResult:
    """Return the result of an attack with rounded adversarials and their distances.

    Every rounded point is queried, and counted. Where none on the ray is adversarial, or no query is left, the
    example is a failure with the reason `NOT_WHOLE`.

    Parameters
    ----------
    result : AttackResult
        Of the real-valued attack.
    task : Task
    journal : RecordedQueries
        Its queries are part of the state file.
    whole : ndarray of bool, shape (d,)
        Features that are whole numbers.
    """
    low = np.where(whole, np.ceil(task.low), task.low)
    high = np.where(whole, np.floor(task.high), task.high)
    found, done = result.adversarials.copy(), np.zeros(len(task.x), dtype=bool)
    x, far = task.x.astype(np.float64), result.adversarials.astype(np.float64)
    longest = np.abs(far - x)[:, whole].max(axis=1, initial=0.0)
    # the first step moves the feature of `whole` that has moved most by half a unit
    place, step = 1.0, 0.5 / np.maximum(longest, 0.5)
    searching = np.flatnonzero(result.success)
    for attempt in range(_ATTEMPTS):
        searching = searching[journal.oracle.remaining(searching) > 0]
        place = 1.0 + step * (_GROWTH**attempt - 1) / (_GROWTH - 1)
        points = x[searching] + place[searching, None] * (far[searching] - x[searching])
        points = np.clip(points, low, high)
        points = np.where(whole, np.rint(points), points).astype(np.float32)
        new = np.ones(len(points), dtype=bool) if attempt == 0 else (points != found[searching]).any(axis=1)
        found[searching] = points
        adversarial = query_in_blocks(journal, points[new], searching[new])
        done[searching[new][adversarial]] = True
        searching = searching[~done[searching]]
    kept, lost = np.flatnonzero(done), np.flatnonzero(result.success & ~done)
    difference = found[kept].astype(np.float64) - task.x[kept]
    l2, linf = result.l2.copy(), result.linf.copy()
    l2[kept], linf[kept] = np.linalg.norm(difference, axis=1), np.abs(difference).max(axis=1, initial=0.0)
    queries = journal.oracle.queries.copy()
    return replace(result, adversarials=found, l2=l2, linf=linf, queries=queries).without(lost, NOT_WHOLE)
