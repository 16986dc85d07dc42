"""Where all randomness comes from: seeds derived from a root seed and names, never a global generator.

A seed depends on the root seed and the names alone. So a vote's draws do not depend on which other votes are trained,
and an attacked example's draws do not depend on the batch, the number of threads or an interruption.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


def seed_for(root: int, *names: str | int) -> int:
    """63-bit seed from `root` and `names` (sha256); different names give unrelated seeds."""
    text = "\x1f".join(str(part) for part in (int(root), *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def vote_seed(root: int, vote: int) -> int:
    """32-bit seed of a vote, within the range of scikit-learn's ``random_state``."""
    return seed_for(root, "vote", vote) % 2**32


def generator_for(root: int, *names: str | int) -> np.random.Generator:
    """NumPy generator (PCG64) seeded by :func:`seed_for`."""
    return np.random.Generator(np.random.PCG64(seed_for(root, *names)))


def stream_key(*names: int | str) -> NDArray[np.uint64]:
    """128-bit key of a counter-based random stream from `names` (BLAKE2b).

    Parameters
    ----------
    *names : int or str
        For example the seed, the example, the restart and the purpose. Any integers, negative and large ones too, and
        strings; their order and type matter.

    Returns
    -------
    key : (2,) uint64
    """
    text = repr([name if isinstance(name, str) else int(name) for name in names])
    return np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16).digest(), dtype="<u8").astype(np.uint64)
