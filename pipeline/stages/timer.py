"""Wall time of work that may be killed and resumed."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.store import read_checked, read_json, write_checked

_SAVE_SECONDS = 5.0


def read_seconds(path: Path) -> tuple[float, str]:
    """The time in the file of a :class:`ResumableTimer`, 0 where there is none, and what is damaged, else ''."""
    known = read_json(path)
    if isinstance(known, (int, float)):  # as versions before checksums wrote it
        return float(known), ""
    stored = read_checked(path)
    seconds = (stored.content or {}).get("seconds", 0.0)
    return (float(seconds), stored.damage) if isinstance(seconds, (int, float)) else (0.0, "it holds no time")


class ResumableTimer:
    """Wall time of a piece of work over all its processes; that of a killed process is read from a file.

    Parameters
    ----------
    path : Path
        Where the time is saved every few seconds; whoever finishes the work removes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.before, damage = read_seconds(path)
        if damage:
            warnings.warn(f"The time spent before this process is not known ({path}: {damage}).", stacklevel=2)
        self.began = self.saved = time.perf_counter()

    def timing(self, work: Callable[..., Any], device: str | None = None, keeps_inputs: bool = False) -> TimedWork:
        """`work`, a function that is called many times, which also saves the time.

        Parameters
        ----------
        work : callable
        device : str, optional
            The GPU whose tensors `work` accepts.
        keeps_inputs : bool
            Whether `work` never writes into its inputs.
        """
        return TimedWork(self, work, device, keeps_inputs)

    def save_if_due(self) -> None:
        """Save the time, unless that was done in the last seconds."""
        if time.perf_counter() - self.saved > _SAVE_SECONDS:
            self.saved = time.perf_counter()
            write_checked(self.path, {"seconds": self.stop()})

    def stop(self) -> float:
        """Seconds so far."""
        return self.before + time.perf_counter() - self.began


class TimedWork:
    """A function that saves the time of its :class:`ResumableTimer` when it is called.

    Attributes
    ----------
    device : str or None
        Attacks read it to see whether GPU tensors are accepted.
    keeps_inputs : bool
        Attacks read it to see that they need not copy inputs.
    caller_confirms : bool
        Attacks read it to see that they need not confirm adversarials: :mod:`pipeline.stages.verify` does.
    """

    caller_confirms = True

    def __init__(self, timer: ResumableTimer, work: Callable[..., Any], device: str | None, keeps_inputs: bool) -> None:
        self._timer, self._work, self.device, self.keeps_inputs = timer, work, device, keeps_inputs

    def __call__(self, *arguments: Any) -> Any:
        """The value of the function."""
        self._timer.save_if_due()
        return self._work(*arguments)
