"""The state of an attack on documents, saved between its steps, and the record it ends in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.confirmation import caller_confirms, warn_unconfirmed
from ..result import ALREADY_MISCLASSIFIED
from .oracle import ScoreOracle
from .result import Document, TextResult, changed_positions, pack, unpack
from .similarity import Similarity

NEW, CORRECT, RANKED, ENDED = range(4)
"""Stages of a document: not queried; classified correctly; its words ranked and being replaced; done."""

_ARRAYS = ("stage", "cursor", "fooled", "before", "after")
_LISTS = ("texts", "orders", "classes", "reasons")


@dataclass
class TextProgress:
    """The state of n documents under attack.

    Attributes
    ----------
    stage : ndarray of int64, shape (n,)
    cursor : ndarray of int64, shape (n,)
        Number of words of `orders` already tried.
    fooled : ndarray of bool, shape (n,)
    before, after : ndarray of float64, shape (n,)
        Score of class 1 for the original and for the current text; NaN before it is queried.
    texts : list of list of str
        The current texts.
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
    def new(cls, documents: list[Document]) -> TextProgress:
        """Return the state before the first query."""
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
        """Return the position of the next word to try."""
        return self.orders[document][self.cursor[document]]

    def change(self, document: int, text: Document, score: float) -> None:
        """Set the current text and its score of class 1."""
        self.texts[document], self.after[document] = text, score

    def end(self, document: int, reason: str) -> None:
        """End the attack on a document; an empty reason means that the model was fooled."""
        self.stage[document], self.reasons[document], self.fooled[document] = ENDED, reason, not reason

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state as a flat dict of arrays, which a file stores without pickle."""
        return {**{k: getattr(self, k) for k in _ARRAYS}, **{k: pack(getattr(self, k)) for k in _LISTS}}

    @classmethod
    def from_arrays(cls, flat: dict[str, NDArray[Any]]) -> TextProgress:
        """Rebuild the state from the arrays of `to_arrays`."""
        columns: dict[str, Any] = {k: flat[k].copy() for k in _ARRAYS}
        columns |= {k: unpack(flat[k]) for k in _LISTS}
        return cls(**columns)


def confirmed_texts(name: str, result: TextResult, oracle: ScoreOracle) -> TextResult:
    """Return the result of the attack `name` in which every success holds: see `engine.confirmation.confirmed`."""
    found = np.flatnonzero(result.success)
    if caller_confirms(oracle.scores):
        return result
    scores = oracle.look(text for text in result.adversarial if text is not None)
    unconfirmed = found[(scores > 0.5) == (result.label[found] == 1)]
    if not len(unconfirmed):
        return result
    warn_unconfirmed(name, len(unconfirmed), len(found), int((result.reason != ALREADY_MISCLASSIFIED).sum()))
    return result.without(unconfirmed)


def collect_texts(
    progress: TextProgress,
    original: list[Document],
    labels: NDArray[np.int64],
    numbers: NDArray[np.int64],
    queries: NDArray[np.int64],
    similarity: Similarity,
) -> TextResult:
    """Return the record of the attacked documents, with the similarities of whole documents.

    Parameters
    ----------
    labels, numbers, queries : ndarray of int64, shape (n,)
        Of the documents, as in the record.
    """
    fooled = np.flatnonzero(progress.fooled)
    adversarial = [progress.texts[d] if success else None for d, success in enumerate(progress.fooled)]
    similar = np.full(len(original), np.nan)
    if similarity.encode is not None:
        similar[fooled] = similarity(*([" ".join(texts[d]) for d in fooled] for texts in (original, progress.texts)))
    words_changed = np.zeros(len(original), dtype=np.int64)
    words_changed[fooled] = [len(changed_positions(original[d], progress.texts[d])) for d in fooled]
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
