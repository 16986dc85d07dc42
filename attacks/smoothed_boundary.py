"""The smoothed boundary attack: gradients of the noise-smoothed label, under noise that shrinks with the distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .base import RestartedAttack, project_and_collect
from .engine.bisection import PROJECTION_QUERIES, BoundarySearch
from .engine.checkpoint import Journal
from .engine.gradient_estimate import query_probes, unit
from .engine.initial_points import Candidates, begin_runs, noise_starts, run_keys
from .engine.run_state import Selection
from .engine.validation import Task, check_choice, check_int, check_number, refuse
from .rays import ray_starts
from .result import AttackResult

Floats = NDArray[np.float64]

START_TOLERANCE = 1e-3  # of the first bisection, as a fraction of the distance
_LINE_TOLERANCE = 1e-3  # smallest improvement of the distance that a line search looks for
_LINE_QUERIES = 12  # maximum of a line search
_PROBES_PER_LINE = 100  # in small budgets there is a line search for about so many probes
_MIN_PROBES = 25  # of an iteration
_MIN_MEMORY = 3.0  # iterations
RAY_QUERIES = 150  # of start="rays"
_FIRST_GAIN, _MIN_GAIN, _MAX_GAIN = 0.2, 0.002, 0.5  # of `State.gain`
_MAX_CENTRE = 8.0  # distance of the centre, relative to the best adversarial
_FIRST_SCALE = 0.3  # of `State.scale`
_FEW = 0.1  # fraction of `target` below which the probe radius shrinks
_SHRINK, _GROW = 0.9, 1.1  # factors of the probe radius: with too few adversarial probes, and with enough


class SmoothedBoundary(RestartedAttack):
    """Attack on the noise-smoothed decision: minimises L2 or L-infinity from labels only, also without gradients.

    The decision of a sign network or a forest is piecewise constant. Near a boundary point one hyperplane alone
    separates the labels, and its normal says little about where the nearest adversarial is. Smoothed by noise the
    same decision has a useful gradient. This attack minimises the distance under noise whose length is of the order
    of the distance itself. So the noise shrinks as the adversarials come closer.

    A run has a direction v and a centre x + r v. An iteration

    1. queries Gaussian probes around the centre, of length `radius` times the distance of the centre; their labels
       give the gradient of the smoothed decision (as in HopSkipJump) and the fraction p of adversarial ones;
    2. averages the gradient with the earlier ones, weighted by (4 p (1 - p))^1.5; the average reaches back over the
       fraction `memory` of the iterations so far;
    3. moves v towards the average, and changes r so that p approaches `target`;
    4. queries the point at the best distance along v. If it is adversarial, the boundary is bisected on this line.

    The labels adapt the rest. r moves faster while p stays on one side of `target` and slower when it crosses it. The
    probes begin shorter than `radius` and grow as long as there are adversarial ones. The number of iterations and of
    their probes follows from the query budget, so 1,000 queries and 70,000 are planned alike. The best boundary point
    is projected to within 1e-4 of its distance.

    Restarts are eliminated by successive halving. Their iterations are cut into rungs of equal length, one more than
    the halvings that leave a single run. At the end of a rung the farther half of an example's runs ends, and the
    others get its queries.

    That a decision which is not smooth is smoothed by noise is from PopSkipJump (Simon-Gabriel, Sheikh, Krause, ICML
    2021), whose noise comes with the classifier. The estimate is that of HopSkipJump (Chen, Jordan, Wainwright 2020).

    In images and signals the probes can be of a subspace of low frequencies, as in QEBA (Li et al., CVPR 2020). Few
    queries tell its gradient, which is that in which the label changes most, but the nearest adversarial is seldom in
    it. So only the first `subspace_queries` are.

    With few queries the start and the noise of the average decide: see conf/attack/smoothed_few.yaml for the settings
    with about 5,000.

    Memory: 8 d bytes for each run, and the same again with a state file.

    Parameters
    ----------
    norm : {"l2", "linf"}
        The distance to minimise. For L-infinity, v has the entries -1 and 1.
    max_iter : int
        Maximum number of iterations. A smaller budget has fewer, so that each has 25 probes or more.
    probes : int
        Probes of an iteration without a query budget; with one, their number follows from it.
    radius : (float, float)
        Length of the probes in the first and in the last iteration, relative to the distance of the centre.
    target : float
        Fraction of adversarial probes that the distance of the centre is adapted to, between 0 and 1. At 0.5 an
        estimate is most precise; below, the centre is closer to the true boundary.
    step : float
        Length of the move of v towards the average in an iteration; both are of length 1.
    memory : float
        Part of the iterations so far that the average reaches back over. More has less noise, and its older estimates
        are of centres farther away.
    start : {"noise", "nearest", "given", "rays"}
        "rays": the closest point of RayS after 150 queries of each run, or noise where it finds none. In images such
        a point is much closer than one on the way to noise. The others: see :class:`attacks.base.RestartedAttack`.
    subspace_queries : int or None
        With a `subspace`: queries of a run after which the probes are of all directions. None: never.
    restarts, init_size, subspace, subspace_size, query_budget, seed, memory_budget, verbose
        See :class:`attacks.base.RestartedAttack`.

    Examples
    --------
    >>> attack = SmoothedBoundary(query_budget=5000)
    >>> result = attack(model.predict, X_test[:10], y_test[:10])  # doctest: +SKIP
    >>> result.l2  # doctest: +SKIP
    """

    method_version = 1
    start_options: ClassVar[tuple[str, ...]] = (*RestartedAttack.start_options, "rays")
    subspace_queries: int | None = None
    """Queries of a run after which its probes are of all directions; None: never."""

    def __init__(
        self,
        *,
        norm: str = "l2",
        max_iter: int = 140,
        restarts: int = 1,
        probes: int = 500,
        radius: ArrayLike = (2.0, 0.15),
        target: float = 0.2,
        step: float = 0.1,
        memory: float = 0.5,
        init_size: int = 1000,
        start: str = "noise",
        subspace: str | None = None,
        subspace_size: int | str = "auto",
        subspace_queries: int | None = None,
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
            subspace=subspace,
            subspace_size=subspace_size,
            seed=seed,
            query_budget=query_budget,
            memory_budget=memory_budget,
            verbose=verbose,
        )
        class_name = type(self).__name__
        if subspace_queries is not None:  # else that of the class: the attack has the identity it had without
            self.subspace_queries = check_int(class_name, "subspace_queries", subspace_queries, 0)
        self.norm = check_choice(class_name, "norm", norm, ("l2", "linf"))
        self.probes = check_int(class_name, "probes", probes, 1)
        self.radius = _check_pair(class_name, "radius", radius)
        self.target = check_number(class_name, "target", target, above=0.0, below=1.0)
        self.step = check_number(class_name, "step", step, above=0.0)
        self.memory = check_number(class_name, "memory", memory, above=0.0)

    def _attack(self, task: Task, journal: Journal, shared: Candidates | None) -> AttackResult:
        search = self._start_at_boundary(task, journal, shared, START_TOLERANCE)
        names = [column.name for column in fields(State)]
        if all(name in journal.snapshot for name in names):
            state = State(*(journal.snapshot[name].copy() for name in names))
        else:
            state = State.at_boundary(search)
        self._iterate_all(search, lambda: self._iterate(search, state), {name: getattr(state, name) for name in names})
        return project_and_collect(search)

    def _start(
        self, task: Task, journal: Journal, shared: Candidates | None, to_boundary: bool = True
    ) -> BoundarySearch:
        if self.start != "rays":
            return super()._start(task, journal, shared, to_boundary)
        runs = begin_runs(task, journal, self.restarts, self.init_size, None)
        search = BoundarySearch(task, journal, runs, self.norm == "linf")
        ray_starts(search, RAY_QUERIES)
        noise_starts(search, self.init_size, self.seed, to_boundary)
        return search

    def _schedule(self) -> tuple[int, int]:
        """Return the number of iterations, and after how many of them there is a line search."""
        if self.query_budget is None:
            return self.max_iter, 1
        budget = self.query_budget // self.restarts
        iterations = max(1, min(self.max_iter, budget // _MIN_PROBES))
        return iterations, max(1, math.ceil(_PROBES_PER_LINE * iterations / budget))

    def _per_iteration(self, iterations: int) -> float:
        """Return the queries of a run in an iteration."""
        return self.probes if self.query_budget is None else self.query_budget / self.restarts / iterations

    def _iterate(self, search: BoundarySearch, state: State) -> None:
        """Do one iteration of all runs."""
        runs, t = search.runs, int(search.runs.iteration)
        iterations, line_every = self._schedule()
        if self.restarts > 1:
            self._halve(search, t, iterations)
        line = (t + 1) % line_every == 0 or t + 1 == iterations
        left = search.left(np.arange(len(runs))) - PROJECTION_QUERIES
        planned = left // max(1, iterations - t) - (_LINE_QUERIES if line else 0)
        if self.query_budget is None:
            planned = np.full(len(runs), self.probes)
        n_probes = np.where(left > _LINE_QUERIES, np.maximum(planned, 1), 0)
        runs.stopped |= (n_probes < 1) | (t >= iterations)
        run_ids = np.flatnonzero(~runs.stopped)
        runs.iteration = np.array(t + 1)
        if not len(run_ids):
            return
        done = t / max(1, iterations - 1)
        if self.subspace_queries is not None and t * self._per_iteration(iterations) >= self.subspace_queries:
            search.host.subspace = None
        self._estimate(search, state, run_ids, n_probes[run_ids], done)
        if line:
            state.search_line(search, run_ids)
        runs.steps[run_ids] += 1
        runs.write_trace(run_ids)

    def _estimate(
        self, search: BoundarySearch, state: State, run_ids: Selection, n_probes: NDArray[np.int64], done: float
    ) -> None:
        """Estimate the gradients of the smoothed decision at the centres; turn the directions, move the centres."""
        runs, t = search.runs, int(search.runs.iteration)
        runs.point[run_ids] = state.on_line(search, run_ids, state.centre[run_ids])
        length, _ = search.measure(run_ids, runs.point)
        radius = _between(self.radius, done) * state.scale[run_ids] * length
        probed = query_probes(search, run_ids, n_probes, radius, run_keys(search, self.seed, "direction", run_ids, t))
        fraction = probed.n_crossed / n_probes
        part = 1.0 / max(_MIN_MEMORY, self.memory * t)  # of the average, that this estimate gets
        weight = (4.0 * fraction * (1.0 - fraction)) ** 1.5
        state.turn(run_ids, state.average(search, run_ids, probed.direction, weight, part, t == 1), self.step)
        state.move_centre(run_ids, fraction, self.target)
        distance = runs.linf if search.linf else runs.l2
        state.centre[run_ids] = np.minimum(state.centre[run_ids], _MAX_CENTRE * distance[run_ids])

    def _halve(self, search: BoundarySearch, t: int, iterations: int) -> None:
        """At the end of a rung, stop the farther half of each example's runs; the others get their queries."""
        runs, rungs = search.runs, (self.restarts - 1).bit_length() + 1
        if t not in [iterations * k // rungs for k in range(1, rungs)]:
            return
        distance = runs.linf if search.linf else runs.l2
        for e in np.unique(runs.example):
            active = np.flatnonzero((runs.example == e) & ~runs.stopped)
            order = active[np.argsort(distance[active], kind="stable")]
            kept, ended = order[: (len(order) + 1) // 2], order[(len(order) + 1) // 2 :]
            freed = int(search.left(ended).sum())
            runs.share[ended] = runs.spent[ended]
            runs.share[kept] += freed // len(kept) if len(kept) else 0
            runs.stopped[ended] = True


@dataclass
class State:
    """Directions and centres of R runs; a snapshot has these arrays besides those of `RunState`.

    Attributes
    ----------
    direction : ndarray of float32, shape (R, d)
        Of L2 norm 1. In L2 the line of a run leads along it, in L-infinity along its signs.
    gradient : ndarray of float32, shape (R, d)
        The average of the estimates.
    centre : ndarray of float64, shape (R,)
        Place of the probes' centre on the line: its distance, where it is not clipped.
    scale : ndarray of float64, shape (R,)
        Factor of the probe radius, at most 1.
    gain, error : ndarray of float64, shape (R,)
        How far the centre moves for an error of the fraction of adversarial probes, and the last error.
    """

    direction: NDArray[np.float32]
    gradient: NDArray[np.float32]
    centre: Floats
    scale: Floats
    gain: Floats
    error: Floats

    @classmethod
    def at_boundary(cls, search: BoundarySearch) -> State:
        """Begin at the points of the runs, which are at the boundary."""
        runs = search.runs
        direction = unit(runs.point - search.task.x[runs.example])
        distance = runs.linf if search.linf else runs.l2
        centre = np.where(np.isfinite(distance), distance, 0.0)
        count = len(runs)
        scale, gain = np.full(count, _FIRST_SCALE), np.full(count, _FIRST_GAIN)
        return cls(direction, np.zeros_like(direction), centre, scale, gain, np.zeros(count))

    def on_line(self, search: BoundarySearch, run_ids: Selection, place: Floats) -> NDArray[np.float32]:
        """Return the points at the places (k,) of the lines of the runs, clipped to the box; (k, d)."""
        task, along = search.task, self.direction[run_ids]
        moved = task.x[search.runs.example[run_ids]] + place[:, None] * (np.sign(along) if search.linf else along)
        return np.clip(moved, task.low, task.high).astype(np.float32)

    def average(
        self,
        search: BoundarySearch,
        run_ids: Selection,
        estimate: NDArray[np.float32],
        weight: Floats,
        part: float,
        first: bool,
    ) -> NDArray[np.float32]:
        """Average the estimates (k, d) with the earlier ones, or the first ones with the directions.

        The estimates are of the centres, at which the points of the runs are. What is returned, (k, d), is where the
        directions move to.
        """
        kept = (self.direction if first else self.gradient)[run_ids]
        added = (part * weight[:, None]).astype(np.float32) * unit(estimate)
        self.gradient[run_ids] = np.float32(1.0 - part) * kept + added
        return self.gradient[run_ids]

    def turn(self, run_ids: Selection, towards: NDArray[np.float32], step: float) -> None:
        """Move the directions of the runs (k,) towards others, (k, d)."""
        self.direction[run_ids] = unit(self.direction[run_ids] + np.float32(step) * unit(towards))

    def move_centre(self, run_ids: Selection, fraction: Floats, target: float) -> None:
        """Move the centres so that the fraction of adversarial probes approaches the target; adapt the radius.

        The change of a centre's log distance is `gain` times the error of the fraction. A gain grows while the error
        keeps its sign and is halved when the sign changes (as in Rprop).
        """
        above = fraction > target
        error = (target - fraction) / np.where(above, 1.0 - target, target)
        turned = error * self.error[run_ids] < 0
        gain = np.clip(self.gain[run_ids] * np.where(turned, 0.5, 1.3), _MIN_GAIN, _MAX_GAIN)
        self.gain[run_ids], self.error[run_ids] = gain, error
        self.centre[run_ids] *= np.exp(gain * error)
        few = fraction < _FEW * target
        self.scale[run_ids] = np.minimum(1.0, self.scale[run_ids] * np.where(few, _SHRINK, _GROW))

    def search_line(self, search: BoundarySearch, run_ids: Selection) -> None:
        """Query the points slightly closer than the best ones; bisect the lines of the adversarial ones."""
        runs = search.runs
        distance = (runs.linf if search.linf else runs.l2)[run_ids] * (1.0 - _LINE_TOLERANCE)
        runs.point[run_ids] = self.on_line(search, run_ids, distance)
        if not search.linf:  # a clipped point is closer than its place: move it out, once
            length, _ = search.measure(run_ids, runs.point)
            outward = distance * distance / np.maximum(length, 1e-30)
            runs.point[run_ids] = self.on_line(search, run_ids, outward)
        adversarial = search.host.query_lines(run_ids, runs.point, np.ones(len(run_ids)), False)
        search.search(run_ids[adversarial], search.linf, 2 * _LINE_TOLERANCE)


def _between(ends: tuple[float, float], done: float) -> float:
    """Interpolate geometrically between two positive numbers."""
    return float(ends[0] * (ends[1] / ends[0]) ** done)


def _check_pair(class_name: str, name: str, value: Any) -> tuple[float, float]:
    numbers = list(value) if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str) else []
    if len(numbers) != 2:
        raise refuse(class_name, name, "two numbers > 0, the first and the last", value)
    first, last = (check_number(class_name, name, number, above=0.0) for number in numbers)
    return first, last
