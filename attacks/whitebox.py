"""The white-box attack: gradients through smoothed signs, distances from labels of the true model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from attacks.base import Attack, mean_best, project_and_collect
from attacks.engine.bisection import BoundarySearch
from attacks.engine.checkpoint import Journal, fingerprint
from attacks.engine.initial_points import Candidates, begin_runs, nearest_rows, run_keys
from attacks.engine.rng import fill_noise
from attacks.engine.run_state import Runs, Selection
from attacks.engine.validation import (
    Described,
    Task,
    check_bool,
    check_int,
    check_memory,
    check_number,
    check_numbers,
    read_pool,
    read_task,
    refuse,
)
from attacks.oracle import GRADIENT, GradientOracle, LabelFunction, LabelOracle, SmoothFunction, rows_within
from attacks.result import AttackResult

_STARTS = ("original", "noise", "nearest")
_TRACE_EVERY = 10  # iterations


class WhiteBox(Attack):
    """A white-box attack on an ensemble of votes that minimises the L2 distance. It is NOT black-box.

    It sees the model's weights through `smooth`, a stand-in in which every sign is a sigmoid, and follows its
    gradient. So its distances say how far a black-box attack, which sees labels only, stays from what could be found;
    they are themselves upper bounds of the true minimum. The stand-in gives directions and nothing else: every
    iterate is asked of the true model, and every distance is that of a point which the true model mislabels.

    A run is the walk of DDN (Rony et al., CVPR 2019, "Decoupling direction and norm"): move along the normalised
    gradient, go back to the run's distance from the original, clip; shrink the distance if the model's label is
    wrong, enlarge it otherwise. Different from it: the label is that of the true model and the gradient that of the
    stand-in, whose hidden units sharpen as the run goes on (`betas`); steps and changes of the distance are shares of
    the current distance; a run that has found nothing yet enlarges its distance until it reaches the far end of the
    box; refinements begin again from the run's best point with smaller steps and the next of `gammas`; a last
    bisection on the straight line to the original ends within 1e-4 of the distance.

    Every run (example, restart) draws from a random stream of its own, and gradients are evaluated in blocks of fixed
    size, so its result depends neither on `memory_budget` nor on being interrupted and resumed nor, as far as a
    product of matrices treats every row alike, on what else is attacked. On another machine, device or number of
    threads a product rounds differently, and the walk's path with it.

    Parameters
    ----------
    max_iter : int
        Iterations (a gradient and a label each) of the first leg of a run.
    refinements : int
        Legs of half as many iterations after it.
    restarts : int
        Runs per example; the closest adversarial of all is returned.
    betas : (float, float)
        First and last sharpness of the hidden units: a unit switches over a distance of about 1 / beta.
    gammas : sequence of float
        Sharpnesses of a vote's label: the first leg has the first, and every refinement the next, counted round.
    step : float
        First length of the steps, as a share of the distance.
    starts : sequence of {"original", "noise", "nearest"}
        Run r begins at number r, counted round: the original (moved a little by noise), uniform noise in the clip
        box, or the nearest row of `pool` of another class (at the second turn the second nearest, and so on). A start
        need not be adversarial.
    seed : int
    memory_budget : int or str
        Bytes for the rows of one question for labels and their copies, e.g. 268435456 or "256MiB". Gradients are
        evaluated for at most 32 rows at a time.
    verbose : bool
        Show a bar of iterations with the mean of the best distances.

    Examples
    --------
    >>> result = WhiteBox()(model.predict, X_test[:10], y_test[:10], smooth=model.smooth)  # doctest: +SKIP
    >>> result.l2  # doctest: +SKIP
    """

    requires = GRADIENT
    method_version = 1
    norm = "l2"

    def __init__(
        self,
        *,
        max_iter: int = 200,
        refinements: int = 2,
        restarts: int = 3,
        betas: ArrayLike = (20.0, 3000.0),
        gammas: ArrayLike = (10.0, 30.0),
        step: float = 0.1,
        starts: Any = ("original", "noise"),
        seed: int = 0,
        memory_budget: int | str = "256MiB",
        verbose: bool = False,
    ) -> None:
        own = type(self).__name__
        self.max_iter = check_int(own, "max_iter", max_iter, 1)
        self.refinements = check_int(own, "refinements", refinements, 0)
        self.restarts = check_int(own, "restarts", restarts, 1)
        self.betas = _check_betas(own, betas)
        self.gammas = check_numbers(own, "gammas", gammas, 1e-3)
        self.step = check_number(own, "step", step, above=0.0)
        self.starts = _check_starts(own, starts)
        self.seed = check_int(own, "seed", seed, None)
        self.memory_budget = check_memory(own, "memory_budget", memory_budget)
        self.verbose = check_bool(own, "verbose", verbose)

    def starts_from(self) -> frozenset[str]:
        """What `starts` needs."""
        return frozenset(self.starts) & {"nearest"}

    def __call__(
        self,
        labels: LabelFunction,
        x: ArrayLike,
        y: ArrayLike,
        *,
        smooth: SmoothFunction,
        clip: tuple[float, float] = (0.0, 1.0),
        index: ArrayLike | None = None,
        pool: ArrayLike | None = None,
        pool_labels: ArrayLike | None = None,
        state: str | Path | None = None,
    ) -> AttackResult:
        """Attack the model behind `labels` and `smooth` at the points `x`.

        Parameters
        ----------
        labels : callable
            Takes float32 rows (n, d) within the clip box, returns n labels. The rows are only lent: their memory is
            used again after the call.
        x : array of shape (n, d)
            Originals, finite and within `clip`.
        y : array of int, shape (n,)
            True labels, 0 or 1.
        smooth : callable
            ``smooth(rows, beta, gamma)`` takes a float32 tensor (n, d) and returns a tensor (n,), differentiable in
            the rows: about the share of votes for label 1.
        clip : (low, high)
            Bounds of every feature; nothing outside is asked or returned.
        index : array of int, shape (n,), optional
            Numbers of the points: they appear in the result and name the random streams. Default 0..n-1.
        pool, pool_labels : array (m, d) and array of int (m,), optional
            For "nearest" among the starts: the rows to choose from, and their labels.
        state : path, optional
            File that keeps the progress; the same call continues from it. It is not removed at the end: with the
            file of a finished attack the call returns at once and asks nothing.

        Returns
        -------
        result : AttackResult
            `queries` are the labels asked; the column `gradients` of `extra` holds the gradients evaluated.

        Raises
        ------
        ValueError
            Bad points, or a state file of another attack.
        """
        own = type(self).__name__
        task = read_task(own, x, y, clip, index)
        if not np.isin(task.y, (0, 1)).all():
            raise refuse(own, "y", "labels 0 and 1", Described(f"labels {np.unique(task.y).tolist()}"))
        near = self._near(own, task, pool, pool_labels)
        d = task.x.shape[1]
        oracle = LabelOracle(labels, len(task.x), d, batch_rows=rows_within(self.memory_budget, d))
        gradient = GradientOracle(smooth, len(task.x), d)
        parameters = {name: value for name, value in vars(self).items() if name not in ("memory_budget", "verbose")}
        parameters |= {"attack": own, "version": self.method_version, "low": task.low, "high": task.high}
        arrays: dict[str, Any] = {"x": task.x, "y": task.y, "index": task.index}
        if near is not None:
            arrays["near"] = near.images[np.concatenate(near.order)]
        identity = fingerprint(parameters, arrays)
        with Journal(oracle, task.y, None if state is None else Path(state), identity) as journal:
            if journal.finished:
                return AttackResult.from_arrays(journal.snapshot)
            result = self._attack(task, journal, gradient, near)
            journal.finish(result.to_arrays())
        return result

    def _attack(self, task: Task, journal: Journal, gradient: GradientOracle, near: Candidates | None) -> AttackResult:
        """Attack checked points; continue from `journal.snapshot` if it holds anything."""
        if journal.snapshot:
            runs, radius = Runs.from_arrays(journal.snapshot), journal.snapshot["radius"].copy()
            gradient.gradients[:] = journal.snapshot["gradients"]
            search = BoundarySearch(task, journal, runs, linf=False)
        else:
            runs = begin_runs(task, journal, self.restarts, 1, None)
            search = BoundarySearch(task, journal, runs, linf=False)
            radius = begin_walk(search, self.starts, near, self.seed)
        walk = Walk(search, gradient, self.gammas, self.max_iter, radius)
        plan = paces(self.max_iter, self.refinements, self.betas, self.step)
        with tqdm(total=len(plan), initial=int(runs.iteration), desc=type(self).__name__, unit="iteration",
                  disable=not self.verbose) as bar:  # fmt: skip
            for pace in plan[int(runs.iteration) :]:
                walk.iterate(pace)
                runs.iteration = np.array(int(runs.iteration) + 1)
                if int(runs.iteration) % _TRACE_EVERY == 0:
                    runs.write_trace(np.flatnonzero(runs.started))
                journal.mark({**runs.to_arrays(), "radius": radius, "gradients": gradient.gradients})
                bar.update()
                bar.set_postfix_str(mean_best(search))
        result = project_and_collect(search)
        return replace(result, extra={"gradients": gradient.gradients.copy()})

    def _near(self, own: str, task: Task, pool: Any, pool_labels: Any) -> Candidates | None:
        """For every point the rows of the pool at which its runs begin."""
        if "nearest" not in self.starts:
            return None
        rows, of = read_pool(own, pool, pool_labels, task)
        near = nearest_rows(task, rows, of, -(-self.restarts // len(self.starts)))
        if not all(len(order) for order in near.order):
            raise refuse(own, "pool", "rows of both classes", Described("rows of one class only"))
        return near


def _check_betas(own: str, betas: Any) -> tuple[float, float]:
    allowed = "two numbers > 0, the lower first"
    try:
        first, last = (float(beta) for beta in betas)
    except (TypeError, ValueError):
        raise refuse(own, "betas", allowed, betas) from None
    if not (np.isfinite(last) and 0 < first <= last):
        raise refuse(own, "betas", allowed, betas)
    return first, last


def _check_starts(own: str, starts: Any) -> tuple[str, ...]:
    kinds = tuple(starts) if isinstance(starts, (list, tuple)) else ()
    if not kinds or not set(kinds) <= set(_STARTS):
        raise refuse(own, "starts", "a list of " + ", ".join(repr(kind) for kind in _STARTS), starts)
    return kinds


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
