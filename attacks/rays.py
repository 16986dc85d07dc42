"""RayS, batched: every model call serves all examples at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from attacks.base import DecisionAttack, mean_best, project_and_collect
from attacks.engine import numba_kernels
from attacks.engine.bisection import BoundarySearch
from attacks.engine.checkpoint import Journal
from attacks.engine.initial_points import Candidates, begin_runs
from attacks.engine.run_state import Arrays, Runs, Selection
from attacks.engine.validation import Task, check_number
from attacks.result import AttackResult
from scd.numba_cache import njit

_RESERVE = 16  # queries kept back from the search for the last projection
_ROUND = 200  # questions between two rows of the trace and two snapshots


class RayS(DecisionAttack):
    """RayS (Chen, Gu 2020, arXiv:2006.12792), a decision attack for the L-infinity distance along rays of signs.

    A direction s has entries +1 and -1, and its point at radius r is clip(x + r s). The best direction begins as all
    +1 with an infinite radius. A candidate is the best direction with one block of features turned:

    - Level 0 is one block of all d features, level k has blocks of ceil(d / 2^k) neighbouring features, tried in
      order from the first; the last is shorter, or missing, where d is no power of two. After the last block comes
      the next level, after the level of single features that level again. The first candidate is therefore all -1;
      the direction of all +1 itself is asked only if turning leads back to it.
    - Fast check: is the candidate adversarial at the best radius? (At an infinite one: its corner of the box. As
      long as no corner is adversarial, every candidate costs one query and the best direction stays all +1.) If not,
      the next candidate follows.
    - Else its boundary is bisected between 0 and the best radius (first: the width of the box) until the bracket is
      `tolerance` wide, measured in L2 along the ray as in the authors' program: tolerance / sqrt(d) in L-infinity. An
      upper end below the best radius makes the candidate the best direction.

    Nothing is drawn at random and no start is needed, so there are no restarts and no seed.

    The authors' batch program (RayS.py) is followed in the order of candidates, brackets and tolerance. Different on
    purpose: an example's search ends when all d turns of a single feature in a row gave nothing, for from there on
    the program asks the same rows again until its queries are spent; the program's single-image variant also ends
    at a radius epsilon, which is left out because the least distance is sought; the point with the least distance
    after clipping is returned (the program returns the last), bisected on its ray to within 1e-4 of its distance; the
    box may be other than [0, 1]; the query limit is never exceeded, and includes the question for the example's own
    label; an example without any adversarial candidate is a failure.

    An example's result does not depend on what else is attacked, on `memory_budget`, on the number of threads, or on
    being interrupted and resumed. `iteration` in the trace counts candidates; a row is written every 200 queries.

    Parameters
    ----------
    query_budget : int or None
        Most queries per example over everything; None searches until no single feature can be turned with gain.
    tolerance : float
        Width at which a bisection ends: L2, in feature units.
    memory_budget : int or str
        Bytes for the rows of one model call and their copies, e.g. 268435456 or "256MiB".
    verbose : bool
        Show a bar of queries with the mean of the best distances.

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
            runs, rays = Runs.from_arrays(journal.snapshot), Rays.from_arrays(journal.snapshot)
        else:
            runs = begin_runs(task, journal, 1, 1, shared)
            rays = Rays.of(len(runs), d)
            journal.mark({**runs.to_arrays(), **rays.to_arrays()})
        search = BoundarySearch(task, journal, runs, linf=True)
        ray_search = RaySearch(search, rays, self.tolerance / math.sqrt(d))
        with tqdm(total=self.query_budget, initial=int(runs.iteration), desc=type(self).__name__, unit="query",
                  disable=not self.verbose) as bar:  # fmt: skip
            while not runs.stopped.all():
                self._round(ray_search)
                journal.mark({**runs.to_arrays(), **rays.to_arrays()})
                bar.update(int(runs.iteration) - bar.n)
                bar.set_postfix_str(mean_best(search))
        return project_and_collect(search)

    def _round(self, ray_search: RaySearch) -> None:
        """Ask up to 200 questions of every search that goes on."""
        search, runs = ray_search.search, ray_search.search.runs
        for _ in range(_ROUND):
            who = np.flatnonzero(~runs.stopped)
            kept = np.where(runs.started[who], _RESERVE, 0)
            spent = search.left(who) <= kept
            ray_search.settle(who[spent])
            runs.stopped[who[spent]] = True
            runs.starved[who[spent]] = ~runs.started[who[spent]]
            who = who[~spent]
            if not len(who):
                break
            ray_search.step(who)
            runs.iteration = runs.iteration + 1
        runs.write_trace(np.flatnonzero(runs.started & ~runs.stopped))


_PREFIX = "ray."


@njit(nogil=True)
def ray_rows(
    x: Any, example: Any, sign: Any, runs: Any, first: Any, last: Any, radius: Any,
    low: float, high: float, out: Any, out_rows: Any, begin: int, end: int,
) -> None:  # fmt: skip
    """Fill out[out_rows[k]] with clip(x + radius[k] * sign), the signs of the columns first[k]..last[k]-1 turned.

    Parameters
    ----------
    x : ndarray of float32, shape (n_examples, d)
    example : ndarray of int64, shape (n_runs,)
    sign : ndarray of int8, shape (n_runs, d)
    runs, first, last : ndarray of int64, shape (n_rows,)
    radius : ndarray of float64, shape (n_rows,)
        May be infinite: then the row is a corner of the box.
    low, high : float
    out : ndarray of float32, shape (any, d)
    out_rows : ndarray of int64, shape (n_rows,)
    begin, end : int
        The rows to fill.
    """
    for k in range(begin, end):
        original, direction, target = x[example[runs[k]]], sign[runs[k]], out[out_rows[k]]
        for c in range(out.shape[1]):
            by = -radius[k] if first[k] <= c < last[k] else radius[k]
            target[c] = min(max(np.float64(original[c]) + (by if direction[c] > 0 else -by), low), high)


@dataclass
class Rays:
    """The state of R searches in d dimensions, one for each run; with the runs it is a whole checkpoint.

    Attributes
    ----------
    sign : ndarray of int8, shape (R, d)
        The best direction so far.
    radius : ndarray of float64, shape (R,)
        The least L-infinity radius at which it is known to be adversarial; infinite before the first.
    level, block : ndarray of int64, shape (R,)
        The candidate under trial: the best direction with this block of this level turned.
    bisecting : ndarray of bool, shape (R,)
        Whether the candidate passed the fast check, so that its boundary is being bisected.
    lower, upper : ndarray of float64, shape (R,)
        The bracket of that bisection.
    idle : ndarray of int64, shape (R,)
        Blocks of a single feature in a row that gave no better radius.
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
        """All directions of plus ones, of infinite radius."""
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
        """Rebuild the rays from a checkpoint (which may hold other arrays too)."""
        return cls(**{column.name: arrays[_PREFIX + column.name].copy() for column in fields(cls)})


class RaySearch:
    """All searches in lock-step: one question for each at a time, whether a fast check or a step of a bisection.

    Parameters
    ----------
    search : BoundarySearch
    rays : Rays
    tolerance : float
        A bisection ends when its bracket is this wide, in L-infinity.
    """

    def __init__(self, search: BoundarySearch, rays: Rays, tolerance: float) -> None:
        self.search, self.rays, self.tolerance = search, rays, tolerance
        self.width = search.task.high - search.task.low

    def step(self, who: Selection) -> None:
        """Ask the next question of each of the runs `who`, and draw the conclusions."""
        rays = self.rays
        bisecting = rays.bisecting[who]
        middle = (rays.lower[who] + rays.upper[who]) / 2.0
        radius = np.where(bisecting, middle, rays.radius[who])
        adversarial = self.search.ask(
            who, lambda out, begin, end: self._place(who[begin:end], radius[begin:end], out, np.arange(end - begin))
        )
        nearer, farther = who[bisecting & adversarial], who[bisecting & ~adversarial]
        rays.upper[nearer], rays.lower[farther] = middle[bisecting & adversarial], middle[bisecting & ~adversarial]
        passed, refused = who[~bisecting & adversarial], who[~bisecting & ~adversarial]
        rays.bisecting[passed], rays.lower[passed] = True, 0.0
        rays.upper[passed] = np.minimum(rays.radius[passed], self.width)
        closed = who[bisecting & (rays.upper[who] - rays.lower[who] <= self.tolerance)]
        self._turn(closed)
        self._advance(refused)

    def settle(self, who: Selection) -> None:
        """End the bisections of the runs `who` where they stand: their queries are spent."""
        self._turn(who[self.rays.bisecting[who]])

    def _turn(self, who: Selection) -> None:
        """Take the candidates whose bisections have ended, where they are better; go on to the next."""
        rays, runs = self.rays, self.search.runs
        better = who[rays.upper[who] < rays.radius[who]]
        if len(better):
            self._place(better, rays.upper[better], runs.point, better)
            first, last = self._columns(better)
            for run, begin, end in zip(better, first, last, strict=True):
                rays.sign[run, begin:end] *= -1
            rays.radius[better], rays.idle[better] = rays.upper[better], -1
            runs.started[better] = True
            self.search.keep_best(better, rays.lower[better] / rays.upper[better])
        rays.bisecting[who] = False
        self._advance(who)

    def _advance(self, who: Selection) -> None:
        """Go on to the next block; a run stops when a whole round of single features gave nothing."""
        rays, runs, d = self.rays, self.search.runs, self.rays.sign.shape[1]
        first, last = self._columns(who)
        rays.idle[who] = np.where(last - first == 1, rays.idle[who] + 1, 0)
        runs.stopped[who] = rays.idle[who] >= d
        runs.steps[who] += 1
        over = last == d
        rays.block[who] = np.where(over, 0, rays.block[who] + 1)
        # beyond the level of single features the levels are all alike
        rays.level[who] = np.minimum(rays.level[who] + over, int(d - 1).bit_length())

    def _columns(self, who: Selection) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last (excluded) column of the runs' blocks."""
        d = self.rays.sign.shape[1]
        size = -(-d // (1 << self.rays.level[who]))
        first = self.rays.block[who] * size
        return first, np.minimum(first + size, d)

    def _place(
        self, who: Selection, radius: NDArray[np.float64], out: NDArray[np.float32], out_rows: Selection
    ) -> None:
        task, runs = self.search.task, self.search.runs
        first, last = self._columns(who)
        numba_kernels.in_threads(
            lambda begin, end: ray_rows(
                task.x, runs.example, self.rays.sign, who, first, last, radius,
                task.low, task.high, out, out_rows, begin, end,
            ),
            len(who),
            len(who) * out.shape[1],
        )  # fmt: skip
