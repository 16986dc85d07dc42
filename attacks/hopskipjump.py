"""HopSkipJump, batched: every model call serves all examples and restarts at once."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .base import RestartedAttack, project_and_collect
from .engine.bisection import PROJECTION_QUERIES, BoundarySearch
from .engine.checkpoint import Journal
from .engine.gradient_estimate import estimate_gradient
from .engine.initial_points import Candidates, run_keys
from .engine.run_state import Selection
from .engine.validation import Task, check_choice, check_int, check_number
from .result import AttackResult

_MAX_HALVINGS = 40  # after these the step is below the rounding of float32: the run keeps its point


class HopSkipJump(RestartedAttack):
    """HopSkipJump (Chen, Jordan, Wainwright 2020), a decision-based attack that minimises L2 or L-infinity.

    The schedule of evaluations, steps and bisections is that of ART 1.20.1, so that the two can be compared. Deliberate
    differences to ART:

    - The closest of all boundary points is returned, after a final projection to within 1e-4 of its distance. (ART
      returns its last point after a step.)
    - The starts come from the seed. A failed start is a failure, not the original image.
    - All examples and restarts advance together, and a query budget can be set.

    With ``subspace="dct"`` the probes are in the low frequencies of an image, as in QEBA (Li, Xu, Zhang, Yang, Li, CVPR
    2020, arXiv:2005.14137). QEBA's other schedule is not used.

    Parameters
    ----------
    norm : {"l2", "linf"}
        The distance to minimise.
    max_iter : int
        Iterations of gradient estimate, step and bisection.
    max_eval, init_eval : int
        Iteration t (from 0) spends min(init_eval * sqrt(t + 1), max_eval) queries on its gradient estimate.
    delta : float
        Probe radius of the gradient estimate, relative to the current distance. 0.01 is the default of the authors
        and of ART. Sign networks are piecewise constant, so such small probes seldom cross a cell border; 0.1 finds
        closer adversarials with the same number of queries (docs/results/README.md).
    restarts, init_size, start, subspace, subspace_size, query_budget, seed, memory_budget, verbose
        See :class:`attacks.base.RestartedAttack`.

    Examples
    --------
    >>> attack = HopSkipJump(max_iter=20, restarts=2)
    >>> result = attack(model.predict, X_test[:10], y_test[:10])  # doctest: +SKIP
    >>> result.l2  # doctest: +SKIP
    """

    method_version = 1

    def __init__(
        self,
        *,
        norm: str = "l2",
        max_iter: int = 100,
        restarts: int = 10,
        max_eval: int = 10000,
        init_eval: int = 100,
        delta: float = 0.01,
        init_size: int = 1000,
        start: str = "noise",
        subspace: str | None = None,
        subspace_size: int | str = "auto",
        query_budget: int | None = None,
        seed: int = 0,
        memory_budget: int | str = "256MiB",
        verbose: bool = False,
    ) -> None:
        super().__init__(
            max_iter=max_iter,
            restarts=restarts,
            init_size=init_size,
            start=start,
            subspace=subspace,
            subspace_size=subspace_size,
            seed=seed,
            query_budget=query_budget,
            memory_budget=memory_budget,
            verbose=verbose,
        )
        class_name = type(self).__name__
        self.norm = check_choice(class_name, "norm", norm, ("l2", "linf"))
        self.max_eval = check_int(class_name, "max_eval", max_eval, 1)
        self.init_eval = check_int(class_name, "init_eval", init_eval, 1)
        self.delta = check_number(class_name, "delta", delta, above=0)

    def _attack(self, task: Task, journal: Journal, shared: Candidates | None) -> AttackResult:
        d = task.x.shape[1]
        theta = 0.01 / (math.sqrt(d) if self.norm == "l2" else d)
        search = self._start_at_boundary(task, journal, shared, theta)
        self._iterate_all(search, lambda: self._iterate(search, theta))
        return project_and_collect(search)

    def _iterate(self, search: BoundarySearch, theta: float) -> None:
        """Do one iteration of all runs: gradient estimate, step, bisection."""
        runs, t = search.runs, int(search.runs.iteration)
        planned = min(int(self.init_eval * math.sqrt(t + 1)), self.max_eval)
        # leave queries for the step and the bisections after the estimate
        n_probes = np.minimum(planned, search.left(np.arange(len(runs))) - PROJECTION_QUERIES)
        runs.stopped |= n_probes < 1
        run_ids = np.flatnonzero(~runs.stopped)
        runs.iteration = np.array(t + 1)
        if not len(run_ids):
            return
        l2, linf = search.measure(run_ids, runs.point)
        distance = linf if search.linf else l2
        # the first radius is a tenth of the box, later ones are relative to the distance (the authors' program, ART)
        first_radius = 0.1 * search.task.width
        radius = np.full(len(run_ids), first_radius) if t == 0 else self.delta * distance
        keys = run_keys(search, self.seed, "direction", run_ids, t)
        direction = estimate_gradient(search, run_ids, n_probes[run_ids], radius, keys)
        step(search, run_ids, direction, distance / math.sqrt(t + 1))
        search.search(run_ids, search.linf, theta)
        runs.steps[run_ids] += 1
        runs.write_trace(run_ids)


def step(
    search: BoundarySearch, run_ids: Selection, direction: NDArray[np.float32], length: NDArray[np.float64]
) -> None:
    """Move the points of the runs along their directions, by the first length that stays adversarial.

    Parameters
    ----------
    search : BoundarySearch
    run_ids : ndarray of int64, shape (k,)
    direction : ndarray of float32, shape (k, d)
    length : ndarray of float64, shape (k,)
        First length to try, in feature units; it is halved until the moved point is adversarial.
    """
    length, pending, query = length.copy(), np.arange(len(run_ids)), search.inputs.rays(run_ids, direction)
    for _ in range(_MAX_HALVINGS):
        pending = pending[search.left(run_ids[pending]) > 0]
        if not len(pending):
            return
        adversarial = query(pending, length[pending])
        moved = pending[adversarial]
        points = np.empty((len(moved), direction.shape[1]), dtype=np.float32)
        search.host.step(run_ids[moved], direction[moved], length[moved], points)
        search.runs.point[run_ids[moved]] = points
        pending = pending[~adversarial]
        length[pending] /= 2.0
