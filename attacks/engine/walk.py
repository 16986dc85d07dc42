"""The walk of SurFree's runs: each asks the next angle of its own arc, whatever step of its search it is at."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.engine import numba_kernels
from attacks.engine.bisection import BoundarySearch
from attacks.engine.initial_points import run_keys
from attacks.engine.rng import fill_noise
from attacks.engine.run_state import Selection
from attacks.engine.semicircle import Arcs, Floats
from scd.numba_cache import njit

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
