"""CGBA: along semicircles from the boundary towards the original, in the plane of an estimated normal."""

from __future__ import annotations

import math

import numpy as np

from .base import RestartedAttack, project_and_collect
from .engine.bisection import PROJECTION_QUERIES, BoundarySearch
from .engine.checkpoint import Journal
from .engine.gradient_estimate import estimate_gradient
from .engine.initial_points import Candidates, run_keys
from .engine.semicircle import Arcs
from .engine.validation import Task, check_int, check_number
from .result import AttackResult

_BISECTION_QUERIES = 24  # reserved from a gradient estimate for the bisection after it
_ANGLE_TOLERANCE = 0.01  # of the bisection, as a fraction of the probe radius


class CGBA(RestartedAttack):
    """CGBA (Reza, Rahmati, Wu, Dai, ICCV 2023, arXiv:2308.03163), a decision-based attack that minimises L2.

    Iteration t (from 0) spends init_eval * sqrt(t + 1) queries on an estimate of the boundary's normal at the run's
    point: Gaussian probes of radius `delta` times the distance, weighted by the side on which they end. Then it bisects
    the semicircle from the point to the original in the plane of the normal. The boundary point found there is the
    new point. If the boundary is a plane and the normal is exact, this is the nearest boundary point. This is the
    paper's untargeted attack for boundaries of low curvature (not its variant CGBA-H).

    Differences to the paper and its authors' program:

    - The probes are Gaussian in all features. With ``subspace="dct"`` they are in the low frequencies of an image, as
      in the authors' program for ImageNet.
    - The probe radius is relative to the distance. The program's standard deviation is fixed at 0.0002 per feature,
      between a hundredth and a thousandth of the distances of its images. At that scale the boundary of a sign network
      is jagged: on five CIFAR-10 points and 100 votes of scd01 the mean distance after 5,000 queries is 15.8 with the
      program's probes and 7.8 with delta = 0.1. On a half-space and on balls the larger probes cost nothing.
    - The mean weight is subtracted, as in HopSkipJump's estimate.
    - The semicircle is bisected as a whole, to within a hundredth of the probe radius. (The program goes to 45, 67.5,
      78.75, ... degrees until the original's label returns, which is equivalent, and then starts again from 0 degrees;
      it stops at 1e-4.) Inputs outside the box are clipped in this search too.
    - The starts are those of the other attacks here, and the result is projected to within 1e-4 of its distance.

    Parameters
    ----------
    max_iter : int
        Iterations of gradient estimate and bisection.
    max_eval, init_eval : int
        Iteration t (from 0) spends min(init_eval * sqrt(t + 1), max_eval) queries on its gradient estimate.
    delta : float
        Probe radius of the gradient estimate, relative to the distance.
    restarts, init_size, start, subspace, subspace_size, query_budget, seed, memory_budget, verbose
        See :class:`attacks.base.RestartedAttack`.

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
        subspace: str | None = None,
        subspace_size: int | str = "auto",
        query_budget: int | None = 10000,
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
        self.max_eval = check_int(class_name, "max_eval", max_eval, 1)
        self.init_eval = check_int(class_name, "init_eval", init_eval, 1)
        self.delta = check_number(class_name, "delta", delta, above=0.0, below=1.0)

    def _attack(self, task: Task, journal: Journal, shared: Candidates | None) -> AttackResult:
        search = self._start_at_boundary(task, journal, shared, 0.01 / math.sqrt(task.x.shape[1]))
        arcs = Arcs(search, np.zeros_like(search.runs.point))
        self._iterate_all(search, lambda: self._iterate(search, arcs))
        return project_and_collect(search)

    def _iterate(self, search: BoundarySearch, arcs: Arcs) -> None:
        """Do one iteration of all runs: estimate the normal, then bisect the semicircle."""
        runs, t = search.runs, int(search.runs.iteration)
        planned = min(int(self.init_eval * math.sqrt(t + 1)), self.max_eval)
        left = search.left(np.arange(len(runs)))
        n_probes = np.minimum(planned, left - PROJECTION_QUERIES - _BISECTION_QUERIES)
        runs.stopped |= n_probes < 1
        run_ids = np.flatnonzero(~runs.stopped)
        runs.iteration = np.array(t + 1)
        if not len(run_ids):
            return
        distance, _ = search.measure(run_ids, runs.point)
        keys = run_keys(search, self.seed, "normal", run_ids, t)
        arcs.tangent[run_ids] = estimate_gradient(search, run_ids, n_probes[run_ids], self.delta * distance, keys)
        arcs.turn(run_ids)
        tolerance = np.full(len(run_ids), _ANGLE_TOLERANCE * self.delta)
        arcs.land(run_ids, arcs.bisect(run_ids, tolerance, PROJECTION_QUERIES))
        runs.steps[run_ids] += 1
        runs.write_trace(run_ids)
