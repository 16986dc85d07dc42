"""Compile what an attack calls between two queries: ``python -m attacks.engine.kernels.ahead``."""

from __future__ import annotations

import os

import numpy as np

from ...hopskipjump import HopSkipJump


def attack() -> None:
    """Attack a threshold on one feature by HopSkipJump: this compiles random numbers and arithmetic."""
    tiny = HopSkipJump(max_iter=1, restarts=1, init_eval=10, max_eval=10, init_size=10)
    tiny(lambda x: (x[:, 0] > 0.7).astype(np.int64), np.full((2, 4), 0.5, dtype=np.float32))


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(10)  # training, which other processes compile, comes first
    attack()
