"""Training samples as columns, which is how the search reads them."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROWS = 1024  # samples transposed at a time, so that only the columns themselves take memory
_LARGEST = 1e30  # above it, float32 sums of products with weights and steps may overflow


def as_columns(
    X: NDArray[Any], order: NDArray[Any] | None = None, memory: int | None = None, bytes_if_exact: bool = True
) -> tuple[NDArray[Any], float]:
    """Samples as contiguous columns: bytes and a divisor where that is the same to the last bit, else float32 and 1.

    Parameters
    ----------
    X : (n, d) float32
        May be memory-mapped: it is read one block of samples at a time.
    order : (n,) int, optional
        The order that the samples get.
    memory : int, optional
        Bytes; larger columns are stored in an unnamed file in the folder for temporary files, from which the system
        reads what is used.
    bytes_if_exact : bool
        With False, the columns are float32.

    Returns
    -------
    columns : (d, n) uint8 or float32
    divisor : float
        ``columns / divisor == X[order].T`` exactly.

    Raises
    ------
    ValueError
        If a feature is larger than 1e30.
    OSError
        If columns of more than `memory` bytes do not fit on the disk.
    """
    order = np.arange(len(X)) if order is None else order
    blocks = [slice(start, start + _ROWS) for start in range(0, len(X), _ROWS)]
    for divisor in (255.0, 16.0, 1.0) if bytes_if_exact else ():  # pixels; scikit-learn's digits; small counts
        if not _are_bytes(X[:8], divisor):
            continue
        if all(_are_bytes(X[block], divisor) for block in blocks):
            columns = _room((X.shape[1], len(X)), np.uint8, memory)
            for block in blocks:
                columns[:, block] = np.rint(X[order[block]] * np.float32(divisor)).T
            return columns, divisor
    columns = _room((X.shape[1], len(X)), np.float32, memory)
    for block in blocks:
        rows = X[order[block]]
        if max(rows.max(), -rows.min()) > _LARGEST:
            raise ValueError(
                f"The features must be numbers between -{_LARGEST:g} and {_LARGEST:g}, so that float32 can hold sums "
                f"of them. Got {rows.max() if rows.max() > _LARGEST else rows.min():g}; scale the features, such as "
                "to [0, 1]."
            )
        columns[:, block] = rows.T
    return columns, 1.0


def _room(shape: tuple[int, int], kind: type[np.generic], memory: int | None) -> NDArray[Any]:
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
                f"The training samples as columns take {size:,} bytes, more than memory_budget, and do not fit in "
                f"{tempfile.gettempdir()}: {error.strerror}. Raise memory_budget or move TMPDIR.",
            ) from error


def _are_bytes(X: NDArray[Any], divisor: float) -> bool:
    with np.errstate(over="ignore"):  # infinity is no byte either
        scaled = np.rint(X * np.float32(divisor))
    if scaled.min() < 0 or scaled.max() > 255:
        return False
    return bool(np.array_equal(scaled / np.float32(divisor), X))
