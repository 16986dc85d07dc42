"""SurFree: from the boundary towards the original along half circles in random directions, without a gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from attacks.base import RestartedAttack, mean_best, project_and_collect
from attacks.engine import numba_kernels
from attacks.engine.bisection import BoundarySearch
from attacks.engine.checkpoint import Journal
from attacks.engine.initial_points import START_TOLERANCE, Candidates, run_keys
from attacks.engine.rng import fill_noise
from attacks.engine.run_state import Runs, Selection
from attacks.engine.semicircle import Arcs, Floats
from attacks.engine.validation import Task, check_int, check_number
from attacks.result import AttackResult
from scd.numba_cache import njit

_RESERVE = 24  # queries of every run kept back for its last projection
_ROUNDS = 256  # questions between two snapshots of the state and two movements of the bar


class SurFree(RestartedAttack):
    """SurFree (Maho, Furon, Le Merrer, CVPR 2021, arXiv:2011.12807), a decision attack that minimises L2.

    An iteration draws a random direction, orthogonal to the way from the original to the run's point and to the last
    directions, and looks at the half circle that leads in this direction from the point to the original. Sign search:
    the angles +a, -a, +2a/3, -2a/3, +a/3, -a/3 (for `tries` = 3) are asked until one is adversarial. Then a larger
    angle of that sign that is not adversarial is found, in steps of a/3, and the bracket bisected. The largest
    adversarial angle is the new point. The reach a of the run grows by 1 / `rho` after an iteration that found
    something and shrinks by `rho` after another.

    All queries of all runs are asked together, a row of each run in every model call, whatever step the run is at.
    Every run (example, restart) draws from random streams of its own, so its result does not depend on what else is
    attacked, on `memory_budget`, on the number of threads, or on being interrupted and resumed. (With a query budget
    an example's restarts share it equally, so there their number counts.)

    Different from the paper and its authors' program: the directions are Gaussian rows, for rows of features have no
    image shape whose low frequencies could be preferred; a direction is orthogonal to the present way to the point,
    not only to the first, and to at most (d - 2) / 2 earlier ones, so that in few dimensions chance has a choice
    left; the bisection does not ask the angles of the other sign again; no interpolation (off in the program
    too); the starts are those of the other attacks here, and the end is a projection to within 1e-4 of the distance.

    Memory: the last directions take 4 * `n_ortho` * d bytes for each run, and the same again with a state file.

    Parameters
    ----------
    max_iter : int
        Directions tried by a run; at five or six queries each, the default leaves the end to the query budget.
    restarts : int
        Independent runs per example; the closest adversarial of all is returned.
    theta_max : float
        First reach a, in degrees, between 0 and 90.
    tries : int
        Angles of each sign in a sign search.
    rho : float
        Factor of the reach, between 0 and 1.
    n_ortho : int
        Earlier directions that a new one is orthogonal to.
    gamma : float
        The bisection ends when the distances at both ends of its bracket differ by at most this share of the
        present distance.
    max_bisections : int
        Most queries of a bisection.
    init_size : int
        Most start candidates to ask for a run.
    start : {"noise", "nearest", "given"}
        Uniform noise in the clip box; the nearest row of `pool` that the model labels differently; or `starts`.
    query_budget : int or None
        Most queries per example over everything: its own label, starts and all restarts. Never exceeded.
    seed : int
    memory_budget : int or str
        Bytes for the rows of one model call and their copies, e.g. 268435456 or "256MiB".
    verbose : bool
        Show a bar of the mean number of iterations with the mean of the best distances.

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
            max_iter=max_iter, restarts=restarts, init_size=init_size, start=start, seed=seed,
            query_budget=query_budget, memory_budget=memory_budget, verbose=verbose,
        )  # fmt: skip
        own = type(self).__name__
        self.theta_max = check_number(own, "theta_max", theta_max, above=0.0, below=90.0)
        self.tries = check_int(own, "tries", tries, 1)
        self.rho = check_number(own, "rho", rho, above=0.0, below=1.0)
        self.n_ortho = check_int(own, "n_ortho", n_ortho, 0)
        self.gamma = check_number(own, "gamma", gamma, least=0.0)
        self.max_bisections = check_int(own, "max_bisections", max_bisections, 0)

    def _attack(self, task: Task, journal: Journal, shared: Candidates | None) -> AttackResult:
        if journal.snapshot:
            search = BoundarySearch(task, journal, Runs.from_arrays(journal.snapshot), linf=False)
        else:
            search = self._start(task, journal, shared)
            started = np.flatnonzero(search.runs.started)
            if shared is not None:  # starts from noise are at the boundary already
                search.search(started, False, START_TOLERANCE)
            search.runs.write_trace(started)
        pace = Pace(math.radians(self.theta_max), self.tries, self.rho, self.gamma, self.max_bisections)
        walk, runs = Walk(search, pace, self.seed, self.n_ortho, journal.snapshot), search.runs
        with tqdm(total=self.max_iter, initial=_mean_steps(runs), desc=type(self).__name__, unit="iteration",
                  disable=not self.verbose) as bar:  # fmt: skip
            while True:
                runs.stopped |= (search.left(np.arange(len(runs))) <= _RESERVE) | (runs.steps >= self.max_iter)
                who = np.flatnonzero(~runs.stopped)
                if not len(who):
                    break
                walk.step(who)
                runs.iteration = np.array(int(runs.iteration) + 1)
                if int(runs.iteration) % _ROUNDS == 0:
                    journal.mark(walk.to_arrays())
                    bar.update(_mean_steps(runs) - bar.n)
                    bar.set_postfix_str(mean_best(search))
        walk.end(np.flatnonzero(runs.started))
        return project_and_collect(search)


def _mean_steps(runs: Runs) -> int:
    return int(runs.steps[runs.started].mean()) if runs.started.any() else 0


_NORMAL = 2
_END = math.pi / 2  # of an arc: the original, whose label is known
_MOST_REACH = math.radians(89.0)


@dataclass(frozen=True)
class Pace:
    """How far and how finely arcs are searched: the parameters of `SurFree` of these names, the angle in radians."""

    theta_max: float
    tries: int
    rho: float
    gamma: float
    max_bisections: int


class Walk:
    """The present arcs of all runs and what is known of them; every array has a row for each run.

    Parameters
    ----------
    search : BoundarySearch
        Its runs are at the boundary, or not started.
    pace : Pace
    seed : int
    n_ortho : int
        Earlier directions that a new one is made orthogonal to; at most (d - 2) / 2 are.
    arrays : dict of ndarray
        What `to_arrays` gave, to continue; empty to begin.

    Attributes
    ----------
    reach : ndarray of float64
        Largest angle of a sign search, in radians.
    tried : ndarray of int64
        Angles that the sign search has asked in vain.
    good, bad : ndarray of float64
        Largest angle known to be adversarial, and a larger one of its sign that is not; 0 while unknown.
    bisected : ndarray of int64
        Queries of the bisection.
    tangent : ndarray of float32, shape (n_runs, d)
    past : ndarray of float32, shape (n_runs, m, d)
        The last tangents, in a ring.
    """

    def __init__(
        self, search: BoundarySearch, pace: Pace, seed: int, n_ortho: int, arrays: dict[str, NDArray[Any]]
    ) -> None:
        self.search, self.runs, self.pace = search, search.runs, pace
        count, d = len(search.runs), search.task.x.shape[1]
        self._keys = run_keys(search, seed, "direction", np.arange(count))
        self._rows: list[NDArray[np.float64]] = []  # of the trace, joined to it now and then, for that copies it all

        def known(name: str, begin: NDArray[Any]) -> NDArray[Any]:
            return arrays[f"walk.{name}"].copy() if arrays else begin

        self.reach = known("reach", np.full(count, pace.theta_max))
        self.tried = known("tried", np.zeros(count, dtype=np.int64))
        self.good = known("good", np.zeros(count))
        self.bad = known("bad", np.zeros(count))
        self.bisected = known("bisected", np.zeros(count, dtype=np.int64))
        self.tangent = known("tangent", np.zeros((count, d), dtype=np.float32))
        self.past = known("past", np.zeros((count, max(0, min(n_ortho, (d - 2) // 2)), d), dtype=np.float32))
        self.arcs = Arcs(search, self.tangent)
        if not arrays:
            self._turn(np.flatnonzero(self.runs.started))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the walk and its runs as arrays by name, to continue from."""
        self._join_trace()
        names = ("reach", "tried", "good", "bad", "bisected", "tangent", "past")
        return {**self.runs.to_arrays(), **{f"walk.{name}": getattr(self, name) for name in names}}

    def step(self, who: Selection) -> None:
        """Ask one angle of each of the runs `who`; those that know their arc move on it and turn to the next."""
        pace, angle = self.pace, np.empty(len(who))
        _next_angles(who, self.reach, self.tried, self.good, self.bad, pace.tries, angle)
        adversarial, over = self.arcs.ask(who, angle), np.empty(len(who), dtype=np.bool_)
        _learn(
            who, angle, adversarial, self.reach, self.tried, self.good, self.bad, self.bisected,
            pace.tries, pace.gamma, pace.max_bisections, over,
        )  # fmt: skip
        if over.any():
            self._move(who[over])
            self._turn(who[over])

    def end(self, who: Selection) -> None:
        """Let the runs `who`, cut short on their arcs, keep what they have found there."""
        found = who[self.good[who] != 0]
        self.arcs.land(found, self.good[found])
        self._join_trace()

    def _move(self, who: Selection) -> None:
        """Go to the best angles of the runs `who`, adapt their reach and write their trace."""
        runs, found = self.runs, self.good[who] != 0
        self.arcs.land(who[found], self.good[who[found]])
        reach = np.where(found, self.reach[who] / self.pace.rho, self.reach[who] * self.pace.rho)
        self.reach[who] = np.minimum(reach, _MOST_REACH)
        if self.past.shape[1]:
            self.past[who, runs.steps[who] % self.past.shape[1]] = self.tangent[who]
        runs.steps[who] += 1
        self._rows.append(runs.trace_rows(who))

    def _turn(self, who: Selection) -> None:
        """Begin new arcs for the runs `who`, in directions from their streams."""
        self.tried[who], self.good[who], self.bad[who], self.bisected[who] = 0, 0.0, 0.0, 0
        rows, norm = np.empty((len(who), self.tangent.shape[1]), dtype=np.float32), np.empty(len(who))
        number = self.runs.steps[who]
        numba_kernels.in_threads(
            lambda begin, end: fill_noise(self._keys, who, number, _NORMAL, begin, end, rows, norm),
            len(who),
            rows.size,
        )
        self.tangent[who] = rows
        self.arcs.turn(who, self.past, np.minimum(self.runs.steps, self.past.shape[1]))

    def _join_trace(self) -> None:
        if self._rows:
            self.runs.rows = np.concatenate([self.runs.rows, *self._rows])
            self._rows = []


@njit(nogil=True)
def _next_angles(
    who: Selection, reach: Floats, tried: Selection, good: Floats, bad: Floats, tries: int, angle: Floats
) -> None:
    """Fill angle[k] with the angle that run who[k] asks next."""
    for k, r in enumerate(who):
        if good[r] == 0.0:  # sign search: both signs of the whole reach, then of less
            sign = 1.0 if tried[r] % 2 == 0 else -1.0
            angle[k] = sign * reach[r] * (1.0 - (tried[r] // 2) / tries)
        elif bad[r] == 0.0:  # further, as no refused angle is known
            angle[k] = good[r] + math.copysign(reach[r] / tries, good[r])
        else:
            angle[k] = (good[r] + bad[r]) / 2.0


@njit(nogil=True)
def _learn(
    who: Selection, angle: Floats, adversarial: NDArray[np.bool_], reach: Floats, tried: Selection, good: Floats,
    bad: Floats, bisected: Selection, tries: int, gamma: float, max_bisections: int, over: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Note the answers for the angles asked, and in over[k] whether run who[k] is done with its arc."""
    for k, r in enumerate(who):
        signing, bracketed = good[r] == 0.0, bad[r] != 0.0
        if bracketed:
            bisected[r] += 1
        if adversarial[k]:
            good[r] = angle[k]
            further = angle[k] + math.copysign(reach[r] / tries, angle[k])
            if abs(further) >= _END:
                further = math.copysign(_END, further)
            # refused before, by the sign search, or by the original
            if not bracketed and ((signing and tried[r] >= 2) or abs(further) == _END):
                bad[r] = further
        elif signing:
            tried[r] += 1
        else:
            bad[r] = angle[k]
        if good[r] == 0.0:
            over[k] = tried[r] == 2 * tries
        else:  # the distance at an angle is the present one times its cosine
            fine = abs(math.cos(good[r]) - math.cos(bad[r])) <= gamma or bisected[r] >= max_bisections
            over[k] = bad[r] != 0.0 and fine
