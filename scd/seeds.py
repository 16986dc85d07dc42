"""Where all randomness comes from: seeds derived from a root seed and names."""

from __future__ import annotations

import hashlib

import numpy as np


def seed_for(root: int, *names: str | int) -> int:
    """Return a 63-bit seed that depends on `root` and `names` alone.

    Different names give unrelated seeds, so a vote's draws do not depend on which other votes are trained.
    """
    text = "\x1f".join(str(part) for part in (int(root), *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator_for(root: int, *names: str | int) -> np.random.Generator:
    """Return a NumPy generator seeded by :func:`seed_for`."""
    return np.random.Generator(np.random.PCG64(seed_for(root, *names)))
