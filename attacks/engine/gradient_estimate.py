"""The direction estimate of HopSkipJump: many small random moves from a boundary point, and which of them cross it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from attacks.engine import numba_kernels
from attacks.engine.bisection import BoundarySearch
from attacks.engine.rng import fill_noise
from attacks.engine.run_state import Selection

_UNIFORM, _NORMAL = 1, 2


def estimate_directions(
    search: BoundarySearch,
    who: Selection,
    evaluations: NDArray[np.int64],
    delta: NDArray[np.float64],
    keys: NDArray[np.uint64],
) -> NDArray[np.float32]:
    """Estimate, for each of the runs `who`, the direction that leads into the adversarial side.

    Chen, Jordan, Wainwright 2020, equations 14 to 16, with the baseline: each row is a random direction of length
    `delta`, clipped to the box, weighted by +1 (adversarial) or -1 less the mean weight of the run.

    Parameters
    ----------
    search : BoundarySearch
    who : ndarray of int64, shape (k,)
    evaluations : ndarray of int64, shape (k,)
        Queries to spend on each.
    delta : ndarray of float64, shape (k,)
        Length of the moves in feature units.
    keys : ndarray of uint64, shape (k, 2)
        Random streams; row i of a stream is the direction of its i-th query.

    Returns
    -------
    direction : ndarray of float32, shape (k, d)
        Of L2 norm 1, or for L-infinity of entries -1, 0 and 1.
    """
    if search.card is not None:
        from attacks.engine.card_direction import directions_on_card

        return directions_on_card(search.card, search, who, evaluations, delta, keys)
    direction = np.empty((len(who), search.task.x.shape[1]), dtype=np.float32)
    owner = np.repeat(np.arange(len(who)), evaluations)
    first = np.cumsum(evaluations) - evaluations
    number = np.arange(len(owner)) - first[owner]
    crossed = np.zeros(len(who), dtype=np.int64)
    open_sum = np.zeros((2, direction.shape[1]))
    for begin in range(0, len(owner), search.block_rows):
        end = min(begin + search.block_rows, len(owner))
        mine = owner[begin:end]
        low, high = int(mine[0]), int(mine[-1])
        rows, adversarial = _ask_moves(search, who, mine, number[begin:end], delta, keys)
        crossed[low : high + 1] += np.bincount(mine[adversarial] - low, minlength=high + 1 - low)
        sums = np.zeros((high + 1 - low, 2, direction.shape[1]))
        sums[0] = open_sum  # the first run of a block may have begun in the block before
        _add(search, rows, who[mine], mine - low, adversarial, sums)
        complete = high + 1 if end == first[high] + evaluations[high] else high
        for run in range(low, complete):
            direction[run] = _combine(sums[run - low], int(crossed[run]), int(evaluations[run]), search.linf)
        open_sum = sums[-1] if complete == high else np.zeros_like(open_sum)
    return direction


def _ask_moves(
    search: BoundarySearch,
    who: Selection,
    mine: Selection,
    number: NDArray[np.int64],
    delta: NDArray[np.float64],
    keys: NDArray[np.uint64],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Draw one block of moves and ask it; returns the rows asked and whether they are adversarial."""
    rows, norm, runs = search.buffer(len(mine)), np.empty(len(mine)), search.runs
    low, high = np.float32(search.task.low), np.float32(search.task.high)
    kind, at = _UNIFORM if search.linf else _NORMAL, who[mine]

    def work(begin: int, end: int) -> None:
        fill_noise(keys, mine, number, kind, begin, end, rows, norm)
        scale = (delta[mine[begin:end]] / np.maximum(norm[begin:end], 1e-30)).astype(np.float32)
        part = slice(begin, end)
        numba_kernels.perturb(rows[part], runs.point, at[part], scale, low, high, 0, end - begin)

    numba_kernels.in_threads(work, len(rows), rows.size)
    adversarial = search.journal.ask(rows, runs.example[at])
    runs.spent += np.bincount(at, minlength=len(runs))
    return rows, adversarial


def _add(
    search: BoundarySearch,
    rows: NDArray[np.float32],
    at: Selection,
    segment: Selection,
    adversarial: NDArray[np.bool_],
    sums: NDArray[np.float64],
) -> None:
    points = search.runs.point
    numba_kernels.in_threads(
        lambda begin, end: numba_kernels.add_moves(rows, points, at, segment, adversarial, sums, begin, end),
        rows.shape[1],
        rows.size,
    )


def _combine(sums: NDArray[np.float64], crossed: int, evaluations: int, linf: bool) -> NDArray[np.float64]:
    """Weigh the two sums of moves into one direction; scale plays no part, it is normalised away."""
    stayed_sum, crossed_sum = sums
    if crossed in (0, evaluations):
        gradient = crossed_sum - stayed_sum
    else:  # weights +1 and -1 less their mean: 2 (1 - share) for those that crossed, -2 share for the others
        share = crossed / evaluations
        gradient = (1.0 - share) * crossed_sum - share * stayed_sum
    norm = float(np.sqrt(np.sum(gradient * gradient)))
    direction: NDArray[np.float64] = np.sign(gradient) if linf else gradient / (norm if norm > 0 else 1.0)
    return direction
