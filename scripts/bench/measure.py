"""Timing for the benchmarks: medians, threads, tables."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Section:
    """What one benchmark found."""

    title: str
    figures: dict[str, float] = field(default_factory=dict)
    """Any numbers, their unit in the name."""
    ratios: dict[str, float] = field(default_factory=dict)
    """Numbers without a unit, from one run, of which more is better: what ``make bench-check`` compares."""
    notes: list[str] = field(default_factory=list)
    """What was not measured, and why."""

    def markdown(self) -> str:
        """A table of figures, then of ratios."""
        rows = [f"| {name} | {_shown(value)} |" for name, value in {**self.figures, **self.ratios}.items()]
        notes = [f"\n{note}" for note in self.notes]
        return "\n".join([f"### {self.title}\n", "| figure | value |", "|---|---|", *rows, *notes])


def _shown(value: float) -> str:
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """Use this many threads in BLAS, and one in torch, as training does."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(number):
            yield
    finally:
        torch.set_num_threads(before)


def seconds_of(call: Callable[[], Any], repeats: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Median time of a call, after one that is not counted."""
    call()
    return statistics.median(timed(call, clock) for _ in range(repeats))


def timed(call: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """Time of one call. ``time.process_time`` of one thread does not count what other programs took."""
    began = clock()
    call()
    return clock() - began
