"""HopSkipJump, batched: every model call serves all examples and restarts at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from attacks.base import RestartedAttack, project_and_collect
from attacks.engine import numba_kernels
from attacks.engine.bisection import BoundarySearch
from attacks.engine.checkpoint import Journal
from attacks.engine.gradient_estimate import estimate_directions
from attacks.engine.initial_points import Candidates, run_keys
from attacks.engine.run_state import Runs, Selection
from attacks.engine.validation import Task, check_choice, check_int, check_number
from attacks.result import AttackResult

if TYPE_CHECKING:
    from attacks.engine.cuda import Ray

_RESERVE = 24  # queries kept back from a direction estimate for the step and the searches after it


class HopSkipJump(RestartedAttack):
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
    delta : float
        Length of the moves of a direction estimate, as a share of the present distance. The default is the authors'
        and ART's. Sign networks are constant in cells, so that moves of this length see the nearest cells only; 0.1
        finds closer adversarials of them for the same number of queries (docs/results/README.md).
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
        query_budget: int | None = None,
        seed: int = 0,
        memory_budget: int | str = "256MiB",
        verbose: bool = False,
    ) -> None:
        super().__init__(
            max_iter=max_iter, restarts=restarts, init_size=init_size, start=start, seed=seed,
            query_budget=query_budget, memory_budget=memory_budget, verbose=verbose,
        )  # fmt: skip
        own = type(self).__name__
        self.norm = check_choice(own, "norm", norm, ("l2", "linf"))
        self.max_eval = check_int(own, "max_eval", max_eval, 1)
        self.init_eval = check_int(own, "init_eval", init_eval, 1)
        self.delta = check_number(own, "delta", delta, above=0)

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
        self._iterate_all(search, lambda: self._iterate(search, theta))
        return project_and_collect(search)

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
        delta = np.full(len(who), wide) if t == 0 else self.delta * distance
        keys = run_keys(search, self.seed, "direction", who, t)
        direction = estimate_directions(search, who, evaluations[who], delta, keys)
        step(search, who, direction, distance / math.sqrt(t + 1))
        search.search(who, search.linf, theta)
        runs.steps[who] += 1
        runs.write_trace(who)


_HALVINGS = 40  # after these the step is below the rounding of float32: the run stays where it is


def step(search: BoundarySearch, who: Selection, direction: NDArray[np.float32], length: NDArray[np.float64]) -> None:
    """Move the points of the runs `who`, all together.

    Parameters
    ----------
    search : BoundarySearch
    who : ndarray of int64, shape (k,)
    direction : ndarray of float32, shape (k, d)
    length : ndarray of float64, shape (k,)
        First length to try, in feature units; every refused try halves it.
    """
    length, pending, ray = length.copy(), np.arange(len(who)), _ray(search, who, direction)
    for _ in range(_HALVINGS):
        pending = pending[search.left(who[pending]) > 0]
        if not len(pending):
            return
        stepped = _Stepped(search, who[pending], direction[pending], length[pending])
        if ray is None:
            adversarial = search.ask(who[pending], stepped)
        else:
            adversarial = search.ask_on_card(who[pending], ray.rows(pending, length[pending]))
        stepped.land(np.flatnonzero(adversarial))
        pending = pending[~adversarial]
        length[pending] /= 2.0


def _ray(search: BoundarySearch, who: Selection, direction: NDArray[np.float32]) -> Ray | None:
    card = search.few_enough(who)
    if card is None:
        return None
    from attacks.engine.cuda import Ray

    return Ray(card, card.put(search.runs.point[who]), card.put(direction))


class _Stepped:
    """The stepped points of some runs, made block by block when they are needed."""

    def __init__(
        self, search: BoundarySearch, who: Selection, direction: NDArray[np.float32], length: NDArray[np.float64]
    ) -> None:
        self.search, self.who, self.direction, self.length = search, who, direction, length

    def __call__(self, out: NDArray[np.float32], begin: int, end: int) -> None:
        self._make(out, np.arange(begin, end))

    def land(self, chosen: Selection) -> None:
        """Make the stepped points of the runs at positions `chosen` their points."""
        landed = np.empty((len(chosen), self.direction.shape[1]), dtype=np.float32)
        self._make(landed, chosen)
        self.search.runs.point[self.who[chosen]] = landed

    def _make(self, out: NDArray[np.float32], chosen: Selection) -> None:
        task, points = self.search.task, self.search.runs.point
        rows, along, length = self.who[chosen], self.direction[chosen], self.length[chosen]
        numba_kernels.in_threads(
            lambda begin, end: numba_kernels.step_rows(
                points, rows, along, length, task.low, task.high, out, begin, end
            ),
            len(chosen),
            out.size,
        )
