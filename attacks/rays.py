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

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

_RESERVE = 16  # queries reserved from the search for the final projection
_PREFIX = "ray."
_DOUBLINGS = 10  # of the radius of a corner, without bounds
_ROUND = 200  # queries between two trace rows and two snapshots
_START_TOLERANCE = 2.0**-8  # of a bisection of `ray_starts`, relative to the width of the box


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
            if spent.any():
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
        self.width, self.bounded = float(np.max(high - low)), search.task.bounded

    def step(self, run_ids: Selection) -> None:
        """Do the next query of each of the runs, and update their state."""
        rays, bounded = self.rays, self.bounded
        bracket, k = (rays.bisecting, rays.lower, rays.upper, rays.radius), len(run_ids)
        radius, corner = np.empty(k), np.empty(k)
        _next_radii(run_ids, *bracket, self.search.runs.steps, self.width, bounded, radius, corner)
        adversarial = self.search.host.query(
            run_ids,
            lambda out, begin, end: self._place(run_ids[begin:end], radius[begin:end], out, np.arange(end - begin)),
        )
        farthest = np.minimum(corner, self.width) if bounded else corner
        closed, refused = np.empty(k, dtype=np.bool_), np.empty(k, dtype=np.bool_)
        _update(run_ids, radius, adversarial, *bracket, farthest, self.tolerance, closed, refused)
        if closed.any():
            self._accept(run_ids[closed])
        self._advance(run_ids[refused])

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
        rays, runs = self.rays, self.search.runs
        _next_blocks(
            run_ids, rays.level, rays.block, rays.idle, runs.started, runs.stopped, runs.steps, rays.sign.shape[1]
        )

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


def ray_starts(search: BoundarySearch, queries: int) -> None:
    """Start the runs of another attack at the closest point that RayS finds with so many queries of each.

    At most a third of what a run has left is spent. A run without an adversarial corner among the first candidates
    gets no start. Nothing is random, so the restarts of an example start at the same point.
    """
    runs = search.runs
    low, high = search.task.box
    rays = Rays.of(len(runs), search.task.x.shape[1])
    ray_search = RaySearch(search, rays, _START_TOLERANCE * float(np.max(high - low)))
    everyone = np.arange(len(runs))
    limit = runs.spent + np.minimum(search.left(everyone) // 3, queries)
    while len(run_ids := np.flatnonzero(~runs.stopped & (runs.spent < limit))):
        ray_search.step(run_ids)
    ray_search.settle(everyone)
    runs.point[runs.started] = runs.best[runs.started]
    runs.lower[:] = 0.0  # the points of a clipped ray are not on the line to its end
    runs.steps[:], runs.stopped[:] = 0, False


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
def _next_radii(
    run_ids: Selection,
    bisecting: Flags,
    lower: Floats,
    upper: Floats,
    best: Floats,
    steps: Selection,
    width: float,
    bounded: bool,
    radius: Floats,
    corner: Floats,
) -> None:
    """Fill radius[k] with the next radius to query of run run_ids[k], corner[k] with that of its candidate's corner."""
    for k, r in enumerate(run_ids):
        corner[k] = math.inf if bounded else width * 2.0 ** min(steps[r], _DOUBLINGS)
        radius[k] = (lower[r] + upper[r]) / 2.0 if bisecting[r] else min(best[r], corner[k])


@njit(nogil=True)
def _update(
    run_ids: Selection,
    radius: Floats,
    adversarial: Flags,
    bisecting: Flags,
    lower: Floats,
    upper: Floats,
    best: Floats,
    farthest: Floats,
    tolerance: float,
    closed: Flags,
    refused: Flags,
) -> None:
    """Record the labels at the queried radii: closed[k] if a bisection ends, refused[k] if a fast check fails."""
    for k, r in enumerate(run_ids):
        closed[k], refused[k] = False, not (bisecting[r] or adversarial[k])
        if bisecting[r]:
            if adversarial[k]:
                upper[r] = radius[k]
            else:
                lower[r] = radius[k]
            closed[k] = upper[r] - lower[r] <= tolerance
        elif adversarial[k]:
            bisecting[r], lower[r], upper[r] = True, 0.0, min(best[r], farthest[k])


@njit(nogil=True)
def _next_blocks(
    run_ids: Selection,
    level: Selection,
    block: Selection,
    idle: Selection,
    started: Flags,
    stopped: Flags,
    steps: Selection,
    d: int,
) -> None:
    """Do `RaySearch._advance`."""
    single = 0  # the level of single features; beyond it all levels are equal
    while 1 << single < d:
        single += 1
    for r in run_ids:
        size = -(-d // (1 << level[r]))
        first = block[r] * size
        last = min(first + size, d)
        idle[r] = idle[r] + 1 if last - first == 1 else 0
        unflipped, over = first == d, idle[r] >= d
        stopped[r] = over if started[r] else unflipped
        steps[r] += 1
        level_done = last == d
        block[r] = 0 if level_done else block[r] + 1
        level[r] = min(level[r] + level_done, single)
        if over and not started[r] and not unflipped:
            # no corner was adversarial: the block after the last, which is empty, leaves the direction of all +1
            block[r] = d


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
            by, flipped = radius[k] * np.float64(direction[c]), (c >= first[k]) & (c < last[k])
            moved = np.float64(original[c]) + (-by if flipped else by)
            target[c] = min(max(moved, numba_kernels.bound(low, c)), numba_kernels.bound(high, c))
