"""Documents with two labels: to most models rows of mean word vectors, to some the words themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.dataset import Dataset, Split, content_checksum
from data.text.tokens import Documents
from data.text.vectors import WordVectors

CLIP = (-1.0, 1.0)  # of a number in the mean of vectors of length 1


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class TextDataset(Dataset):
    """A binary problem on documents. Its rows, as any :class:`Dataset`'s, are the mean word vectors.

    :func:`from_documents` makes one. Parameters beyond those of :class:`Dataset`:

    Parameters
    ----------
    train_documents, test_documents : Documents
        The tokens of both splits.
    vectors : WordVectors
        What `x_train` and `x_test` are the means of.
    """

    train_documents: Documents
    test_documents: Documents
    vectors: WordVectors

    def _right_checksum(self) -> str:
        """Also of the words and their order, and of the vectors of words that no document has."""
        arrays = [self.x_train, self.y_train, self.x_test, self.y_test]
        for documents in (self.train_documents, self.test_documents):
            arrays += documents.to_arrays("").values()
        arrays.append(np.frombuffer(self.vectors.sha256.encode(), dtype=np.uint8))
        return content_checksum(*arrays)

    def documents(self, split: Split, indices: Iterable[int] | None = None) -> list[list[str]]:
        """The tokens of documents of a split: of those in `indices`, or of all."""
        found = self._documents(split)
        return [found[int(i)] for i in (range(len(found)) if indices is None else indices)]

    def features(self, documents: Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """(n, d) rows, as :meth:`flat`'s, of n documents that need not be of this set."""
        return self.vectors.means(documents)

    def longest(self) -> int:
        """Tokens of the longest document of both splits."""
        return int(max(self.train_documents.lengths.max(), self.test_documents.lengths.max()))

    def words(self, split: Split, width: int, indices: Sequence[int] | None = None) -> NDArray[np.float32]:
        """(n, width) rows of ``vectors.table`` for the first words of documents of a split, followed by zeros."""
        found = self._documents(split)
        return self.vectors.padded(found if indices is None else found.select(indices), width)

    def _documents(self, split: str) -> Documents:
        if split not in ("train", "test"):
            raise ValueError(f"Data set {self.name}: the split must be 'train' or 'test', got {split!r}.")
        return self.train_documents if split == "train" else self.test_documents


def from_documents(
    name: str,
    class_names: tuple[str, str],
    train: tuple[Documents, NDArray[Any]],
    test: tuple[Documents, NDArray[Any]],
    vectors: WordVectors,
    provenance: dict[str, Any],
) -> TextDataset:
    """Make the data set of documents and labels.

    Parameters
    ----------
    train, test : (Documents, (n,) integer ndarray)
        Documents and their labels 0/1.
    vectors : WordVectors
    provenance : dict
        As :class:`Dataset`'s; the vectors, and documents that are all zeros to the models, are added to its notes.

    Raises
    ------
    ValueError
        If no token of the training documents has a vector, or labels are not 0 and 1.
    """
    x = {split: vectors.means(documents) for split, (documents, _) in (("train", train), ("test", test))}
    if not x["train"].any():
        raise ValueError(f"no word of the training documents has a vector in {vectors.file}; give other vectors.")
    notes = list(provenance.get("notes", []))
    size = f"{len(vectors.words):,} words, {vectors.dimension} numbers each"
    if not (vectors.dimension == 200 and "6B" in vectors.file):
        notes.append(f"word vectors: {vectors.file.split('/')[-1]} ({size}); the paper's are glove.6B.200d")
    for split, rows in x.items():
        blank = int((~rows.any(axis=1)).sum())
        if blank:
            notes.append(f"{blank} {split} documents have no word with a vector: their rows are zeros")
    return TextDataset(
        name=name,
        x_train=x["train"],
        y_train=train[1].astype(np.int64),
        x_test=x["test"],
        y_test=test[1].astype(np.int64),
        feature_shape=(vectors.dimension,),
        clip=CLIP,
        class_names=class_names,
        provenance={**provenance, "vectors": f"{vectors.file} ({size})", "notes": notes},
        train_documents=train[0],
        test_documents=test[0],
        vectors=vectors,
    )
