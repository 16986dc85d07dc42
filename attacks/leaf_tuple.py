"""The leaf-tuple attack on tree ensembles: it sees the trees, and its distances are exact for the leaves it ends in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scd.seeds import generator_for
from scd.trees import Leaves, Trees, as_trees, closest_point

from .base import ArrayAttack, run_or_resume
from .engine.checkpoint import Journal
from .engine.confirmation import confirmed
from .engine.initial_points import nearest_samples
from .engine.validation import (
    Described,
    Task,
    check_choice,
    check_int,
    read_pool,
    read_starts,
    read_task,
    refuse,
)
from .engine.white_box.closest_runs import Found, closest_of_runs, correctly_classified, distances
from .engine.white_box.leaf_search import LeafSearch
from .oracle import TREES, LabelFunction
from .result import AttackResult

_STARTS = ("original", "noise", "nearest", "given")
_LINF_POWER = 16  # of the differences; their sum is then almost a matter of the largest one
_NOISE_DRAWS = 100  # maximum number of draws for a start
_HALVINGS = 30  # of the line from a start to the original, by the trees' own labels
_MOST_FREED = 8  # maximum number of trees that a round frees


class LeafTuple(ArrayAttack):
    """The leaf-tuple attack (Zhang, Zhang and Hsieh, NeurIPS 2020) on a sum of trees. It is NOT black-box.

    Inside the intersection of one leaf's box a tree, the model's output does not change. So the closest point with
    these leaves is the projection of the original on the intersection, and an attack is a search over tuples of
    leaves. A move changes the leaf of one tree, as in the paper. Differences to it:

    - A tuple fixes only the trees that are needed. The others are free, and a move is judged by the label of its
      point. Of a hard-voting forest that leaves a majority of the trees.
    - A run may start at the original: it fixes the leaf that costs the least for its gain, until the label changes.
    - After no move helps, `rounds` times some fixed trees are freed, others are fixed, and the moves begin again.

    The model compares float32 numbers with thresholds, so each box is an interval of float32 numbers with both ends,
    and the projection is exact. The closest point of each run is queried from the model.

    Parameters
    ----------
    rounds : int
        Restarts of the local search from its best tuple, for each run.
    nodes : int
        Maximum number of nodes of a complete search for a closer point after all runs. It ends for small ensembles.
    restarts : int
        Runs per example; the closest adversarial of all is returned.
    norm : {"l2", "linf"}
        Distance to minimise. For "linf" the search minimises the sum of the 16th powers of the differences.
    starts : sequence of {"original", "noise", "nearest", "given"}
        Run r starts at number r, cyclically: the original; uniform noise in the clip box; the nearest sample of
        `pool` of another class (in the second cycle the second nearest, and so on); the row of `starts` in the call,
        for example what a black-box attack found. All but the original first move to the decision boundary, on the
        straight line. A start that the trees do not misclassify is replaced by the original.
    seed : int
    memory_budget : int or str
        Bytes for the inputs of one label query and their copies, e.g. 268435456 or "256MiB".
    verbose : bool
        Show a progress bar of examples.

    Examples
    --------
    >>> forest = RandomForestClassifier().fit(X_train, y_train)  # doctest: +SKIP
    >>> LeafTuple()(forest.predict, X_test[:10], y_test[:10], trees=forest).l2  # doctest: +SKIP
    """

    requires = TREES
    method_version = 1

    def __init__(
        self,
        *,
        rounds: int = 20,
        nodes: int = 10_000,
        restarts: int = 2,
        norm: str = "l2",
        starts: Any = ("original", "noise"),
        seed: int = 0,
        memory_budget: int | str = "256MiB",
        verbose: bool = False,
    ) -> None:
        super().__init__(memory_budget=memory_budget, verbose=verbose)
        class_name = type(self).__name__
        self.rounds = check_int(class_name, "rounds", rounds, 0)
        self.nodes = check_int(class_name, "nodes", nodes, 0)
        self.restarts = check_int(class_name, "restarts", restarts, 1)
        self.norm = check_choice(class_name, "norm", norm, ("l2", "linf"))
        kinds = tuple(starts) if isinstance(starts, (list, tuple)) else ()
        if not kinds or not set(kinds) <= set(_STARTS):
            raise refuse(class_name, "starts", "a list of " + ", ".join(map(repr, _STARTS)), starts)
        self.starts = kinds
        self.seed = check_int(class_name, "seed", seed, None)

    def starts_from(self) -> frozenset[str]:
        """What `starts` needs."""
        return frozenset(self.starts) & {"nearest", "given"}

    def __call__(
        self,
        labels: LabelFunction,
        x: ArrayLike,
        y: ArrayLike,
        *,
        trees: Any,
        clip: Any = (0.0, 1.0),
        index: ArrayLike | None = None,
        pool: ArrayLike | None = None,
        pool_labels: ArrayLike | None = None,
        starts: Any = None,
        state: str | Path | None = None,
    ) -> AttackResult:
        """Attack the model behind `labels` and `trees` at the examples `x`.

        Parameters
        ----------
        labels : callable
            Takes float32 inputs (n, d) within the clip box, returns n labels.
        x : array of shape (n, d)
            Originals, finite and within `clip`.
        y : array of int, shape (n,)
            True labels, 0 or 1.
        trees : Trees, model with a method ``trees()``, or fitted classifier
            See :func:`scd.trees.as_trees`; its first class is label 0.
        clip : (low, high)
            Bounds of the features: two numbers for all, or two arrays (d,).
        index : array of int, shape (n,), optional
            Numbers of the examples: they appear in the result and name the random streams. Default 0..n-1.
        pool, pool_labels : array (m, d) and array of int (m,), optional
            For "nearest" among the starts.
        starts : dict of label to array (d,), or array (n, d), optional
            For "given" among the starts.
        state : path, optional
            File for the state of the attack: after a kill, the same call continues with the next example.

        Returns
        -------
        result : AttackResult
            `queries` counts the labels of the originals and of the points found. The trace has a row a round. The
            column `exact` of `extra` is 1 where the complete search ended: no adversarial of the clip box is closer.
            Its row of the trace, where it found a closer point, is that of the restart after the last.

        Raises
        ------
        ValueError
            Invalid examples, trees that are not those of the model, or a state of another attack.
        """
        class_name = type(self).__name__
        task = read_task(class_name, x, y, clip, index)
        if not np.isin(task.y, (0, 1)).all():
            raise refuse(class_name, "y", "labels 0 and 1", Described(f"labels {np.unique(task.y).tolist()}"))
        oracle, ensemble = self._label_oracle(labels, task), as_trees(trees)
        features = int(ensemble.nodes.feature.max(initial=0)) + 1
        if features > task.x.shape[1]:
            raise refuse(class_name, "trees", f"trees of {task.x.shape[1]} features", Described(f"feature {features}"))
        given: dict[str, Any] = {"given": read_starts(class_name, starts, task)} if "given" in self.starts else {}
        if "nearest" in self.starts:
            samples, of_samples = read_pool(class_name, pool, pool_labels, task)
            near = nearest_samples(task, samples, of_samples, -(-self.restarts // len(self.starts)))
            given["nearest"] = [samples[order] for order in near.order]
        leaves = ensemble.leaves(task.low, task.high)
        arrays = {"trees": {**ensemble.nodes._asdict(), "rounding": ensemble.rounding}}
        arrays |= {f"{kind} {e}": start for kind, of_all in given.items() for e, start in enumerate(of_all)}
        journal = Journal(oracle, task.y, None if state is None else Path(state), self._identity(task, arrays))

        def attack() -> AttackResult:
            correct, nothing_below = correctly_classified(task, journal), np.zeros(len(task.x))
            _check_same(class_name, ensemble, task, correct)
            found = closest_of_runs(
                task,
                journal,
                correct,
                self.norm == "linf",
                lambda e: self._points(ensemble, leaves, task, e, given, nothing_below),
                self._bar(len(task.x), 0, "example"),
                nothing_below,
            )
            distance = np.where(found.success, found.linf if self.norm == "linf" else found.l2, np.inf)
            exact = (correct & (distance <= nothing_below)).astype(np.int64)
            return confirmed(class_name, replace(found, extra={"exact": exact}), task, oracle, labels)

        return run_or_resume(journal, task, attack)

    def _points(
        self,
        trees: Trees,
        leaves: Leaves,
        task: Task,
        e: int,
        given: dict[str, Any],
        nothing_below: NDArray[np.float64],
    ) -> Iterator[Found]:
        """Yield, for each run and round of one example, the run's closest point; the last of a run is queried.

        The complete search is the run after the last; it yields a point only if it is closer. Where it ended, the
        distance below which no point can be adversarial is written to `nothing_below`.
        """
        label, linf = int(task.y[e]), self.norm == "linf"
        sign, power = (1.0 if label == 0 else -1.0), (float(_LINF_POWER) if linf else 2.0)
        search = LeafSearch(task.x[e], trees.nodes, leaves, sign, trees.needed(1 - label), power)
        closest = np.inf
        for run in range(self.restarts):
            best, best_point = np.inf, task.x[e]
            for number, point in enumerate(self._run(search, task, e, run, given)):
                distance = distances(point, task.x[e])[int(linf)]
                if not linf or distance < best:  # a lower sum of powers may have a larger maximum
                    best, best_point = distance, point
                yield Found(run, number, best_point, number == self.rounds)
            closest = min(closest, best)
        if self.nodes:
            for surely in (True, False)[: 1 + (trees.rounding > 0)]:  # then those of which rounding decides the label
                found = closest_point(trees, leaves, task.x[e], label, linf, closest, self.nodes, surely=surely)
                if found.point is not None:
                    closest = distances(found.point, task.x[e])[int(linf)]
                    yield Found(self.restarts, 0, found.point, True)
                if not found.ended:
                    return
            nothing_below[e] = closest

    def _run(
        self, search: LeafSearch, task: Task, e: int, run: int, given: dict[str, Any]
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the closest point so far after the first local search and after each round; nothing without a start."""
        rng = generator_for(self.seed, int(task.index[e]), run, "leaf_tuple")
        best = self._start(search, task, e, run, given, rng)
        if best is None:
            return
        cost = search.improve(best)
        yield search.point(best)
        for _ in range(self.rounds):
            fixed = np.flatnonzero(best >= 0)
            freed = rng.choice(fixed, min(len(fixed), int(rng.integers(1, _MOST_FREED + 1))), replace=False)
            other = best.copy()
            other[freed] = -1
            if search.extend(other, cost, banned=best[freed]):
                found = search.improve(other)
                if found <= cost:
                    best, cost = other, found
            yield search.point(best)

    def _start(
        self, search: LeafSearch, task: Task, e: int, run: int, given: dict[str, Any], rng: np.random.Generator
    ) -> NDArray[np.int64] | None:
        """Return the tuple at which a run starts, None if no tuple of the other label is found."""
        kind, cycle = self.starts[run % len(self.starts)], run // len(self.starts)
        start = None
        if kind == "noise":
            draws = (rng.uniform(task.low, task.high, task.x.shape[1]).astype(np.float32) for _ in range(_NOISE_DRAWS))
            start = next((draw for draw in draws if search.score(draw) >= search.needed), None)
        elif kind == "given":
            start = given["given"][e]
        elif kind == "nearest":
            samples = given["nearest"][e]
            start = samples[cycle % len(samples)] if len(samples) else None
        if start is not None and search.score(start) >= search.needed:
            return search.tuple_at(_to_boundary(search, np.clip(start, task.low, task.high).astype(np.float32)))
        chosen = search.free_tuple()
        return chosen if search.extend(chosen, np.inf) else None


def _to_boundary(search: LeafSearch, far: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the point of the other label, by the trees, that bisection finds on the line from the original."""
    low, high, point = 0.0, 1.0, far
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        between = (search.x + middle * (far.astype(np.float64) - search.x)).astype(np.float32)
        if search.score(between) >= search.needed:
            high, point = middle, between
        else:
            low = middle
    return point


def _check_same(class_name: str, trees: Trees, task: Task, correct: NDArray[np.bool_]) -> None:
    """Raise ValueError if the trees give an example another label than the model."""
    score = trees.score(task.x)
    sure = (np.abs(score) > trees.rounding) | (trees.rounding == 0)
    differ = sure & (((score > 0) == (task.y == 1)) != correct)
    if differ.any():
        raise refuse(
            class_name,
            "trees",
            "those of the model behind `labels`",
            Described(f"trees that label {differ.sum()} of {len(differ)} examples differently"),
        )
