"""Timing for the benchmarks: medians, threads, tables."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
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
    name: str = ""
    """As in ``--sections``."""
    load: float | None = None
    """Cores that other programs used meanwhile, mean; None where the system does not say."""

    def markdown(self) -> str:
        """A table of figures, then of ratios."""
        rows = [f"| {name} | {_shown(value)} |" for name, value in {**self.figures, **self.ratios}.items()]
        beside = [] if self.load is None else [f"Other programs used {self.load:.1f} cores meanwhile."]
        notes = [f"\n{note}" for note in [*self.notes, *beside]]
        return "\n".join([f"### {self.title}\n", "| figure | value |", "|---|---|", *rows, *notes])


def with_load(name: str, measure: Callable[[], Section]) -> Section:
    """The section that `measure` returns, with its name and the load beside it."""
    began, busy, own = time.perf_counter(), _busy_seconds(), sum(os.times()[:4])
    section = measure()
    after, seconds = _busy_seconds(), time.perf_counter() - began
    section.name = name
    if busy is not None and after is not None:
        others = after - busy - (sum(os.times()[:4]) - own)
        section.load = max(0.0, others / seconds)
    return section


def _busy_seconds() -> float | None:
    """CPU time of all programs on all cores since the system's start, and what a virtual machine's host took."""
    try:
        user, nice, system, _idle, _waiting, *interrupts = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    except (OSError, ValueError, IndexError):
        return None
    return sum(map(int, (user, nice, system, *interrupts))) / os.sysconf("SC_CLK_TCK")


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
