"""How often an adversarial of one member of an ensemble fools the others."""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from attacks.base import Attack
from attacks.engine.checkpoint import Journal, fingerprint
from attacks.engine.transfer_counts import Pairs, collect_transfer, wrong_beyond, wrong_members
from attacks.engine.validation import Described, check_bool, check_int, check_memory, check_numbers, read_task, refuse
from attacks.hopskipjump import HopSkipJump
from attacks.oracle import MEMBERS, MemberFunction, MemberOracle
from attacks.result import AttackResult


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
