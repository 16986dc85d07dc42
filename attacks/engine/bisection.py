"""Questions about many runs at once, and the search for the decision boundary that all of them share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from attacks.engine import numba_kernels
from attacks.engine.checkpoint import Journal
from attacks.engine.run_state import Runs, Selection
from attacks.engine.validation import Task

if TYPE_CHECKING:
    import torch

    from attacks.engine.cuda import Card, Line

FINAL_TOLERANCE = 1e-4
"""The returned point is within this share of its distance of the boundary."""

Fill = Callable[[NDArray[np.float32], int, int], None]


class BoundarySearch:
    """All runs of an attack between their originals and the boundary, in lock-step.

    Parameters
    ----------
    task : Task
    journal : Journal
    runs : Runs
    linf : bool
        Whether L-infinity is the distance to minimise; else L2.
    """

    def __init__(self, task: Task, journal: Journal, runs: Runs, linf: bool) -> None:
        self.task, self.journal, self.runs, self.linf = task, journal, runs, linf
        self.block_rows = journal.oracle.batch_rows
        self._buffer = np.empty((0, task.x.shape[1]), dtype=np.float32)
        self.card = _card_of(journal, task)

    def buffer(self, rows: int) -> NDArray[np.float32]:
        """Return uninitialised memory for `rows` rows, the same at every call."""
        if len(self._buffer) < rows:
            self._buffer = np.empty((rows, self.task.x.shape[1]), dtype=np.float32)
        return self._buffer[:rows]

    def ask(self, who: Selection, fill: Fill) -> NDArray[np.bool_]:
        """Ask one row for each of the runs `who`; `fill(out, begin, end)` makes the rows of who[begin:end]."""
        answers = [np.zeros(0, dtype=bool)]
        for begin in range(0, len(who), self.block_rows):
            end = min(begin + self.block_rows, len(who))
            rows = self.buffer(end - begin)
            fill(rows, begin, end)
            answers.append(self.journal.ask(rows, self.runs.example[who[begin:end]]))
            self.runs.spent[who[begin:end]] += 1
        return np.concatenate(answers)

    def ask_on_card(self, who: Selection, rows: torch.Tensor) -> NDArray[np.bool_]:
        """Ask one row, made on the card, for each of the runs `who`."""
        adversarial = self.journal.ask(rows, self.runs.example[who])
        self.runs.spent[who] += 1
        return adversarial

    def few_enough(self, who: Selection) -> Card | None:
        """The card, if it can hold a row of each of the runs `who` at a time."""
        return self.card if self.card is not None and len(who) <= self.card.block_rows else None

    def left(self, who: Selection) -> NDArray[np.int64]:
        """Queries that each of the runs `who` may still spend."""
        return self.runs.share[who] - self.runs.spent[who]

    def measure(self, who: Selection, points: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """L2 and L-infinity distances of points[who] to their originals, in float64."""
        l2, linf = np.empty(len(who)), np.empty(len(who))
        x, example = self.task.x, self.runs.example
        numba_kernels.in_threads(
            lambda begin, end: numba_kernels.distances(x, example, points, who, l2, linf, begin, end),
            len(who),
            len(who) * points.shape[1],
        )
        return l2, linf

    def search(self, who: Selection, linf: bool, tolerance: float) -> None:
        """Move the points of the runs `who` towards their originals, to the last adversarial point before the boundary.

        The bisection stops when its bracket is within `tolerance`, as a share of the distance (for L-infinity also in
        feature units: the stricter of both, as ART 1.20.1 does), or when a run has no queries left.
        """
        points = self.runs.point
        width = self.measure(who, points)[1] if linf else np.ones(len(who))
        lower, upper = self._bisect(
            who, points, np.zeros(len(who)), width, np.minimum(width * tolerance, tolerance), linf
        )
        moved = upper < width
        self._place(points, who[moved], upper[moved], linf, points, who[moved])
        known = lower / np.where(upper > 0, upper, 1.0)
        # a bracket on the straight line says nothing about the path on which the last projection will go
        self.keep_best(who, known if linf == self.linf else np.zeros(len(who)))

    def finish(self, who: Selection) -> None:
        """Project the best points of the runs `who` to within `FINAL_TOLERANCE` of the boundary.

        A bisection to half the tolerance comes first. Then a point the other half further out is asked: it has a
        margin, so that a model whose rounding depends on the size of a batch gives it the same label again.
        """
        runs, half = self.runs, FINAL_TOLERANCE / 2
        width = self.measure(who, runs.best)[1] if self.linf else np.ones(len(who))
        _, upper = self._bisect(who, runs.best, runs.lower[who] * width, width, half * width, self.linf)
        final = np.minimum(upper + half * width, width)
        can = np.flatnonzero(self.left(who) > 0)
        safe = np.zeros(len(who), dtype=bool)
        safe[can] = self._ask_between(who[can], runs.best, final[can], self.linf)
        final = np.where(safe, final, upper)
        self._place(runs.best, who, final, self.linf, runs.best, who)
        self._step_outward(who[can[~safe[can]]])
        runs.l2[who], runs.linf[who] = self.measure(who, runs.best)

    def _step_outward(self, who: Selection) -> None:
        """Move best points that the model, asked again, contradicts away from the boundary, until it agrees."""
        for doubling in range(8):
            who = who[self.left(who) > 0]
            if not len(who):
                return
            alpha = np.full(len(who), 1.0 + FINAL_TOLERANCE * 2.0**doubling)
            good = self._ask_between(who, self.runs.best, alpha, False)
            self._place(self.runs.best, who[good], alpha[good], False, self.runs.best, who[good])
            who = who[~good]

    def _bisect(
        self,
        who: Selection,
        far: NDArray[np.float32],
        lower: NDArray[np.float64],
        upper: NDArray[np.float64],
        tolerance: NDArray[np.float64],
        linf: bool,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Bisect all runs together until each bracket is within its tolerance or its queries are spent."""
        lower, upper, line = lower.copy(), upper.copy(), self._line(who, far)
        while True:
            active = np.flatnonzero((upper - lower > tolerance) & (self.left(who) > 0))
            if not len(active):
                return lower, upper
            middle = (lower[active] + upper[active]) / 2.0
            if line is None:
                adversarial = self._ask_between(who[active], far, middle, linf)
            else:
                adversarial = self.ask_on_card(who[active], line.rows(active, middle, linf))
            upper[active] = np.where(adversarial, middle, upper[active])
            lower[active] = np.where(adversarial, lower[active], middle)

    def _line(self, who: Selection, far: NDArray[np.float32]) -> Line | None:
        card = self.few_enough(who)
        if card is None:
            return None
        from attacks.engine.cuda import Line

        return Line(card, card.put(self.task.x[self.runs.example[who]]), card.put(far[who]))

    def _ask_between(
        self, who: Selection, far: NDArray[np.float32], alpha: NDArray[np.float64], linf: bool
    ) -> NDArray[np.bool_]:
        def fill(out: NDArray[np.float32], begin: int, end: int) -> None:
            self._place(far, who[begin:end], alpha[begin:end], linf, out, np.arange(end - begin))

        return self.ask(who, fill)

    def _place(
        self,
        far: NDArray[np.float32],
        who: Selection,
        alpha: NDArray[np.float64],
        linf: bool,
        out: NDArray[np.float32],
        out_rows: Selection,
    ) -> None:
        task, example = self.task, self.runs.example
        numba_kernels.in_threads(
            lambda begin, end: numba_kernels.interpolate(
                task.x, example, far, who, alpha, linf, task.low, task.high, out, out_rows, begin, end
            ),
            len(who),
            len(who) * far.shape[1],
        )

    def keep_best(self, who: Selection, lower: NDArray[np.float64]) -> None:
        """Keep the points of the runs `who` that are closer than the best so far.

        `lower` is the share of the way from the original up to which the model is known to be right, 0 if nothing is.
        """
        runs = self.runs
        l2, linf = self.measure(who, runs.point)
        closer = (linf < runs.linf[who]) if self.linf else (l2 < runs.l2[who])
        better = who[closer]
        runs.best[better] = runs.point[better]
        runs.l2[better], runs.linf[better], runs.lower[better] = l2[closer], linf[closer], lower[closer]


def _card_of(journal: Journal, task: Task) -> Card | None:
    device = getattr(journal.oracle.labels, "device", None)
    if device is None:
        return None
    from attacks.engine.cuda import card_for  # brings torch and Triton

    return card_for(device, task)
