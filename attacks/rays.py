"""RayS, batched: every model call serves all examples at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scd.devices import in_threads
from scd.numba_cache import njit

from .base import DecisionAttack, mean_best, project_and_collect
from .engine.bisection import BoundarySearch
from .engine.checkpoint import Journal
from .engine.initial_points import Candidates, begin_runs
from .engine.kernels import numba_kernels
from .engine.run_state import Arrays, RunState, Selection
from .engine.validation import Task, check_number
from .result import AttackResult

_RESERVE = 16  # queries reserved from the search for the final projection
_PREFIX = "ray."
_DOUBLINGS = 10  # of the radius of a corner, without bounds
_ROUND = 200  # queries between two trace rows and two snapshots


class RayS(DecisionAttack):
    """RayS (Chen, Gu 2020, arXiv:2006.12792), a decision-based attack for the L-infinity distance along rays of signs.

    A direction s has entries +1 and -1, and its point at radius r is clip(x + r s). The best direction starts as all
    +1 with an infinite radius. A candidate is the best direction with one block of features flipped:

    - Level 0 is one block of all d features, level k has blocks of ceil(d / 2^k) neighbouring features, tried in
      order from the first; the last is shorter, or missing, if d is no power of two. After the last block comes
      the next level, after the level of single features that level again. So the first candidate is all -1. The
      direction of all +1 itself is queried if flips lead back to it, and as the last one before the search gives up.
    - Fast check: is the candidate adversarial at the best radius? (At an infinite one: its corner of the box. As
      long as no corner is adversarial, every candidate costs one query and the best direction stays all +1.) If not,
      the next candidate follows.
    - Otherwise its boundary is bisected between 0 and the best radius (at first the width of the box) until the bracket
      is `tolerance` wide, measured in L2 along the ray as in the authors' program: tolerance / sqrt(d) in L-infinity.
      If the upper end is below the best radius, the candidate becomes the best direction.

    Nothing is random and no start is needed, so there are no restarts and no seed.

    The authors' batch program (RayS.py) is followed in the order of candidates, brackets and tolerance. Deliberate
    differences:

    - The search of an example ends after d flips of a single feature in a row without improvement: from there on the
      program repeats the same queries until its budget is spent.
    - The program does not query the corner in the direction of all +1 before it gives up. With one or two features
      that corner may be the only adversarial one.
    - The program's single-image variant also ends at a radius epsilon. This is omitted, because the minimum distance
      is sought.
    - The point with the minimum distance after clipping is returned (the program returns the last), bisected on its
      ray to within 1e-4 of its distance.
    - The box may be other than [0, 1]. Without bounds the corner of the first candidate is at the largest width of
      the box of the data, and that of each further one, up to the tenth, twice as far away.
    - The query budget is never exceeded, and includes the query of the example's own label.
    - An example without any adversarial candidate is a failure.

    The result of an example does not depend on the other examples, on `memory_budget`, on the number of threads, or on
    being interrupted and resumed. `iteration` in the trace counts candidates; there is one row per 200 queries.

    Parameters
    ----------
    query_budget : int or None
        Maximum number of queries per example in total; None searches until no flip of a single feature improves.
    tolerance : float
        Width at which a bisection ends: L2, in feature units.
    memory_budget, verbose
        See :class:`attacks.base.ArrayAttack`.

    Examples
    --------
    >>> attack = RayS(query_budget=10000)
    >>> result = attack(model.predict, X_test[:10], y_test[:10])  # doctest: +SKIP
    >>> result.linf, result.l2  # doctest: +SKIP
    """

    method_version = 1
    norm = "linf"

    def __init__(
        self,
        *,
        query_budget: int | None = 40000,
        tolerance: float = 1e-3,
        memory_budget: int | str = "256MiB",
        verbose: bool = False,
    ) -> None:
        super().__init__(query_budget=query_budget, memory_budget=memory_budget, verbose=verbose)
        self.tolerance = check_number(type(self).__name__, "tolerance", tolerance, above=0.0)

    def _attack(self, task: Task, journal: Journal, shared: Candidates | None) -> AttackResult:
        d = task.x.shape[1]
        if journal.snapshot:
            runs, rays = RunState.from_arrays(journal.snapshot), Rays.from_arrays(journal.snapshot)
        else:
            runs = begin_runs(task, journal, 1, 1, shared)
            rays = Rays.of(len(runs), d)
            journal.mark({**runs.to_arrays(), **rays.to_arrays()})
        search = BoundarySearch(task, journal, runs, linf=True)
        ray_search = RaySearch(search, rays, self.tolerance / math.sqrt(d))
        with self._bar(self.query_budget, int(runs.iteration), "query") as bar:
            while not runs.stopped.all():
                self._round(ray_search)
                journal.mark({**runs.to_arrays(), **rays.to_arrays()})
                bar.update(int(runs.iteration) - bar.n)
                bar.set_postfix_str(mean_best(search))
        return project_and_collect(search)

    def _round(self, ray_search: RaySearch) -> None:
        """Do up to 200 queries of every active search."""
        search, runs = ray_search.search, ray_search.search.runs
        for _ in range(_ROUND):
            run_ids = np.flatnonzero(~runs.stopped)
            reserve = np.where(runs.started[run_ids], _RESERVE, 0)
            spent = search.left(run_ids) <= reserve
            ray_search.settle(run_ids[spent])
            runs.stopped[run_ids[spent]] = True
            runs.starved[run_ids[spent]] = ~runs.started[run_ids[spent]]
            run_ids = run_ids[~spent]
            if not len(run_ids):
                break
            ray_search.step(run_ids)
            runs.iteration = runs.iteration + 1
        runs.write_trace(np.flatnonzero(runs.started & ~runs.stopped))


class RaySearch:
    """All searches in lock-step: one query of each at a time, either a fast check or a step of a bisection.

    Parameters
    ----------
    search : BoundarySearch
    rays : Rays
    tolerance : float
        A bisection ends when its bracket is this wide, in L-infinity.
    """

    def __init__(self, search: BoundarySearch, rays: Rays, tolerance: float) -> None:
        self.search, self.rays, self.tolerance = search, rays, tolerance
        low, high = search.task.box
        self.width = float(np.max(high - low))

    def step(self, run_ids: Selection) -> None:
        """Do the next query of each of the runs, and update their state."""
        rays = self.rays
        bisecting = rays.bisecting[run_ids]
        middle = (rays.lower[run_ids] + rays.upper[run_ids]) / 2.0
        radius = np.where(bisecting, middle, np.minimum(rays.radius[run_ids], self._corner(run_ids)))
        adversarial = self.search.host.query(
            run_ids,
            lambda out, begin, end: self._place(run_ids[begin:end], radius[begin:end], out, np.arange(end - begin)),
        )
        nearer, farther = run_ids[bisecting & adversarial], run_ids[bisecting & ~adversarial]
        rays.upper[nearer], rays.lower[farther] = middle[bisecting & adversarial], middle[bisecting & ~adversarial]
        passed, refused = run_ids[~bisecting & adversarial], run_ids[~bisecting & ~adversarial]
        rays.bisecting[passed], rays.lower[passed] = True, 0.0
        farthest = self.width if self.search.task.bounded else self._corner(passed)
        rays.upper[passed] = np.minimum(rays.radius[passed], farthest)
        closed = run_ids[bisecting & (rays.upper[run_ids] - rays.lower[run_ids] <= self.tolerance)]
        self._accept(closed)
        self._advance(refused)

    def _corner(self, run_ids: Selection) -> NDArray[np.float64]:
        """Return the radius at which the candidates of the runs are at their corners."""
        if self.search.task.bounded:
            return np.full(len(run_ids), np.inf)
        return self.width * 2.0 ** np.minimum(self.search.runs.steps[run_ids], _DOUBLINGS)

    def settle(self, run_ids: Selection) -> None:
        """End the bisections of the runs in their current state: their queries are spent."""
        self._accept(run_ids[self.rays.bisecting[run_ids]])

    def _accept(self, run_ids: Selection) -> None:
        """Accept the candidates whose bisections have ended, if they are better; continue with the next."""
        rays, runs = self.rays, self.search.runs
        better = run_ids[rays.upper[run_ids] < rays.radius[run_ids]]
        if len(better):
            self._place(better, rays.upper[better], runs.point, better)
            first, last = self._columns(better)
            for run, begin, end in zip(better, first, last, strict=True):
                rays.sign[run, begin:end] *= -1
            rays.radius[better], rays.idle[better] = rays.upper[better], -1
            runs.started[better] = True
            self.search.keep_best(better, rays.lower[better] / rays.upper[better])
        rays.bisecting[run_ids] = False
        self._advance(run_ids)

    def _advance(self, run_ids: Selection) -> None:
        """Continue with the next block; a run stops after a whole round of single features without improvement."""
        rays, runs, d = self.rays, self.search.runs, self.rays.sign.shape[1]
        first, last = self._columns(run_ids)
        unflipped = first == d
        rays.idle[run_ids] = np.where(last - first == 1, rays.idle[run_ids] + 1, 0)
        over = rays.idle[run_ids] >= d
        runs.stopped[run_ids] = np.where(runs.started[run_ids], over, unflipped)
        runs.steps[run_ids] += 1
        level_done = last == d
        rays.block[run_ids] = np.where(level_done, 0, rays.block[run_ids] + 1)
        # beyond the level of single features all levels are equal
        rays.level[run_ids] = np.minimum(rays.level[run_ids] + level_done, int(d - 1).bit_length())
        # no corner was adversarial: the block after the last, which is empty, leaves the direction of all +1 as it is
        rays.block[run_ids[over & ~runs.started[run_ids] & ~unflipped]] = d

    def _columns(self, run_ids: Selection) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last (excluded) column of the runs' blocks."""
        d = self.rays.sign.shape[1]
        size = -(-d // (1 << self.rays.level[run_ids]))
        first = self.rays.block[run_ids] * size
        return first, np.minimum(first + size, d)

    def _place(
        self, run_ids: Selection, radius: NDArray[np.float64], out: NDArray[np.float32], out_rows: Selection
    ) -> None:
        """Write the points of the runs' candidates at `radius` to out[out_rows]."""
        x, low, high = self.search.task.x, self.search.task.low, self.search.task.high
        example, sign = self.search.runs.example, self.rays.sign
        first, last = self._columns(run_ids)
        in_threads(
            lambda begin, end: ray_rows(
                x, example, sign, run_ids, first, last, radius, low, high, out, out_rows, begin, end
            ),
            len(run_ids),
            len(run_ids) * out.shape[1],
        )


@dataclass
class Rays:
    """The state of R searches in d dimensions, one for each run; with the runs it is a complete checkpoint.

    Attributes
    ----------
    sign : ndarray of int8, shape (R, d)
        The best direction so far.
    radius : ndarray of float64, shape (R,)
        The minimum L-infinity radius at which it is known to be adversarial; infinite before the first.
    level, block : ndarray of int64, shape (R,)
        The current candidate: the best direction with this block of this level flipped.
    bisecting : ndarray of bool, shape (R,)
        Whether the candidate passed the fast check, so that its boundary is being bisected.
    lower, upper : ndarray of float64, shape (R,)
        The bracket of that bisection.
    idle : ndarray of int64, shape (R,)
        Consecutive blocks of a single feature without a better radius.
    """

    sign: NDArray[np.int8]
    radius: NDArray[np.float64]
    level: NDArray[np.int64]
    block: NDArray[np.int64]
    bisecting: NDArray[np.bool_]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    idle: NDArray[np.int64]

    @classmethod
    def of(cls, runs: int, d: int) -> Rays:
        """Return directions of all +1 with infinite radius."""
        return cls(
            sign=np.ones((runs, d), dtype=np.int8),
            radius=np.full(runs, np.inf),
            level=np.zeros(runs, dtype=np.int64),
            block=np.zeros(runs, dtype=np.int64),
            bisecting=np.zeros(runs, dtype=bool),
            lower=np.zeros(runs),
            upper=np.full(runs, np.inf),
            idle=np.zeros(runs, dtype=np.int64),
        )

    def to_arrays(self) -> Arrays:
        """Return all fields by name, with a prefix."""
        return {_PREFIX + column.name: getattr(self, column.name) for column in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Rays:
        """Rebuild the rays from a checkpoint, which may contain other arrays too."""
        return cls(**{column.name: arrays[_PREFIX + column.name].copy() for column in fields(cls)})


@njit(nogil=True)
def ray_rows(
    x: Any,
    example: Any,
    sign: Any,
    runs: Any,
    first: Any,
    last: Any,
    radius: Any,
    low: Any,
    high: Any,
    out: Any,
    out_rows: Any,
    begin: int,
    end: int,
) -> None:
    """Fill out[out_rows[k]] with clip(x + radius[k] * sign), with the signs of the columns first[k]..last[k]-1 flipped.

    Parameters
    ----------
    x : ndarray of float32, shape (n_examples, d)
    example : ndarray of int64, shape (n_runs,)
    sign : ndarray of int8, shape (n_runs, d)
    runs, first, last : ndarray of int64, shape (n_rows,)
    radius : ndarray of float64, shape (n_rows,)
        May be infinite: then the point is a corner of the box.
    low, high : float, or ndarray of float64, shape (d,)
    out : ndarray of float32, shape (any, d)
    out_rows : ndarray of int64, shape (n_rows,)
    begin, end : int
        The rows to fill.
    """
    for k in range(begin, end):
        original, direction, target = x[example[runs[k]]], sign[runs[k]], out[out_rows[k]]
        for c in range(out.shape[1]):
            by = -radius[k] if first[k] <= c < last[k] else radius[k]
            moved = np.float64(original[c]) + (by if direction[c] > 0 else -by)
            target[c] = min(max(moved, numba_kernels.bound(low, c)), numba_kernels.bound(high, c))
