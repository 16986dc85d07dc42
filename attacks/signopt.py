"""Sign-OPT and ARS-OPT: descent on the distance of the boundary along a direction, by the signs of its differences."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from .base import RestartedAttack, project_and_collect
from .engine.bisection import PROJECTION_QUERIES, BoundarySearch
from .engine.checkpoint import Journal
from .engine.gradient_estimate import estimate_gradient, unit
from .engine.initial_points import Candidates, run_keys
from .engine.run_state import Arrays, Selection
from .engine.validation import Task, check_bool, check_int, check_number
from .result import AttackResult

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]

_TOLERANCE = 1e-3  # maximum of a bisection, as a fraction of the distance
_OF_REACH = 0.1  # the tolerance as a fraction of a probe's reach along one feature, epsilon / sqrt(d)
_SEARCH_QUERIES = 16  # reserved from an estimate for the searches after it
_FIRST_WIDTH = 0.01  # first width of the bracket of a local search, as a fraction of the distance; it doubles
_MAX_STRETCH = 3.0  # of the distance: beyond, a direction counts as one without a boundary
_MAX_TRIALS = 15  # of a line search
_GROW, _SHRINK = 2.0, 0.25  # factors of the step after a trial that is closer, and after one that is not
_MIN_STEP = 1e-4  # after a shorter step the first one is tried again
_MAX_SLOPE = 1.0  # of ARS-OPT's difference, in distances


class SignOPT(RestartedAttack):
    """Sign-OPT (Cheng, Singh, Chen, Chen, Liu, Hsieh, ICLR 2020, arXiv:1909.10773) and ARS-OPT; both minimise L2.

    Let g(v) be the distance from the original x to the boundary along the direction v. Sign-OPT descends on g. An
    iteration

    1. draws random directions u of length 1. One query each shows whether g falls or rises from v to v + epsilon u:
       the sign of this difference. The sum of the u, each times its sign, estimates the gradient of g;
    2. searches along the negative estimate: the step is doubled while g falls, or divided by four until it falls. A
       trial that is not closer costs one query. The distance of one that is closer is bisected from the old one.

    With `accelerated`, the attack is ARS-OPT (Xu, Cheng, Xu, Xuan, Ma, AAAI 2026, arXiv:2512.21241), which has
    Nesterov's momentum m. Let q be `probes` and D = d / ((2 / pi) (q - 1) + 1). The estimate s is made at
    y = (1 - a) v + a m, where a is the positive root of a^2 = c (1 - a) / D^2, and c, from 1, is multiplied by 1 - a.
    Its length is that of the difference of g along s, (g(y + epsilon s) - g(y)) / epsilon, of two bisections. The line
    search starts at y, and m moves by 1 / (D a) times the step. Directions have length 1, g is relative to g(y).

    All runs query together: their probes in common batches, then a trial or a bisection of each.

    Differences to the papers and their programs:

    - The step epsilon is finite. The programs' 0.001 gives no signal where the decision is piecewise constant. On six
      CIFAR-10 points and 24 votes of scd01 the mean distance after 4,000 queries is 15.3 with 0.001, 6.3 with 0.1
      and 3.7 with 0.3; on a network of 20 ReLU units it is 1.68, 1.68 and 1.71.
    - A probe is x + g(v) (v + epsilon u), in the tangent plane of the sphere around x. The papers normalise
      v + epsilon u. On the sphere, where epsilon is finite, nearly all probes end on the original's side even if the
      boundary is a plane: with 0.3 the distances are 10.0 and 4.4. For small epsilon both are the same.
    - The mean sign is subtracted, as in HopSkipJump's estimate.
    - The directions u are independent. Those of ARS-OPT are orthonormal, which random ones of many features nearly
      are: with 200 probes of 3,072 features their cosine with the gradient is 1.02 times as large.
    - A trial must only tell whether it is closer. (The programs bisect the distance of those that are not, too.)
    - ARS-OPT's step size 1 / L is the step of the line search, and its momentum moves once in an iteration. (The
      program's L is fixed, and the momentum moves at each trial.)
    - The starts are those of the other attacks here, and the result is projected to within 1e-4 of its distance.

    Memory: 8 d bytes for each run and with `accelerated` 12 d; the same again with a state file.

    Parameters
    ----------
    accelerated : bool
        ARS-OPT.
    max_iter : int
        Maximum number of iterations. The default lets the query budget end the attack.
    probes : int
        Queries of a gradient estimate.
    epsilon : float
        Step of the differences, relative to the distance.
    step : float
        First step of the line search: the tangent of the angle between the old and the new direction; with
        `accelerated`, in gradients of the logarithm of g.
    restarts, init_size, start, query_budget, seed, memory_budget, verbose
        See :class:`attacks.base.RestartedAttack`.

    Examples
    --------
    >>> result = SignOPT(query_budget=5000)(model.predict, X_test[:10], y_test[:10])  # doctest: +SKIP
    >>> result.l2  # doctest: +SKIP
    """

    method_version = 1

    def __init__(
        self,
        *,
        accelerated: bool = False,
        max_iter: int = 1000,
        probes: int = 200,
        epsilon: float = 0.3,
        step: float = 0.2,
        restarts: int = 1,
        init_size: int = 1000,
        start: str = "noise",
        query_budget: int | None = 10000,
        seed: int = 0,
        memory_budget: int | str = "256MiB",
        verbose: bool = False,
    ) -> None:
        super().__init__(
            max_iter=max_iter,
            restarts=restarts,
            init_size=init_size,
            start=start,
            seed=seed,
            query_budget=query_budget,
            memory_budget=memory_budget,
            verbose=verbose,
        )
        class_name = type(self).__name__
        self.accelerated = check_bool(class_name, "accelerated", accelerated)
        self.probes = check_int(class_name, "probes", probes, 1)
        self.epsilon = check_number(class_name, "epsilon", epsilon, above=0.0)
        self.step = check_number(class_name, "step", step, above=0.0)

    def _attack(self, task: Task, journal: Journal, shared: Candidates | None) -> AttackResult:
        tolerance = min(_TOLERANCE, _OF_REACH * self.epsilon / math.sqrt(task.x.shape[1]))
        search = self._start_at_boundary(task, journal, shared, tolerance)
        names = [column.name for column in fields(Descent)]
        if all(name in journal.snapshot for name in names):
            descent = Descent(*(journal.snapshot[name].copy() for name in names))
        else:
            descent = Descent.at_boundary(search, self.step, self.accelerated)
        lines = DirectionSearch(search, tolerance)
        self._iterate_all(search, lambda: self._iterate(lines, descent), descent.to_arrays())
        return project_and_collect(search)

    def _iterate(self, lines: DirectionSearch, descent: Descent) -> None:
        """Do one iteration of all runs: gradient estimate, then line search."""
        search, runs = lines.search, lines.search.runs
        left = search.left(np.arange(len(runs))) - PROJECTION_QUERIES - _SEARCH_QUERIES
        n_probes = np.minimum(self.probes, left)
        runs.stopped |= n_probes < 1
        run_ids = np.flatnonzero(~runs.stopped)
        runs.iteration = np.array(int(runs.iteration) + 1)
        if not len(run_ids):
            return
        runs.point[run_ids] = runs.best[run_ids]
        if self.accelerated:
            self._accelerate(lines, descent, run_ids, n_probes[run_ids])
        else:
            signs = self._signs(search, run_ids, n_probes[run_ids])
            self._descend(lines, descent, run_ids, lines.of_best(run_ids), signs)
        runs.steps[run_ids] += 1
        runs.write_trace(run_ids)

    def _signs(self, search: BoundarySearch, run_ids: Selection, n_probes: Selection) -> Rows:
        """Estimate the directions, of length 1, in which the distance rises at the points of the runs, shape (k, d)."""
        distance, _ = search.measure(run_ids, search.runs.point)
        keys = run_keys(search, self.seed, "direction", run_ids, int(search.runs.iteration))
        return -estimate_gradient(search, run_ids, n_probes, self.epsilon * distance, keys)

    def _accelerate(
        self, lines: DirectionSearch, descent: Descent, run_ids: Selection, n_probes: NDArray[np.int64]
    ) -> None:
        """Do an iteration of ARS-OPT; the names are those of the class's description."""
        search, d = lines.search, lines.search.task.x.shape[1]
        ratio = d / (2.0 / math.pi * (n_probes - 1) + 1.0)  # D
        part = descent.next_part(run_ids, ratio)  # a
        best = lines.of_best(run_ids)
        ahead = unit(best + _column(part) * (descent.momentum[run_ids] - best))  # y
        found = np.isfinite(lines.distances(run_ids, ahead, search.runs.l2[run_ids]))
        ahead[~found] = best[~found]
        lines.land(run_ids[found])
        n_probes = np.clip(n_probes, 1, search.left(run_ids) - PROJECTION_QUERIES)
        signs = self._signs(search, run_ids, n_probes)
        distance, _ = search.measure(run_ids, search.runs.point)
        moved = lines.distances(run_ids, unit(ahead + np.float32(self.epsilon) * signs), distance)
        slope = np.clip((moved / distance - 1.0) / self.epsilon, -_MAX_SLOPE, _MAX_SLOPE)
        gradient = _column(slope) * signs
        self._descend(lines, descent, run_ids, ahead, gradient)
        descent.push(run_ids, descent.step[run_ids] / (ratio * part), gradient)

    def _descend(
        self, lines: DirectionSearch, descent: Descent, run_ids: Selection, base: Rows, gradient: Rows
    ) -> None:
        """Search from the directions `base` along the negative gradients; keep the steps for the next iteration."""
        step = lines.search_step(run_ids, base, gradient, descent.step[run_ids])
        descent.step[run_ids] = np.where(step < _MIN_STEP, self.step, step)


@dataclass
class Descent:
    """What R runs have besides their best points; a snapshot has these arrays besides those of `RunState`.

    Attributes
    ----------
    step : ndarray of float64, shape (R,)
        The first step of the next line search.
    decay : ndarray of float64, shape (R,)
        c of ARS-OPT: gamma / L of the paper.
    momentum : ndarray of float32, shape (R, d)
        Directions of length 1; of Sign-OPT, which has none, shape (R, 0).
    """

    step: Floats
    decay: Floats
    momentum: Rows

    @classmethod
    def at_boundary(cls, search: BoundarySearch, step: float, accelerated: bool) -> Descent:
        """Begin at the best points of the runs."""
        runs = search.runs
        momentum = np.zeros((len(runs), 0), dtype=np.float32)
        if accelerated:
            momentum = unit(runs.best - search.task.x[runs.example])
        return cls(np.full(len(runs), step), np.ones(len(runs)), momentum)

    def to_arrays(self) -> Arrays:
        """Return all fields by name."""
        return {column.name: getattr(self, column.name) for column in fields(self)}

    def next_part(self, run_ids: Selection, ratio: Floats) -> Floats:
        """Return a, the positive root of a^2 = c (1 - a) / D^2 for D = `ratio`, and let c decay."""
        half = self.decay[run_ids] / (2.0 * ratio * ratio)
        part: Floats = np.sqrt(half * half + 2.0 * half) - half
        self.decay[run_ids] *= 1.0 - part
        return part

    def push(self, run_ids: Selection, length: Floats, gradient: Rows) -> None:
        """Move the momenta by `length` (k,) times the negative gradients (k, d)."""
        self.momentum[run_ids] = unit(self.momentum[run_ids] - _column(length) * gradient)


class DirectionSearch:
    """The boundary along directions from the originals, for all runs in lock-step.

    Parameters
    ----------
    search : BoundarySearch
        The best point of a run is the boundary point of its best direction.
    tolerance : float
        Of a bisection, as a fraction of the distance; and the smallest improvement that a line search accepts.

    Attributes
    ----------
    point : ndarray of float32, shape (R, d)
        The last boundary point that was found for each run.
    """

    def __init__(self, search: BoundarySearch, tolerance: float) -> None:
        self.search, self.runs, self.tolerance = search, search.runs, tolerance
        self.point = np.zeros_like(search.runs.point)

    def of_best(self, run_ids: Selection) -> Rows:
        """Return the directions (k, d), of length 1, of the best points of the runs."""
        return unit(self.runs.best[run_ids] - self.search.task.x[self.runs.example[run_ids]])

    def distances(self, run_ids: Selection, direction: Rows, start: Floats) -> Floats:
        """Search the boundary along the directions (k, d), from the distances `start` (k,) outwards or inwards.

        Returns
        -------
        distance : ndarray of float64, shape (k,)
            Infinite where there is no boundary up to a multiple of `start`, or where the queries end before it.
        """
        self._aim(run_ids, direction, start)
        return self._bisect(run_ids, np.full(len(run_ids), np.inf))

    def land(self, run_ids: Selection) -> None:
        """Move the runs to the boundary points found last."""
        self.runs.point[run_ids] = self.point[run_ids]
        self.search.keep_best(run_ids, np.zeros(len(run_ids)))

    def search_step(self, run_ids: Selection, base: Rows, gradient: Rows, step: Floats) -> Floats:
        """Move the runs to the closest boundary point of a line search, if one is closer than the best so far.

        Parameters
        ----------
        run_ids : ndarray of int64, shape (k,)
        base, gradient : ndarray of float32, shape (k, d)
            A trial's direction is base - step * gradient.
        step : ndarray of float64, shape (k,)
            First steps.

        Returns
        -------
        step : ndarray of float64, shape (k,)
            The last step that was closer; the first one to try next if none was.
        """
        step, accepted, pending = step.copy(), np.zeros(len(run_ids)), np.arange(len(run_ids))
        closer = 1.0 - self.tolerance
        for _ in range(_MAX_TRIALS):
            pending = pending[self.search.left(run_ids[pending]) > PROJECTION_QUERIES]
            if not len(pending):
                break
            tried = run_ids[pending]
            self._aim(tried, unit(base[pending] - _column(step[pending]) * gradient[pending]), self.runs.l2[tried])
            succeeded = self.search.host.query_lines(tried, self.point, np.full(len(tried), closer), False)
            good, bad = pending[succeeded], pending[~succeeded]
            self._bisect(run_ids[good], np.full(len(good), closer))
            self.land(run_ids[good])
            accepted[good] = step[good]
            step[good] *= _GROW
            bad = bad[accepted[bad] == 0]
            step[bad] *= _SHRINK
            pending = np.sort(np.concatenate([good, bad]))
        return np.where(accepted > 0, accepted, step)

    def _aim(self, run_ids: Selection, direction: Rows, distance: Floats) -> None:
        """Let the lines of the runs lead along the directions; the fraction 1 of a line is at `distance`."""
        self.point[run_ids] = self.search.task.x[self.runs.example[run_ids]] + _column(distance) * direction

    def _bisect(self, run_ids: Selection, far: Floats) -> Floats:
        """Find the boundary on the lines of the runs, and return its distances; see `distances`.

        `far` (k,) has the fractions of the lines that are known to be adversarial; infinite where none is. First the
        bracket grows from there, twice as far in each step, until it has both labels. Then it is bisected.
        """
        far, near = far.copy(), np.zeros(len(run_ids))
        width, query = np.full(len(run_ids), _FIRST_WIDTH), self.search.inputs.lines(run_ids, self.point, False)
        while True:
            unsettled = np.where(np.isinf(far), near < _MAX_STRETCH, far - near > self.tolerance * far)
            active = np.flatnonzero(unsettled & (self.search.left(run_ids) > PROJECTION_QUERIES))
            if not len(active):
                break
            place, grown = _next_place(near[active], far[active], width[active])
            adversarial = query(active, place)
            far[active] = np.where(adversarial, place, far[active])
            near[active] = np.where(adversarial, near[active], place)
            width[active] = grown
        found, distance = np.isfinite(far), np.full(len(run_ids), np.inf)
        there = run_ids[found]
        self.search.host.place(self.point, there, far[found], False, self.point, there)
        distance[found], _ = self.search.measure(there, self.point)
        return distance


def _next_place(near: Floats, far: Floats, width: Floats) -> tuple[Floats, Floats]:
    """Return the next fractions to query and the widths after them; a `near` of 0 and an infinite `far` are unknown."""
    outwards = np.isinf(far)
    inwards = ~outwards & (near == 0)
    start = outwards & (near == 0)
    with np.errstate(invalid="ignore"):
        middle = (near + far) / 2.0
    place = np.where(inwards, far * (1.0 - np.minimum(width, 0.5)), middle)
    place = np.where(outwards, np.where(start, 1.0, near + width), place)
    return place, np.where((outwards & ~start) | inwards, 2.0 * width, width)


def _column(values: Floats) -> Rows:
    """Return one number a run as a column that multiplies rows of float32."""
    return values[:, None].astype(np.float32)
