"""The state of all runs of an attack (every example times every restart) as arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .validation import Task

Arrays = dict[str, NDArray[Any]]
Selection = NDArray[np.int64]
"""Indices, mostly of runs."""


@dataclass
class RunState:
    """The state of R runs on n examples with d features. It is complete: a copy of it is a checkpoint.

    Attributes
    ----------
    example, restart : ndarray of int64, shape (R,)
        Position of the run's example in the task, and number of the restart.
    point : ndarray of float32, shape (R, d)
        Current point of the run: adversarial as soon as the run has started.
    best : ndarray of float32, shape (R, d)
        The closest adversarial so far.
    l2, linf : ndarray of float64, shape (R,)
        Distances of `best`; infinite before the start.
    lower : ndarray of float64, shape (R,)
        Fraction of the line from the original to `best` up to which the model is known to be correct.
    spent, share : ndarray of int64, shape (R,)
        Queries of this run so far, and the maximum that it may spend.
    started, starved, stopped : ndarray of bool, shape (R,)
        Whether a start was found; whether the queries ended before that; whether the run is over.
    rows : ndarray of float64, shape (n_rows, 5)
        The trace: run, iteration, queries, l2, linf.
    steps : ndarray of int64, shape (R,)
        Iterations of the run so far.
    iteration : ndarray of int64, shape ()
        Rounds of the whole attack so far.
    reason : ndarray of str, shape (n,)
        Why an example has no runs; empty if it has.
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
    def of(cls, task: Task, reason: NDArray[np.str_], restarts: int, remaining: NDArray[np.int64]) -> RunState:
        """Create the runs of all examples without a reason to fail; restarts split the remaining queries equally."""
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
    def from_arrays(cls, arrays: Arrays) -> RunState:
        """Rebuild the runs from a checkpoint, which may contain other arrays too."""
        return cls(**{column.name: arrays[column.name].copy() for column in fields(cls)})

    def trace_rows(self, run_ids: Selection) -> NDArray[np.float64]:
        """Return the trace rows of the runs in their current state, shape (k, 5)."""
        columns = [run_ids, self.steps[run_ids], self.spent[run_ids], self.l2[run_ids], self.linf[run_ids]]
        return np.stack([np.asarray(c, dtype=np.float64) for c in columns], axis=1)

    def write_trace(self, run_ids: Selection) -> None:
        """Append one trace row for each of the runs."""
        self.rows = np.concatenate([self.rows, self.trace_rows(run_ids)])
