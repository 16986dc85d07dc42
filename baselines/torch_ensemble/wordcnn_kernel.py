"""Convolution and maximum over a document in one pass, for :mod:`baselines.torch_ensemble.wordcnn_network` on the CPU.

A window's sum is a sum over its words: what a word adds at each place of a window depends on the word and the weights
alone. So every word of a batch is multiplied with the weights once, however often it occurs; the windows add up rows of
that table; and of a document only the largest sum of each map is kept, and where it was found. The gradient of the
weights is then a sum over these windows instead of over all. Differences from a convolution are roundings of float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from scd.numba_cache import njit

_TABLE_BYTES = 2 << 20  # of products at a time: more of them leave the cache


class LargestWindows(torch.autograd.Function):
    """Each map's largest window sum in each document.

    ``LargestWindows.apply(weight, vectors, words, ends)`` has one gradient, that of `weight`.

    Parameters
    ----------
    weight : (F, k, d) float32 tensor
        F maps of windows of k words.
    vectors : (U, d) float32 tensor
        The vectors of the words of the batch.
    words : (n, L) int32 array
        Rows of `vectors`.
    ends : (n,) int32 array
        Windows start at 0 to `ends`, inclusive.

    Returns
    -------
    (n, F) float32 tensor
        Of equal windows the first is taken for the gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, weight: torch.Tensor, vectors: torch.Tensor, words: np.ndarray, ends: np.ndarray
    ) -> torch.Tensor:
        maps, width, _ = weight.shape
        largest = np.empty((len(words), maps), dtype=np.float32)
        starts = np.empty((len(words), maps), dtype=np.int32)
        step = max(16, _TABLE_BYTES // (4 * width * len(vectors)))
        for first in range(0, maps, step):
            part = weight.detach()[first : first + step].transpose(0, 1)  # by place first: a place's sums lie together
            products = torch.mm(vectors, part.flatten(0, 1).T).numpy().reshape(len(vectors), width, -1)
            _take_largest(words, ends, products, first, largest, starts)
        ctx.words, ctx.starts, ctx.vectors, ctx.shape = words, starts, vectors, weight.shape
        return torch.from_numpy(largest)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (of_sums,) = gradients
        of_weight = np.zeros(ctx.shape, dtype=np.float32)
        _add_windows(ctx.words, ctx.starts, ctx.vectors.numpy(), of_sums.contiguous().numpy(), of_weight)
        return torch.from_numpy(of_weight), None, None, None


@njit(nogil=True)
def _take_largest(words, ends, products, first, largest, starts):
    """Of maps `first` to `first` + products.shape[2]."""
    width, maps = products.shape[1], products.shape[2]
    total, best = np.empty(maps, dtype=np.float32), np.empty(maps, dtype=np.float32)
    where = np.empty(maps, dtype=np.int32)
    for row in range(len(words)):
        best[:] = -np.inf
        where[:] = 0
        for start in range(ends[row] + 1):
            total[:] = products[words[row, start], 0]
            for place in range(1, width - 1):
                part = products[words[row, start + place], place]
                for f in range(maps):
                    total[f] += part[f]
            part = products[words[row, start + width - 1], width - 1]
            for f in range(maps):
                value = total[f] + part[f]
                more = value > best[f]
                best[f] = value if more else best[f]
                where[f] = start if more else where[f]
        largest[row, first : first + maps] = best
        starts[row, first : first + maps] = where


@njit(nogil=True)
def _add_windows(words, starts, vectors, gradients, of_weight):
    width, dimension = of_weight.shape[1], of_weight.shape[2]
    for row in range(len(words)):
        for f in range(len(of_weight)):
            gradient = gradients[row, f]
            if gradient != 0:
                for place in range(width):
                    vector = vectors[words[row, starts[row, f] + place]]
                    to = of_weight[f, place]
                    for i in range(dimension):
                        to[i] += gradient * vector[i]
