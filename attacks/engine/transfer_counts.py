"""Pairs of a point and a member attacked there, and the count of the other members that its adversarial fools."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.engine.validation import Task
from attacks.oracle import MemberOracle
from attacks.result import ALREADY_WRONG, NO_START, AttackResult
from scd.seeds import stream_key
from scd.statistics import bootstrap

Arrays = dict[str, NDArray[Any]]

_MOST_MEMBERS = 2**20  # a pair's number, which names its random streams, is the point's number times this + the member


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
    def of(cls, points: Task, k: int) -> "Pairs":
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
    generator = np.random.Generator(np.random.PCG64(stream_key("bootstrap", len(values)).tolist()))
    return bootstrap(values, "mean", generator)


def _share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """`part` / `whole`, NaN where `whole` is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
