"""Word vectors of unit length: looked up by token, averaged over documents, read from a memory-mapped table."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.documents import Documents


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Vectors of a vocabulary.

    Parameters
    ----------
    words : tuple of str
        V distinct tokens.
    table : (1 + V, d) float32 ndarray
        Row 0 is zeros, for every token without a vector; row 1 + i is the vector of ``words[i]``, of length 1 (or
        0, where the file has zeros).
    sha256 : str
        Checksum of the words and the table.
    file : str
        Where they come from.
    """

    words: tuple[str, ...]
    table: NDArray[np.float32]
    sha256: str
    file: str

    @functools.cached_property
    def _rows(self) -> dict[str, int]:
        return {word: row for row, word in enumerate(self.words, start=1)}

    @property
    def dimension(self) -> int:
        """d, the numbers of a vector."""
        return int(self.table.shape[1])

    def rows(self, tokens: Iterable[str]) -> NDArray[np.int32]:
        """(n,) rows of the table for n tokens; 0 where a token has no vector."""
        return np.fromiter((self._rows.get(token, 0) for token in tokens), dtype=np.int32)

    def rows_of(self, documents: Documents | Sequence[Sequence[str]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Rows of the tokens of n documents, one after the other, and (n + 1,) where each document starts."""
        if isinstance(documents, Documents):
            return self.rows(documents.vocabulary)[documents.ids], documents.starts
        starts = np.cumsum([0, *map(len, documents)], dtype=np.int64)
        return self.rows(itertools.chain.from_iterable(documents)), starts

    def means(self, documents: Documents | Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """(n, d) mean vector of each document's tokens.

        A token without a vector counts as zeros, so it shortens the mean; a document of none but those, or of no
        tokens, is all zeros. The tokens are added one after the other, in float32: a document's mean does not depend,
        to the bit, on the documents beside it.
        """
        from scipy.sparse import csr_array  # scipy comes with scikit-learn, which the rest of the room does without

        rows, starts = self.rows_of(documents)
        # the rows in use together: the whole table lies on disk
        used, rows = np.unique(rows, return_inverse=True)
        ones = np.ones(len(rows), dtype=np.float32)
        shape = (len(starts) - 1, len(used))
        sums: NDArray[Any] = csr_array((ones, rows.astype(np.int64), starts), shape=shape) @ self.table[used]
        counts = np.maximum(1, np.diff(starts)).astype(np.float32)
        return np.ascontiguousarray(sums.reshape(len(counts), self.dimension) / counts[:, None], dtype=np.float32)

    def padded(self, documents: Documents | Sequence[Sequence[str]], width: int) -> NDArray[np.float32]:
        """(n, width) rows of the table for the first `width` tokens of each document, followed by zeros.

        As float32, the type of all model inputs, which holds whole numbers up to 16 million.
        """
        rows, starts = self.rows_of(documents)
        lengths = np.minimum(width, np.diff(starts))
        out = np.zeros((len(lengths), width), dtype=np.float32)
        place = np.arange(width)
        inside = place < lengths[:, None]
        out[inside] = rows[(starts[:-1, None] + place)[inside]]
        return out
