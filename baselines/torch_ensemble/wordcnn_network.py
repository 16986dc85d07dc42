"""The network of :mod:`baselines.wordcnn`."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from baselines.torch_ensemble.layers import VoteConv, VoteLinear, VoteNetwork
from baselines.torch_ensemble.wordcnn_kernel import LargestWindows

WIDTHS = (3, 4, 5)
"""Words that a convolution sees at a time."""


class WordCNN(VoteNetwork):
    """V networks for documents.

    Parameters
    ----------
    votes : int
    table : callable
        Returns the (1 + V, d) float32 word vectors, row 0 zeros; asked when they are first needed.
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
        self._vectors: torch.Tensor | None = None  # not a buffer: no part of what is trained or saved
        self.convs = nn.ModuleList(VoteConv(votes, dimension, filters, (1, width)) for width in WIDTHS)
        self.fc = VoteLinear(votes, len(WIDTHS) * filters, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, V, 2) logits of (n, L) numbers of words that the votes share, or of (n, V, L) of their own."""
        numbers = self._padded(x)
        pooled = self._pooled_by_words(numbers) if numbers.device.type == "cpu" else self._pooled(numbers)
        features = F.relu(torch.cat(pooled, dim=2)).transpose(0, 1)
        if self.training and self.generators is not None:
            features = features * self._dropped(features)
        logits: torch.Tensor = self.fc(features)
        return logits.transpose(0, 1)

    def saved_bytes(self, rows: torch.Tensor, device: str) -> int:
        """Bytes a row; on the CPU largest sums and where they were found, the words and, at most, a vector for each."""
        if device != "cpu":
            return super().saved_bytes(rows, device)
        features = self.fc.weight.shape[2]
        return self.votes * features * (4 + 4) + rows.shape[-1] * (8 + 4 + 4 * self.dimension)

    def _pooled(self, numbers: torch.Tensor) -> list[torch.Tensor]:
        """The largest sums of each width, (n, V, F)."""
        maps = self._stacked(numbers)
        return [conv(maps).flatten(2).amax(dim=2).unflatten(1, (self.votes, -1)) for conv in self.convs]

    def _pooled_by_words(self, numbers: torch.Tensor) -> list[torch.Tensor]:
        """The same, through a table of the words that occur."""
        used, places = np.unique(numbers.numpy(), return_inverse=True)
        words = places.reshape(numbers.shape).astype(np.int32)
        vectors = self._vectors_on(numbers.device)[torch.from_numpy(used)]
        # behind the last word come zeros: one window of nothing else, and the document has been seen
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
        """The numbers (..., L') with zeros on both sides, cut behind the longest document.

        Behind every document there are so many zeros that each convolution sees nothing but zeros once. What a document
        gets therefore does not depend on the longest one beside it.
        """
        length = x.shape[-1]
        if not x.is_meta:
            used = (x != 0).flatten(0, -2).any(dim=0).nonzero()
            length = int(used[-1]) + 1 if len(used) else 1
        return F.pad(x[..., :length].long(), (max(WIDTHS) - 1, max(WIDTHS)))

    def _stacked(self, numbers: torch.Tensor) -> torch.Tensor:
        """Vectors of words, (n, d, 1, L') for all votes or (n, V * d, 1, L') for each its own."""
        if numbers.is_meta:
            vectors = torch.empty((*numbers.shape, self.dimension), device="meta")
        else:
            vectors = F.embedding(numbers, self._vectors_on(numbers.device))
        return vectors.transpose(-1, -2).flatten(1, -2)[:, :, None]  # words vary slowest in memory, as oneDNN likes it

    def _vectors_on(self, device: torch.device) -> torch.Tensor:
        if self._vectors is None or self._vectors.device != device:
            self._vectors = torch.from_numpy(self.table()).to(device)
        return self._vectors

    def _dropped(self, features: torch.Tensor) -> torch.Tensor:
        """(V, n, F) factors: 0 with probability `dropout`, else what keeps the mean."""
        keep = 1 - self.dropout
        assert self.generators is not None
        parts = zip(features, self.generators, strict=True)
        return torch.stack([torch.empty_like(part).bernoulli_(keep, generator=source) for part, source in parts]) / keep
