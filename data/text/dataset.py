"""Documents with two labels: to most models their mean word vectors, to some the words themselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.dataset import Dataset, Split, class_counts, content_checksum
from data.text.files import Labelled, Splits
from data.text.glove import load_vectors
from data.text.textfooler_split import attacked_first
from data.text.tokens import Documents
from data.text.vectors import WordVectors

CLIP = (-1.0, 1.0)  # of a number in the mean of vectors of length 1


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class TextDataset(Dataset):
    """A binary problem on documents. Its inputs, as any :class:`Dataset`'s, are the mean word vectors.

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

    def _actual_checksum(self) -> str:
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
        """(n, d) inputs, as those of :meth:`flat`, of n documents that need not be of this set."""
        return self.vectors.means(documents)

    def longest(self) -> int:
        """Number of tokens of the longest document of both splits."""
        return int(max(self.train_documents.lengths.max(), self.test_documents.lengths.max()))

    def words(self, split: Split, width: int, indices: Sequence[int] | None = None) -> NDArray[np.float32]:
        """(n, width) rows of ``vectors.table`` for the first words of documents of a split, followed by zeros."""
        found = self._documents(split)
        return self.vectors.padded(found if indices is None else found.select(indices), width)

    def _rows_of(self, train: NDArray[np.int64], test: NDArray[np.int64]) -> dict[str, Any]:
        """Also the documents."""
        documents = {
            "train_documents": self.train_documents.select(train),
            "test_documents": self.test_documents.select(test),
        }
        return {**super()._rows_of(train, test), **documents}

    def _documents(self, split: str) -> Documents:
        if split not in ("train", "test"):
            raise ValueError(f"Data set {self.name}: the split must be 'train' or 'test', got {split!r}.")
        return self.train_documents if split == "train" else self.test_documents


@dataclass(frozen=True)
class TextSource:
    """What is fixed of a text set with an official split.

    Attributes
    ----------
    name : str
        As in ``conf/dataset/<name>.yaml``.
    title : str
        What its authors call it.
    class_names : (str, str)
        What label 0 and label 1 mean.
    noun : str
        What its documents are, in the plural.
    counts : mapping of str to int
        For "train" and "test", how many documents of each class the source has.
    """

    name: str
    title: str
    class_names: tuple[str, str]
    noun: str
    counts: Mapping[str, int]


def load_official_split(
    source: TextSource,
    read: Callable[[], tuple[Splits, dict[str, Any]]],
    vectors: str,
    folder: Path,
    outputs_dir: str | os.PathLike[str],
) -> TextDataset:
    """Load a text set in its official split, the documents that TextFooler's authors attack first in the test set.

    Parameters
    ----------
    source : TextSource
    read : callable
        Returns both splits and their provenance.
    vectors : str
        See :func:`data.text.glove.load_vectors`.
    folder : Path
        The data folder.
    outputs_dir : path
        Where the vectors are kept, when `folder` cannot be written.
    """
    splits, provenance = read()
    for split, count in source.counts.items():
        counts = class_counts(splits[split][1])
        if counts != [count, count]:
            provenance["notes"].append(
                f"not the full set: {counts[0]} and {counts[1]} {split} {source.noun} of the two classes, "
                f"{source.title} has {count}"
            )
    test = attacked_first(folder, source.name, splits["test"], provenance)
    known = load_vectors(vectors, folder, outputs_dir)
    return from_documents(source.name, source.class_names, splits["train"], test, known, provenance)


def from_documents(
    name: str,
    class_names: tuple[str, str],
    train: Labelled,
    test: Labelled,
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
        As :class:`Dataset`'s. Its notes get the vectors, where they are not the paper's, and how many documents are
        empty or have no word with a vector.

    Raises
    ------
    ValueError
        If a split has no document, no token of the training documents has a vector, or labels are not 0 and 1.
    """
    for split, (documents, _) in (("train", train), ("test", test)):
        if not len(documents):
            raise ValueError(f"Data set {name}, {split} split: there must be at least one document, got none.")
    x = {split: vectors.means(documents) for split, (documents, _) in (("train", train), ("test", test))}
    if not x["train"].any():
        raise ValueError(f"no word of the training documents has a vector in {vectors.file}; give other vectors.")
    notes = list(provenance.get("notes", []))
    size = f"{len(vectors.words):,} words, {vectors.dimension} numbers each"
    if not (vectors.dimension == 200 and "6B" in vectors.file):
        notes.append(f"word vectors: {vectors.file.split('/')[-1]} ({size}); the paper's are glove.6B.200d")
    for split, (documents, _) in (("train", train), ("test", test)):
        empty = documents.lengths == 0
        unknown = ~x[split].any(axis=1) & ~empty
        if empty.any():
            notes.append(f"{empty.sum()} {split} documents are empty: their inputs are zeros, attacks on them fail")
        if unknown.any():
            notes.append(f"{unknown.sum()} {split} documents have no word with a vector: their inputs are zeros")
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
