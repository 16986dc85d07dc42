"""Where Numba keeps compiled code: in a folder of its own for each state of the sources.

Numba compiles a function again when its own file has changed, but not when only a file has whose functions it contains.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from pathlib import Path

_ROOMS = ("scd", "attacks", "baselines")  # that hold compiled functions, side by side
_PREFIX = "numba-"
_UNUSED_DAYS = 30  # after which the code of other sources is removed


def keep_apart(root: Path) -> None:
    """Point Numba to a folder named by the sources in the rooms under `root`, below ``NUMBA_CACHE_DIR`` if that is set.

    Where the folder cannot be made, Numba looks for another place as it always does.
    """
    digest = hashlib.sha256()
    for room in _ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    given = os.environ.get("NUMBA_CACHE_DIR")
    base = Path(given) if given else root / _ROOMS[0] / "__pycache__"
    base = base.parent if base.name.startswith(_PREFIX) else base  # set by the process that started this one
    folder = base / f"{_PREFIX}{digest.hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
    except OSError:
        return
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = str(folder)
    for other in base.glob(f"{_PREFIX}*"):
        if time.time() - other.stat().st_mtime > 86400 * _UNUSED_DAYS:
            shutil.rmtree(other, ignore_errors=True)
