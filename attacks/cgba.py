"""CGBA: along half circles from the boundary towards the original, in the plane of an estimated normal."""

from __future__ import annotations

import math

import numpy as np

from attacks.base import RestartedAttack, project_and_collect
from attacks.engine.bisection import BoundarySearch
from attacks.engine.checkpoint import Journal
from attacks.engine.gradient_estimate import estimate_directions
from attacks.engine.initial_points import Candidates, run_keys
from attacks.engine.run_state import Runs
from attacks.engine.semicircle import Arcs
from attacks.engine.validation import Task, check_int, check_number
from attacks.result import AttackResult

_RESERVE = 24  # queries of every run kept back for its last projection
_SEARCH = 24  # queries kept back from a normal estimate for the search after it
_FINE = 0.01  # the boundary is found to within this share of the length of the estimate's moves


class CGBA(RestartedAttack):
    """CGBA (Reza, Rahmati, Wu, Dai, ICCV 2023, arXiv:2308.03163), a decision attack that minimises the L2 distance.

    Iteration t (from 0) spends init_eval * sqrt(t + 1) queries on an estimate of the boundary's normal at the run's
    point: Gaussian moves of length `delta` times the distance, weighted by the side on which they end. Then it bisects
    the half circle that leads from the point to the original in the plane of the normal; the boundary point found there
    is the new point. Where the boundary is a plane and the normal right, that is the nearest point of all. This is
    the paper's attack for boundaries of little curvature and no target class (not its variant CGBA-H).

    Every run (example, restart) draws from random streams of its own, so its result does not depend on what else is
    attacked, on `memory_budget`, on the number of threads, or on being interrupted and resumed. (With a query
    budget an example's restarts share it equally, so there their number counts.)

    Different from the paper and its authors' program:

    - The moves are Gaussian in all features, not in low frequencies of an image, for a row of features has no shape.
    - Their length follows the distance. The program's standard deviation is fixed at 0.0002 per feature, between a
      hundredth and a thousandth of the distances of its images. At that scale the boundary of a sign network is jagged:
      on five CIFAR-10 points and 100 votes of scd01 the mean distance after 5,000 queries is 15.8 with the program's
      moves and 7.8 with a tenth of the distance. On a half-space and on balls the longer moves cost nothing.
    - They are weighted less their mean weight, as in HopSkipJump's estimate.
    - The half circle is bisected as a whole, to within a hundredth of the moves' length. (The program goes to 45, 67.5,
      78.75, ... degrees until the original's label returns, which is the same, and then begins again from 0 degrees; it
      stops at 1e-4.) Rows outside the box are clipped in this search too.
    - The starts are those of the other attacks here, and the end is a projection to within 1e-4 of the distance.

    Parameters
    ----------
    max_iter : int
        Iterations of normal estimate and search.
    restarts : int
        Independent runs per example; the closest adversarial of all is returned.
    max_eval, init_eval : int
        Iteration t (from 0) spends min(init_eval * sqrt(t + 1), max_eval) queries on its normal.
    delta : float
        Length of the estimate's moves, as a share of the distance.
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
    >>> result = CGBA(query_budget=5000)(model.predict, X_test[:10], y_test[:10])  # doctest: +SKIP
    >>> result.l2  # doctest: +SKIP
    """

    method_version = 1

    def __init__(
        self,
        *,
        max_iter: int = 100,
        restarts: int = 1,
        max_eval: int = 10000,
        init_eval: int = 30,
        delta: float = 0.1,
        init_size: int = 1000,
        start: str = "noise",
        query_budget: int | None = 10000,
        seed: int = 0,
        memory_budget: int | str = "256MiB",
        verbose: bool = False,
    ) -> None:
        super().__init__(
            max_iter=max_iter, restarts=restarts, init_size=init_size, start=start, seed=seed,
            query_budget=query_budget, memory_budget=memory_budget, verbose=verbose,
        )  # fmt: skip
        own = type(self).__name__
        self.max_eval = check_int(own, "max_eval", max_eval, 1)
        self.init_eval = check_int(own, "init_eval", init_eval, 1)
        self.delta = check_number(own, "delta", delta, above=0.0, below=1.0)

    def _attack(self, task: Task, journal: Journal, shared: Candidates | None) -> AttackResult:
        if journal.snapshot:
            runs = Runs.from_arrays(journal.snapshot)
            search = BoundarySearch(task, journal, runs, linf=False)
        else:
            search = self._start(task, journal, shared)
            runs = search.runs
            started = np.flatnonzero(runs.started)
            search.search(started, False, 0.01 / math.sqrt(task.x.shape[1]))
            runs.write_trace(started)
            journal.mark(runs.to_arrays())
        arcs = Arcs(search, np.zeros_like(runs.point))
        self._iterate_all(search, lambda: self._iterate(search, arcs))
        return project_and_collect(search)

    def _iterate(self, search: BoundarySearch, arcs: Arcs) -> None:
        """One iteration of all runs: normal, then search on the half circle."""
        runs, t = search.runs, int(search.runs.iteration)
        planned = min(int(self.init_eval * math.sqrt(t + 1)), self.max_eval)
        evaluations = np.minimum(planned, search.left(np.arange(len(runs))) - _RESERVE - _SEARCH)
        runs.stopped |= evaluations < 1
        who = np.flatnonzero(~runs.stopped)
        runs.iteration = np.array(t + 1)
        if not len(who):
            return
        distance, _ = search.measure(who, runs.point)
        keys = run_keys(search, self.seed, "normal", who, t)
        arcs.tangent[who] = estimate_directions(search, who, evaluations[who], self.delta * distance, keys)
        arcs.turn(who)
        arcs.land(who, arcs.bisect(who, np.full(len(who), _FINE * self.delta), _RESERVE))
        runs.steps[who] += 1
        runs.write_trace(who)
