"""Training rows as columns, which is how the search reads them."""

from __future__ import annotations

import os
import tempfile

import numpy as np

_ROWS = 1024  # turned at a time, so that nothing but the columns themselves takes room


def as_columns(X: np.ndarray, order: np.ndarray | None = None, memory: int | None = None) -> tuple[np.ndarray, float]:
    """Rows as contiguous columns: bytes and a divisor where that is the same to the last bit, else float32 and 1.

    Parameters
    ----------
    X : (n, d) float32
        May be memory-mapped: it is read a block of rows at a time.
    order : (n,) int, optional
        The order that the rows get.
    memory : int, optional
        Bytes; columns that take more lie in a file without a name, in the folder for temporary files, from which the
        system reads what is used and drops it again.

    Returns
    -------
    columns : (d, n) uint8 or float32
    divisor : float
        ``columns / divisor == X[order].T`` exactly.

    Raises
    ------
    OSError
        No room on the disk for columns of more than `memory` bytes.
    """
    order = np.arange(len(X)) if order is None else order
    blocks = [slice(start, start + _ROWS) for start in range(0, len(X), _ROWS)]
    for divisor in (255.0, 16.0, 1.0):  # pixels; scikit-learn's digits; small counts
        if not _are_bytes(X[:8], divisor):
            continue
        if all(_are_bytes(X[block], divisor) for block in blocks):
            columns = _room((X.shape[1], len(X)), np.uint8, memory)
            for block in blocks:
                columns[:, block] = np.rint(X[order[block]] * np.float32(divisor)).T
            return columns, divisor
    columns = _room((X.shape[1], len(X)), np.float32, memory)
    for block in blocks:
        columns[:, block] = X[order[block]].T
    return columns, 1.0


def _room(shape: tuple[int, int], kind: type[np.generic], memory: int | None) -> np.ndarray:
    size = shape[0] * shape[1] * np.dtype(kind).itemsize
    if memory is None or size <= memory:
        return np.empty(shape, dtype=kind)
    with tempfile.TemporaryFile(prefix="scd-columns-") as file:
        try:
            if hasattr(os, "posix_fallocate"):  # now, and not as a bus error at the first write
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype=kind, mode="w+", shape=shape)
        except OSError as error:
            raise OSError(
                error.errno,
                f"The training rows as columns take {size:,} bytes, more than memory_budget, and there is no room for "
                f"them in {tempfile.gettempdir()}: {error.strerror}. Raise memory_budget or move TMPDIR.",
            ) from error


def _are_bytes(X: np.ndarray, divisor: float) -> bool:
    scaled = np.rint(X * np.float32(divisor))
    if scaled.min() < 0 or scaled.max() > 255:
        return False
    return bool(np.array_equal(scaled / np.float32(divisor), X))
