"""Wall time of work that may be killed and resumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.store import read_json
from scd.files import write_json

_NOTED_EVERY = 5.0  # seconds


class Clock:
    """Wall time of a piece of work over all its processes: what a killed one spent is read from a file.

    Parameters
    ----------
    path : Path
        Where the time is noted every few seconds; whoever finishes the work removes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        known = read_json(path)
        self.before = float(known) if isinstance(known, (int, float)) else 0.0
        self.began = self.noted = time.perf_counter()

    def timing(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """`work`, a function that is called again and again, noting the time every few seconds."""

        def timed(*given: Any) -> Any:
            if time.perf_counter() - self.noted > _NOTED_EVERY:
                self.noted = time.perf_counter()
                write_json(self.path, self.stop())
            return work(*given)

        if hasattr(work, "device"):  # by which attacks know that it takes rows on a card
            timed.device = work.device  # type: ignore[attr-defined]
        return timed

    def stop(self) -> float:
        """Seconds so far."""
        return self.before + time.perf_counter() - self.began
