"""Parallel training of independent votes, in order, with progress."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from joblib import Parallel, delayed, effective_n_jobs, parallel_config
from threadpoolctl import threadpool_limits

from scd.progress import progress_bar

if TYPE_CHECKING:
    from scd.ensemble import Progress

T = TypeVar("T")

_WATCH_SECONDS = 1.0  # between two looks at the parent process


def train_in_parallel(
    train: Callable[[int], T],
    votes: range,
    n_jobs: int | None,
    prefer: str,
    progress: Progress | None = None,
    verbose: bool = False,
    outside: bool = False,
) -> list[T]:
    """Return ``[train(vote) for vote in votes]``.

    Linear algebra is single-threaded in this process meanwhile, because the number of threads may change the rounding
    and a vote must not depend on `n_jobs`. A `train` that runs in other processes has to ensure that itself. Other
    processes end when this one does, even when it is killed, and leave the vote that they train.

    Parameters
    ----------
    train : callable
        Picklable where `prefer` is "processes".
    votes : range
    n_jobs : int or None
        As in joblib: -1 is one for each core, None is 1.
    prefer : {"processes", "threads"}
    progress : callable, optional
        Called with (finished votes, all votes, NaN) after each.
    verbose : bool
        Show a progress bar.
    outside : bool
        Train every vote, even a single one, in worker processes that are kept for later calls; `prefer` is then
        ignored.
    """
    trained: list[T] = []
    bar = progress_bar(len(votes), verbose=verbose, desc="votes", leave=False)
    with threadpool_limits(limits=1), bar:
        jobs = (delayed(_train_for)(os.getpid(), train, vote) for vote in votes)
        results: Iterable[T]
        if outside:
            results = _outside(effective_n_jobs(n_jobs))(jobs)
        else:
            n_jobs = 1 if len(votes) == 1 else n_jobs  # starting processes may take longer than the vote
            results = Parallel(n_jobs=n_jobs, prefer=prefer, return_as="generator")(jobs)
        for result in results:
            trained.append(result)
            bar.update()
            if progress is not None:
                progress(len(trained), len(votes), math.nan)
    return trained


def _outside(jobs: int) -> Parallel:
    """Runs `jobs` votes at a time in other processes.

    joblib would run a single job in this process, so two processes are requested, with one vote dispatched at a time.
    joblib keeps processes for calls with equal settings, so size and threads are the same for every number of votes.
    """
    with parallel_config("loky", inner_max_num_threads=1):
        return Parallel(n_jobs=max(2, jobs), pre_dispatch=jobs, return_as="generator")


def _train_for(parent: int, train: Callable[[int], T], vote: int) -> T:
    """Train a vote for the process `parent`: this one, or the one that started this worker."""
    if os.getppid() == parent:
        _end_with(parent)
    return train(vote)


@cache
def _end_with(parent: int) -> None:
    """Watch `parent`, once: a worker of a killed process would otherwise train all votes that it was given."""
    threading.Thread(target=_watch, args=(parent,), name="watch-parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:  # another process adopts an orphan
        time.sleep(_WATCH_SECONDS)
    os._exit(1)
