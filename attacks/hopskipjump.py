"""HopSkipJump, batched: every model call serves all examples and restarts at once."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from attacks.boundary_search import BoundarySearch
from attacks.checks import Task, check_bool, check_choice, check_int, check_memory, read_pool, read_starts, read_task
from attacks.direction import estimate_directions
from attacks.oracle import LABEL, LabelFunction, LabelOracle, rows_within
from attacks.record import AttackResult
from attacks.runs import Runs, collect
from attacks.starts import Candidates, begin_runs, nearest_rows, noise_starts, run_keys
from attacks.state import Journal, fingerprint
from attacks.step import step

_RESERVE = 24  # queries kept back from a direction estimate for the step and the searches after it


class HopSkipJump:
    """HopSkipJump (Chen, Jordan, Wainwright 2020), a decision attack that minimises the L2 or L-infinity distance.

    The schedule of evaluations, steps and bisections is that of ART 1.20.1, so that the two compare. Different on
    purpose: the closest of all boundary points seen is returned, after a last projection to within 1e-4 of its
    distance (ART returns its last stepped point); the starts come from the seed; a failed start is a failure and
    not the original image; all examples and restarts advance together; a query budget may be set.

    Every run (example, restart) draws from random streams of its own, so its result does not depend on what else is
    attacked, on `memory_budget`, on the number of threads, or on being interrupted and resumed. (With a query
    budget an example's restarts share it equally, so there their number counts.)

    Parameters
    ----------
    norm : {"l2", "linf"}
        The distance to minimise.
    max_iter : int
        Iterations of direction estimate, step and boundary search.
    restarts : int
        Independent runs per example; the closest adversarial of all is returned.
    max_eval, init_eval : int
        Iteration t (from 0) spends min(init_eval * sqrt(t + 1), max_eval) queries on its direction.
    init_size : int
        Most start candidates to ask for a run.
    start : {"noise", "nearest", "given"}
        Uniform noise in the clip box; the nearest row of `pool` that the model labels differently; or `starts`.
    query_budget : int or None
        Most queries per example over everything: its own label, starts and all restarts. Never exceeded.
    seed : int
    memory_budget : int or str
        Bytes for the rows of one model call and their copies, e.g. 268435456 or "256MiB".
    verbose : bool
        Show a bar of iterations with the mean of the best distances.

    Examples
    --------
    >>> attack = HopSkipJump(max_iter=20, restarts=2)
    >>> result = attack(model.predict, X_test[:10], y_test[:10])  # doctest: +SKIP
    >>> result.l2  # doctest: +SKIP
    """

    requires = LABEL
    method_version = 1  # raise it when a change alters the numbers: old state files and stored attacks no longer count

    def __init__(
        self,
        *,
        norm: str = "l2",
        max_iter: int = 100,
        restarts: int = 10,
        max_eval: int = 10000,
        init_eval: int = 100,
        init_size: int = 1000,
        start: str = "noise",
        query_budget: int | None = None,
        seed: int = 0,
        memory_budget: int | str = "256MiB",
        verbose: bool = False,
    ) -> None:
        own = type(self).__name__
        self.norm = check_choice(own, "norm", norm, ("l2", "linf"))
        self.max_iter = check_int(own, "max_iter", max_iter, 0)
        self.restarts = check_int(own, "restarts", restarts, 1)
        self.max_eval = check_int(own, "max_eval", max_eval, 1)
        self.init_eval = check_int(own, "init_eval", init_eval, 1)
        self.init_size = check_int(own, "init_size", init_size, 1)
        self.start = check_choice(own, "start", start, ("noise", "nearest", "given"))
        self.query_budget = None if query_budget is None else check_int(own, "query_budget", query_budget, 1)
        self.seed = check_int(own, "seed", seed, None)
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
            memory is used again after the call.
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

    def _candidates(self, own: str, task: Task, pool: Any, pool_labels: Any, starts: Any) -> Candidates | None:
        if self.start == "nearest":
            return nearest_rows(task, *read_pool(own, pool, pool_labels, task), self.init_size)
        if self.start == "given":
            return Candidates(read_starts(own, starts, task), [np.array([e]) for e in range(len(task.x))])
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

    def _start(self, task: Task, journal: Journal, shared: Candidates | None) -> BoundarySearch:
        """Settle the starts of all runs."""
        runs = begin_runs(task, journal, self.restarts, self.init_size, shared)
        search = BoundarySearch(task, journal, runs, self.norm == "linf")
        if shared is None:
            noise_starts(search, self.init_size, self.seed)
        return search

    def _attack(self, task: Task, journal: Journal, shared: Candidates | None) -> AttackResult:
        d = task.x.shape[1]
        theta = 0.01 / (math.sqrt(d) if self.norm == "l2" else d)
        if journal.snapshot:
            runs = Runs.from_arrays(journal.snapshot)
            search = BoundarySearch(task, journal, runs, self.norm == "linf")
        else:
            search = self._start(task, journal, shared)
            runs = search.runs
            started = np.flatnonzero(runs.started)
            search.search(started, search.linf, theta)
            runs.write_trace(started)
            journal.mark(runs.to_arrays())
        with tqdm(total=self.max_iter, initial=int(runs.iteration), desc=type(self).__name__, unit="iteration",
                  disable=not self.verbose) as bar:  # fmt: skip
            while int(runs.iteration) < self.max_iter:
                self._iterate(search, theta)
                journal.mark(runs.to_arrays())
                bar.update()
                bar.set_postfix_str(f"mean best {self.norm} {_mean_best(task, runs, search.linf):.4g}")
        started = np.flatnonzero(runs.started)
        search.finish(started)
        runs.write_trace(started)
        return collect(task, runs, journal.oracle.queries, search.linf)

    def _iterate(self, search: BoundarySearch, theta: float) -> None:
        """One iteration of all runs: direction, step, boundary search."""
        runs, t = search.runs, int(search.runs.iteration)
        planned = min(int(self.init_eval * math.sqrt(t + 1)), self.max_eval)
        evaluations = np.minimum(planned, search.left(np.arange(len(runs))) - _RESERVE)
        runs.stopped |= evaluations < 1
        who = np.flatnonzero(~runs.stopped)
        runs.iteration = np.array(t + 1)
        if not len(who):
            return
        l2, linf = search.measure(who, runs.point)
        distance = linf if search.linf else l2
        # the first move is a tenth of the box, later ones follow the distance (the authors' program and ART)
        wide = 0.1 * (search.task.high - search.task.low)
        delta = np.full(len(who), wide) if t == 0 else 0.01 * distance
        keys = run_keys(search, self.seed, "direction", who, t)
        direction = estimate_directions(search, who, evaluations[who], delta, keys)
        step(search, who, direction, distance / math.sqrt(t + 1))
        search.search(who, search.linf, theta)
        runs.steps[who] += 1
        runs.write_trace(who)


def _mean_best(task: Task, runs: Runs, linf: bool) -> float:
    """Mean over the examples of the best distance of their started runs; NaN if there are none."""
    best = np.full(len(task.x), np.inf)
    np.minimum.at(best, runs.example, runs.linf if linf else runs.l2)
    return float(best[np.isfinite(best)].mean()) if np.isfinite(best).any() else float("nan")


def _arrays(shared: Candidates | None) -> dict[str, NDArray[Any]]:
    """What of the starts decides the numbers: the candidates and their order."""
    if shared is None:
        return {}
    return {"images": shared.images, "order": np.concatenate(shared.order)}
