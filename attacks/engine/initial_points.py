"""Initial points of the runs of an attack: noise, the nearest sample of another class, or a given image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scd.devices import in_threads
from scd.seeds import stream_key

from ..result import ALREADY_MISCLASSIFIED, BUDGET_SPENT, NO_START
from .bisection import BoundarySearch
from .checkpoint import Journal, RecordedQueries
from .kernels import numba_kernels
from .kernels.rng import UNIT, fill_noise
from .run_state import RunState, Selection
from .validation import Task

START_TOLERANCE = 1e-3
"""A noise start is first bisected along the straight line, to within this fraction of its distance (as in ART)."""


@dataclass(frozen=True)
class Candidates:
    """Images to try as the start of all restarts of an example.

    Attributes
    ----------
    images : ndarray of float32, shape (m, d)
    order : list of ndarray of int64
        For each example the indices of the `images` to try, in this order.
    """

    images: NDArray[np.float32]
    order: list[Selection]


def begin_runs(task: Task, journal: Journal, restarts: int, init_size: int, shared: Candidates | None) -> RunState:
    """Query the label of every example, find the starts that restarts share, and create the runs.

    Parameters
    ----------
    task : Task
    journal : Journal
    restarts : int
    init_size : int
        Maximum number of candidates to query for an example.
    shared : Candidates or None
        None if every run draws its own start.

    Returns
    -------
    runs : RunState
        Started already if the starts are shared.
    """
    all_examples = np.arange(len(task.x))
    reason = np.full(len(task.x), "", dtype="U32")
    misclassified = query_in_blocks(journal, task.x, all_examples)
    reason[misclassified] = ALREADY_MISCLASSIFIED
    start = np.zeros_like(task.x)
    if shared is not None:
        _try_candidates(journal, shared, init_size, reason, start)
    runs = RunState.of(task, reason, restarts, journal.oracle.remaining(all_examples))
    if shared is not None:
        runs.point[:] = start[runs.example]
        runs.started[:] = True
    return runs


def nearest_samples(
    task: Task, pool: NDArray[np.float32], pool_labels: NDArray[np.int64], max_samples: int
) -> Candidates:
    """Return, for each example, the samples of the pool with another label, nearest in L2 first."""
    samples = np.arange(len(pool))
    l2, linf = np.empty(len(pool)), np.empty(len(pool))
    result = []
    for e in range(len(task.x)):
        example = np.full(len(pool), e)

        def work(begin: int, end: int, example: NDArray[Any] = example) -> None:
            numba_kernels.distances(task.x, example, pool, samples, l2, linf, begin, end)

        in_threads(work, len(pool), pool.size)
        order = np.argsort(l2, kind="stable")
        if len(pool_labels):
            order = order[pool_labels[order] != task.y[e]]
        result.append(order[:max_samples])
    return Candidates(pool, result)


def noise_starts(search: BoundarySearch, init_size: int, seed: int, to_boundary: bool = True) -> None:
    """Start every run that has no start from uniform noise in the box: its first adversarial draw of `init_size`.

    Each run draws from its own stream and queries one draw at a time, all runs together. With `to_boundary` a start
    is then bisected along the straight line to its original, whatever the norm.
    """
    runs = search.runs
    keys = run_keys(search, seed, "start", np.arange(len(runs)))
    searching = np.flatnonzero(~runs.started)
    for attempt in range(init_size):
        without_queries = search.left(searching) <= 0
        runs.starved[searching[without_queries]] = True
        searching = searching[~without_queries]
        if not len(searching):
            break
        adversarial = _query_noise(search, searching, keys, attempt)
        started = searching[adversarial]
        _fill_start(search, runs.point, started, started, keys, attempt)
        runs.started[started] = True
        searching = searching[~adversarial]
    runs.stopped = ~runs.started
    if to_boundary:
        search.search(np.flatnonzero(runs.started), False, START_TOLERANCE)


def run_keys(
    search: BoundarySearch, seed: int, purpose: str, run_ids: Selection, iteration: int = 0
) -> NDArray[np.uint64]:
    """Return the keys of the random streams of the runs, shape (len(run_ids), 2).

    A stream belongs to (seed, the caller's number of the example, restart, purpose, iteration). So a run does not
    depend on the other examples under attack.
    """
    runs, index = search.runs, search.task.index
    keys = [stream_key(seed, index[runs.example[r]], runs.restart[r], purpose, iteration) for r in run_ids]
    return np.stack(keys) if keys else np.zeros((0, 2), dtype=np.uint64)


def _query_noise(
    search: BoundarySearch, run_ids: Selection, keys: NDArray[np.uint64], attempt: int
) -> NDArray[np.bool_]:
    def fill(out: NDArray[np.float32], begin: int, end: int) -> None:
        _fill_start(search, out, np.arange(end - begin), run_ids[begin:end], keys, attempt)

    return search.host.query(run_ids, fill)


def _fill_start(
    search: BoundarySearch,
    out: NDArray[np.float32],
    out_rows: Selection,
    run_ids: Selection,
    keys: NDArray[np.uint64],
    attempt: int,
) -> None:
    """Write draw number `attempt` of each of the runs, uniform in the box, to out[out_rows].

    Without bounds the box doubles after every 50 draws that are not adversarial.
    """
    low, high = search.task.box
    if not search.task.bounded:
        grown = 2.0 ** min(attempt // 50, 10) - 1
        low, high = low - grown * (high - low) / 2, high + grown * (high - low) / 2
    draws = np.empty((len(run_ids), out.shape[1]), dtype=np.float32)
    number, norm = np.full(len(run_ids), attempt), np.empty(len(run_ids))
    in_threads(
        lambda begin, end: fill_noise(keys, run_ids, number, UNIT, begin, end, draws, norm), len(run_ids), draws.size
    )
    draws *= np.float32(high - low)
    draws += np.float32(low)
    out[out_rows] = np.clip(draws, np.float32(low), np.float32(high), out=draws)


def query_in_blocks(journal: RecordedQueries, inputs: NDArray[np.float32], examples: Selection) -> NDArray[np.bool_]:
    """Query many inputs so that an interrupt loses at most one block of them; (n, d) and (n,) to (n,)."""
    size = journal.oracle.batch_rows
    parts = [journal.query(inputs[b : b + size], examples[b : b + size]) for b in range(0, len(inputs), size)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=bool)


def _try_candidates(
    journal: Journal,
    candidates: Candidates,
    init_size: int,
    reason: NDArray[np.str_],
    start: NDArray[np.float32],
) -> None:
    """Query the candidates of each example in order until one is adversarial; write starts and reasons in place."""
    searching = np.flatnonzero(reason == "")
    for attempt in range(init_size):
        exhausted = np.array([len(candidates.order[e]) <= attempt for e in searching], dtype=bool)
        reason[searching[exhausted]] = NO_START
        searching = searching[~exhausted]
        without_queries = journal.oracle.remaining(searching) <= 0
        reason[searching[without_queries]] = BUDGET_SPENT
        searching = searching[~without_queries]
        if not len(searching):
            return
        images = candidates.images[[candidates.order[e][attempt] for e in searching]]
        adversarial = query_in_blocks(journal, images, searching)
        start[searching[adversarial]] = images[adversarial]
        searching = searching[~adversarial]
    reason[searching] = NO_START
