"""The copies of the samples that training sees: with noise, and as they are or mirrored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def mirrored_order(feature_shape: Sequence[int] | None, n_features: int, class_name: str) -> NDArray[np.int64]:
    """(d,) the features of an image in the order of the image mirrored left to right.

    Raises
    ------
    ValueError
        If `feature_shape` is not (channels, height, width) with a product of `n_features`.
    """
    shape = () if feature_shape is None else tuple(feature_shape)
    if len(shape) != 3 or math.prod(shape) != n_features:
        raise ValueError(
            f"The 'mirrored' parameter of {class_name} must be False unless feature_shape is (channels, height, "
            f"width) with a product of {n_features}, the number of features. Got feature_shape={feature_shape} "
            f"instead."
        )
    return np.ascontiguousarray(np.arange(n_features).reshape(shape)[..., ::-1]).reshape(-1)


def mirrored(images: NDArray[Any], feature_shape: Sequence[int] | None) -> NDArray[Any]:
    """(n, d) flat images, or weights of their pixels, mirrored left to right.

    Raises
    ------
    ValueError
        See `mirrored_order`.
    """
    return images[:, mirrored_order(feature_shape, images.shape[1], "SCDClassifier")]


class Copies:
    """Copies of samples, drawn again at every call.

    Parameters
    ----------
    inputs : (n, k) float32
        The samples, or their coefficients.
    mirror_images : (n, k) float32 or None
        The same of the mirrored samples. None: no copy is mirrored.
    noise : sequence of float
        Standard deviations, one for each copy of all samples.
    """

    def __init__(self, inputs: Floats, mirror_images: Floats | None, noise: Sequence[float]) -> None:
        self.inputs, self.mirror_images, self.noise = inputs, mirror_images, noise

    def draw(self, generator: np.random.Generator) -> Floats:
        """(len(noise) * n, k) float32: all samples with the first noise, then with the second and so on.

        Where there are mirror images, each sample of a copy is replaced by its own with probability one half.
        """
        drawn = []
        for deviation in self.noise:
            copy = self.inputs
            if self.mirror_images is not None:
                copy = np.where(generator.random(len(copy))[:, None] < 0.5, self.mirror_images, copy)
            normal = generator.standard_normal(copy.shape, dtype=np.float32)
            drawn.append(copy + np.float32(deviation) * normal)
        return np.concatenate(drawn)
