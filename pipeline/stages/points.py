"""Which test rows are attacked, and from where a "given" attack starts."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.stages.evaluate import right_rows
from pipeline.stages.fit import Fitted
from scd.seeds import generator_for


def choose(points: dict[str, Any], dataset: Any, fitted: Fitted, others: list[Fitted], seed: int) -> np.ndarray:
    """(count,) indices of test rows, by the rule in `points`.

    ``first`` and ``indices`` take what they say; ``random`` a seeded draw; ``correct`` the first of that draw that the
    model gets right; ``correct_for_all`` the first that all of `others` get right.

    Raises
    ------
    UserError
        An index outside the test set; no row that qualifies.
    """
    rule, count, n = points["rule"], points["count"], len(dataset.y_test)
    if rule == "indices":
        wrong = [i for i in points["indices"] if i >= n]
        if wrong:
            raise UserError(f"points.indices must lie in 0..{n - 1}, the test rows of {dataset.name}. Got {wrong[0]}.")
        return np.array(points["indices"], dtype=np.int64)
    if rule == "first":
        return np.arange(min(count, n))
    order = generator_for(seed, "points", dataset.name).permutation(n)
    if rule == "random":
        return order[:count]
    judges = others if rule == "correct_for_all" else [fitted]
    if fitted.key not in [judge.key for judge in judges]:
        names = ", ".join(judge.name for judge in judges)
        warnings.warn(
            f"{fitted.name} as configured is not among points.models ({names}); points it gets wrong are left out.",
            stacklevel=2,
        )
    right = np.logical_and.reduce([right_rows(judge, dataset, "test") for judge in judges])
    chosen = order[right[order]][:count]
    names = ", ".join(judge.name for judge in judges)
    if not len(chosen):
        raise UserError(
            f"There is no test row of {dataset.name} that {names} classifies correctly: nothing to attack.", 1
        )
    if len(chosen) < count:
        warnings.warn(
            f"Only {len(chosen)} test rows are classified correctly by {names}; points.count is {count}.", stacklevel=2
        )
    return chosen


def given_starts(dataset: Any, judges: list[Fitted]) -> dict[int, np.ndarray]:
    """For each true label the image to start from: the first training row of the other class that all get right.

    The paper's fixed initial images of Table 3 are unpublished; this is the choice of this project.
    """
    right = np.logical_and.reduce([right_rows(judge, dataset, "train") for judge in judges])
    starts = {}
    for label in (0, 1):
        rows = np.flatnonzero(right & (dataset.y_train != label))
        if not len(rows):
            raise UserError(f"attack.start=given: no training row of class {1 - label} is classified correctly.", 1)
        starts[label] = dataset.rows("train", rows[:1])[0]
    return starts
