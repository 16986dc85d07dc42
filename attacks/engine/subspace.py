"""Probes within the low spatial frequencies of images and signals: fewer directions, of which few queries tell more."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from scd.low_frequencies import axis_bases
from scd.numba_cache import njit

Rows = NDArray[np.float32]


class Subspace:
    """A space of low-frequency directions: of block means, or of the lowest frequencies of the cosine transform.

    The directions are orthonormal, so a random combination of them with a given length is one of all directions in the
    space with this length. Where some features are fixed, a direction is its part in the others.

    Parameters
    ----------
    class_name : str
        Of the attack, for messages.
    kind : {"blocks", "dct"}
    size : int or "auto"
        Blocks or frequencies along each axis; "auto" is 8 for images and 32 for signals, or fewer.
    shape : tuple of int
        (channels, height, width) of an image, (d,) of a signal.
    n_features : int
        Features of a sample.
    free : ndarray of bool, shape (n_features,), optional
        Features that may change; None: all.

    Attributes
    ----------
    n_coefficients : int
        Dimension of the space, where no features are fixed.

    Raises
    ------
    ValueError
        If the shape is not that of the samples, or `size` is more than they have.
    """

    def __init__(
        self,
        class_name: str,
        kind: str,
        size: int | str,
        shape: tuple[int, ...],
        n_features: int,
        free: NDArray[np.bool_] | None = None,
    ) -> None:
        bases = axis_bases(kind, size, shape, n_features, class_name, "subspace")
        self.shape = shape
        self._across = bases[-1].astype(np.float32)
        self._down = bases[0].astype(np.float32) if len(bases) == 2 else np.ones((1, 1), dtype=np.float32)
        self.kept = np.arange(n_features) if free is None else np.flatnonzero(free)
        channels = shape[0] if len(shape) == 3 else 1
        self.n_coefficients = channels * len(self._down) * len(self._across)

    def identity(self) -> dict[str, NDArray[np.int64]]:
        """Arrays that belong to the fingerprint of an attack in this space."""
        return {"feature_shape": np.array(self.shape)}

    def expand(self, coefficients: Rows, begin: int, end: int, out: Rows, norm: NDArray[np.float64]) -> None:
        """Fill rows begin..end-1 of `out` (n, k) with the directions of coefficients (n, m), `norm` (n,) with lengths.

        A row does not depend on the others.
        """
        expand_rows(coefficients, self._down, self._across, self.kept, begin, end, out, norm)


@njit(nogil=True)
def expand_rows(
    coefficients: Rows,
    down: Rows,
    across: Rows,
    kept: NDArray[np.int64],
    begin: int,
    end: int,
    out: Rows,
    norm: NDArray[np.float64],
) -> None:
    """Fill out[r] with the direction of coefficients[r], for r in begin..end-1, and norm[r] with its L2 norm.

    The transform of each channel is done along one axis after the other: for 8 of 32 frequencies along each axis this
    takes a twentieth of the products with the directions themselves. The order of additions is fixed.

    Parameters
    ----------
    coefficients : ndarray of float32, shape (n, channels * a * b)
    down : ndarray of float32, shape (a, height)
    across : ndarray of float32, shape (b, width)
    kept : ndarray of int64, shape (k,)
        Features of an image that `out` has.
    out : ndarray of float32, shape (n, k)
    norm : ndarray of float64, shape (n,)
    """
    a, height = down.shape
    b, width = across.shape
    channels = coefficients.shape[1] // (a * b)
    lines = np.empty((a, width), dtype=np.float32)
    image = np.empty((channels * height, width), dtype=np.float32)
    flat = image.reshape(channels * height * width)
    for r in range(begin, end):
        image[:] = np.float32(0.0)
        for channel in range(channels):
            lines[:] = np.float32(0.0)
            for i in range(a):
                for j in range(b):
                    by = coefficients[r, (channel * a + i) * b + j]
                    for w in range(width):
                        lines[i, w] += by * across[j, w]
            for h in range(height):
                for i in range(a):
                    for w in range(width):
                        image[channel * height + h, w] += down[i, h] * lines[i, w]
        squares = np.float64(0.0)
        for c in range(len(kept)):
            value = flat[kept[c]]
            out[r, c] = value
            squares += np.float64(value) * np.float64(value)
        norm[r] = math.sqrt(squares)
