"""Progress of long work: a bar on a terminal, plain lines every few seconds in a file or a CI log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

SECONDS = 5.0
"""Time between two plain lines of a process."""


def progress_bar(
    total: int | None = None,
    *,
    desc: str,
    unit: str = "it",
    initial: int = 0,
    leave: bool = True,
    verbose: bool = True,
) -> Any:
    """Return a context manager with tqdm's ``total``, ``n``, ``update`` and ``set_postfix_str``.

    Parameters
    ----------
    total : int, optional
        Units of the whole work, if known.
    desc : str
        Name of the work.
    unit : str
    initial : int
        Units that were done before.
    leave : bool
        Leave the finished bar on the terminal.
    verbose : bool
        False: show nothing.
    """
    if verbose and not sys.stderr.isatty():
        return PlainLines(total, desc=desc, unit=unit, initial=initial)
    return tqdm(total=total, desc=desc, unit=unit, initial=initial, leave=leave, disable=not verbose)


class PlainLines:
    """The progress of one piece of work as lines on stderr.

    All instances of a process share the clock, so that many short pieces in a row also print a line every few seconds.
    """

    _printed: float | None = None

    def __init__(self, total: int | None, *, desc: str, unit: str, initial: int) -> None:
        self.total, self.n = total, initial
        self._desc, self._unit, self._postfix = desc, _plural(unit), ""
        self._began = time.monotonic()
        if PlainLines._printed is None:
            PlainLines._printed = self._began

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def update(self, n: int = 1) -> None:
        """Count `n` more units, and print a line if the last one is some seconds old."""
        self.n += n
        now = time.monotonic()
        assert PlainLines._printed is not None
        if now - PlainLines._printed >= SECONDS:
            PlainLines._printed = now
            print(self.line(now - self._began), file=sys.stderr, flush=True)

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        """Set what a line says beside the count; `refresh` is tqdm's and has no effect."""
        self._postfix = s

    def line(self, seconds: float) -> str:
        """The line after so many seconds of this work."""
        done = f"{self.n:,}" if self.total is None else f"{self.n:,} of {self.total:,}"
        return ", ".join(filter(None, [f"{self._desc}: {done}{self._unit}", self._postfix, f"{seconds:.0f} s"]))


def _plural(unit: str) -> str:
    if unit == "it":  # tqdm's word for units without a name
        return ""
    return f" {unit[:-1]}ies" if unit.endswith("y") else f" {unit}s"
