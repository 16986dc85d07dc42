"""Where compiled code is stored; Numba itself is not imported.

The folder is the first of these that can be written: ``NUMBA_CACHE_DIR``, ``__pycache__`` of this package, the user's
cache folder, a folder of the user below the system's temporary folder. Only a subfolder with this project's name is
touched.
"""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


@functools.cache
def cache_folder() -> Path | None:
    """The first folder for compiled code that can be written, or None."""
    name = "scd-" + hashlib.sha256(str(_ROOT).encode()).hexdigest()[:8]  # several checkouts may share a cache folder
    for folder in _candidates(name):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            foreign = hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()
            if not foreign and os.access(folder, os.W_OK):
                return folder
        except OSError:
            continue
    return None


def is_empty() -> bool:
    """Whether no compiled code is stored yet, as before the first run."""
    folder = cache_folder()
    return folder is None or next(folder.rglob("*.nbi"), None) is None


def _candidates(name: str) -> Iterator[Path]:
    if given := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(given) / name
    yield Path(__file__).parent / "__pycache__" / name
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if os.path.isabs(home):  # not where there is no home
        yield Path(home) / name
    user = os.getuid() if hasattr(os, "getuid") else ""
    yield Path(tempfile.gettempdir()) / f"{name}-{user}"
