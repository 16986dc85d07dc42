"""Start to compile what the first run needs, in other processes, while it imports packages and reads data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from scd.cache_folder import is_empty
from scd.devices import cores

_ROOT = Path(__file__).resolve().parents[1]
_PARTS = (["scd.search.cpu.ahead", "hidden"], ["scd.search.cpu.ahead", "output"], ["attacks.engine.kernels.ahead"])


def compile_ahead() -> None:
    """Say that the first run compiles, if nothing is compiled yet, and use a second core for it if there is one.

    A process that comes to a function that another one is compiling waits for it and reads it
    (:mod:`scd.numba_cache`). So a part that fails costs nothing but its gain.
    """
    if not is_empty():
        return
    print("note: The first run compiles code (about 40 seconds of CPU time); later runs read it.", flush=True)
    for part in _PARTS if cores() > 1 else ():
        subprocess.Popen(
            [sys.executable, "-m", *part],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
