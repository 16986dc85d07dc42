"""The network of :mod:`baselines.wordcnn`, and its convolution and maximum over a document in one pass on the CPU.

A window's sum is a sum over its words, and the summand of a word at a position of the window depends only on the word
and the weights. So every word of a batch is multiplied with the weights once, however often it occurs, and a window
adds rows of that table. Only the maximum of each map over a document is kept, with its position. The gradient of the
weights is then a sum over these windows instead of over all. Differences from a convolution are float32 rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from baselines.torch_ensemble.layers import VoteConv, VoteLinear, VoteNetwork
from scd.numba_cache import njit

WIDTHS = (3, 4, 5)
"""Words in a window of each convolution."""
_TABLE_BYTES = 2 << 20  # of products at a time: more do not fit the cache


class WordCNN(VoteNetwork):
    """V networks for documents.

    Parameters
    ----------
    votes : int
    table : callable
        Returns the (1 + V, d) float32 word vectors, row 0 zeros; called when they are first needed.
    dimension : int
        d.
    filters : int
        Maps of each width.
    dropout : float
    """

    random_training: ClassVar[bool] = True

    def __init__(
        self, votes: int, table: Callable[[], np.ndarray], dimension: int, filters: int, dropout: float
    ) -> None:
        super().__init__()
        self.votes, self.dimension, self.dropout = votes, dimension, dropout
        self.table = table
        self._vectors: torch.Tensor | None = None  # not a buffer: neither trained nor saved
        self.convs = nn.ModuleList(VoteConv(votes, dimension, filters, (1, width)) for width in WIDTHS)
        self.fc = VoteLinear(votes, len(WIDTHS) * filters, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, V, 2) logits of (n, L) word numbers shared by the votes, or of (n, V, L), one set per vote."""
        numbers = self._padded(x)
        pooled = self._pooled_by_words(numbers) if numbers.device.type == "cpu" else self._pooled(numbers)
        features = F.relu(torch.cat(pooled, dim=2)).transpose(0, 1)
        if self.training and self.generators is not None:
            features = features * self._dropped(features)
        logits: torch.Tensor = self.fc(features)
        return logits.transpose(0, 1)

    def saved_bytes(self, inputs: torch.Tensor, device: str) -> int:
        """Bytes per input; on the CPU maxima and their positions, the words and at most one vector per word."""
        if device != "cpu":
            return super().saved_bytes(inputs, device)
        features = self.fc.weight.shape[2]
        return self.votes * features * (4 + 4) + inputs.shape[-1] * (8 + 4 + 4 * self.dimension)

    def _pooled(self, numbers: torch.Tensor) -> list[torch.Tensor]:
        """The maxima of each width, (n, V, F)."""
        maps = self._stacked(numbers)
        return [conv(maps).flatten(2).amax(dim=2).unflatten(1, (self.votes, -1)) for conv in self.convs]

    def _pooled_by_words(self, numbers: torch.Tensor) -> list[torch.Tensor]:
        """The same, from a table of the words that occur."""
        used, places = np.unique(numbers.numpy(), return_inverse=True)
        words = places.reshape(numbers.shape).astype(np.int32)
        vectors = self._vectors_on(numbers.device)[torch.from_numpy(used)]
        # after the last word come zeros: one window of zeros only ends the document
        last = numbers.shape[-1] - 1 - (numbers != 0).flip(-1).int().argmax(dim=-1)
        ends = torch.where((numbers != 0).any(dim=-1), last + 1, 0).int().numpy()
        pooled = []
        for conv in cast("list[VoteConv]", list(self.convs)):
            weights = conv.weight[:, :, :, 0].transpose(2, 3)
            sums = [
                LargestWindows.apply(
                    weights[vote],
                    vectors,
                    words if words.ndim == 2 else np.ascontiguousarray(words[:, vote]),
                    ends if words.ndim == 2 else np.ascontiguousarray(ends[:, vote]),
                )
                for vote in range(self.votes)
            ]
            pooled.append(torch.stack(sums, dim=1) + conv.bias)
        return pooled

    def _padded(self, x: torch.Tensor) -> torch.Tensor:
        """The numbers (..., L') with zeros on both sides, cut after the longest document.

        After every document there are enough zeros for one window of zeros only in each convolution. The result of a
        document therefore does not depend on the longest one in its batch.
        """
        length = x.shape[-1]
        if not x.is_meta:
            used = (x != 0).flatten(0, -2).any(dim=0).nonzero()
            length = int(used[-1]) + 1 if len(used) else 1
        return F.pad(x[..., :length].long(), (max(WIDTHS) - 1, max(WIDTHS)))

    def _stacked(self, numbers: torch.Tensor) -> torch.Tensor:
        """Vectors of words, (n, d, 1, L') for all votes or (n, V * d, 1, L'), one set per vote."""
        if numbers.is_meta:
            vectors = torch.empty((*numbers.shape, self.dimension), device="meta")
        else:
            vectors = F.embedding(numbers, self._vectors_on(numbers.device))
        return vectors.transpose(-1, -2).flatten(1, -2)[
            :, :, None
        ]  # words vary slowest in memory, which is fast in oneDNN

    def _vectors_on(self, device: torch.device) -> torch.Tensor:
        if self._vectors is None or self._vectors.device != device:
            self._vectors = torch.from_numpy(self.table()).to(device)
        return self._vectors

    def _dropped(self, features: torch.Tensor) -> torch.Tensor:
        """(V, n, F) factors: 0 with probability `dropout`, else 1 / (1 - dropout), which keeps the mean."""
        keep = 1 - self.dropout
        assert self.generators is not None
        parts = zip(features, self.generators, strict=True)
        return torch.stack([torch.empty_like(part).bernoulli_(keep, generator=source) for part, source in parts]) / keep


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
        Of equal windows the first one gets the gradient.
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
            part = weight.detach()[first : first + step].transpose(
                0, 1
            )  # position first: the sums of one position are contiguous
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
