"""The loop of the white-box attacks that compute their points: the closest one that the model confirms is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...result import ALREADY_MISCLASSIFIED, NO_START, AttackResult
from ..checkpoint import Journal
from ..validation import Task


class Found(NamedTuple):
    """A point of a run.

    Attributes
    ----------
    run, number : int
        The restart, and the iteration of its row in the trace.
    point : ndarray of float32, shape (d,)
    query : bool
        Whether its label is queried if it is closer than what is confirmed so far.
    """

    run: int
    number: int
    point: NDArray[np.float32]
    query: bool


def distances(point: NDArray[np.float32], x: NDArray[np.float32]) -> tuple[float, float]:
    """Return the L2 and L-infinity distances in float64."""
    difference = point.astype(np.float64) - x
    return float(np.linalg.norm(difference)), float(np.abs(difference).max())


def correctly_classified(task: Task, journal: Journal) -> NDArray[np.bool_]:
    """Return whether each original (n,) has its label; queried once, also by an attack that continues."""
    if journal.snapshot:
        return journal.snapshot["correct"]
    return ~journal.query(task.x, np.arange(len(task.x))).astype(bool)


def closest_of_runs(
    task: Task,
    journal: Journal,
    correct: NDArray[np.bool_],
    linf: bool,
    points: Callable[[int], Iterable[Found]],
    bar: Any,
    kept: NDArray[np.float64] | None = None,
) -> AttackResult:
    """Return, for each correctly classified example e, the closest of `points(e)` that the model misclassifies.

    The trace has a row for each point but those that the model classifies correctly; `bar` is a progress bar of
    examples. After each example the journal takes a snapshot, from which a killed attack continues. `kept` (n,) is an
    array that `points` writes to: it is part of the snapshot.
    """
    n, by = len(task.x), int(linf)
    kept = np.zeros(n) if kept is None else kept
    best, chosen, measured = np.full_like(task.x, np.nan), np.full(n, -1), np.full((n, 2), np.inf)
    rows = [np.zeros((0, 6))]  # of each example
    done = 0
    if journal.snapshot:
        best, chosen, measured = (journal.snapshot[name].copy() for name in ("best", "chosen", "measured"))
        kept[:], done = journal.snapshot["kept"], int(journal.snapshot["done"])
        rows = [journal.snapshot["rows"]]
    with bar:
        bar.update(int(correct[:done].sum()))
        for e in np.flatnonzero(correct):
            if e < done:
                continue
            own: list[tuple[float, ...]] = []
            for run, number, point, query in points(e):
                found = distances(point, task.x[e])
                row = (task.index[e], run, number, journal.oracle.queries[e], *found)
                if query and found[by] < measured[e, by]:
                    if not journal.query(point[None], np.array([e]))[0]:
                        continue
                    best[e], chosen[e], measured[e] = point, run, found
                own.append(row)
            rows.append(np.array(own).reshape(-1, 6))
            bar.update()
            state = {"best": best, "chosen": chosen, "measured": measured, "kept": kept, "correct": correct}
            journal.mark({**state, "done": np.array(e + 1), "rows": np.concatenate(rows)})
    columns = np.concatenate(rows)
    names = ("index", "restart", "iteration", "queries", "l2", "linf")
    trace = {name: columns[:, c].astype(np.int64 if c < 4 else np.float64) for c, name in enumerate(names)}
    reason = np.where(correct, np.where(chosen < 0, NO_START, ""), ALREADY_MISCLASSIFIED)
    l2, linf_found = np.where(chosen >= 0, measured.T, np.nan)
    queries = journal.oracle.queries.copy()
    return AttackResult(task.index, task.y, chosen >= 0, best, l2, linf_found, queries, chosen, reason, trace)
