"""How far an attack on documents has come: what is saved between its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.text.result import Document, TextResult, changed_positions, pack, unpack
from attacks.text.similarity import Similarity

NEW, RIGHT, RANKED, ENDED = range(4)
"""Stages of a document: nothing asked; classified correctly; its words ranked and being replaced; done."""

_ARRAYS = ("stage", "cursor", "fooled", "before", "after")
_LISTS = ("texts", "orders", "classes", "reasons")


@dataclass
class Progress:
    """The state of n documents under attack.

    Attributes
    ----------
    stage : ndarray of int64, shape (n,)
    cursor : ndarray of int64, shape (n,)
        Words already tried of `orders`.
    fooled : ndarray of bool, shape (n,)
    before, after : ndarray of float64, shape (n,)
        Score of class 1 for the original and for the text as it stands; NaN before it is asked.
    texts : list of list of str
        The texts as they stand.
    orders : list of list of int
        Positions of the words to replace, the most important first; empty before they are ranked.
    classes : list of sequences of str
        Part of speech of each token of the original.
    reasons : list of str
        Why a document failed.
    """

    stage: NDArray[np.int64]
    cursor: NDArray[np.int64]
    fooled: NDArray[np.bool_]
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    texts: list[Document]
    orders: list[list[int]]
    classes: list[Sequence[str]]
    reasons: list[str]

    @classmethod
    def new(cls, documents: list[Document]) -> Progress:
        """Nothing has been asked."""
        n = len(documents)
        return cls(
            stage=np.full(n, NEW),
            cursor=np.zeros(n, dtype=np.int64),
            fooled=np.zeros(n, dtype=bool),
            before=np.full(n, np.nan),
            after=np.full(n, np.nan),
            texts=list(documents),
            orders=[[] for _ in range(n)],
            classes=[[] for _ in range(n)],
            reasons=[""] * n,
        )

    def rank(self, document: int, order: list[int], classes: Sequence[str]) -> None:
        """Set the words to try and the classes of all words."""
        self.orders[document], self.classes[document], self.stage[document] = order, list(classes), RANKED

    def position(self, document: int) -> int:
        """The word that is tried next."""
        return self.orders[document][self.cursor[document]]

    def change(self, document: int, text: Document, score: float) -> None:
        """Set the text as it stands and its score of class 1."""
        self.texts[document], self.after[document] = text, score

    def end(self, document: int, reason: str) -> None:
        """The document is done; no reason means that the model was fooled."""
        self.stage[document], self.reasons[document], self.fooled[document] = ENDED, reason, not reason

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """As a flat dict of arrays, for a file without pickle."""
        return {**{k: getattr(self, k) for k in _ARRAYS}, **{k: pack(getattr(self, k)) for k in _LISTS}}

    @classmethod
    def from_arrays(cls, flat: dict[str, NDArray[Any]]) -> Progress:
        """Rebuild it from what `to_arrays` returned."""
        columns: dict[str, Any] = {k: flat[k].copy() for k in _ARRAYS}
        columns |= {k: unpack(flat[k]) for k in _LISTS}
        return cls(**columns)


def collect(
    progress: Progress,
    original: list[Document],
    labels: NDArray[np.int64],
    numbers: NDArray[np.int64],
    queries: NDArray[np.int64],
    similarity: Similarity,
) -> TextResult:
    """The record of documents whose attack has ended; the similarity of whole documents is taken here.

    Parameters
    ----------
    labels, numbers, queries : ndarray of int64, shape (n,)
        Of the documents, as the record has them.
    """
    found = np.flatnonzero(progress.fooled)
    adversarial = [progress.texts[d] if fooled else None for d, fooled in enumerate(progress.fooled)]
    similar = np.full(len(original), np.nan)
    if similarity.encode is not None:
        similar[found] = similarity(*([" ".join(texts[d]) for d in found] for texts in (original, progress.texts)))
    words_changed = np.zeros(len(original), dtype=np.int64)
    words_changed[found] = [len(changed_positions(original[d], progress.texts[d])) for d in found]
    return TextResult(
        index=numbers,
        label=labels,
        success=progress.fooled.copy(),
        queries=queries.copy(),
        reason=np.array(progress.reasons, dtype=str),
        similarity=similar,
        words=np.array([len(text) for text in original], dtype=np.int64),
        words_changed=words_changed,
        score_before=progress.before.copy(),
        score_after=np.where(progress.fooled, progress.after, np.nan),
        original=original,
        adversarial=adversarial,
    )
