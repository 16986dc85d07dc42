"""RayS, batched: every model call serves all examples at once."""

import math

import numpy as np
from tqdm import tqdm

from attacks.base import DecisionAttack, mean_best, project_and_collect
from attacks.engine.bisection import BoundarySearch
from attacks.engine.checkpoint import Journal
from attacks.engine.initial_points import Candidates, begin_runs
from attacks.engine.ray_search import Rays, RaySearch
from attacks.engine.run_state import Runs
from attacks.engine.validation import Task, check_number
from attacks.result import AttackResult

_RESERVE = 16  # queries kept back from the search for the last projection
_ROUND = 200  # questions between two rows of the trace and two snapshots


class RayS(DecisionAttack):
    """RayS (Chen, Gu 2020, arXiv:2006.12792), a decision attack for the L-infinity distance along rays of signs.

    A direction s has entries +1 and -1, and its point at radius r is clip(x + r s). The best direction begins as all
    +1 with an infinite radius. A candidate is the best direction with one block of features turned:

    - Level 0 is one block of all d features, level k has blocks of ceil(d / 2^k) neighbouring features, tried in
      order from the first; the last is shorter, or missing, where d is no power of two. After the last block comes
      the next level, after the level of single features that level again. The first candidate is therefore all -1;
      the direction of all +1 itself is asked only if turning leads back to it.
    - Fast check: is the candidate adversarial at the best radius? (At an infinite one: its corner of the box. As
      long as no corner is adversarial, every candidate costs one query and the best direction stays all +1.) If not,
      the next candidate follows.
    - Else its boundary is bisected between 0 and the best radius (first: the width of the box) until the bracket is
      `tolerance` wide, measured in L2 along the ray as in the authors' program: tolerance / sqrt(d) in L-infinity. An
      upper end below the best radius makes the candidate the best direction.

    Nothing is drawn at random and no start is needed, so there are no restarts and no seed.

    The authors' batch program (RayS.py) is followed in the order of candidates, brackets and tolerance. Different on
    purpose: an example's search ends when all d turns of a single feature in a row gave nothing, for from there on
    the program asks the same rows again until its queries are spent; the program's single-image variant also ends
    at a radius epsilon, which is left out because the least distance is sought; the point with the least distance
    after clipping is returned (the program returns the last), bisected on its ray to within 1e-4 of its distance; the
    box may be other than [0, 1]; the query limit is never exceeded, and includes the question for the example's own
    label; an example without any adversarial candidate is a failure.

    An example's result does not depend on what else is attacked, on `memory_budget`, on the number of threads, or on
    being interrupted and resumed. `iteration` in the trace counts candidates; a row is written every 200 queries.

    Parameters
    ----------
    query_budget : int or None
        Most queries per example over everything; None searches until no single feature can be turned with gain.
    tolerance : float
        Width at which a bisection ends: L2, in feature units.
    memory_budget : int or str
        Bytes for the rows of one model call and their copies, e.g. 268435456 or "256MiB".
    verbose : bool
        Show a bar of queries with the mean of the best distances.

    Examples
    --------
    >>> attack = RayS(query_budget=10000)
    >>> result = attack(model.predict, X_test[:10], y_test[:10])  # doctest: +SKIP
    >>> result.linf, result.l2  # doctest: +SKIP
    """

    method_version = 1
    norm = "linf"

    def __init__(
        self,
        *,
        query_budget: int | None = 40000,
        tolerance: float = 1e-3,
        memory_budget: int | str = "256MiB",
        verbose: bool = False,
    ) -> None:
        super().__init__(query_budget=query_budget, memory_budget=memory_budget, verbose=verbose)
        self.tolerance = check_number(type(self).__name__, "tolerance", tolerance, above=0.0)

    def _attack(self, task: Task, journal: Journal, shared: Candidates | None) -> AttackResult:
        d = task.x.shape[1]
        if journal.snapshot:
            runs, rays = Runs.from_arrays(journal.snapshot), Rays.from_arrays(journal.snapshot)
        else:
            runs = begin_runs(task, journal, 1, 1, shared)
            rays = Rays.of(len(runs), d)
            journal.mark({**runs.to_arrays(), **rays.to_arrays()})
        search = BoundarySearch(task, journal, runs, linf=True)
        ray_search = RaySearch(search, rays, self.tolerance / math.sqrt(d))
        with tqdm(total=self.query_budget, initial=int(runs.iteration), desc=type(self).__name__, unit="query",
                  disable=not self.verbose) as bar:  # fmt: skip
            while not runs.stopped.all():
                self._round(ray_search)
                journal.mark({**runs.to_arrays(), **rays.to_arrays()})
                bar.update(int(runs.iteration) - bar.n)
                bar.set_postfix_str(mean_best(search))
        return project_and_collect(search)

    def _round(self, ray_search: RaySearch) -> None:
        """Ask up to 200 questions of every search that goes on."""
        search, runs = ray_search.search, ray_search.search.runs
        for _ in range(_ROUND):
            who = np.flatnonzero(~runs.stopped)
            kept = np.where(runs.started[who], _RESERVE, 0)
            spent = search.left(who) <= kept
            ray_search.settle(who[spent])
            runs.stopped[who[spent]] = True
            runs.starved[who[spent]] = ~runs.started[who[spent]]
            who = who[~spent]
            if not len(who):
                break
            ray_search.step(who)
            runs.iteration = runs.iteration + 1
        runs.write_trace(np.flatnonzero(runs.started & ~runs.stopped))
