"""SurFree: from the boundary towards the original along semicircles in random directions, without a gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scd.devices import in_threads
from scd.numba_cache import njit

from .base import RestartedAttack, mean_best, project_and_collect
from .engine.bisection import PROJECTION_QUERIES, BoundarySearch
from .engine.checkpoint import Journal
from .engine.initial_points import START_TOLERANCE, Candidates, run_keys
from .engine.kernels.rng import NORMAL, fill_noise
from .engine.run_state import RunState, Selection
from .engine.semicircle import Arcs, Floats
from .engine.validation import Task, check_int, check_number
from .result import AttackResult

_ROUNDS = 256  # queries of a run between two snapshots of the state and two updates of the progress bar
_ARC_END = math.pi / 2  # the original, whose label is known
_MAX_REACH = math.radians(89.0)
_PREFIX = "walk."  # of the state's arrays in a snapshot


class SurFree(RestartedAttack):
    """SurFree (Maho, Furon, Le Merrer, CVPR 2021, arXiv:2011.12807), a decision-based attack that minimises L2.

    An iteration draws a random direction, orthogonal to the line from the original to the run's point and to the last
    directions, and searches the semicircle that leads in this direction from the point to the original. Sign search:
    the angles +a, -a, +2a/3, -2a/3, +a/3, -a/3 (for `tries` = 3) are queried until one is adversarial. Then a larger
    angle of that sign that is not adversarial is found, in steps of a/3, and the bracket is bisected. The largest
    adversarial angle is the new point. The reach a of the run is divided by `rho` after an iteration that found an
    adversarial angle and multiplied by `rho` after one that did not.

    Every model call serves all runs: one query of each, whatever the step of its search.

    Differences to the paper and its authors' program: the directions are Gaussian vectors, because samples here have
    no image shape whose low frequencies could be preferred; a direction is orthogonal to the current line to the point,
    not only to the first, and to at most (d - 2) / 2 earlier ones, so that in few dimensions some directions remain;
    the bisection does not query the angles of the other sign again; no interpolation (off in the program too); the
    starts are those of the other attacks here, and the result is projected to within 1e-4 of its distance.

    Memory: the last directions take 4 * `n_ortho` * d bytes for each run, and the same again with a state file.

    Parameters
    ----------
    max_iter : int
        Directions tried by a run. At five or six queries each, the default lets the query budget end the attack.
    theta_max : float
        Initial reach a, in degrees, between 0 and 90.
    tries : int
        Angles of each sign in a sign search.
    rho : float
        Factor of the reach, between 0 and 1.
    n_ortho : int
        Earlier directions that a new one is orthogonal to.
    gamma : float
        The bisection ends when the distances at both ends of its bracket differ by at most this fraction of the
        current distance.
    max_bisections : int
        Maximum number of queries of a bisection.
    restarts, init_size, start, query_budget, seed, memory_budget, verbose
        See :class:`attacks.base.RestartedAttack`.

    Examples
    --------
    >>> result = SurFree(query_budget=2000)(model.predict, X_test[:10], y_test[:10])  # doctest: +SKIP
    >>> result.l2  # doctest: +SKIP
    """

    method_version = 1

    def __init__(
        self,
        *,
        max_iter: int = 2500,
        restarts: int = 1,
        theta_max: float = 30.0,
        tries: int = 3,
        rho: float = 0.98,
        n_ortho: int = 100,
        gamma: float = 0.01,
        max_bisections: int = 10,
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
        self.theta_max = check_number(class_name, "theta_max", theta_max, above=0.0, below=90.0)
        self.tries = check_int(class_name, "tries", tries, 1)
        self.rho = check_number(class_name, "rho", rho, above=0.0, below=1.0)
        self.n_ortho = check_int(class_name, "n_ortho", n_ortho, 0)
        self.gamma = check_number(class_name, "gamma", gamma, minimum=0.0)
        self.max_bisections = check_int(class_name, "max_bisections", max_bisections, 0)

    def _attack(self, task: Task, journal: Journal, shared: Candidates | None) -> AttackResult:
        if journal.snapshot:
            search = BoundarySearch(task, journal, RunState.from_arrays(journal.snapshot), linf=False)
        else:
            search = self._start(task, journal, shared)
            started = np.flatnonzero(search.runs.started)
            if shared is not None:  # noise starts are at the boundary already
                search.search(started, False, START_TOLERANCE)
            search.runs.write_trace(started)
        settings = ArcSettings(math.radians(self.theta_max), self.tries, self.rho, self.gamma, self.max_bisections)
        arcs, runs = ArcSearch(search, settings, self.seed, self.n_ortho, journal.snapshot), search.runs
        with self._bar(self.max_iter, _mean_steps(runs), "iteration") as bar:
            while True:
                left = search.left(np.arange(len(runs)))
                runs.stopped |= (left <= PROJECTION_QUERIES) | (runs.steps >= self.max_iter)
                run_ids = np.flatnonzero(~runs.stopped)
                if not len(run_ids):
                    break
                arcs.step(run_ids)
                runs.iteration = np.array(int(runs.iteration) + 1)
                if int(runs.iteration) % _ROUNDS == 0:
                    journal.mark(arcs.to_arrays())
                    bar.update(_mean_steps(runs) - bar.n)
                    bar.set_postfix_str(mean_best(search))
        arcs.end(np.flatnonzero(runs.started))
        return project_and_collect(search)


def _mean_steps(runs: RunState) -> int:
    return int(runs.steps[runs.started].mean()) if runs.started.any() else 0


@dataclass(frozen=True)
class ArcSettings:
    """The parameters of `SurFree` of these names, the angle in radians."""

    theta_max: float
    tries: int
    rho: float
    gamma: float
    max_bisections: int


class ArcSearch:
    """The current arcs of all runs and their known labels; every array has one row for each run.

    Parameters
    ----------
    search : BoundarySearch
        Its runs are at the boundary, or not started.
    settings : ArcSettings
    seed : int
    n_ortho : int
        Earlier directions that a new one is made orthogonal to; at most (d - 2) / 2 are.
    arrays : dict of ndarray
        A snapshot of `to_arrays` to continue from; empty to begin.

    Attributes
    ----------
    reach : ndarray of float64
        Largest angle of a sign search, in radians.
    tried : ndarray of int64
        Angles that the sign search has queried without success.
    good, bad : ndarray of float64
        Largest angle known to be adversarial, and a larger one of its sign that is not; 0 while unknown.
    bisected : ndarray of int64
        Queries of the bisection.
    tangent : ndarray of float32, shape (n_runs, d)
    past : ndarray of float32, shape (n_runs, m, d)
        The last tangents, in a ring buffer.
    """

    def __init__(
        self, search: BoundarySearch, settings: ArcSettings, seed: int, n_ortho: int, arrays: dict[str, NDArray[Any]]
    ) -> None:
        self.search, self.runs, self.settings = search, search.runs, settings
        count, d = len(search.runs), search.task.x.shape[1]
        self._keys = run_keys(search, seed, "direction", np.arange(count))
        self._rows: list[NDArray[np.float64]] = []  # of the trace, appended to it rarely, because that copies all of it

        def restored(name: str, initial: NDArray[Any]) -> NDArray[Any]:
            return arrays[_PREFIX + name].copy() if arrays else initial

        self.reach = restored("reach", np.full(count, settings.theta_max))
        self.tried = restored("tried", np.zeros(count, dtype=np.int64))
        self.good = restored("good", np.zeros(count))
        self.bad = restored("bad", np.zeros(count))
        self.bisected = restored("bisected", np.zeros(count, dtype=np.int64))
        self.tangent = restored("tangent", np.zeros((count, d), dtype=np.float32))
        self.past = restored("past", np.zeros((count, max(0, min(n_ortho, (d - 2) // 2)), d), dtype=np.float32))
        self.arcs = Arcs(search, self.tangent)
        if not arrays:
            self._turn(np.flatnonzero(self.runs.started))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return this state and its runs as arrays by name, to continue from."""
        self._append_trace()
        names = ("reach", "tried", "good", "bad", "bisected", "tangent", "past")
        return {**self.runs.to_arrays(), **{_PREFIX + name: getattr(self, name) for name in names}}

    def step(self, run_ids: Selection) -> None:
        """Query one angle of each of the runs. Those that know their arc move on it and begin the next."""
        settings, angle = self.settings, np.empty(len(run_ids))
        _next_angles(run_ids, self.reach, self.tried, self.good, self.bad, settings.tries, angle)
        adversarial, finished = self.arcs.query(run_ids, angle), np.empty(len(run_ids), dtype=np.bool_)
        _update(
            run_ids,
            angle,
            adversarial,
            self.reach,
            self.tried,
            self.good,
            self.bad,
            self.bisected,
            settings.tries,
            settings.gamma,
            settings.max_bisections,
            finished,
        )
        if finished.any():
            self._move(run_ids[finished])
            self._turn(run_ids[finished])

    def end(self, run_ids: Selection) -> None:
        """Move the runs, cut short on their arcs, to the best angles so far."""
        moved = run_ids[self.good[run_ids] != 0]
        self.arcs.land(moved, self.good[moved])
        self._append_trace()

    def _move(self, run_ids: Selection) -> None:
        """Move the runs to their best angles, adapt their reach and write their trace."""
        runs, success = self.runs, self.good[run_ids] != 0
        self.arcs.land(run_ids[success], self.good[run_ids[success]])
        rho = self.settings.rho
        reach = np.where(success, self.reach[run_ids] / rho, self.reach[run_ids] * rho)
        self.reach[run_ids] = np.minimum(reach, _MAX_REACH)
        if self.past.shape[1]:
            self.past[run_ids, runs.steps[run_ids] % self.past.shape[1]] = self.tangent[run_ids]
        runs.steps[run_ids] += 1
        self._rows.append(runs.trace_rows(run_ids))

    def _turn(self, run_ids: Selection) -> None:
        """Begin new arcs for the runs, in directions from their streams."""
        self.tried[run_ids], self.good[run_ids], self.bad[run_ids], self.bisected[run_ids] = 0, 0.0, 0.0, 0
        noise, norm = np.empty((len(run_ids), self.tangent.shape[1]), dtype=np.float32), np.empty(len(run_ids))
        number = self.runs.steps[run_ids]
        in_threads(
            lambda begin, end: fill_noise(self._keys, run_ids, number, NORMAL, begin, end, noise, norm),
            len(run_ids),
            noise.size,
        )
        self.tangent[run_ids] = noise
        self.arcs.turn(run_ids, self.past, np.minimum(self.runs.steps, self.past.shape[1]))

    def _append_trace(self) -> None:
        if self._rows:
            self.runs.rows = np.concatenate([self.runs.rows, *self._rows])
            self._rows = []


@njit(nogil=True)
def _next_angles(
    run_ids: Selection, reach: Floats, tried: Selection, good: Floats, bad: Floats, tries: int, angle: Floats
) -> None:
    """Fill angle[k] with the next angle to query of run run_ids[k]."""
    for k, r in enumerate(run_ids):
        if good[r] == 0.0:  # sign search: both signs of the whole reach, then of smaller angles
            sign = 1.0 if tried[r] % 2 == 0 else -1.0
            angle[k] = sign * reach[r] * (1.0 - (tried[r] // 2) / tries)
        elif bad[r] == 0.0:  # a larger angle, as no upper end is known
            angle[k] = good[r] + math.copysign(reach[r] / tries, good[r])
        else:
            angle[k] = (good[r] + bad[r]) / 2.0


@njit(nogil=True)
def _update(
    run_ids: Selection,
    angle: Floats,
    adversarial: NDArray[np.bool_],
    reach: Floats,
    tried: Selection,
    good: Floats,
    bad: Floats,
    bisected: Selection,
    tries: int,
    gamma: float,
    max_bisections: int,
    finished: NDArray[np.bool_],
) -> None:
    """Record the labels at the queried angles, and in finished[k] whether run run_ids[k] is done with its arc."""
    for k, r in enumerate(run_ids):
        signing, bracketed = good[r] == 0.0, bad[r] != 0.0
        if bracketed:
            bisected[r] += 1
        if adversarial[k]:
            good[r] = angle[k]
            further = angle[k] + math.copysign(reach[r] / tries, angle[k])
            if abs(further) >= _ARC_END:
                further = math.copysign(_ARC_END, further)
            # not adversarial: known from the sign search, or because it is the original
            if not bracketed and ((signing and tried[r] >= 2) or abs(further) == _ARC_END):
                bad[r] = further
        elif signing:
            tried[r] += 1
        else:
            bad[r] = angle[k]
        if good[r] == 0.0:
            finished[k] = tried[r] == 2 * tries
        else:  # the distance at an angle is the current one times its cosine
            fine = abs(math.cos(good[r]) - math.cos(bad[r])) <= gamma or bisected[r] >= max_bisections
            finished[k] = bad[r] != 0.0 and fine
