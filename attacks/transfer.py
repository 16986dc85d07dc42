"""How often an adversarial of one member of an ensemble fools the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attacks.base import Attack
from attacks.engine.checkpoint import Journal, fingerprint
from attacks.engine.rng import stream_key
from attacks.engine.validation import (
    Described,
    Task,
    check_bool,
    check_int,
    check_memory,
    check_numbers,
    read_task,
    refuse,
)
from attacks.hopskipjump import HopSkipJump
from attacks.oracle import MEMBERS, MemberFunction, MemberOracle
from attacks.result import ALREADY_WRONG, NO_START, AttackResult


class Transfer(Attack):
    """Transferability within an ensemble (the paper's section 3.2 and Table 6).

    HopSkipJump (L2, one run) attacks every member alone at every point; then all members are asked about what it
    found. All pairs (point, member) are one batch of runs. A pair draws from random streams of its own, so its
    result does not depend on which other points and members are attacked, nor on `memory_budget`, threads, or being
    interrupted and resumed.

    For a point x, let R be the members right on x, and A those members of R that were attacked with success; x'_i is
    the adversarial of member i. The transfer probability of the point is

        p = sum over i in A of |{j in R, j != i, wrong on x'_i}|  /  (|A| (|R| - 1)),

    the share of pairs of members right on x in which an adversarial of the first fools the second; the probability
    of the ensemble is its mean over the points. The paper counts k_i, all other members wrong on x'_i, and divides
    by m (m - 1). Members wrong already on x, which no one had to fool, then count as fooled: that literal count
    stands beside p. In it every attacked member counts; one that is wrong on x has x'_i = x, and one that could not
    be fooled has k_i = 0.

    A point on the boundary of one member fools by construction few others, which is half of what the paper's figure
    shows. So both counts are also made past the boundary, where x' is moved on along x' - x by a share of its
    distance (`overshoots`) and clipped to the box.

    Parameters
    ----------
    max_iter, max_eval, init_eval, init_size : int
        As of `HopSkipJump`.
    members : int or None
        Attack only the first so many members; None attacks all. All of them are counted in any case.
    overshoots : sequence of float
        Shares >= 0 of the distance; 0 is x' itself.
    seed : int
    memory_budget : int or str
        Bytes for the rows of one model call and their copies, e.g. 268435456 or "256MiB". The state of the runs,
        about 32 bytes for every point, member and feature, comes on top.
    verbose : bool
        Show a bar of iterations with the mean of the best distances.

    Examples
    --------
    >>> attack = Transfer(max_iter=20)
    >>> result = attack(model.member_labels, X_test[:8], y_test[:8], n_members=100)  # doctest: +SKIP
    >>> result.tables["transfer"]["p_main"]  # doctest: +SKIP
    """

    requires = MEMBERS
    method_version = 1

    def __init__(
        self,
        *,
        max_iter: int = 100,
        members: int | None = None,
        overshoots: ArrayLike = (0.0, 0.05, 0.2),
        max_eval: int = 10000,
        init_eval: int = 100,
        init_size: int = 1000,
        seed: int = 0,
        memory_budget: int | str = "256MiB",
        verbose: bool = False,
    ) -> None:
        own = type(self).__name__
        self.max_iter = check_int(own, "max_iter", max_iter, 0)
        self.members = None if members is None else check_int(own, "members", members, 1)
        self.overshoots = check_numbers(own, "overshoots", overshoots, 0.0)
        self.max_eval = check_int(own, "max_eval", max_eval, 1)
        self.init_eval = check_int(own, "init_eval", init_eval, 1)
        self.init_size = check_int(own, "init_size", init_size, 1)
        self.seed = check_int(own, "seed", seed, None)
        self.memory_budget = check_memory(own, "memory_budget", memory_budget)
        self.verbose = check_bool(own, "verbose", verbose)

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
    ) -> AttackResult:
        """Attack the members of an ensemble at the points `x`.

        Parameters
        ----------
        labels : callable
            Takes float32 rows (n, d) within the clip box and n member numbers; returns the label that member
            number i gives to row i. The rows are only lent: their memory is used again after the call.
        x : array of shape (n, d)
            Originals, finite and within `clip`.
        y : array of int, shape (n,)
            True labels.
        n_members : int
            Members of the ensemble, m; at least 2.
        clip : (low, high)
            Bounds of every feature; nothing outside is asked or returned.
        index : array of int, shape (n,), optional
            Different numbers of the points: they appear in the result and name the random streams. Default 0..n-1.
        state : path, optional
            File that keeps the progress of the attacks; the same call continues from it. It is not removed.

        Returns
        -------
        result : AttackResult
            A row per point: a success if any attacked member was fooled. Then the adversarial and its distances are
            those of the member that was fooled nearest to x, whose number is `restart`. `queries` are those of all
            its attacks; the questions by which the fooled members are counted are not among them. In `trace`,
            `restart` is the member.

            `extra`: `members_right` on x of all m, `members_fooled` of those attacked, `l2_mean` over their
            adversarials, and for every overshoot s `transfer_s` and `literal_s`, the two probabilities of the point.

            `tables`: "transfer", a row per overshoot: `overshoot`, `p_main` and `p_paper_literal` (means over
            the points), each with its 95 % bootstrap interval over points (`_low`, `_high`), `points` (that have a p)
            and `pairs` (attacked with success). "pairs", a row per point and attacked member: `index`, `member`,
            `success`, `l2`, `queries`, `reason`, and for every overshoot s `others_fooled_s` (other members right on
            x and wrong on x', empty where there is no x'), `others_wrong_s` (the paper's k_i) and `self_fooled_s`.

        Raises
        ------
        ValueError
            Bad points or numbers of members, or a state file of another attack.
        """
        own = type(self).__name__
        task, m = read_task(own, x, y, clip, index), check_int(own, "n_members", n_members, 2)
        if len(np.unique(task.index)) < len(task.index):
            raise refuse(own, "index", "different numbers", Described("a number twice"))
        if self.members is not None and self.members > m:
            raise refuse(own, "members", f"None or an int <= {m}, the members of the ensemble", self.members)
        pairs = Pairs.of(task, self.members or m)
        oracle = MemberOracle(labels, pairs.member, task.x.shape[1], memory_budget=self.memory_budget)
        parameters = {k: v for k, v in vars(self).items() if k not in ("memory_budget", "verbose")}
        versions = {"version": self.method_version, "hsj": HopSkipJump.method_version}
        identity = fingerprint(
            {**parameters, **versions, "attack": own, "n_members": m, "low": task.low, "high": task.high},
            {"x": task.x, "y": task.y, "index": task.index},
        )
        with Journal(oracle, pairs.task.y, None if state is None else Path(state), identity) as journal:
            if journal.finished:
                return AttackResult.from_arrays(journal.snapshot)
            single = HopSkipJump(
                max_iter=self.max_iter, restarts=1, max_eval=self.max_eval, init_eval=self.init_eval,
                init_size=self.init_size, seed=self.seed, memory_budget=self.memory_budget, verbose=self.verbose,
            )  # fmt: skip
            found = single._attack(pairs.task, journal, None)
            each = MemberOracle(labels, np.arange(m), task.x.shape[1], memory_budget=self.memory_budget)
            wrong_at = wrong_members(each, task.x, task.y)
            wrong = wrong_beyond(each, pairs, found, self.overshoots)
            result = collect_transfer(task, pairs, found, self.overshoots, wrong_at, wrong)
            journal.finish(result.to_arrays())
        return result


Arrays = dict[str, NDArray[Any]]

_MOST_MEMBERS = 2**20  # a pair's number, which names its random streams, is the point's number times this + the member
_RESAMPLES = 10_000


@dataclass(frozen=True)
class Pairs:
    """The pairs (point, member) of an attack on each of the first k members at n points, the members innermost.

    Attributes
    ----------
    point, member : ndarray of int64, shape (n * k,)
        Position of the pair's point in the points, and number of its member.
    task : Task
        The pairs as the examples of an attack.
    """

    point: NDArray[np.int64]
    member: NDArray[np.int64]
    task: Task

    @classmethod
    def of(cls, points: Task, k: int) -> Pairs:
        """All pairs of these points and the first `k` members."""
        point, member = np.repeat(np.arange(len(points.x)), k), np.tile(np.arange(k), len(points.x))
        numbers = points.index[point] * _MOST_MEMBERS + member
        return cls(point, member, Task(points.x[point], points.y[point], numbers, points.low, points.high))


def wrong_members(oracle: MemberOracle, rows: NDArray[np.float32], y: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which members are wrong on which rows.

    Parameters
    ----------
    oracle : MemberOracle
        Its example j is member j.
    rows : ndarray of float32, shape (n, d)
    y : ndarray of int64, shape (n,)

    Returns
    -------
    wrong : ndarray of bool, shape (n, m)
    """
    members = range(len(oracle.members))
    return np.stack([oracle(rows, np.full(len(rows), j)) != y for j in members], axis=1)


def wrong_beyond(
    oracle: MemberOracle, pairs: Pairs, found: AttackResult, overshoots: Sequence[float]
) -> NDArray[np.bool_]:
    """Which members are wrong on the pairs' adversarials, moved on past the boundary.

    A pair without adversarial stays at its original.

    Returns
    -------
    wrong : ndarray of bool, shape (len(overshoots), n_pairs, m)
    """
    task = pairs.task
    wrong = np.empty((len(overshoots), len(task.x), len(oracle.members)), dtype=bool)
    for begin in range(0, len(task.x), oracle.batch_rows):
        block = slice(begin, begin + oracle.batch_rows)
        x = task.x[block]
        end = np.where(found.success[block, None], found.adversarials[block], x)
        for s, overshoot in enumerate(overshoots):
            moved = np.clip(end + np.float32(overshoot) * (end - x), np.float32(task.low), np.float32(task.high))
            wrong[s, block] = wrong_members(oracle, moved, task.y[block])
    return wrong


def collect_transfer(
    task: Task,
    pairs: Pairs,
    found: AttackResult,
    overshoots: Sequence[float],
    wrong_at: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
) -> AttackResult:
    """Count, and make the record of the points out of that of the pairs.

    Parameters
    ----------
    task : Task
        The n points.
    pairs : Pairs
    found : AttackResult
        Of the pairs.
    overshoots : sequence of float
    wrong_at : ndarray of bool, shape (n, m)
        Members wrong on the points.
    wrong : ndarray of bool, shape (len(overshoots), n_pairs, m)
        Members wrong on the adversarials.
    """
    n, m = wrong_at.shape
    right = ~wrong_at
    of_pair = np.arange(len(pairs.point))
    self_fooled = wrong[:, of_pair, pairs.member]
    # the attacked member is no other: it is taken out of both sums
    fooled = (wrong & right[pairs.point]).sum(axis=2) - (self_fooled & right[pairs.point, pairs.member])
    others_wrong = np.where(found.reason == NO_START, 0, wrong.sum(axis=2) - self_fooled)
    others_fooled = np.where(found.success, fooled, np.nan)
    by_point = np.eye(n, dtype=np.int64)[:, pairs.point]  # (n, n_pairs): sums over the pairs of a point
    most = (by_point @ found.success) * (right.sum(axis=1) - 1)
    p = _share((fooled * found.success) @ by_point.T, most)
    literal = _share(others_wrong @ by_point.T, by_point.sum(axis=1) * (m - 1))
    labels = [str(overshoot) for overshoot in overshoots]
    table = {
        "index": task.index[pairs.point],
        "member": pairs.member,
        "success": found.success.astype(np.int64),
        "l2": found.l2,
        "queries": found.queries,
        "reason": found.reason,
    }
    for s, label in enumerate(labels):
        table[f"others_fooled_{label}"] = others_fooled[s]
        table[f"others_wrong_{label}"] = others_wrong[s]
        table[f"self_fooled_{label}"] = self_fooled[s].astype(np.int64)
    result = _nearest(task, pairs, found)
    result.extra.update(members_right=right.sum(axis=1), members_fooled=by_point @ found.success)
    result.extra["l2_mean"] = _share(by_point @ np.where(found.success, found.l2, 0.0), by_point @ found.success)
    for s, label in enumerate(labels):
        result.extra.update({f"transfer_{label}": p[s], f"literal_{label}": literal[s]})
    result.tables.update(transfer=_transfer_table(overshoots, p, literal, int(found.success.sum())), pairs=table)
    return result


def _nearest(task: Task, pairs: Pairs, found: AttackResult) -> AttackResult:
    """The record of the points: of each the member that was fooled nearest to it."""
    n, k = len(task.x), len(pairs.point) // len(task.x)
    chosen = np.arange(n) * k + np.argmin(np.where(found.success, found.l2, np.inf).reshape(n, k), axis=1)
    success = found.success[chosen]
    all_wrong = (found.reason == ALREADY_WRONG).reshape(n, k).all(axis=1)
    numbers = found.trace["index"]
    return AttackResult(
        index=task.index,
        label=task.y,
        success=success,
        adversarials=found.adversarials[chosen],
        l2=found.l2[chosen],
        linf=found.linf[chosen],
        queries=found.queries.reshape(n, k).sum(axis=1),
        restart=np.where(success, pairs.member[chosen], -1),
        reason=np.where(success, "", np.where(all_wrong, ALREADY_WRONG, NO_START)),
        trace={**found.trace, "index": numbers // _MOST_MEMBERS, "restart": numbers % _MOST_MEMBERS},
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
    """The mean of the finite values with its 95 % percentile bootstrap interval.

    NaN where there are no values; the interval is NaN for fewer than two.
    """
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return (float(values[0]) if len(values) else float("nan")), float("nan"), float("nan")
    generator = np.random.Generator(np.random.PCG64(stream_key("bootstrap", len(values)).tolist()))
    means = values[generator.integers(0, len(values), (_RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def _share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """`part` / `whole`, NaN where `whole` is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
