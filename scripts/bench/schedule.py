"""How training scales beyond the cores of this machine: measured times, the engine's own queue, simulated clocks.

The threads of :func:`scd.search.cpu.descent.in_turns` take votes as in training, but each piece of work is a wait for
the time that such a piece took on one core here. Memory bandwidth that cores share is left out.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from pipeline.stages.fit import shard_ranges, shard_votes
from scd.classifier import SCDClassifier
from scd.engine.samples.feature_columns import as_columns
from scd.engine.training import RECORD
from scd.search import backend
from scd.search.cpu.descent import CpuDescent, in_turns
from scripts.bench.measure import Section, threads, timed
from scripts.bench.training import VARIANTS

THREADS = (2, 4, 8, 16)
_VOTES = 100
_MEASURED = 6  # votes, of which the others are copies


class Clocks:
    """Simulated time: threads that work are waits, and time advances when all of them wait.

    Parameters
    ----------
    threads, votes : int
        As for :func:`scd.search.cpu.descent.in_turns`.
    """

    def __init__(self, threads: int, votes: int) -> None:
        self.now = 0.0
        self._threads, self._left = threads, votes
        self._changed = threading.Condition()
        self._ends: dict[int, float] = {}
        """When the piece of each vote that is worked on ends."""

    def work(self, vote: int, seconds: float, last: bool) -> None:
        """Let these seconds pass for the calling thread; `last`: the vote needs no more."""
        with self._changed:
            self._ends[vote] = self.now + seconds
            self._advance()
            self._changed.wait_for(lambda: vote not in self._ends)
            if last:
                self._left -= 1
                self._advance()  # this thread may find no other vote

    def _advance(self) -> None:
        """The piece that ends first ends now, if no thread is between two pieces."""
        if self._ends and len(self._ends) == min(self._threads, self._left):
            first = min(self._ends, key=lambda vote: (self._ends[vote], vote))
            self.now = self._ends.pop(first)
            self._changed.notify_all()


def makespan(pieces: Sequence[Sequence[float]], threads: int) -> float:
    """Seconds until `threads` threads have done all votes.

    Parameters
    ----------
    pieces : (V,) sequence of sequences
        Seconds of each vote's pieces of work, in their order.
    threads : int
    """
    clocks, done = Clocks(threads, len(pieces)), [0] * len(pieces)

    def work(vote: int) -> bool:
        seconds = pieces[vote][done[vote]]
        done[vote] += 1
        last = done[vote] == len(pieces[vote])
        clocks.work(vote, seconds, last)
        return last

    in_turns(work, len(pieces), threads)
    return clocks.now


@dataclasses.dataclass(frozen=True)
class Times:
    """Measured on one core, in seconds of process time."""

    alone: float
    """What one call does on one core whatever its number of votes: checks, columns."""
    starts: list[float]
    """Of each vote, before its first iteration."""
    pieces: list[list[float]]
    """Of each vote, what a thread does before it takes the next vote."""

    def seconds(self, calls: Sequence[range], threads: int) -> float:
        """Simulated seconds of calls that train these votes, one call after the other."""
        total = 0.0
        for votes in calls:
            starts = [[self.starts[v % len(self.starts)]] for v in votes]
            pieces = [self.pieces[v % len(self.pieces)] for v in votes]
            total += self.alone + makespan(starts, threads) + makespan(pieces, threads)
        return total


def measure_times(x: np.ndarray, y: np.ndarray, kind: dict[str, Any]) -> Times:
    """The times of some votes with `kind`, the arguments of `SCDClassifier`, trained to their end."""
    order, negatives = np.argsort(y, kind="stable"), int((y == 0).sum())
    columns, divisor = as_columns(x, order)
    model = SCDClassifier(**{**kind, "n_iter": RECORD}, n_votes=1, random_state=0, n_jobs=1)
    settings = SCDClassifier(**kind)._settings(len(columns))
    starts: list[float] = []

    class Timed(CpuDescent):
        def _begin(self, v: int, order: Any) -> bool:
            starts.append(timed(lambda: CpuDescent._begin(self, v, order), time.process_time))
            return True

    with threads(1):
        model.warm_up(x, y)
        call = timed(lambda: model.fit_votes(x, y, range(1)), time.process_time)
        descent = Timed(columns, divisor, negatives, settings, range(_MEASURED), 0, backend("cpu"))
        pieces: list[list[float]] = [[] for _ in range(_MEASURED)]
        for v in range(_MEASURED):
            piece = partial(descent._some, v, None, settings.n_iter)
            while descent.states[v].at[0] < settings.n_iter:
                pieces[v].append(timed(piece, time.process_time))
    return Times(max(0.0, call - starts[0] - pieces[0][0]), starts, pieces)


def schedule(x: np.ndarray, y: np.ndarray) -> Section:
    """Simulated speed-up of 100 votes: in one call, and in the shards of ``run.py``."""
    section = Section(f"Simulated training of {_VOTES} votes on many cores, by times of {_MEASURED} votes on one")
    for name in ("scd01", "scdce"):
        times = measure_times(x, y, VARIANTS[name])
        of_votes = [sum(pieces) for pieces in times.pieces]
        section.figures[f"{name}, a call beside its votes, s"] = times.alone
        section.figures[f"{name}, start of a vote, s"] = float(np.mean(times.starts))
        section.figures[f"{name}, iterations of a vote, s"] = float(np.mean(of_votes))
        section.figures[f"{name}, the same, standard deviation"] = float(np.std(of_votes))
        one_core, one_core_in_shards = times.seconds([range(_VOTES)], 1), times.seconds(_shards(len(x), 1), 1)
        for number in THREADS:
            shown = section.ratios if number == max(THREADS) else section.figures
            pieces = [times.pieces[v % _MEASURED] for v in range(_VOTES)]
            shown[f"{name}, iterations, {number} cores / one"] = sum(map(sum, pieces)) / makespan(pieces, number)
            one_call = times.seconds([range(_VOTES)], number)
            shown[f"{name}, a fit, {number} cores / one"] = one_core / one_call
            in_shards = times.seconds(_shards(len(x), number), number)
            shown[f"{name}, run.py, {number} cores / one"] = one_core_in_shards / in_shards
    return section


def _shards(rows: int, cores: int) -> list[range]:
    return shard_ranges(list(range(_VOTES)), shard_votes(SCDClassifier.shard_votes, rows, cores))
