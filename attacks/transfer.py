"""Transferability: how often an adversarial of one member of an ensemble fools the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scd.seeds import stream_key
from scd.statistics import bootstrap

from .base import ArrayAttack, RestartedAttack, refuse_options, run_or_resume
from .engine.checkpoint import Journal
from .engine.confirmation import confirmed, with_target
from .engine.run_state import Arrays
from .engine.validation import (
    Described,
    Task,
    as_array,
    check_choice,
    check_int,
    check_numbers,
    read_mask,
    read_target,
    read_task,
    refuse,
)
from .engine.view import ALREADY_THE_TARGET
from .hopskipjump import HopSkipJump
from .oracle import MEMBERS, MemberFunction, MemberOracle
from .result import ALREADY_MISCLASSIFIED, NO_START, NOT_CONFIRMED, AttackResult
from .smoothed_boundary import SmoothedBoundary

_MAX_MEMBERS = 2**20  # a pair's number, which names its random streams, is the point's number times this + the member


class Transfer(ArrayAttack):
    """Transferability within an ensemble (the paper's section 3.2 and Table 6).

    HopSkipJump (L2, one run), or the attack that `search` names, attacks every member alone at every point; then all
    members are queried at its adversarials. All pairs (point, member) are one batch of runs. A pair draws from its own
    random streams, so its result does not depend on the other points and members under attack, nor on `memory_budget`,
    threads, or being interrupted and resumed.

    For a point x, let R be the members that classify x correctly, and A those members of R that were attacked with
    success; x'_i is the adversarial of member i. The transfer probability of the point is

        p = sum over i in A of |{j in R, j != i, x'_i misclassified by j}|  /  (|A| (|R| - 1)),

    the fraction of pairs of members correct on x in which an adversarial of the first fools the second. The probability
    of the ensemble is its mean over the points. The paper counts k_i, all other members that misclassify x'_i, and
    divides by m (m - 1). Members that misclassify x itself then count as fooled. This literal count is reported as
    well. It includes every attacked member; one that misclassifies x has x'_i = x, and one that could not be fooled
    has k_i = 0.

    A point on the boundary of one member fools few others by construction, which explains half of the paper's figure.
    So both counts are also made beyond the boundary: x' is moved on along x' - x by a fraction of its distance
    (`overshoots`) and clipped to the box.

    Given a class to reach, a member is fooled by an input that it assigns to this class. "Misclassifies" above then
    means: assigns to the target class, and R are the members that do not assign x to it.

    Parameters
    ----------
    max_iter, max_eval, init_eval, init_size : int
        See `HopSkipJump`.
    search : {"hsj", "smoothed_boundary"}
        The attack on a member: HopSkipJump, or :class:`attacks.smoothed_boundary.SmoothedBoundary` with `max_iter`,
        `init_size` and its other defaults.
    query_budget : int or None
        Most queries of a pair; None for no limit.
    members : int or None
        Attack only the first so many members; None attacks all. All members are counted in any case.
    overshoots : sequence of float
        Fractions >= 0 of the distance; 0 is x' itself.
    seed : int
    memory_budget : int or str
        Bytes for the inputs of one model call and their copies, e.g. 268435456 or "256MiB". The state of the runs
        needs another 32 bytes, approximately, for every point, member and feature.
    verbose : bool
        Show a progress bar of iterations with the mean of the best distances.

    Examples
    --------
    >>> attack = Transfer(max_iter=20)
    >>> result = attack(model.member_labels, X_test[:8], y_test[:8], n_members=100)  # doctest: +SKIP
    >>> result.tables["transfer"]["p_main"]  # doctest: +SKIP
    """

    requires = MEMBERS
    call_options = frozenset({"mask", "target"})
    method_version = 1

    def __init__(
        self,
        *,
        max_iter: int = 100,
        search: str = "hsj",
        query_budget: int | None = None,
        members: int | None = None,
        overshoots: ArrayLike = (0.0, 0.05, 0.2),
        max_eval: int = 10000,
        init_eval: int = 100,
        init_size: int = 1000,
        seed: int = 0,
        memory_budget: int | str = "256MiB",
        verbose: bool = False,
    ) -> None:
        super().__init__(memory_budget=memory_budget, verbose=verbose)
        class_name = type(self).__name__
        self.max_iter = check_int(class_name, "max_iter", max_iter, 0)
        self.search = check_choice(class_name, "search", search, ("hsj", "smoothed_boundary"))
        self.query_budget = None if query_budget is None else check_int(class_name, "query_budget", query_budget, 1)
        self.members = None if members is None else check_int(class_name, "members", members, 1)
        self.overshoots = check_numbers(class_name, "overshoots", overshoots, 0.0)
        self.max_eval = check_int(class_name, "max_eval", max_eval, 1)
        self.init_eval = check_int(class_name, "init_eval", init_eval, 1)
        self.init_size = check_int(class_name, "init_size", init_size, 1)
        self.seed = check_int(class_name, "seed", seed, None)

    def __call__(
        self,
        labels: MemberFunction,
        x: ArrayLike,
        y: ArrayLike,
        *,
        n_members: int,
        clip: tuple[float, float] = (0.0, 1.0),
        index: ArrayLike | None = None,
        state: str | Path | None = None,
        mask: ArrayLike | None = None,
        target: Any = None,
        **options: Any,
    ) -> AttackResult:
        """Attack the members of an ensemble at the points `x`.

        Parameters
        ----------
        labels : callable
            Takes float32 inputs (n, d) within the clip box and n member numbers; returns the label of input i by its
            member. The array is a reused buffer: copy it to keep it.
        x : array of shape (n, d)
            Originals, finite and within `clip`.
        y : array of int, shape (n,)
            True labels.
        n_members : int
            Members of the ensemble, m; at least 2.
        clip : (low, high)
            Bounds of every feature; nothing outside is queried or returned.
        index : array of int, shape (n,), optional
            Distinct numbers of the points: they appear in the result and name the random streams. Default 0..n-1.
        state : path, optional
            File that stores the progress of the attacks; the same call continues from it. It is not removed.
        mask : array of bool, shape (d,), optional
            Features that must not change.
        target : int, or array of int of shape (n,), optional
            The label that the adversarials must have; default any other than the true one.

        Returns
        -------
        result : AttackResult
            One row per point: a success if any attacked member was fooled. Then the adversarial and its distances are
            those of the member that was fooled nearest to x, whose number is `restart`. `queries` are those of all
            its attacks; the queries that count the fooled members are not included. In `trace`, `restart` is the
            member.

            `extra`: `members_right` (correct on x) of all m, `members_fooled` of those attacked, `l2_mean` over their
            adversarials, and for every overshoot s `transfer_s` and `literal_s`, the two probabilities of the point.

            `tables`: "transfer", one row per overshoot: `overshoot`, `p_main` and `p_paper_literal` (means over
            the points), each with its 95 % bootstrap interval over points (`_low`, `_high`), `points` (that have a p)
            and `pairs` (attacked with success). "pairs", one row per point and attacked member: `index`, `member`,
            `success`, `l2`, `queries`, `reason`, and for every overshoot s `others_fooled_s` (other members correct on
            x that misclassify x', empty if there is no x'), `others_wrong_s` (the paper's k_i) and `self_fooled_s`.

        Raises
        ------
        ValueError
            Invalid points or numbers of members, or a state file of another attack or model.
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
        task, m = read_task(class_name, x, y, clip, index), check_int(class_name, "n_members", n_members, 2)
        if len(np.unique(task.index)) < len(task.index):
            raise refuse(class_name, "index", "distinct numbers", Described("a number twice"))
        if self.members is not None and self.members > m:
            raise refuse(class_name, "members", f"None or an int <= {m}, the members of the ensemble", self.members)
        fixed, goal = read_mask(class_name, mask, task.x.shape[1]), read_target(class_name, target, len(task.x))
        pairs = Pairs.of(task, self.members or m, goal)
        attacked_task = pairs.attacked(~fixed)
        oracle = PairOracle(labels, pairs, ~fixed, self.memory_budget, self.query_budget)
        arrays: dict[str, Any] = {"fixed": fixed} if fixed.any() else {}
        arrays |= {} if goal is None else {"target": goal}
        single = self._single()
        identity = self._identity(task, arrays, **{self.search: single.method_version}, n_members=m)
        journal = Journal(oracle, attacked_task.y, None if state is None else Path(state), identity)

        def attack() -> AttackResult:
            attacked = single._attack(attacked_task, journal, None)
            attacked = confirmed(class_name, attacked, attacked_task, oracle, labels)
            attacked = replace(attacked, adversarials=_with_all_features(attacked, pairs.task.x, ~fixed))
            if pairs.goal is not None:
                attacked = with_target(attacked, pairs.task.y, pairs.goal)
            # example j of this oracle is member j: it counts who is fooled
            members = MemberOracle(labels, np.arange(m), task.x.shape[1], memory_budget=self.memory_budget)
            misclassified_x = misclassifying_members(members, task.x, task.y, goal)
            misclassified = misclassified_beyond(members, pairs, attacked, self.overshoots)
            return _collect(task, pairs, attacked, self.overshoots, misclassified_x, misclassified)

        return run_or_resume(journal, attacked_task, attack)

    def _single(self) -> RestartedAttack:
        """Return the attack on one member."""
        common: dict[str, Any] = {
            "max_iter": self.max_iter,
            "restarts": 1,
            "init_size": self.init_size,
            "query_budget": self.query_budget,
            "seed": self.seed,
            "memory_budget": self.memory_budget,
            "verbose": self.verbose,
        }
        if self.search == "smoothed_boundary":
            return SmoothedBoundary(**common)
        return HopSkipJump(max_eval=self.max_eval, init_eval=self.init_eval, **common)


@dataclass(frozen=True)
class Pairs:
    """The pairs (point, member) of an attack on each of the first k members at n points, ordered by point.

    Attributes
    ----------
    point, member : ndarray of int64, shape (n * k,)
        Position of the pair's point, and number of its member.
    task : Task
        The pairs as the examples of an attack.
    goal : ndarray of int64, shape (n * k,), or None
        The labels that fool a member; None for any other than the true one.
    """

    point: NDArray[np.int64]
    member: NDArray[np.int64]
    task: Task
    goal: NDArray[np.int64] | None

    @classmethod
    def of(cls, points: Task, k: int, goal: NDArray[np.int64] | None) -> Pairs:
        """Return all pairs of these points, whose labels to reach are `goal`, and the first `k` members."""
        point, member = np.repeat(np.arange(len(points.x)), k), np.tile(np.arange(k), len(points.x))
        numbers = points.index[point] * _MAX_MEMBERS + member
        task = Task(points.x[point], points.y[point], numbers, points.low, points.high)
        return cls(point, member, task, None if goal is None else goal[point])

    def attacked(self, free: NDArray[np.bool_]) -> Task:
        """Return the pairs in the features that are `free`, (d,) bool; with a goal all labels are 0, as not reached."""
        low, high = (each[free] if np.ndim(each) else each for each in (self.task.low, self.task.high))
        y = self.task.y if self.goal is None else np.zeros_like(self.task.y)
        return replace(self.task, x=np.ascontiguousarray(self.task.x[:, free]), y=y, low=low, high=high)


class PairOracle(MemberOracle):
    """The members of pairs, queried by the features that may change; with a goal label 1 says that it is reached.

    Parameters
    ----------
    labels : callable
        See `MemberOracle`.
    pairs : Pairs
    free : ndarray of bool, shape (d,)
        Features that may change.
    memory_budget : int
    budget : int or None
        Most queries of a pair.
    """

    def __init__(
        self,
        labels: MemberFunction,
        pairs: Pairs,
        free: NDArray[np.bool_],
        memory_budget: int,
        budget: int | None,
    ) -> None:
        super().__init__(labels, pairs.member, int(free.sum()), memory_budget=memory_budget, budget=budget)
        self.pairs, self.free = pairs, free

    def _predict(self, inputs: Any, examples: NDArray[np.int64]) -> ArrayLike:
        if not self.free.all():
            free_values, inputs = inputs, self.pairs.task.x[examples]
            inputs[:, self.free] = free_values
        labels = super()._predict(inputs, examples)
        goal = self.pairs.goal
        return labels if goal is None else (as_array(labels) == goal[examples]).astype(np.int64)


def _with_all_features(attacked: AttackResult, x: NDArray[np.float32], free: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the adversarials (n, d) of an attack on the `free` features of `x`; NaN where it failed."""
    if free.all():
        return attacked.adversarials
    adversarials = np.where(attacked.success[:, None], x, np.float32(np.nan))
    adversarials[:, free] = attacked.adversarials
    return adversarials


def misclassifying_members(
    oracle: MemberOracle, inputs: NDArray[np.float32], y: NDArray[np.int64], goal: NDArray[np.int64] | None
) -> NDArray[np.bool_]:
    """Return which members misclassify which inputs or, with a goal, assign them to it.

    Parameters
    ----------
    oracle : MemberOracle
        Its example j is member j.
    inputs : ndarray of float32, shape (n, d)
    y : ndarray of int64, shape (n,)
    goal : ndarray of int64, shape (n,), or None

    Returns
    -------
    misclassified : ndarray of bool, shape (n, m)
    """
    labels = [oracle(inputs, np.full(len(inputs), j)) for j in range(len(oracle.members))]
    return np.stack([each != y if goal is None else each == goal for each in labels], axis=1)


def misclassified_beyond(
    oracle: MemberOracle, pairs: Pairs, attacked: AttackResult, overshoots: Sequence[float]
) -> NDArray[np.bool_]:
    """Return which members misclassify the pairs' adversarials, moved on beyond the boundary.

    A pair without an adversarial stays at its original.

    Returns
    -------
    misclassified : ndarray of bool, shape (len(overshoots), n_pairs, m)
    """
    task = pairs.task
    misclassified = np.empty((len(overshoots), len(task.x), len(oracle.members)), dtype=bool)
    for begin in range(0, len(task.x), oracle.batch_rows):
        block = slice(begin, begin + oracle.batch_rows)
        x = task.x[block]
        end = np.where(attacked.success[block, None], attacked.adversarials[block], x)
        for s, overshoot in enumerate(overshoots):
            moved = np.clip(end + np.float32(overshoot) * (end - x), np.float32(task.low), np.float32(task.high))
            goal = None if pairs.goal is None else pairs.goal[block]
            misclassified[s, block] = misclassifying_members(oracle, moved, task.y[block], goal)
    return misclassified


def _collect(
    task: Task,
    pairs: Pairs,
    attacked: AttackResult,
    overshoots: Sequence[float],
    misclassified_x: NDArray[np.bool_],
    misclassified: NDArray[np.bool_],
) -> AttackResult:
    """Count the fooled members, and return the record of the points.

    Parameters
    ----------
    task : Task
        The n points.
    pairs : Pairs
    attacked : AttackResult
        Of the pairs.
    overshoots : sequence of float
    misclassified_x : ndarray of bool, shape (n, m)
        Members that misclassify the points.
    misclassified : ndarray of bool, shape (len(overshoots), n_pairs, m)
        Members that misclassify the adversarials.
    """
    n, m = misclassified_x.shape
    correct, success = ~misclassified_x, attacked.success
    all_pairs = np.arange(len(pairs.point))
    self_fooled = misclassified[:, all_pairs, pairs.member]
    # the attacked member is not one of the others: it is subtracted from both sums
    fooled = (misclassified & correct[pairs.point]).sum(axis=2) - (self_fooled & correct[pairs.point, pairs.member])
    none = np.isin(attacked.reason, (NO_START, NOT_CONFIRMED))
    others_wrong = np.where(none, 0, misclassified.sum(axis=2) - self_fooled)
    others_fooled = np.where(success, fooled, np.nan)
    by_point = np.eye(n, dtype=np.int64)[:, pairs.point]  # (n, n_pairs): sums over the pairs of a point
    p = _fraction((fooled * success) @ by_point.T, (by_point @ success) * (correct.sum(axis=1) - 1))
    literal = _fraction(others_wrong @ by_point.T, by_point.sum(axis=1) * (m - 1))
    table = {
        "index": task.index[pairs.point],
        "member": pairs.member,
        "success": success.astype(np.int64),
        "l2": attacked.l2,
        "queries": attacked.queries,
        "reason": attacked.reason,
    }
    result = _nearest(task, pairs, attacked)
    result.extra.update(members_right=correct.sum(axis=1), members_fooled=by_point @ success)
    result.extra["l2_mean"] = _fraction(by_point @ np.where(success, attacked.l2, 0.0), by_point @ success)
    for s, overshoot in enumerate(overshoots):
        table[f"others_fooled_{overshoot}"] = others_fooled[s]
        table[f"others_wrong_{overshoot}"] = others_wrong[s]
        table[f"self_fooled_{overshoot}"] = self_fooled[s].astype(np.int64)
        result.extra.update({f"transfer_{overshoot}": p[s], f"literal_{overshoot}": literal[s]})
    result.tables.update(transfer=_transfer_table(overshoots, p, literal, int(success.sum())), pairs=table)
    return result


def _nearest(task: Task, pairs: Pairs, attacked: AttackResult) -> AttackResult:
    """Return the record of the points: for each, the member that was fooled nearest to it."""
    n, k = len(task.x), len(pairs.point) // len(task.x)
    chosen = np.arange(n) * k + np.argmin(np.where(attacked.success, attacked.l2, np.inf).reshape(n, k), axis=1)
    success = attacked.success[chosen]
    already = ALREADY_MISCLASSIFIED if pairs.goal is None else ALREADY_THE_TARGET
    all_misclassify = (attacked.reason == already).reshape(n, k).all(axis=1)
    lost = (attacked.reason == NOT_CONFIRMED).reshape(n, k).any(axis=1)
    failed = np.where(all_misclassify, already, np.where(lost, NOT_CONFIRMED, NO_START))
    numbers = attacked.trace["index"]
    return AttackResult(
        index=task.index,
        label=task.y,
        success=success,
        adversarials=attacked.adversarials[chosen],
        l2=attacked.l2[chosen],
        linf=attacked.linf[chosen],
        queries=attacked.queries.reshape(n, k).sum(axis=1),
        restart=np.where(success, pairs.member[chosen], -1),
        reason=np.where(success, "", failed),
        trace={**attacked.trace, "index": numbers // _MAX_MEMBERS, "restart": numbers % _MAX_MEMBERS},
        adversarial_label=None if attacked.adversarial_label is None else attacked.adversarial_label[chosen],
    )


def _transfer_table(
    overshoots: Sequence[float], p: NDArray[np.float64], literal: NDArray[np.float64], pairs: int
) -> Arrays:
    main = np.array([mean_interval(values) for values in p])
    other = np.array([mean_interval(values) for values in literal])
    return {
        "overshoot": np.array(overshoots),
        **{f"p_main{end}": main[:, i] for i, end in enumerate(("", "_low", "_high"))},
        **{f"p_paper_literal{end}": other[:, i] for i, end in enumerate(("", "_low", "_high"))},
        "points": np.isfinite(p).sum(axis=1),
        "pairs": np.full(len(p), pairs),
    }


def mean_interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the mean of the finite values with its 95 % percentile bootstrap interval.

    NaN where there are no values; the interval is NaN for fewer than two.
    """
    values = values[np.isfinite(values)]
    generator = np.random.Generator(np.random.PCG64(stream_key("bootstrap", len(values)).tolist()))
    return bootstrap(values, "mean", generator)


def _fraction(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Return `part` / `whole`, NaN where `whole` is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
