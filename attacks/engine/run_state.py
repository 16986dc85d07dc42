"""The runs of an attack (every example times every restart) as arrays, and the record they end in."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.engine.validation import Task
from attacks.result import BUDGET_SPENT, NO_START, AttackResult

Arrays = dict[str, NDArray[Any]]
Selection = NDArray[np.int64]


@dataclass
class Runs:
    """The state of R runs on n examples with d features; all of it, so a copy of it is a checkpoint.

    Attributes
    ----------
    example, restart : ndarray of int64, shape (R,)
        Position of the run's example in the task, and number of the restart.
    point : ndarray of float32, shape (R, d)
        Where the run is: adversarial as soon as the run has started.
    best : ndarray of float32, shape (R, d)
        The closest adversarial it has seen.
    l2, linf : ndarray of float64, shape (R,)
        Distances of `best`; infinite before the start.
    lower : ndarray of float64, shape (R,)
        Share of the way from the original to `best` up to which the model is known to be right.
    spent, share : ndarray of int64, shape (R,)
        Queries of this run so far, and the most it may spend.
    started, starved, stopped : ndarray of bool, shape (R,)
        Whether a start was found; whether the queries ended before; whether the run is over.
    rows : ndarray of float64, shape (n_rows, 5)
        The trace: run, iteration, queries, l2, linf.
    steps : ndarray of int64, shape (R,)
        Iterations that the run has done.
    iteration : ndarray of int64, shape ()
        How far the attack is, in its own rounds.
    reason : ndarray of str, shape (n,)
        Why an example has no runs; empty where it has.
    """

    example: NDArray[np.int64]
    restart: NDArray[np.int64]
    point: NDArray[np.float32]
    best: NDArray[np.float32]
    l2: NDArray[np.float64]
    linf: NDArray[np.float64]
    lower: NDArray[np.float64]
    spent: NDArray[np.int64]
    share: NDArray[np.int64]
    started: NDArray[np.bool_]
    starved: NDArray[np.bool_]
    stopped: NDArray[np.bool_]
    rows: NDArray[np.float64]
    steps: NDArray[np.int64]
    iteration: NDArray[np.int64]
    reason: NDArray[np.str_]

    @classmethod
    def of(cls, task: Task, reason: NDArray[np.str_], restarts: int, remaining: NDArray[np.int64]) -> Runs:
        """Lay out the runs of all examples without a reason to fail, each with its share of the remaining queries."""
        active = np.flatnonzero(reason == "")
        example = np.repeat(active, restarts)
        restart = np.tile(np.arange(restarts), len(active))
        left = remaining[example]
        count, d = len(example), task.x.shape[1]
        return cls(
            example=example,
            restart=restart,
            point=np.zeros((count, d), dtype=np.float32),
            best=np.zeros((count, d), dtype=np.float32),
            l2=np.full(count, np.inf),
            linf=np.full(count, np.inf),
            lower=np.zeros(count),
            spent=np.zeros(count, dtype=np.int64),
            share=left // restarts + (restart < left % restarts),
            started=np.zeros(count, dtype=bool),
            starved=np.zeros(count, dtype=bool),
            stopped=np.zeros(count, dtype=bool),
            rows=np.zeros((0, 5)),
            steps=np.zeros(count, dtype=np.int64),
            iteration=np.array(0),
            reason=reason,
        )

    def __len__(self) -> int:
        return len(self.example)

    def to_arrays(self) -> Arrays:
        """Return all fields by name."""
        return {column.name: getattr(self, column.name) for column in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Runs:
        """Rebuild the runs from a checkpoint (which may hold other arrays too)."""
        return cls(**{column.name: arrays[column.name].copy() for column in fields(cls)})

    def trace_rows(self, who: Selection) -> NDArray[np.float64]:
        """Rows of the trace for the runs `who` as they are now, shape (k, 5)."""
        columns = [who, self.steps[who], self.spent[who], self.l2[who], self.linf[who]]
        return np.stack([np.asarray(c, dtype=np.float64) for c in columns], axis=1)

    def write_trace(self, who: Selection) -> None:
        """Append a row of the trace for each of the runs `who`."""
        self.rows = np.concatenate([self.rows, self.trace_rows(who)])


def collect(task: Task, runs: Runs, queries: NDArray[np.int64], linf: bool, **extra: NDArray[Any]) -> AttackResult:
    """Take the minimum over each example's restarts, ties to the lower restart.

    Parameters
    ----------
    task : Task
    runs : Runs
        Finished runs.
    queries : ndarray of int64, shape (n,)
    linf : bool
        Which distance is minimised.
    **extra : ndarray, shape (R,)
        Columns of the runs to carry over from the chosen one; NaN where the attack failed.
    """
    n, d = task.x.shape
    chosen, reason = np.full(n, -1), runs.reason.copy()
    distance = np.where(runs.started, runs.linf if linf else runs.l2, np.inf)
    for e in np.flatnonzero(runs.reason == ""):
        mine = np.flatnonzero(runs.example == e)
        best = mine[np.argmin(distance[mine])]
        if np.isfinite(distance[best]):
            chosen[e] = best
        else:
            reason[e] = BUDGET_SPENT if runs.starved[mine].any() else NO_START
    success = chosen >= 0

    def column(values: NDArray[Any], failed: Any, shape: tuple[int, ...] = ()) -> NDArray[Any]:
        out = np.full((n, *shape), failed, dtype=values.dtype)
        out[success] = values[chosen[success]]
        return out

    who = runs.rows[:, 0].astype(np.int64)
    return AttackResult(
        index=task.index,
        label=task.y,
        success=success,
        adversarials=column(runs.best, np.nan, (d,)),
        l2=column(runs.l2, np.nan),
        linf=column(runs.linf, np.nan),
        queries=queries.copy(),
        restart=column(runs.restart, -1),
        reason=reason,
        trace={
            "index": task.index[runs.example[who]],
            "restart": runs.restart[who],
            "iteration": runs.rows[:, 1].astype(np.int64),
            "queries": runs.rows[:, 2].astype(np.int64),
            "l2": runs.rows[:, 3],
            "linf": runs.rows[:, 4],
        },
        extra={name: column(values, np.nan) for name, values in extra.items()},
    )
