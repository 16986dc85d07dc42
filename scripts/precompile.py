"""Compile what the default experiment needs: ``python -m scripts.precompile``.

`make` does this while it installs the other packages: it takes NumPy, Numba, scikit-learn and tqdm only.
"""

from __future__ import annotations

import numpy as np

from attacks.engine.kernels.ahead import attack
from scd import SCDClassifier


def main() -> None:
    """Train a vote on a few images, predict, and attack."""
    images = np.arange(80, dtype=np.float32).reshape(20, 4) / np.float32(255)
    labels = np.arange(20) % 2
    SCDClassifier(n_votes=1, n_iter=2, hidden_nodes=2, device="cpu").fit(images, labels).predict(images)
    attack()


if __name__ == "__main__":
    main()
