"""The result of an attack on texts: one record for all attacked documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..result import NOT_CONFIRMED

Document = list[str]
"""The tokens of a document."""

NO_SYNONYM = "no synonym left"
"""Reason of a failed attack if no replaceable word has a synonym; the other reasons are in `attacks.result`."""

EMPTY_DOCUMENT = "empty document"
"""Why an attack failed where the document has no token, so that there is nothing to replace."""

_COLUMNS = (
    "index",
    "label",
    "success",
    "queries",
    "reason",
    "similarity",
    "words",
    "words_changed",
    "score_before",
    "score_after",
)


@dataclass(frozen=True)
class TextResult:
    """Outcome of an attack on n documents. A failed document has no adversarial, similarity or score after.

    Attributes
    ----------
    index : ndarray of int64, shape (n,)
        Numbers of the documents, as the caller gave them.
    label : ndarray of int64, shape (n,)
        True labels, 0 or 1.
    success : ndarray of bool, shape (n,)
        Whether an adversarial was found, and the model misclassified it again at the end of the attack.
    queries : ndarray of int64, shape (n,)
        Scores queried for the document: its own, those without one of its words, those of the candidates. The one
        that confirms the adversarial at the end is not included.
    reason : ndarray of str, shape (n,)
        Empty, or why the attack failed: `NO_SYNONYM` or one of the constants of `attacks.result`.
    similarity : ndarray of float64, shape (n,)
        Similarity of the whole adversarial to the whole original, ``1 - arccos(cosine)`` of their encodings (1 for
        equal texts); NaN where the attack failed or without an encoder.
    words, words_changed : ndarray of int64, shape (n,)
        Tokens of the original, and how many of them the adversarial replaces (0 where the attack failed).
    score_before, score_after : ndarray of float64, shape (n,)
        The model's score of class 1, in [0, 1], for the original and the adversarial; NaN where the attack failed.
    original : list of list of str
        The tokens of each document.
    adversarial : list of (list of str or None)
        The adversarial's tokens, as many as the original's; None where the attack failed.
    """

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    success: NDArray[np.bool_]
    queries: NDArray[np.int64]
    reason: NDArray[np.str_]
    similarity: NDArray[np.float64]
    words: NDArray[np.int64]
    words_changed: NDArray[np.int64]
    score_before: NDArray[np.float64]
    score_after: NDArray[np.float64]
    original: list[Document]
    adversarial: list[Document | None]

    @property
    def changed(self) -> list[list[int]]:
        """Positions of the replaced tokens of each document, in ascending order; none where the attack failed."""
        pairs = zip(self.original, self.adversarial, strict=True)
        return [[] if there is None else changed_positions(here, there) for here, there in pairs]

    def documents(self) -> Iterator[dict[str, Any]]:
        """Yield a dict of plain values per document, for a line of JSON; None stands for NaN.

        Its keys: index, label, original, adversarial, changed, queries, similarity, success, reason, score_before,
        score_after.
        """
        changed = self.changed
        for i in range(len(self.index)):
            yield {
                "index": int(self.index[i]),
                "label": int(self.label[i]),
                "success": bool(self.success[i]),
                "reason": str(self.reason[i]),
                "queries": int(self.queries[i]),
                "similarity": _number(self.similarity[i]),
                "score_before": _number(self.score_before[i]),
                "score_after": _number(self.score_after[i]),
                "changed": changed[i],
                "original": self.original[i],
                "adversarial": self.adversarial[i],
            }

    def without(self, unconfirmed: NDArray[np.intp]) -> TextResult:
        """Return the record with the documents at these positions as failures of reason `NOT_CONFIRMED`."""
        columns: dict[str, Any] = {name: getattr(self, name).copy() for name in _COLUMNS}
        columns["reason"] = columns["reason"].astype(object)
        failed = {"success": False, "reason": NOT_CONFIRMED, "words_changed": 0}
        for name, value in {**failed, "similarity": np.nan, "score_after": np.nan}.items():
            columns[name][unconfirmed] = value
        columns["reason"] = columns["reason"].astype(str)
        adversarial = [None if i in unconfirmed else text for i, text in enumerate(self.adversarial)]
        return replace(self, **columns, adversarial=adversarial)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the record as a flat dict of arrays, which a file stores without pickle."""
        flat: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in _COLUMNS}
        return {**flat, "original": pack(self.original), "adversarial": pack(self.adversarial)}

    @classmethod
    def from_arrays(cls, flat: dict[str, NDArray[Any]]) -> TextResult:
        """Rebuild the record from the arrays of `to_arrays`."""
        columns: dict[str, Any] = {name: flat[name] for name in _COLUMNS}
        return cls(**columns, original=unpack(flat["original"]), adversarial=unpack(flat["adversarial"]))


def changed_positions(original: Document, other: Document) -> list[int]:
    """Return the positions, in ascending order, at which two documents of equal length differ."""
    return [k for k, (here, there) in enumerate(zip(original, other, strict=True)) if here != there]


def pack(documents: Sequence[Any]) -> NDArray[np.uint8]:
    """Return documents, or any lists and plain values, as an array of bytes: strings of any length without pickle."""
    return np.frombuffer(json.dumps(list(documents)).encode(), dtype=np.uint8)


def unpack(packed: NDArray[np.uint8]) -> list[Any]:
    """Return the argument of `pack`."""
    found: list[Any] = json.loads(packed.tobytes().decode())
    return found


def _number(value: np.floating[Any]) -> float | None:
    return None if np.isnan(value) else float(value)


TextResult.__module__ = "scd.attacks.text.result"  # see attacks/result.py
