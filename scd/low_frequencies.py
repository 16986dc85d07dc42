"""Orthonormal directions of low spatial frequency of images and signals, for training and for attacks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

KINDS = ("blocks", "dct")
_IMAGE_SIZE, _SIGNAL_SIZE = 8, 32  # where the size is "auto"

Rows = NDArray[np.float64]


def axis_bases(
    kind: str, size: int | str, shape: tuple[int, ...], n_features: int, owner: str, name: str
) -> tuple[Rows, ...]:
    """Orthonormal rows along each axis of a sample; their Kronecker product has the directions of one channel.

    Parameters
    ----------
    kind : {"blocks", "dct"}
        Means of `size` blocks along each axis; or the `size` lowest frequencies of the discrete cosine transform
        (DCT-II) along each axis.
    size : int or "auto"
        "auto" is 8 for images and 32 for signals, or fewer where there are no more.
    shape : tuple of int
        (channels, height, width) of an image, (d,) of a signal.
    n_features : int
        Features of a sample.
    owner, name : str
        For messages: the class, and its parameter that is `kind`; that with `_size` behind it is `size`.

    Returns
    -------
    tuple of ndarray of float64, shape (size, length)
        Of the height and the width of an image, or of a signal.

    Raises
    ------
    ValueError
        If the shape is not that of the samples, or `size` is more than the samples have.
    """
    if len(shape) not in (1, 3) or math.prod(shape) != n_features:
        raise ValueError(
            f"The 'feature_shape' parameter of {owner} must be (channels, height, width) or (d,) with a product "
            f"of {n_features}, the number of features. Got {shape} instead."
        )
    axes = shape[-2:]
    size = min(_IMAGE_SIZE if len(shape) == 3 else _SIGNAL_SIZE, *axes) if size == "auto" else int(size)
    if size > min(axes):
        raise ValueError(
            f"The '{name}_size' parameter of {owner} must be at most {min(axes)}, the shortest axis of samples of "
            f"the shape {shape}, with {name}={kind!r}. Got {size} instead."
        )
    along = {"blocks": _blocks, "dct": _cosines}[kind]
    return tuple(along(size, length) for length in axes)


def _blocks(size: int, length: int) -> Rows:
    """(size, length): equal weights on `size` neighbouring blocks, whose lengths differ by at most one."""
    block = np.arange(length) * size // length
    rows = (block == np.arange(size)[:, None]).astype(np.float64)
    unit: Rows = rows / np.sqrt(rows.sum(1, keepdims=True))
    return unit


def _cosines(size: int, length: int) -> Rows:
    """(size, length): the lowest frequencies of the orthonormal DCT-II."""
    angles = np.pi / length * np.arange(size)[:, None] * (np.arange(length) + 0.5)
    rows: Rows = np.cos(angles)
    unit: Rows = rows / np.sqrt((rows * rows).sum(1, keepdims=True))
    return unit
