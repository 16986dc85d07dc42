"""The walk of the white-box attack: a step along the gradient, then a distance that shrinks or grows with the label."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attacks.engine.bisection import BoundarySearch
from attacks.engine.initial_points import Candidates, run_keys
from attacks.engine.rng import fill_noise
from attacks.engine.run_state import Selection
from attacks.oracle import GradientOracle

_FIRST_CHANGE, _REFINED_CHANGE, _LAST_CHANGE = 0.1, 0.03, 0.005  # of the distance, with every label
_LAST_STEP = 0.03  # of the first step of a leg
_RISE = 0.8  # share of a leg over which beta rises
_REFINED_BETA = 1 / 3  # how far up the range of beta, on a logarithmic scale, a refinement begins
_NEAR = 0.01  # first distance of a run from its original, as a share of the box's diagonal
_JITTER = 0.05  # length of the noise on a start at the original, as a share of that first distance
_SEARCH = 0.25  # share of the first leg in which a run that finds nothing reaches the far end of the box

_UNIFORM, _NORMAL = 1, 2


@dataclass(frozen=True)
class Pace:
    """What one iteration does.

    Attributes
    ----------
    leg : int
        0 is the first leg, the others are refinements.
    begins : bool
        Whether it is the first of its leg, which begins at the closest adversarial so far.
    beta : float
    step, change : float
        Length of the move along the gradient, and change of the distance by a label, as shares of the distance.
    """

    leg: int
    begins: bool
    beta: float
    step: float
    change: float


def paces(max_iter: int, refinements: int, betas: tuple[float, float], step: float) -> list[Pace]:
    """All iterations of a run: a leg of `max_iter`, then `refinements` legs of half of that and of half the step."""
    first, last = betas
    middle = first * (last / first) ** _REFINED_BETA
    plan = list(_leg(0, max_iter, first, last, step, _FIRST_CHANGE))
    for leg in range(1, refinements + 1):
        plan += _leg(leg, (max_iter + 1) // 2, middle, last, step / 2, _REFINED_CHANGE)
    return plan


def _leg(number: int, length: int, first: float, last: float, step: float, change: float) -> Iterator[Pace]:
    for i in range(length):
        rise, fall = min(1.0, i / (_RISE * length)), (1 + math.cos(math.pi * i / length)) / 2
        yield Pace(
            leg=number,
            begins=i == 0,
            beta=first * (last / first) ** rise,
            step=step * (_LAST_STEP + (1 - _LAST_STEP) * fall),
            change=_LAST_CHANGE + (change - _LAST_CHANGE) * fall,
        )


class Walk:
    """All runs of a white-box attack, in lock-step.

    Parameters
    ----------
    search : BoundarySearch
    gradient : GradientOracle
    gammas : sequence of float
        A leg uses the one of its number, counted round.
    max_iter : int
    radius : ndarray of float64, shape (R,)
        Distance from its original that each run keeps to. Changed in place.
    """

    def __init__(
        self,
        search: BoundarySearch,
        gradient: GradientOracle,
        gammas: Sequence[float],
        max_iter: int,
        radius: NDArray[np.float64],
    ) -> None:
        self.search, self.gradient, self.radius = search, gradient, radius
        self.gammas = gammas
        self.diagonal = _diagonal(search)
        self.growth = _NEAR ** (-1 / (_SEARCH * max_iter)) - 1

    def iterate(self, pace: Pace) -> None:
        """Move every run along its gradient, ask its label, and adapt its distance."""
        runs = self.search.runs
        everyone = np.arange(len(runs))
        if pace.begins:
            begun = np.flatnonzero(runs.started)
            runs.point[begun] = runs.best[begun]
            self.radius[begun] = runs.l2[begun] * (1 - pace.change)
        self._move(everyone, pace, self.gammas[pace.leg % len(self.gammas)])
        adversarial = self.search.ask(everyone, self._copy)
        found = np.flatnonzero(adversarial)
        runs.started[found] = True
        self.search.keep_best(found, np.zeros(len(found)))
        grown = self.radius * (1 + np.where(runs.started, pace.change, self.growth))
        self.radius[:] = np.minimum(np.where(adversarial, runs.l2 * (1 - pace.change), grown), self.diagonal)
        runs.steps += 1

    def _move(self, who: Selection, pace: Pace, gamma: float) -> None:
        """Step along the gradient, then back to the run's distance, then into the box; block by block."""
        task, runs, size = self.search.task, self.search.runs, self.gradient.block[0]
        for begin in range(0, len(who), size):
            mine = who[begin : begin + size]
            example, radius = runs.example[mine], self.radius[mine, None]
            rows, x = runs.point[mine], task.x[example].astype(np.float64)
            slope = self.gradient(rows, example, pace.beta, gamma).astype(np.float64)
            slope *= np.where(task.y[example] == 0, 1.0, -1.0)[:, None]  # the share is that of votes for label 1
            move = rows - x + pace.step * radius * _unit(slope)
            runs.point[mine] = np.clip(x + radius * _unit(move), task.low, task.high)

    def _copy(self, out: NDArray[np.float32], begin: int, end: int) -> None:
        out[:] = self.search.runs.point[begin:end]


def begin_walk(
    search: BoundarySearch, starts: Sequence[str], near: Candidates | None, seed: int
) -> NDArray[np.float64]:
    """Place every run at its start and return its first distance, shape (R,).

    Restart r begins at number r of `starts`, counted round: "original", moved a little by noise; "noise", uniform in
    the box; "nearest", the nearest row of another class, at its next turn the second nearest, and so on.
    """
    runs, task = search.runs, search.task
    kinds = np.array(starts)[runs.restart % len(starts)]
    keys = run_keys(search, seed, "start", np.arange(len(runs)))
    first = _NEAR * _diagonal(search)
    for r, kind in enumerate(kinds):
        x = task.x[runs.example[r]].astype(np.float64)
        if kind == "original":
            point = x + _JITTER * first * _unit(_noise(keys[r], _NORMAL, len(x)))[0]
        elif kind == "noise":
            point = task.low + (task.high - task.low) * (1 + _noise(keys[r], _UNIFORM, len(x))[0]) / 2
        else:
            assert near is not None
            order = near.order[runs.example[r]]
            point = near.images[order[runs.restart[r] // len(starts) % len(order)]].astype(np.float64)
        runs.point[r] = np.clip(point, task.low, task.high)
    distance, _ = search.measure(np.arange(len(runs)), runs.point)
    return np.where(kinds == "original", first, distance)


def _noise(key: NDArray[np.uint64], kind: int, d: int) -> NDArray[np.float64]:
    out, zero = np.empty((1, d), dtype=np.float32), np.zeros(1, dtype=np.int64)
    fill_noise(key[None], zero, zero, kind, 0, 1, out, np.empty(1))
    return out.astype(np.float64)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of length 1; a row of zeros stays one."""
    length = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return rows / np.where(length > 0, length, 1.0)


def _diagonal(search: BoundarySearch) -> float:
    return (search.task.high - search.task.low) * math.sqrt(search.task.x.shape[1])
