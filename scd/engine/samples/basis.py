"""Coordinates that training may run in: a few orthonormal directions of the inputs.

A unit's distance from an input is ``|x . w - t|`` with ``|w| = 1``. Images have most of their variance at low spatial
frequencies, so hyperplanes whose normals lie there are further from images than those with arbitrary normals. Training
then sees the coefficients ``x . B.T`` of an input, with the orthonormal rows of B, and its weights W become ``W . B``:
weights of the inputs themselves, with the same norms, projections and thresholds. A trained vote does not show in which
coordinates it was trained.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scd.low_frequencies import axis_bases
from scd.storage import Vote

_COMPONENTS = 100  # where the size is "auto"
_ROWS = 1024  # samples at a time in float64

Floats = NDArray[np.float32]


def basis(
    kind: str,
    size: int | str,
    X: NDArray[Any],
    feature_shape: tuple[int, ...] | None = None,
    class_name: str = "SCDClassifier",
) -> Floats:
    """(k, d) orthonormal rows: the directions that training sees of (n, d) samples `X`.

    Parameters
    ----------
    kind : {"blocks", "dct", "pca"}
        Means of `size` blocks along each axis of an image or signal; the `size` lowest frequencies of the discrete
        cosine transform (DCT-II) along each axis, for each channel; or the first `size` principal components of `X`.
    size : int or "auto"
        "auto" is 8 for images, 32 for signals and 100 components, or fewer where there are no more.
    X : (n, d) float32
        Training samples; only "pca" reads their values.
    feature_shape : tuple of int, optional
        (channels, height, width) of an image, (d,) of a signal. None is a signal.
    class_name : str
        Whose parameters these are, for messages.

    Raises
    ------
    ValueError
        If the shape is not that of the samples, or `size` is more than the samples have.
    """
    if kind == "pca":
        return _principal_components(X, size, class_name)
    shape = tuple(feature_shape) if feature_shape is not None else (X.shape[1],)
    rows = np.ones((1, 1))
    for along in axis_bases(kind, size, shape, X.shape[1], class_name, "basis"):
        rows = np.kron(rows, along)
    channels = shape[0] if len(shape) == 3 else 1
    directions: Floats = np.kron(np.eye(channels), rows).astype(np.float32)
    return directions


def _principal_components(X: NDArray[Any], size: int | str, class_name: str) -> Floats:
    n, d = X.shape
    size = min(_COMPONENTS, n - 1, d) if size == "auto" else int(size)
    if size > min(n - 1, d):
        raise ValueError(
            f"The 'basis_size' parameter of {class_name} must be at most {min(n - 1, d)} for {n} samples of {d} "
            f"features with basis='pca'. Got {size} instead."
        )
    mean = X.mean(axis=0, dtype=np.float64)
    if n <= d:  # from the (n, n) products of the samples
        centred = X - mean
        rows = np.linalg.eigh(centred @ centred.T)[1][:, ::-1][:, :size].T @ centred
        rows = np.linalg.qr(rows.T)[0].T
    else:
        covariance = np.zeros((d, d))
        for start in range(0, n, _ROWS):
            centred = X[start : start + _ROWS] - mean
            covariance += centred.T @ centred
        rows = np.linalg.eigh(covariance)[1][:, ::-1][:, :size].T
    signs = np.sign(rows[np.arange(size), np.abs(rows).argmax(1)])
    signed: Floats = (rows * signs[:, None]).astype(np.float32)
    return signed


def coefficients(X: NDArray[Any], rows: Floats) -> Floats:
    """(n, k) float32 coefficients of (n, d) samples: distances between samples of their span are kept."""
    z: Floats = np.matmul(X, rows.T, dtype=np.float32)
    return z


def folded(vote: Vote, rows: Floats) -> Vote:
    """The vote on inputs that has, on every input, the projections of `vote` on the input's coefficients."""
    return {**vote, "hidden": vote["hidden"] @ rows}
