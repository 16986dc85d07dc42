"""Training rows as columns, which is how the search reads them."""

from __future__ import annotations

import numpy as np


def as_columns(X: np.ndarray) -> tuple[np.ndarray, float]:
    """Rows as contiguous columns: bytes and a divisor where that is the same to the last bit, else float32 and 1.

    Parameters
    ----------
    X : (n, d) float32

    Returns
    -------
    columns : (d, n) uint8 or float32
    divisor : float
        ``columns / divisor == X.T`` exactly.
    """
    for divisor in (255.0, 16.0, 1.0):  # pixels; scikit-learn's digits; small counts
        if not _are_bytes(X[:8], divisor):
            continue
        if all(_are_bytes(X[i : i + 1024], divisor) for i in range(0, len(X), 1024)):
            columns = np.empty((X.shape[1], len(X)), dtype=np.uint8)
            for i in range(0, len(X), 1024):
                columns[:, i : i + 1024] = np.rint(X[i : i + 1024] * np.float32(divisor)).T
            return columns, divisor
    return np.ascontiguousarray(X.T), 1.0


def _are_bytes(X: np.ndarray, divisor: float) -> bool:
    scaled = np.rint(X * np.float32(divisor))
    if scaled.min() < 0 or scaled.max() > 255:
        return False
    return bool(np.array_equal(scaled / np.float32(divisor), X))
