"""The white-box attack: gradients of smoothed signs, distances from labels of the true model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .base import ArrayAttack, mean_best, own_labels, project_and_collect, refuse_options, run_or_resume
from .engine.bisection import BoundarySearch
from .engine.checkpoint import Journal
from .engine.confirmation import confirmed, with_target
from .engine.initial_points import Candidates, begin_runs, nearest_samples, run_keys
from .engine.kernels.rng import NORMAL, UNIFORM, fill_noise
from .engine.run_state import RunState, Selection
from .engine.validation import (
    Described,
    Task,
    as_array,
    check_choice,
    check_int,
    check_number,
    check_numbers,
    read_mask,
    read_pool,
    read_target,
    read_task,
    refuse,
)
from .engine.whole_numbers import check_whole, read_integer, rounded
from .oracle import GRADIENT, GradientOracle, LabelFunction, LabelOracle, SmoothFunction, TargetOracle
from .result import AttackResult

_STARTS = ("original", "noise", "nearest")
_TRACE_EVERY = 10  # iterations

_FIRST_CHANGE, _REFINED_CHANGE, _LAST_CHANGE = 0.1, 0.03, 0.005  # of the distance with every label, relative to it
_LAST_STEP = 0.03  # relative to the first step of a leg
_RISE = 0.8  # fraction of a leg over which beta rises
_REFINED_BETA = 1 / 3  # initial beta of a refinement, as a fraction of its range on a logarithmic scale
_NEAR = 0.01  # initial distance of a run from its original, relative to the diagonal of the box
_JITTER = 0.05  # length of the noise on a start at the original, relative to that initial distance
_SEARCH = 0.25  # fraction of the first leg after which a run without an adversarial reaches the far end of the box


class WhiteBox(ArrayAttack):
    """A white-box attack on an ensemble of votes that minimises the L2 or L-infinity distance. It is NOT black-box.

    It uses the model's weights through `smooth`, an approximation in which every sign is a sigmoid, and follows its
    gradient. So its distances show the gap between a black-box attack, which sees labels only, and what can be found;
    they are themselves upper bounds of the true minimum. The approximation only gives directions: the label of every
    iterate is queried from the true model, and every distance is that of a point which the true model misclassifies.

    A run is a search path of DDN (Rony et al., CVPR 2019, "Decoupling direction and norm"): move along the normalised
    gradient, return to the run's distance from the original, clip; decrease the distance if the point is
    misclassified, increase it otherwise. Of more than two classes the gradient is that of the largest fraction of
    another class minus that of the true one. Differences to DDN:

    - The label is that of the true model and the gradient that of the approximation, whose hidden units become sharper
      during the run (`betas`).
    - Steps and changes of the distance are relative to the current distance.
    - A run without an adversarial increases its distance until it reaches the far end of the box.
    - Refinements start again from the run's best point with smaller steps and the next of `gammas`.
    - A final bisection on the way to the original ends within 1e-4 of the distance.
    - In L-infinity the move is along the signs of the gradient, and what exceeds the distance is clipped.

    Every run (example, restart) draws from its own random stream, and gradients are evaluated in blocks of fixed
    size. So its result depends neither on `memory_budget` nor on being interrupted and resumed nor, as far as a matrix
    product treats all rows alike, on the other examples. On another machine, device or number of threads a product
    rounds differently, and the search paths diverge.

    Parameters
    ----------
    max_iter : int
        Iterations (one gradient and one label each) of the first leg of a run.
    refinements : int
        Legs of half as many iterations after it.
    restarts : int
        Runs per example; the closest adversarial of all is returned.
    betas : (float, float)
        First and last sharpness of the hidden units: a unit switches over a distance of about 1 / beta.
    gammas : sequence of float
        Sharpnesses of the label of a vote: the first leg uses the first, every refinement the next, cyclically.
    step : float
        Initial length of the steps, relative to the distance.
    starts : sequence of {"original", "noise", "nearest"}
        Run r starts at number r, cyclically: the original (moved slightly by noise), uniform noise in the clip
        box, or the nearest sample of `pool` of another class (in the second cycle the second nearest, and so on). A
        start need not be adversarial.
    norm : {"l2", "linf"}
        Distance to minimise.
    seed : int
    memory_budget : int or str
        Bytes for the inputs of one label query and their copies, e.g. 268435456 or "256MiB". Gradients are
        evaluated for at most 32 inputs at a time.
    verbose : bool
        Show a progress bar of iterations with the mean of the best distances.

    Examples
    --------
    >>> result = WhiteBox()(model.predict, X_test[:10], y_test[:10], smooth=model.smooth)  # doctest: +SKIP
    >>> result.l2  # doctest: +SKIP
    """

    requires = GRADIENT
    call_options = frozenset({"mask", "target", "integer"})
    method_version = 1

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
        norm: str = "l2",
        seed: int = 0,
        memory_budget: int | str = "256MiB",
        verbose: bool = False,
    ) -> None:
        super().__init__(memory_budget=memory_budget, verbose=verbose)
        class_name = type(self).__name__
        self.max_iter = check_int(class_name, "max_iter", max_iter, 1)
        self.refinements = check_int(class_name, "refinements", refinements, 0)
        self.restarts = check_int(class_name, "restarts", restarts, 1)
        self.betas = _check_betas(class_name, betas)
        self.gammas = check_numbers(class_name, "gammas", gammas, 1e-3)
        self.step = check_number(class_name, "step", step, above=0.0)
        self.starts = _check_starts(class_name, starts)
        self.norm = check_choice(class_name, "norm", norm, ("l2", "linf"))
        self.seed = check_int(class_name, "seed", seed, None)

    def starts_from(self) -> frozenset[str]:
        """What `starts` needs."""
        return frozenset(self.starts) & {"nearest"}

    def __call__(
        self,
        labels: LabelFunction,
        x: ArrayLike,
        y: ArrayLike | None = None,
        *,
        smooth: SmoothFunction,
        clip: tuple[float, float] = (0.0, 1.0),
        index: ArrayLike | None = None,
        pool: ArrayLike | None = None,
        pool_labels: ArrayLike | None = None,
        state: str | Path | None = None,
        mask: ArrayLike | None = None,
        target: Any = None,
        integer: Any = None,
        **options: Any,
    ) -> AttackResult:
        """Attack the model behind `labels` and `smooth` at the examples `x`.

        Parameters
        ----------
        labels : callable
            Takes float32 inputs (n, d) within the clip box, returns n labels. The array is a reused buffer: copy it
            to keep it.
        x : array of shape (n, d)
            Originals, finite and within `clip`.
        y : array of int, shape (n,), optional
            True labels, 0 or 1; of K classes 0 to K - 1. Default: those that the model predicts for `x`.
        smooth : callable
            ``smooth(inputs, beta, gamma)`` takes a float32 tensor (n, d) and returns a tensor, differentiable in the
            inputs: approximately the fraction of votes for label 1, shape (n,), or for each of K labels, shape (n, K).
        clip : (low, high)
            Bounds of every feature; nothing outside is queried or returned.
        index : array of int, shape (n,), optional
            Numbers of the examples: they appear in the result and name the random streams. Default 0..n-1.
        pool, pool_labels : array (m, d) and array of int (m,), optional
            For "nearest" among the starts: the samples to choose from, and their labels.
        state : path, optional
            File that stores the progress; the same call continues from it. It is not removed at the end: with the
            file of a finished attack the call returns its record. A file of another model is refused: fixed inputs,
            which are not counted as queries, tell.
        mask : array of bool, shape (d,), optional
            Features that must not change.
        target : int, or array of int of shape (n,), optional
            The label that the adversarials must have; default any other than the true one.
        integer : bool or array of bool of shape (d,), optional
            Features that stay whole numbers, as in the call of a decision-based attack: adversarials are rounded at the
            end, moved outward until a rounded one is adversarial, and their distances are those of the rounded points.

        Returns
        -------
        result : AttackResult
            `queries` counts the labels; the column `gradients` of `extra` counts the gradients.

        Raises
        ------
        ValueError
            Invalid examples, or a state file of another attack or model.
        RuntimeError
            If a distance measured again at the end is not the recorded one: an error of the attack.

        Warns
        -----
        RuntimeWarning
            If adversarials are not confirmed: after the attack each is queried once more, which is not counted, and
            one that is now classified correctly counts as failed.
        """
        class_name = type(self).__name__
        refuse_options(class_name, options)
        task = read_task(class_name, x, own_labels(labels, x) if y is None else y, clip, index)
        names, d, fixed = task.y, task.x.shape[1], read_mask(class_name, mask, task.x.shape[1])
        whole, wanted = read_integer(class_name, integer, (d,)), read_target(class_name, target, len(names))
        if whole is not None:
            check_whole(class_name, task, whole)
        goal = names if wanted is None else wanted
        if wanted is not None:
            task = replace(task, y=np.zeros_like(names))
        gradient = GradientOracle(smooth, goal, d, towards=wanted is not None)
        if not np.isin(goal, (0, 1)).all():
            k = gradient.n_classes(task.x[:1])
            if goal.min() < 0 or goal.max() >= k:
                known = "labels 0 and 1" if k == 2 else f"labels 0 to {k - 1}, as `smooth` has {k} classes"
                got = Described(f"labels {np.unique(goal).tolist()}")
                raise refuse(class_name, "y" if wanted is None else "target", known, got)
        oracle: LabelOracle = self._label_oracle(labels, task)
        if wanted is not None:
            oracle = TargetOracle(labels, goal, d, batch_rows=oracle.batch_rows)
            one = np.unique(goal)
            if pool_labels is not None:  # of several targets all samples are tried
                pool_labels = (as_array(pool_labels) == one[0]).astype(np.int64) if len(one) == 1 else None
        near = self._near(class_name, task, pool, pool_labels)
        arrays: dict[str, Any] = {} if near is None else {"near": near.images[np.concatenate(near.order)]}
        arrays |= {} if wanted is None else {"target": wanted, "names": names}
        arrays |= {"fixed": fixed} if fixed.any() else {}
        arrays |= {} if whole is None else {"integer": whole}
        journal = Journal(oracle, task.y, None if state is None else Path(state), self._identity(task, arrays))

        def attack() -> AttackResult:
            result = self._attack(task, journal, gradient, near, fixed)
            if whole is not None:
                result = rounded(result, task, journal, whole)
            result = confirmed(class_name, result, task, oracle, labels)
            return result if wanted is None else with_target(result, names, wanted)

        return run_or_resume(journal, task, attack)

    def _attack(
        self,
        task: Task,
        journal: Journal,
        gradient: GradientOracle,
        near: Candidates | None,
        fixed: NDArray[np.bool_],
    ) -> AttackResult:
        """Attack validated examples; continue from `journal.snapshot` if it is not empty."""
        linf = self.norm == "linf"
        if journal.snapshot:
            runs, radius = RunState.from_arrays(journal.snapshot), journal.snapshot["radius"].copy()
            gradient.gradients[:] = journal.snapshot["gradients"]
            search = BoundarySearch(task, journal, runs, linf)
        else:
            runs = begin_runs(task, journal, self.restarts, 1, None)
            search = BoundarySearch(task, journal, runs, linf)
            radius = place_starts(search, self.starts, near, self.seed, fixed)
        path = GradientSearch(search, gradient, self.gammas, self.max_iter, radius, fixed)
        plan = plan_iterations(self.max_iter, self.refinements, self.betas, self.step)
        with self._bar(len(plan), int(runs.iteration), "iteration") as bar:
            for iteration in plan[int(runs.iteration) :]:
                path.iterate(iteration)
                runs.iteration = np.array(int(runs.iteration) + 1)
                if int(runs.iteration) % _TRACE_EVERY == 0:
                    runs.write_trace(np.flatnonzero(runs.started))
                journal.mark({**runs.to_arrays(), "radius": radius, "gradients": gradient.gradients})
                bar.update()
                bar.set_postfix_str(mean_best(search))
        result = project_and_collect(search)
        return replace(result, extra={"gradients": gradient.gradients.copy()})

    def _near(self, class_name: str, task: Task, pool: Any, pool_labels: Any) -> Candidates | None:
        """Return, for every example, the samples of the pool at which its runs start."""
        if "nearest" not in self.starts:
            return None
        samples, labels = read_pool(class_name, pool, pool_labels, task)
        near = nearest_samples(task, samples, labels, -(-self.restarts // len(self.starts)))
        if not all(len(order) for order in near.order):
            raise refuse(class_name, "pool", "samples of other classes", Described("samples of one class only"))
        return near


def _check_betas(class_name: str, betas: Any) -> tuple[float, float]:
    allowed = "two numbers > 0, the lower first"
    try:
        first, last = (float(beta) for beta in betas)
    except (TypeError, ValueError):
        raise refuse(class_name, "betas", allowed, betas) from None
    if not (np.isfinite(last) and 0 < first <= last):
        raise refuse(class_name, "betas", allowed, betas)
    return first, last


def _check_starts(class_name: str, starts: Any) -> tuple[str, ...]:
    kinds = tuple(starts) if isinstance(starts, (list, tuple)) else ()
    if not kinds or not set(kinds) <= set(_STARTS):
        raise refuse(class_name, "starts", "a list of " + ", ".join(repr(kind) for kind in _STARTS), starts)
    return kinds


@dataclass(frozen=True)
class PlannedIteration:
    """The settings of one iteration.

    Attributes
    ----------
    leg : int
        0 is the first leg, the others are refinements.
    begins : bool
        Whether it is the first of its leg, which starts at the closest adversarial so far.
    beta : float
        Sharpness of the hidden units.
    step, change : float
        Length of the move along the gradient, and change of the distance after a label, relative to the distance.
    """

    leg: int
    begins: bool
    beta: float
    step: float
    change: float


def plan_iterations(max_iter: int, refinements: int, betas: tuple[float, float], step: float) -> list[PlannedIteration]:
    """Return all iterations of a run: a leg of `max_iter`, then `refinements` legs of half that and half the step."""
    first, last = betas
    middle = first * (last / first) ** _REFINED_BETA
    plan = list(_leg(0, max_iter, first, last, step, _FIRST_CHANGE))
    for leg in range(1, refinements + 1):
        plan += _leg(leg, (max_iter + 1) // 2, middle, last, step / 2, _REFINED_CHANGE)
    return plan


def _leg(number: int, length: int, first: float, last: float, step: float, change: float) -> Iterator[PlannedIteration]:
    for i in range(length):
        rise, fall = min(1.0, i / (_RISE * length)), (1 + math.cos(math.pi * i / length)) / 2
        yield PlannedIteration(
            leg=number,
            begins=i == 0,
            beta=first * (last / first) ** rise,
            step=step * (_LAST_STEP + (1 - _LAST_STEP) * fall),
            change=_LAST_CHANGE + (change - _LAST_CHANGE) * fall,
        )


class GradientSearch:
    """The search paths of all runs of a white-box attack, in lock-step.

    Parameters
    ----------
    search : BoundarySearch
    gradient : GradientOracle
    gammas : sequence of float
        A leg uses the one of its number, cyclically.
    max_iter : int
    radius : ndarray of float64, shape (R,)
        Current distance of each run from its original. Changed in place.
    fixed : ndarray of bool, shape (d,)
        Features that do not change.
    """

    def __init__(
        self,
        search: BoundarySearch,
        gradient: GradientOracle,
        gammas: Sequence[float],
        max_iter: int,
        radius: NDArray[np.float64],
        fixed: NDArray[np.bool_],
    ) -> None:
        self.search, self.gradient, self.gammas, self.radius = search, gradient, gammas, radius
        self.fixed = fixed
        self.diagonal = _diagonal(search)
        self.growth = _NEAR ** (-1 / (_SEARCH * max_iter)) - 1

    def iterate(self, iteration: PlannedIteration) -> None:
        """Move every run along its gradient, query its label, and adapt its distance."""
        runs = self.search.runs
        all_runs, best = np.arange(len(runs)), runs.linf if self.search.linf else runs.l2
        if iteration.begins:
            started = np.flatnonzero(runs.started)
            runs.point[started] = runs.best[started]
            self.radius[started] = best[started] * (1 - iteration.change)
        self._move(all_runs, iteration, self.gammas[iteration.leg % len(self.gammas)])
        adversarial = self.search.host.query(all_runs, self._copy)
        new = np.flatnonzero(adversarial)
        runs.started[new] = True
        self.search.keep_best(new, np.zeros(len(new)))
        larger = self.radius * (1 + np.where(runs.started, iteration.change, self.growth))
        smaller = best * (1 - iteration.change)
        self.radius[:] = np.minimum(np.where(adversarial, smaller, larger), self.diagonal)
        runs.steps += 1

    def _move(self, run_ids: Selection, iteration: PlannedIteration, gamma: float) -> None:
        """Step along the gradient, then back to the run's distance, then into the box; block by block."""
        task, runs, size = self.search.task, self.search.runs, self.gradient.block[0]
        for begin in range(0, len(run_ids), size):
            block = run_ids[begin : begin + size]
            example, radius = runs.example[block], self.radius[block, None]
            points, x = runs.point[block], task.x[example].astype(np.float64)
            slope = self.gradient(points, example, iteration.beta, gamma).astype(np.float64)
            slope[:, self.fixed] = 0.0
            if self.search.linf:
                change = np.clip(points - x + iteration.step * radius * np.sign(slope), -radius, radius)
            else:
                change = radius * _unit(points - x + iteration.step * radius * _unit(slope))
            runs.point[block] = np.clip(x + change, task.low, task.high)

    def _copy(self, out: NDArray[np.float32], begin: int, end: int) -> None:
        out[:] = self.search.runs.point[begin:end]


def place_starts(
    search: BoundarySearch, starts: Sequence[str], near: Candidates | None, seed: int, fixed: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Set the points of all runs to their starts and return their initial distances, shape (R,).

    Restart r starts at number r of `starts`, cyclically: "original", moved slightly by noise; "noise", uniform in
    the box; "nearest", the nearest sample of another class, in its next cycle the second nearest, and so on.
    """
    runs, task = search.runs, search.task
    kinds = np.array(starts)[runs.restart % len(starts)]
    keys = run_keys(search, seed, "start", np.arange(len(runs)))
    first = _NEAR * _diagonal(search)
    for r, kind in enumerate(kinds):
        x = task.x[runs.example[r]].astype(np.float64)
        if kind == "original":
            noise = _noise(keys[r], NORMAL, len(x))
            point = x + _JITTER * first * (noise / np.abs(noise).max() if search.linf else _unit(noise))[0]
        elif kind == "noise":
            point = task.low + (task.high - task.low) * (1 + _noise(keys[r], UNIFORM, len(x))[0]) / 2
        else:
            assert near is not None
            order = near.order[runs.example[r]]
            point = near.images[order[runs.restart[r] // len(starts) % len(order)]].astype(np.float64)
        runs.point[r] = np.where(fixed, x, np.clip(point, task.low, task.high))
    distance = search.measure(np.arange(len(runs)), runs.point)[search.linf]
    return np.where(kinds == "original", first, distance)


def _noise(key: NDArray[np.uint64], kind: int, d: int) -> NDArray[np.float64]:
    out, zero = np.empty((1, d), dtype=np.float32), np.zeros(1, dtype=np.int64)
    fill_noise(key[None], zero, zero, kind, 0, 1, out, np.empty(1))
    return out.astype(np.float64)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows scaled to length 1; a row of zeros is unchanged."""
    length = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return rows / np.where(length > 0, length, 1.0)


def _diagonal(search: BoundarySearch) -> float:
    """The largest distance in the box."""
    return search.task.width * (1.0 if search.linf else math.sqrt(search.task.x.shape[1]))
