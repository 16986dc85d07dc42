"""Which test rows are attacked, and the images that a "given" attack starts from."""

from __future__ import annotations

import warnings

import numpy as np

from pipeline.errors import UserError
from pipeline.protocols import Config, Dataset, Floats, Labels
from pipeline.stages.evaluate import correct_rows
from pipeline.stages.fit import Fitted
from scd.seeds import generator_for


def choose(points: Config, dataset: Dataset, fitted: Fitted, judges: list[Fitted], target: int | None = None) -> Labels:
    """(count,) indices of test rows, by the rule in `points`.

    ``first`` and ``indices`` name the rows; ``random`` draws them from ``points.seed``; ``correct`` takes the first of
    that draw that the model classifies correctly; ``correct_for_all`` the first that all `judges` classify correctly.
    But for ``indices`` rows of the class `target`, which the adversarials must have, are left out.

    Raises
    ------
    UserError
        An index outside the test set; no row that qualifies.
    """
    rule, count, n = points["rule"], points["count"], len(dataset.y_test)
    if rule == "indices":
        check_indices(points, dataset)
        return np.array(points["indices"], dtype=np.int64)
    if rule == "first":
        return np.flatnonzero(dataset.y_test != target)[:count]
    order: Labels = generator_for(points["seed"], "points", dataset.name).permutation(n)
    order = order[dataset.y_test[order] != target]
    if rule == "random":
        return order[:count]
    judges = judges if rule == "correct_for_all" else [fitted]
    names = ", ".join(judge.name for judge in judges)
    if fitted.key not in [judge.key for judge in judges]:
        warnings.warn(
            f"{fitted.name} as configured is not among points.models ({names}); points that it misclassifies are left "
            "out.",
            stacklevel=2,
        )
    correct = np.logical_and.reduce([correct_rows(judge, dataset, "test") for judge in judges])
    chosen: Labels = order[correct[order]][:count]
    if not len(chosen):
        raise UserError(f"There is no test row of {dataset.name} that {names} classifies correctly to attack.", 1)
    if len(chosen) < count:
        warnings.warn(
            f"Only {len(chosen)} test rows are classified correctly by {names}; points.count is {count}.", stacklevel=2
        )
    return chosen


def check_indices(points: Config, dataset: Dataset) -> None:
    """Refuse indices outside the test set."""
    n = len(dataset.y_test)
    outside = [i for i in points["indices"] or [] if i >= n]
    if outside:
        raise UserError(f"points.indices must be in 0..{n - 1}, the test rows of {dataset.name}. Got {outside[0]}.")


def given_starts(dataset: Dataset, judges: list[Fitted], target: int | None = None) -> dict[int, Floats]:
    """The image to start from for each true label.

    It is the first training sample of another class that all judges classify correctly.
    With a `target` it is the image for that class, one of its own.

    The paper's fixed initial images of Table 3 are unpublished; this is the choice of this project.
    """
    correct = np.logical_and.reduce([correct_rows(judge, dataset, "train") for judge in judges])
    starts = {}
    if target is not None:
        rows = np.flatnonzero(correct & (dataset.y_train == target))
        if not len(rows):
            raise UserError(f"attack.start=given: no training row of class {target} is classified correctly.", 1)
        return {target: dataset.rows("train", rows[:1])[0]}
    for label in range(len(dataset.class_names)):
        rows = np.flatnonzero(correct & (dataset.y_train != label))
        if not len(rows):
            others = f"class {1 - label}" if len(dataset.class_names) == 2 else f"another class than {label}"
            raise UserError(f"attack.start=given: no training row of {others} is classified correctly.", 1)
        starts[label] = dataset.rows("train", rows[:1])[0]
    return starts
