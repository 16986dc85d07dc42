"""The copies of the samples that training sees: with noise, and as they are or mirrored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def mirrored(images: NDArray[Any], feature_shape: tuple[int, ...] | None) -> NDArray[Any]:
    """(n, d) flat images, or weights of their pixels, mirrored left to right.

    Raises
    ------
    ValueError
        If `feature_shape` is not (channels, height, width) of the images.
    """
    shape = () if feature_shape is None else tuple(feature_shape)
    if len(shape) != 3 or math.prod(shape) != images.shape[1]:
        raise ValueError(
            f"The 'mirrored' parameter of SCDClassifier must be False unless feature_shape is (channels, height, "
            f"width) with a product of {images.shape[1]}, the number of features. Got feature_shape={feature_shape} "
            f"instead."
        )
    return np.ascontiguousarray(images.reshape(-1, *shape)[..., ::-1]).reshape(images.shape)


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
