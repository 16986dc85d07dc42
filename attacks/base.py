"""What the attacks that see nothing but labels have in common: the call, the starts, the rounds, the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from attacks.engine.bisection import BoundarySearch
from attacks.engine.checkpoint import Journal, fingerprint
from attacks.engine.initial_points import Candidates, begin_runs, nearest_rows, noise_starts
from attacks.engine.run_state import Runs, collect
from attacks.engine.validation import (
    Task,
    check_bool,
    check_choice,
    check_int,
    check_memory,
    read_pool,
    read_starts,
    read_task,
)
from attacks.oracle import LABEL, LabelFunction, LabelOracle, rows_within
from attacks.result import AttackResult


class Attack:
    """What every attack declares of itself; an attack overrides what differs from these defaults.

    Attributes
    ----------
    requires : {"label", "score", "members", "gradient", "weights"}
        Access to the model that the attack needs.
    takes : {"rows", "documents"}
        What it changes: rows of numbers, or documents of tokens.
    method_version : int
        Raised when a change alters the numbers: state files and stored attacks of another version do not count.
    """

    requires: str = LABEL
    takes: str = "rows"
    method_version: int = 1

    def check_ready(self) -> None:
        """Raise FileNotFoundError, ImportError or ValueError for a file or package that is missing, before any work."""

    def inputs(self) -> dict[str, str]:
        """Checksums and versions of files and packages that decide the numbers; they belong to the key of a result."""
        return {}

    def notes(self) -> list[str]:
        """Sentences about the files in use that a reader of the results should see."""
        return []

    def starts_from(self) -> frozenset[str]:
        """Training data that the call needs: "nearest" (`pool` and `pool_labels`), "given" (`starts`), or neither."""
        return frozenset()


class DecisionAttack(Attack, ABC):
    """An attack on labels. A subclass checks its own parameters, keeps them as attributes and writes `_attack`.

    Every attribute of the instance that is a parameter belongs to the identity of a state file, except
    `memory_budget` and `verbose`, which change no number.

    Parameters
    ----------
    query_budget : int or None
        Most queries per example over everything: its own label, starts and all restarts. Never exceeded.
    memory_budget : int or str
        Bytes for the rows of one model call and their copies, e.g. 268435456 or "256MiB".
    verbose : bool
        Show a progress bar.
    """

    norm: str = "l2"

    def __init__(self, *, query_budget: int | None, memory_budget: int | str, verbose: bool) -> None:
        own = type(self).__name__
        self.query_budget = None if query_budget is None else check_int(own, "query_budget", query_budget, 1)
        self.memory_budget = check_memory(own, "memory_budget", memory_budget)
        self.verbose = check_bool(own, "verbose", verbose)

    def __call__(
        self,
        labels: LabelFunction,
        x: ArrayLike,
        y: ArrayLike,
        *,
        clip: tuple[float, float] = (0.0, 1.0),
        index: ArrayLike | None = None,
        pool: ArrayLike | None = None,
        pool_labels: ArrayLike | None = None,
        starts: Any = None,
        state: str | Path | None = None,
    ) -> AttackResult:
        """Attack the model behind `labels` at the points `x`.

        Parameters
        ----------
        labels : callable
            Takes float32 rows (n, d) within the clip box, returns n integer labels. The rows are only lent: their
            memory is used again after the call. With an attribute `device`, a torch device, it takes tensors there,
            too: then HopSkipJump and the boundary searches of all make their rows on it (:mod:`attacks.engine.cuda`).
        x : array of shape (n, d)
            Originals, finite and within `clip`.
        y : array of int, shape (n,)
            True labels; a row is adversarial when the model gives it another one.
        clip : (low, high)
            Bounds of every feature; nothing outside is asked or returned.
        index : array of int, shape (n,), optional
            Numbers of the points: they appear in the result and name the random streams. Default 0..n-1.
        pool, pool_labels : array (m, d) and array of int (m,), optional
            For start="nearest": rows tried in order of L2 distance, those of the point's own label left out.
        starts : dict of label to array (d,), or array (n, d), optional
            For start="given": the image for the points of that true label, or one for each point.
        state : path, optional
            File that keeps the progress; the same call continues from it. It is not removed at the end: with the
            file of a finished attack the call returns at once and asks nothing.

        Returns
        -------
        result : AttackResult

        Raises
        ------
        ValueError
            Bad points, or a state file of another attack.
        """
        own = type(self).__name__
        task = read_task(own, x, y, clip, index)
        shared = self._candidates(own, task, pool, pool_labels, starts)
        oracle = LabelOracle(
            labels,
            len(task.x),
            task.x.shape[1],
            budget=self.query_budget,
            batch_rows=rows_within(self.memory_budget, task.x.shape[1]),
        )
        identity = fingerprint(self._identity(task), {"x": task.x, "y": task.y, "index": task.index, **_arrays(shared)})
        with Journal(oracle, task.y, None if state is None else Path(state), identity) as journal:
            if journal.finished:
                return AttackResult.from_arrays(journal.snapshot)
            result = self._attack(task, journal, shared)
            journal.finish(result.to_arrays())
        return result

    @abstractmethod
    def _attack(self, task: Task, journal: Journal, shared: Candidates | None) -> AttackResult:
        """Attack checked points; continue from `journal.snapshot` if it holds anything."""

    def _candidates(self, own: str, task: Task, pool: Any, pool_labels: Any, starts: Any) -> Candidates | None:
        """Starts that the caller gave; None where an attack finds its own."""
        return None

    def _identity(self, task: Task) -> dict[str, Any]:
        """Everything that decides the numbers, besides the arrays."""
        passing = ("memory_budget", "verbose")
        names = {name: value for name, value in vars(self).items() if name not in passing}
        return {
            **names,
            "low": task.low,
            "high": task.high,
            "attack": type(self).__name__,
            "version": self.method_version,
        }


class RestartedAttack(DecisionAttack):
    """A decision attack whose runs, several for each example, walk from adversarial points towards the original.

    Parameters
    ----------
    max_iter : int
        Iterations of a run.
    restarts : int
        Independent runs per example; the closest adversarial of all is returned.
    init_size : int
        Most start candidates to ask for a run.
    start : {"noise", "nearest", "given"}
        Uniform noise in the clip box; the nearest row of `pool` that the model labels differently; or `starts`.
    seed : int
    **common
        Parameters of :class:`DecisionAttack`.
    """

    def __init__(self, *, max_iter: int, restarts: int, init_size: int, start: str, seed: int, **common: Any) -> None:
        super().__init__(**common)
        own = type(self).__name__
        self.max_iter = check_int(own, "max_iter", max_iter, 0)
        self.restarts = check_int(own, "restarts", restarts, 1)
        self.init_size = check_int(own, "init_size", init_size, 1)
        self.start = check_choice(own, "start", start, ("noise", "nearest", "given"))
        self.seed = check_int(own, "seed", seed, None)

    def starts_from(self) -> frozenset[str]:
        """What `start` needs."""
        return frozenset({self.start}) & {"nearest", "given"}

    def _candidates(self, own: str, task: Task, pool: Any, pool_labels: Any, starts: Any) -> Candidates | None:
        if self.start == "nearest":
            return nearest_rows(task, *read_pool(own, pool, pool_labels, task), self.init_size)
        if self.start == "given":
            return Candidates(read_starts(own, starts, task), [np.array([e]) for e in range(len(task.x))])
        return None

    def _start(
        self, task: Task, journal: Journal, shared: Candidates | None, to_boundary: bool = True
    ) -> BoundarySearch:
        """Settle the starts of all runs; starts from noise go to the boundary at once unless told otherwise."""
        runs = begin_runs(task, journal, self.restarts, self.init_size, shared)
        search = BoundarySearch(task, journal, runs, self.norm == "linf")
        if shared is None:
            noise_starts(search, self.init_size, self.seed, to_boundary)
        return search

    def _iterate_all(
        self, search: BoundarySearch, iterate: Callable[[], None], state: Mapping[str, NDArray[Any]] | None = None
    ) -> None:
        """Call `iterate` until `max_iter` or until all runs have stopped, with a snapshot and a bar after each.

        `state` are arrays beside the runs' own that a snapshot needs; `iterate` changes them in place.
        """
        runs, journal = search.runs, search.journal
        with tqdm(total=self.max_iter, initial=int(runs.iteration), desc=type(self).__name__, unit="iteration",
                  disable=not self.verbose) as bar:  # fmt: skip
            while int(runs.iteration) < self.max_iter and not runs.stopped.all():
                iterate()
                journal.mark({**runs.to_arrays(), **(state or {})})
                bar.update()
                bar.set_postfix_str(mean_best(search))


def project_and_collect(search: BoundarySearch, **extra: NDArray[Any]) -> AttackResult:
    """Project every run's best point to the boundary, end the traces and take the best run of each example."""
    started = np.flatnonzero(search.runs.started)
    search.finish(started)
    search.runs.write_trace(started)
    return collect(search.task, search.runs, search.journal.oracle.queries, search.linf, **extra)


def mean_best(search: BoundarySearch) -> str:
    """Mean over the examples of the best distance of their started runs, for the bar; NaN if there are none."""
    runs: Runs = search.runs
    best = np.full(len(search.task.x), np.inf)
    np.minimum.at(best, runs.example, runs.linf if search.linf else runs.l2)
    mean = float(best[np.isfinite(best)].mean()) if np.isfinite(best).any() else float("nan")
    return f"mean best {'linf' if search.linf else 'l2'} {mean:.4g}"


def _arrays(shared: Candidates | None) -> dict[str, NDArray[Any]]:
    """What of the starts decides the numbers: the candidates and their order."""
    if shared is None:
        return {}
    return {"images": shared.images, "order": np.concatenate(shared.order)}
