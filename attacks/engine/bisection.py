"""Bisection of all runs of an attack towards the decision boundary, in lock-step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scd.devices import in_threads

from .checkpoint import Journal
from .inputs import HostInputs, Inputs, inputs_for
from .kernels import numba_kernels
from .run_state import RunState, Selection
from .validation import Task

FINAL_TOLERANCE = 1e-4
"""The returned point is within this fraction of its distance of the boundary."""
PROJECTION_QUERIES = 24
"""Queries of a run that most attacks reserve for the final projection."""


class BoundarySearch:
    """All runs of an attack between their originals and the decision boundary.

    Parameters
    ----------
    task : Task
    journal : Journal
    runs : RunState
    linf : bool
        Whether L-infinity is the distance to minimise; else L2.

    Attributes
    ----------
    host : HostInputs
        Generates and queries inputs on the CPU.
    inputs : Inputs
        Generates the inputs of bisections, steps and gradient estimates: on the device of the label function if it
        has one, else `host`.
    """

    def __init__(self, task: Task, journal: Journal, runs: RunState, linf: bool) -> None:
        self.task, self.journal, self.runs, self.linf = task, journal, runs, linf
        self.host = HostInputs(task, journal, runs, linf)
        self.inputs: Inputs = inputs_for(self.host)

    def left(self, run_ids: Selection) -> NDArray[np.int64]:
        """Return the queries that each of the runs may still spend."""
        return self.runs.share[run_ids] - self.runs.spent[run_ids]

    def measure(
        self, run_ids: Selection, points: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the L2 and L-infinity distances of points[run_ids] to their originals, in float64."""
        l2, linf = np.empty(len(run_ids)), np.empty(len(run_ids))
        x, example = self.task.x, self.runs.example
        in_threads(
            lambda begin, end: numba_kernels.distances(x, example, points, run_ids, l2, linf, begin, end),
            len(run_ids),
            len(run_ids) * points.shape[1],
        )
        return l2, linf

    def search(self, run_ids: Selection, linf: bool, tolerance: float) -> None:
        """Move the points of the runs towards their originals, to the last adversarial point before the boundary.

        The bisection stops when its bracket is within `tolerance`, as a fraction of the distance (for L-infinity also
        in feature units: the stricter of both, as in ART 1.20.1), or when a run has no queries left.
        """
        points = self.runs.point
        width = self.measure(run_ids, points)[1] if linf else np.ones(len(run_ids))
        lower, upper = self._bisect(
            run_ids, points, np.zeros(len(run_ids)), width, np.minimum(width * tolerance, tolerance), linf
        )
        moved = upper < width
        self.host.place(points, run_ids[moved], upper[moved], linf, points, run_ids[moved])
        correct_up_to = lower / np.where(upper > 0, upper, 1.0)
        # a bracket on the straight line says nothing about the path of the final projection in another norm
        self.keep_best(run_ids, correct_up_to if linf == self.linf else np.zeros(len(run_ids)))

    def finish(self, run_ids: Selection) -> None:
        """Project the best points of the runs to within `FINAL_TOLERANCE` of the boundary.

        First a bisection to half the tolerance. Then the point farther out by the other half is queried. It has a
        margin: a model whose rounding depends on the batch size gives it the same label again.
        """
        runs, half = self.runs, FINAL_TOLERANCE / 2
        width = self.measure(run_ids, runs.best)[1] if self.linf else np.ones(len(run_ids))
        _, upper = self._bisect(run_ids, runs.best, runs.lower[run_ids] * width, width, half * width, self.linf)
        final = np.minimum(upper + half * width, width)
        can_query = np.flatnonzero(self.left(run_ids) > 0)
        confirmed = np.zeros(len(run_ids), dtype=bool)
        confirmed[can_query] = self.host.query_lines(run_ids[can_query], runs.best, final[can_query], self.linf)
        final = np.where(confirmed, final, upper)
        self.host.place(runs.best, run_ids, final, self.linf, runs.best, run_ids)
        self._step_outward(run_ids[can_query[~confirmed[can_query]]])
        runs.l2[run_ids], runs.linf[run_ids] = self.measure(run_ids, runs.best)

    def _step_outward(self, run_ids: Selection) -> None:
        """Move best points whose label a second query contradicts away from the boundary, until both agree."""
        for doubling in range(8):
            run_ids = run_ids[self.left(run_ids) > 0]
            if not len(run_ids):
                return
            alpha = np.full(len(run_ids), 1.0 + FINAL_TOLERANCE * 2.0**doubling)
            adversarial = self.host.query_lines(run_ids, self.runs.best, alpha, False)
            confirmed = run_ids[adversarial]
            self.host.place(self.runs.best, confirmed, alpha[adversarial], False, self.runs.best, confirmed)
            run_ids = run_ids[~adversarial]

    def _bisect(
        self,
        run_ids: Selection,
        far: NDArray[np.float32],
        lower: NDArray[np.float64],
        upper: NDArray[np.float64],
        tolerance: NDArray[np.float64],
        linf: bool,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Bisect all runs together until each bracket is within its tolerance or its queries are spent."""
        lower, upper, query = lower.copy(), upper.copy(), self.inputs.lines(run_ids, far, linf)
        while True:
            active = np.flatnonzero((upper - lower > tolerance) & (self.left(run_ids) > 0))
            if not len(active):
                return lower, upper
            middle = (lower[active] + upper[active]) / 2.0
            adversarial = query(active, middle)
            upper[active] = np.where(adversarial, middle, upper[active])
            lower[active] = np.where(adversarial, lower[active], middle)

    def keep_best(self, run_ids: Selection, lower: NDArray[np.float64]) -> None:
        """Record the points of the runs that are closer than the best so far.

        `lower` is the fraction of the line from the original up to which the model is known to be correct; 0 if
        unknown.
        """
        runs = self.runs
        l2, linf = self.measure(run_ids, runs.point)
        closer = (linf < runs.linf[run_ids]) if self.linf else (l2 < runs.l2[run_ids])
        better = run_ids[closer]
        runs.best[better] = runs.point[better]
        runs.l2[better], runs.linf[better], runs.lower[better] = l2[closer], linf[closer], lower[closer]
