"""The rows that the Boundary Attack asks: moves around the originals, and steps from there towards them."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.engine import numba_kernels
from attacks.engine.bisection import BoundarySearch
from attacks.engine.rng import fill_noise
from attacks.engine.run_state import Selection
from scd.numba_cache import njit

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
    def of(cls, run: Selection, count: NDArray[np.int64], first: int, delta: NDArray[np.float64]) -> "Moves":
        """Number `count` moves for each of the runs `run`, from `first` on."""
        row = np.repeat(np.arange(len(run)), count)
        number = first + np.arange(len(row)) - (np.cumsum(count) - count)[row]
        return cls(run[row], number, delta[row], np.full(len(row), np.inf))

    def __len__(self) -> int:
        return len(self.run)

    def only(self, chosen: NDArray[Any], l2: NDArray[np.float64] | None = None) -> "Moves":
        """The chosen moves, with their distances if these are given."""
        return Moves(self.run[chosen], self.number[chosen], self.delta[chosen], (self.l2 if l2 is None else l2)[chosen])

    def joined(self, more: "Moves") -> "Moves":
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
