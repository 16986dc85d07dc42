"""The last check of an attack: every adversarial is confirmed by a fresh prediction, or counts as failed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.protocols import Floats, Labels, Result, RowsResult, TextResult

_REASON = "not confirmed by a fresh prediction"


def verified(result: RowsResult, labels: Callable[[Floats], Labels], target: int | None = None) -> RowsResult:
    """The result of an attack on rows, in which every unconfirmed adversarial is a failure.

    It has the labels that were predicted for the adversarials, -1 where there is none.

    Parameters
    ----------
    result : AttackResult
    labels : callable
        Maps the adversarials found, (k, d) float32, to the labels that the model predicts.
    target : int, optional
        The label that the adversarials must have; without it any other than the true one.
    """
    found = np.flatnonzero(result.success)
    predicted = np.full(len(result.success), -1)
    predicted[found] = labels(result.adversarials[found]) if len(found) else 0
    adversarial = predicted != result.label if target is None else predicted == target
    lost = _lost(found[~adversarial[found]], len(found))
    predicted[lost] = -1
    result = replace(result, adversarial_label=predicted)
    if not len(lost):
        return result
    l2, linf, adversarials = result.l2.copy(), result.linf.copy(), result.adversarials.copy()
    restart, trace = result.restart.copy(), dict(result.trace)
    if "index" in trace:  # no distance of theirs is reported
        kept = ~np.isin(trace["index"], result.index[lost])
        trace = {name: column[kept] for name, column in trace.items()}
    l2[lost], linf[lost], adversarials[lost], restart[lost] = np.nan, np.nan, np.nan, -1
    return replace(
        result,
        **_failed(result, lost),
        l2=l2,
        linf=linf,
        adversarials=adversarials,
        restart=restart,
        trace=trace,
    )


def verified_texts(result: TextResult, labels: Callable[[Sequence[Any]], Labels]) -> TextResult:
    """The result of an attack on documents, in which every unconfirmed adversarial is a failure.

    Parameters
    ----------
    result : TextResult
    labels : callable
        Maps documents to the labels that the model predicts.
    """
    found = np.flatnonzero(result.success)
    predicted = labels([result.adversarial[i] for i in found]) if len(found) else np.empty(0)
    lost = _lost(found[predicted == result.label[found]], len(found))
    if not len(lost):
        return result
    similarity, after, changed = result.similarity.copy(), result.score_after.copy(), result.words_changed.copy()
    similarity[lost], after[lost], changed[lost] = np.nan, np.nan, 0
    texts = [None if i in lost else text for i, text in enumerate(result.adversarial)]
    return replace(
        result,
        **_failed(result, lost),
        similarity=similarity,
        score_after=after,
        words_changed=changed,
        adversarial=texts,
    )


def _lost(lost: NDArray[np.intp], n_found: int) -> NDArray[np.intp]:
    """The positions of unconfirmed adversarials, with a warning if there are any."""
    if len(lost):
        warnings.warn(
            f"{len(lost)} adversarials were not confirmed by a fresh prediction; they count as failed. The model gives "
            f"one input different labels, so the other {n_found - len(lost)} may be chance as well.",
            stacklevel=4,
        )
    return lost


def _failed(result: Result, lost: NDArray[np.intp]) -> dict[str, Any]:
    """The columns `success` and `reason` with these examples as failures."""
    success, reason = result.success.copy(), result.reason.astype(object)
    success[lost], reason[lost] = False, _REASON
    return {"success": success, "reason": reason.astype(str)}
