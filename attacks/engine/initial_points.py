"""Where the runs of an attack begin: noise, the nearest row of another class, or a given image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.engine import numba_kernels
from attacks.engine.bisection import BoundarySearch
from attacks.engine.checkpoint import Journal
from attacks.engine.rng import fill_noise
from attacks.engine.run_state import Runs, Selection
from attacks.engine.validation import Task
from attacks.result import ALREADY_WRONG, BUDGET_SPENT, NO_START
from scd.seeds import stream_key

START_TOLERANCE = 1e-3
"""A noise start is first brought to the boundary along a straight line, to this share of its distance (as in ART)."""


@dataclass(frozen=True)
class Candidates:
    """Images to try as the start of all restarts of an example.

    Attributes
    ----------
    images : ndarray of float32, shape (m, d)
    order : list of ndarray of int64
        For each example the rows of `images` to try, in this order.
    """

    images: NDArray[np.float32]
    order: list[Selection]


def begin_runs(task: Task, journal: Journal, restarts: int, init_size: int, shared: Candidates | None) -> Runs:
    """Ask the label of every point, settle the starts that restarts share, and lay out the runs.

    Parameters
    ----------
    task : Task
    journal : Journal
    restarts : int
    init_size : int
        Most candidates to ask for an example.
    shared : Candidates or None
        None if every run draws its own start.

    Returns
    -------
    runs : Runs
        Started already if the starts are shared.
    """
    everyone = np.arange(len(task.x))
    reason = np.full(len(task.x), "", dtype="U32")
    wrong = ask_in_blocks(journal, task.x, everyone)
    reason[wrong] = ALREADY_WRONG
    start = np.zeros_like(task.x)
    if shared is not None:
        _try_candidates(journal, shared, init_size, reason, start)
    runs = Runs.of(task, reason, restarts, journal.oracle.remaining(everyone))
    if shared is not None:
        runs.point[:] = start[runs.example]
        runs.started[:] = True
    return runs


def nearest_rows(task: Task, pool: NDArray[np.float32], pool_labels: NDArray[np.int64], most: int) -> Candidates:
    """At most `most` rows of the pool in order of L2 distance, for each point; rows of its own label left out."""
    everyone = np.arange(len(pool))
    l2, linf = np.empty(len(pool)), np.empty(len(pool))
    result = []
    for e in range(len(task.x)):
        example = np.full(len(pool), e)

        def work(begin: int, end: int, example: NDArray[Any] = example) -> None:
            numba_kernels.distances(task.x, example, pool, everyone, l2, linf, begin, end)

        numba_kernels.in_threads(work, len(pool), pool.size)
        order = np.argsort(l2, kind="stable")
        if len(pool_labels):
            order = order[pool_labels[order] != task.y[e]]
        result.append(order[:most])
    return Candidates(pool, result)


def noise_starts(search: BoundarySearch, init_size: int, seed: int, to_boundary: bool = True) -> None:
    """Start every run from uniform noise in the box: the first adversarial of at most `init_size` rows.

    Each run draws row after row from its own stream and asks one at a time, all runs together. With `to_boundary` a
    start found is brought to the boundary by a first bisection along the straight line, whatever the norm.
    """
    runs = search.runs
    keys = run_keys(search, seed, "start", np.arange(len(runs)))
    searching = np.arange(len(runs))
    for attempt in range(init_size):
        broke = search.left(searching) <= 0
        runs.starved[searching[broke]] = True
        searching = searching[~broke]
        if not len(searching):
            break
        found = _ask_noise(search, searching, keys, attempt)
        _fill_start(search, runs.point, searching[found], searching[found], keys, attempt)
        runs.started[searching[found]] = True
        searching = searching[~found]
    runs.stopped = ~runs.started
    if to_boundary:
        search.search(np.flatnonzero(runs.started), False, START_TOLERANCE)


def run_keys(search: BoundarySearch, seed: int, purpose: str, who: Selection, iteration: int = 0) -> NDArray[np.uint64]:
    """Keys of the random streams of the runs `who`, shape (len(who), 2).

    A stream belongs to (seed, the caller's number of the example, restart, purpose, iteration), so a run does not
    depend on what else is attacked.
    """
    runs, index = search.runs, search.task.index
    keys = [stream_key(seed, index[runs.example[r]], runs.restart[r], purpose, iteration) for r in who]
    return np.stack(keys) if keys else np.zeros((0, 2), dtype=np.uint64)


def _ask_noise(search: BoundarySearch, who: Selection, keys: NDArray[np.uint64], attempt: int) -> NDArray[np.bool_]:
    def fill(out: NDArray[np.float32], begin: int, end: int) -> None:
        _fill_start(search, out, np.arange(end - begin), who[begin:end], keys, attempt)

    return search.ask(who, fill)


def _fill_start(
    search: BoundarySearch,
    out: NDArray[np.float32],
    out_rows: Selection,
    who: Selection,
    keys: NDArray[np.uint64],
    attempt: int,
) -> None:
    """Write the runs' noise rows number `attempt`, uniform in the box, to out[out_rows]."""
    low, high = search.task.low, search.task.high
    rows = np.empty((len(who), out.shape[1]), dtype=np.float32)
    number, norm = np.full(len(who), attempt), np.empty(len(who))
    numba_kernels.in_threads(
        lambda begin, end: fill_noise(keys, who, number, 0, begin, end, rows, norm), len(who), rows.size
    )
    rows *= np.float32(high - low)
    rows += np.float32(low)
    out[out_rows] = np.clip(rows, np.float32(low), np.float32(high), out=rows)


def ask_in_blocks(journal: Journal, rows: NDArray[np.float32], examples: Selection) -> NDArray[np.bool_]:
    """Ask many rows so that an interrupt loses one block of them at most; (n, d) and (n,) to (n,)."""
    size = journal.oracle.batch_rows
    parts = [journal.ask(rows[b : b + size], examples[b : b + size]) for b in range(0, len(rows), size)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=bool)


def _try_candidates(
    journal: Journal,
    candidates: Candidates,
    most: int,
    reason: NDArray[np.str_],
    start: NDArray[np.float32],
) -> None:
    """Ask each example's candidates in order until one is adversarial; write starts and reasons in place."""
    searching = np.flatnonzero(reason == "")
    for attempt in range(most):
        ended = np.array([len(candidates.order[e]) <= attempt for e in searching], dtype=bool)
        reason[searching[ended]] = NO_START
        searching = searching[~ended]
        broke = journal.oracle.remaining(searching) <= 0
        reason[searching[broke]] = BUDGET_SPENT
        searching = searching[~broke]
        if not len(searching):
            return
        rows = candidates.images[[candidates.order[e][attempt] for e in searching]]
        found = ask_in_blocks(journal, rows, searching)
        start[searching[found]] = rows[found]
        searching = searching[~found]
    reason[searching] = NO_START
