"""The Boundary Attack, batched: every model call serves all examples and restarts at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.base import RestartedAttack, project_and_collect
from attacks.engine import numba_kernels
from attacks.engine.bisection import BoundarySearch
from attacks.engine.checkpoint import Journal
from attacks.engine.initial_points import Candidates, run_keys
from attacks.engine.rng import fill_noise
from attacks.engine.run_state import Runs, Selection
from attacks.engine.validation import Task, check_int, check_number
from attacks.result import AttackResult
from scd.numba_cache import njit

_RESERVE = 24  # queries kept back from the iterations for the last projection
_LARGEST = 1e6  # of delta and epsilon: where everything is adversarial they would grow to infinity


class BoundaryAttack(RestartedAttack):
    """The Boundary Attack (Brendel, Rauber, Bethge 2018, arXiv:1712.04248), a decision attack for the L2 distance.

    An iteration is that of ART 1.20.1, the paper's tool. From the point of a run, at distance D of its original:

    1. Up to `num_trial` times: `sample_size` moves around the original. Each is Gaussian noise of length delta D,
       projected onto the plane perpendicular to the line to the original, added to the point and drawn back towards
       the sphere of radius D by the factor 1 / sqrt(1 + delta^2), then clipped. delta is multiplied by `step_adapt`
       if under 20 % of the moves are adversarial, divided by it if over 50 % are. The first trial with an
       adversarial move ends this part.
    2. Up to `num_trial` times: all of that trial's adversarial moves go the share epsilon of their way to the
       original. epsilon adapts like delta. The first trial with an adversarial row ends the iteration, and the
       closest adversarial row is the new point.

    So an iteration asks from 21 up to 1000 rows with the defaults. delta and epsilon begin anew for every run and
    are kept over its iterations. A run ends early if all trials of a part fail (after the second part its point is the
    closest adversarial move), or when epsilon falls below `min_epsilon`. The start is a noise image as drawn: neither
    ART nor the authors search for the boundary on the way from it.

    ART's own default is 5000 iterations; at 100, the paper's number, the distance still falls fast.

    Different from ART on purpose: the closest of all points seen is returned, after a bisection on the straight line
    to its original to within 1e-4 of the distance (the distance before it, which is ART's result, is the extra
    column `l2_returned`, and the last row but one of a run in the trace); starts and noise come from the seed (ART
    draws starts from an unseeded generator); a failed start is a failure and not the original image; delta and
    epsilon do not grow beyond 1e6; all examples and restarts advance together; a query budget may be set. ART in turn
    differs from the authors' algorithm, which takes one move and then one step at a time.

    Every run (example, restart) draws from random streams of its own, so its result does not depend on what else is
    attacked, on `memory_budget`, on the number of threads, or on being interrupted and resumed. (With a query
    budget an example's restarts share it equally, so there their number counts.)

    Parameters
    ----------
    max_iter : int
    restarts : int
        Independent runs per example; the closest adversarial of all is returned.
    delta : float
        First length of the moves around the original, as a share of the distance.
    epsilon : float
        First length of the steps towards the original, as a share of the distance.
    step_adapt : float
        Factor of the adaptation, between 0 and 1.
    num_trial : int
        Most trials in each part of an iteration.
    sample_size : int
        Moves in a trial.
    min_epsilon : float
        A run whose epsilon falls below this ends; 0 never ends one.
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
    >>> attack = BoundaryAttack(max_iter=5000, restarts=2)
    >>> result = attack(model.predict, X_test[:10], y_test[:10])  # doctest: +SKIP
    """

    method_version = 1

    def __init__(
        self,
        *,
        max_iter: int = 100,
        restarts: int = 10,
        delta: float = 0.01,
        epsilon: float = 0.01,
        step_adapt: float = 0.667,
        num_trial: int = 25,
        sample_size: int = 20,
        min_epsilon: float = 0.0,
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
        self.delta = check_number(own, "delta", delta, above=0.0)
        self.epsilon = check_number(own, "epsilon", epsilon, above=0.0)
        self.step_adapt = check_number(own, "step_adapt", step_adapt, above=0.0, below=1.0)
        self.num_trial = check_int(own, "num_trial", num_trial, 1)
        self.sample_size = check_int(own, "sample_size", sample_size, 1)
        self.min_epsilon = check_number(own, "min_epsilon", min_epsilon, least=0.0)

    def _attack(self, task: Task, journal: Journal, shared: Candidates | None) -> AttackResult:
        if journal.snapshot:
            runs = Runs.from_arrays(journal.snapshot)
            search = BoundarySearch(task, journal, runs, linf=False)
            delta, epsilon = journal.snapshot["delta"].copy(), journal.snapshot["epsilon"].copy()
        else:
            search = self._start(task, journal, shared, to_boundary=False)
            runs = search.runs
            delta, epsilon = np.full(len(runs), self.delta), np.full(len(runs), self.epsilon)
            self._record(search, np.flatnonzero(runs.started))
            journal.mark({**runs.to_arrays(), "delta": delta, "epsilon": epsilon})
        sizes = {"delta": delta, "epsilon": epsilon}
        self._iterate_all(search, lambda: self._iterate(search, delta, epsilon), sizes)
        return project_and_collect(search, l2_returned=runs.l2.copy())

    def _iterate(self, search: BoundarySearch, delta: NDArray[np.float64], epsilon: NDArray[np.float64]) -> None:
        """One iteration of all runs that are not over; changes `delta` and `epsilon`, shape (n_runs,), in place."""
        runs, t = search.runs, int(search.runs.iteration)
        runs.iteration = np.array(t + 1)
        who = np.flatnonzero(~runs.stopped)
        keys = np.zeros((len(runs), 2), dtype=np.uint64)
        keys[who] = run_keys(search, self.seed, "move", who, t)
        mover = Mover(search, keys)
        self._step_inwards(mover, self._move_around(mover, who, delta), epsilon)
        runs.stopped[who] |= epsilon[who] < self.min_epsilon
        runs.steps[who] += 1
        self._record(search, who)

    def _move_around(self, mover: Mover, who: Selection, delta: NDArray[np.float64]) -> Moves:
        """Trials around the original; returns the adversarial moves of each run's first trial that has any."""
        runs, pending = mover.search.runs, who
        found = Moves.of(who[:0], who[:0], 0, delta[:0])
        for trial in range(self.num_trial):
            count = np.minimum(self.sample_size, mover.search.left(pending) - _RESERVE)
            runs.stopped[pending[count < 1]] = True
            pending, count = pending[count >= 1], count[count >= 1]
            if not len(pending):
                return found
            moves = Moves.of(pending, count, trial * self.sample_size, delta[pending])
            adversarial, l2 = mover.ask(moves)
            share = np.bincount(moves.run[adversarial], minlength=len(runs))[pending] / count
            found = found.joined(moves.only(adversarial, l2))
            self._adapt(delta, pending, share)
            pending = pending[share == 0]
        runs.stopped[pending] = True
        return found

    def _step_inwards(self, mover: Mover, found: Moves, epsilon: NDArray[np.float64]) -> None:
        """Trials towards the original from all moves found; sets the runs' points."""
        runs, pending = mover.search.runs, found
        for _ in range(self.num_trial):
            asked = pending.only(pending.rank() < mover.search.left(pending.run) - _RESERVE)
            if not len(asked):
                break
            adversarial, l2 = mover.ask(asked, epsilon)
            good = asked.only(adversarial, l2)
            mover.land(good.only(good.closest()), epsilon)
            trying = np.unique(asked.run)
            count, crossed = (np.bincount(run, minlength=len(runs))[trying] for run in (asked.run, good.run))
            self._adapt(epsilon, trying, crossed / count)
            pending = pending.only(~np.isin(pending.run, good.run))
        mover.land(pending.only(pending.closest()))
        runs.stopped[pending.run] = True

    def _adapt(self, size: NDArray[np.float64], who: Selection, share: NDArray[np.float64]) -> None:
        """Shorten the steps of which too few are adversarial, lengthen those of which many are."""
        size[who[share < 0.2]] *= self.step_adapt
        size[who[share > 0.5]] /= self.step_adapt
        size[who] = np.minimum(size[who], _LARGEST)

    def _record(self, search: BoundarySearch, who: Selection) -> None:
        search.keep_best(who, np.zeros(len(who)))
        search.runs.write_trace(who)


_NORMAL = 2


@njit(nogil=True)
def move_rows(
    rows: Any, norm: Any, x: Any, example: Any, points: Any, run: Any,
    delta: Any, epsilon: Any, low: float, high: float, begin: int, end: int,
) -> None:  # fmt: skip
    """Turn noise rows begin..end-1, in place, into moves of their runs' points.

    With u from the original to the point and p the noise, scaled to the length delta |u| and freed of its part along
    u, the move is to clip(original + (u + p) / sqrt(1 + delta^2)): at most as far from the original, and in many
    dimensions about as far. Where epsilon is above 0 the row goes from there that share of its way to the original.

    Parameters
    ----------
    rows : ndarray of float32, shape (n_rows, d)
    norm : ndarray of float64, shape (n_rows,)
        L2 norms of the noise.
    x : ndarray of float32, shape (n_examples, d)
    example : ndarray of int64, shape (n_runs,)
    points : ndarray of float32, shape (n_runs, d)
    run : ndarray of int64, shape (n_rows,)
    delta, epsilon : ndarray of float64, shape (n_rows,)
    low, high : float
    begin, end : int
    """
    for k in range(begin, end):
        row, point, original = rows[k], points[run[k]], x[example[run[k]]]
        squares, along = np.float64(0.0), np.float64(0.0)
        for c in range(rows.shape[1]):
            u = np.float64(point[c]) - np.float64(original[c])
            squares += u * u
            along += u * np.float64(row[c])
        scale = delta[k] * math.sqrt(squares) / max(norm[k], 1e-30)
        shrink = 1.0 / math.sqrt(1.0 + delta[k] * delta[k])
        kept = 1.0 - scale * along / max(squares, 1e-300)
        for c in range(rows.shape[1]):
            near = np.float64(original[c])
            u = np.float64(point[c]) - near
            row[c] = min(max(near + shrink * (kept * u + scale * np.float64(row[c])), low), high)
            if epsilon[k] > 0.0:
                moved = np.float64(row[c])  # after rounding: the step begins at the row that was asked
                row[c] = min(max(moved + epsilon[k] * (near - moved), low), high)


@dataclass(frozen=True)
class Moves:
    """Some moves of some runs, sorted by run; each row is made from its random stream whenever it is needed.

    Attributes
    ----------
    run, number : ndarray of int64, shape (n,)
        The run that a move belongs to, and which row of the run's stream it is.
    delta : ndarray of float64, shape (n,)
        Its length as a share of the distance.
    l2 : ndarray of float64, shape (n,)
        Distance of its row to the original, once asked.
    """

    run: NDArray[np.int64]
    number: NDArray[np.int64]
    delta: NDArray[np.float64]
    l2: NDArray[np.float64]

    @classmethod
    def of(cls, run: Selection, count: NDArray[np.int64], first: int, delta: NDArray[np.float64]) -> Moves:
        """Number `count` moves for each of the runs `run`, from `first` on."""
        row = np.repeat(np.arange(len(run)), count)
        number = first + np.arange(len(row)) - (np.cumsum(count) - count)[row]
        return cls(run[row], number, delta[row], np.full(len(row), np.inf))

    def __len__(self) -> int:
        return len(self.run)

    def only(self, chosen: NDArray[Any], l2: NDArray[np.float64] | None = None) -> Moves:
        """The chosen moves, with their distances if these are given."""
        return Moves(self.run[chosen], self.number[chosen], self.delta[chosen], (self.l2 if l2 is None else l2)[chosen])

    def joined(self, more: Moves) -> Moves:
        """These and more moves, sorted by run."""
        parts = [(getattr(self, name), getattr(more, name)) for name in ("run", "number", "delta", "l2")]
        run, number, delta, l2 = (np.concatenate(part) for part in parts)
        order = np.argsort(run, kind="stable")
        return Moves(run[order], number[order], delta[order], l2[order])

    def rank(self) -> NDArray[np.int64]:
        """Position of each move among those of its run."""
        return np.arange(len(self.run)) - np.searchsorted(self.run, self.run)

    def closest(self) -> Selection:
        """Positions of the move with the least distance of each run, ties to the earlier."""
        order = np.lexsort((self.number, self.l2, self.run))
        return order[np.unique(self.run[order], return_index=True)[1]]


class Mover:
    """Makes and asks the moves of one iteration.

    Parameters
    ----------
    search : BoundarySearch
    keys : ndarray of uint64, shape (n_runs, 2)
        Random streams of the iteration, of all runs.
    """

    def __init__(self, search: BoundarySearch, keys: NDArray[np.uint64]) -> None:
        self.search, self.keys = search, keys

    def ask(
        self, moves: Moves, epsilon: NDArray[np.float64] | None = None
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Ask the rows of all moves, after the step towards the original if `epsilon` (n_runs,) is given.

        Returns
        -------
        adversarial : ndarray of bool, shape (n,)
        l2 : ndarray of float64, shape (n,)
            Distances of the rows asked to their originals.
        """
        search, runs = self.search, self.search.runs
        adversarial, l2 = np.zeros(len(moves), dtype=bool), np.empty(len(moves))
        for begin in range(0, len(moves), search.block_rows):
            block = np.arange(begin, min(begin + search.block_rows, len(moves)))
            rows, example = search.buffer(len(block)), runs.example[moves.run[block]]
            self.make(moves.only(block), epsilon, rows)
            l2[block] = _lengths(search.task.x, example, rows)
            adversarial[block] = search.journal.ask(rows, example)
            runs.spent += np.bincount(moves.run[block], minlength=len(runs))
        return adversarial, l2

    def land(self, moves: Moves, epsilon: NDArray[np.float64] | None = None) -> None:
        """Make these moves, at most one for a run, the points of their runs."""
        landed = np.empty((len(moves), self.search.task.x.shape[1]), dtype=np.float32)
        self.make(moves, epsilon, landed)
        self.search.runs.point[moves.run] = landed

    def make(self, moves: Moves, epsilon: NDArray[np.float64] | None, out: NDArray[np.float32]) -> None:
        """Fill `out`, shape (n, d), with the rows of the moves."""
        task, runs, norm = self.search.task, self.search.runs, np.empty(len(moves))
        step = np.zeros(len(moves)) if epsilon is None else epsilon[moves.run]

        def work(begin: int, end: int) -> None:
            fill_noise(self.keys, moves.run, moves.number, _NORMAL, begin, end, out, norm)
            move_rows(
                out, norm, task.x, runs.example, runs.point, moves.run,
                moves.delta, step, task.low, task.high, begin, end,
            )  # fmt: skip

        numba_kernels.in_threads(work, len(moves), out.size)


def _lengths(x: NDArray[np.float32], example: Selection, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    l2, linf, each = np.empty(len(rows)), np.empty(len(rows)), np.arange(len(rows))
    numba_kernels.in_threads(
        lambda begin, end: numba_kernels.distances(x, example, rows, each, l2, linf, begin, end), len(rows), rows.size
    )
    return l2
