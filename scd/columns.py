"""Training rows as columns, which is how the search reads them."""

from __future__ import annotations

import numpy as np

_ROWS = 1024  # turned at a time, so that nothing but the columns themselves takes room


def as_columns(X: np.ndarray, order: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """Rows as contiguous columns: bytes and a divisor where that is the same to the last bit, else float32 and 1.

    Parameters
    ----------
    X : (n, d) float32
        May be memory-mapped: it is read a block of rows at a time.
    order : (n,) int, optional
        The order that the rows get.

    Returns
    -------
    columns : (d, n) uint8 or float32
    divisor : float
        ``columns / divisor == X[order].T`` exactly.
    """
    order = np.arange(len(X)) if order is None else order
    blocks = [slice(start, start + _ROWS) for start in range(0, len(X), _ROWS)]
    for divisor in (255.0, 16.0, 1.0):  # pixels; scikit-learn's digits; small counts
        if not _are_bytes(X[:8], divisor):
            continue
        if all(_are_bytes(X[block], divisor) for block in blocks):
            columns = np.empty((X.shape[1], len(X)), dtype=np.uint8)
            for block in blocks:
                columns[:, block] = np.rint(X[order[block]] * np.float32(divisor)).T
            return columns, divisor
    columns = np.empty((X.shape[1], len(X)), dtype=np.float32)
    for block in blocks:
        columns[:, block] = X[order[block]].T
    return columns, 1.0


def _are_bytes(X: np.ndarray, divisor: float) -> bool:
    scaled = np.rint(X * np.float32(divisor))
    if scaled.min() < 0 or scaled.max() > 255:
        return False
    return bool(np.array_equal(scaled / np.float32(divisor), X))
