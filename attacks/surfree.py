"""SurFree: from the boundary towards the original along half circles in random directions, without a gradient."""

import math

import numpy as np
from tqdm import tqdm

from attacks.base import RestartedAttack, mean_best, project_and_collect
from attacks.engine.bisection import BoundarySearch
from attacks.engine.checkpoint import Journal
from attacks.engine.initial_points import START_TOLERANCE, Candidates
from attacks.engine.run_state import Runs
from attacks.engine.validation import Task, check_int, check_number
from attacks.engine.walk import Pace, Walk
from attacks.result import AttackResult

_RESERVE = 24  # queries of every run kept back for its last projection
_ROUNDS = 256  # questions between two snapshots of the state and two movements of the bar


class SurFree(RestartedAttack):
    """SurFree (Maho, Furon, Le Merrer, CVPR 2021, arXiv:2011.12807), a decision attack that minimises L2.

    An iteration draws a random direction, orthogonal to the way from the original to the run's point and to the last
    directions, and looks at the half circle that leads in this direction from the point to the original. Sign search:
    the angles +a, -a, +2a/3, -2a/3, +a/3, -a/3 (for `tries` = 3) are asked until one is adversarial. Then a larger
    angle of that sign that is not adversarial is found, in steps of a/3, and the bracket bisected. The largest
    adversarial angle is the new point. The reach a of the run grows by 1 / `rho` after an iteration that found
    something and shrinks by `rho` after another.

    All queries of all runs are asked together, a row of each run in every model call, whatever step the run is at.
    Every run (example, restart) draws from random streams of its own, so its result does not depend on what else is
    attacked, on `memory_budget`, on the number of threads, or on being interrupted and resumed. (With a query budget
    an example's restarts share it equally, so there their number counts.)

    Different from the paper and its authors' program: the directions are Gaussian rows, for rows of features have no
    image shape whose low frequencies could be preferred; a direction is orthogonal to the present way to the point,
    not only to the first, and to at most (d - 2) / 2 earlier ones, so that in few dimensions chance has a choice
    left; the bisection does not ask the angles of the other sign again; no interpolation (off in the program
    too); the starts are those of the other attacks here, and the end is a projection to within 1e-4 of the distance.

    Memory: the last directions take 4 * `n_ortho` * d bytes for each run, and the same again with a state file.

    Parameters
    ----------
    max_iter : int
        Directions tried by a run; at five or six queries each, the default leaves the end to the query budget.
    restarts : int
        Independent runs per example; the closest adversarial of all is returned.
    theta_max : float
        First reach a, in degrees, between 0 and 90.
    tries : int
        Angles of each sign in a sign search.
    rho : float
        Factor of the reach, between 0 and 1.
    n_ortho : int
        Earlier directions that a new one is orthogonal to.
    gamma : float
        The bisection ends when the distances at both ends of its bracket differ by at most this share of the
        present distance.
    max_bisections : int
        Most queries of a bisection.
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
        Show a bar of the mean number of iterations with the mean of the best distances.

    Examples
    --------
    >>> result = SurFree(query_budget=2000)(model.predict, X_test[:10], y_test[:10])  # doctest: +SKIP
    >>> result.l2  # doctest: +SKIP
    """

    method_version = 1

    def __init__(
        self,
        *,
        max_iter: int = 2500,
        restarts: int = 1,
        theta_max: float = 30.0,
        tries: int = 3,
        rho: float = 0.98,
        n_ortho: int = 100,
        gamma: float = 0.01,
        max_bisections: int = 10,
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
        self.theta_max = check_number(own, "theta_max", theta_max, above=0.0, below=90.0)
        self.tries = check_int(own, "tries", tries, 1)
        self.rho = check_number(own, "rho", rho, above=0.0, below=1.0)
        self.n_ortho = check_int(own, "n_ortho", n_ortho, 0)
        self.gamma = check_number(own, "gamma", gamma, least=0.0)
        self.max_bisections = check_int(own, "max_bisections", max_bisections, 0)

    def _attack(self, task: Task, journal: Journal, shared: Candidates | None) -> AttackResult:
        if journal.snapshot:
            search = BoundarySearch(task, journal, Runs.from_arrays(journal.snapshot), linf=False)
        else:
            search = self._start(task, journal, shared)
            started = np.flatnonzero(search.runs.started)
            if shared is not None:  # starts from noise are at the boundary already
                search.search(started, False, START_TOLERANCE)
            search.runs.write_trace(started)
        pace = Pace(math.radians(self.theta_max), self.tries, self.rho, self.gamma, self.max_bisections)
        walk, runs = Walk(search, pace, self.seed, self.n_ortho, journal.snapshot), search.runs
        with tqdm(total=self.max_iter, initial=_mean_steps(runs), desc=type(self).__name__, unit="iteration",
                  disable=not self.verbose) as bar:  # fmt: skip
            while True:
                runs.stopped |= (search.left(np.arange(len(runs))) <= _RESERVE) | (runs.steps >= self.max_iter)
                who = np.flatnonzero(~runs.stopped)
                if not len(who):
                    break
                walk.step(who)
                runs.iteration = np.array(int(runs.iteration) + 1)
                if int(runs.iteration) % _ROUNDS == 0:
                    journal.mark(walk.to_arrays())
                    bar.update(_mean_steps(runs) - bar.n)
                    bar.set_postfix_str(mean_best(search))
        walk.end(np.flatnonzero(runs.started))
        return project_and_collect(search)


def _mean_steps(runs: Runs) -> int:
    return int(runs.steps[runs.started].mean()) if runs.started.any() else 0
