"""What an attack on texts leaves on disk: examples, the texts themselves and the summary."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config.check import Config
from pipeline.records import ALREADY_WRONG, write_csv, write_facts
from pipeline.stages.evaluate import Evaluation
from scd.files import write_bytes


def verified_texts(result: Any, labels: Callable[[list[list[str]]], np.ndarray]) -> Any:
    """The result with every adversarial that a fresh prediction does not confirm turned into a failure.

    Parameters
    ----------
    result : TextResult
    labels : callable
        Maps documents to the labels that the model predicts.
    """
    found = np.flatnonzero(result.success)
    if not len(found):
        return result
    lost = found[labels([result.adversarial[i] for i in found]) == result.label[found]]
    if not len(lost):
        return result
    success, reason = result.success.copy(), result.reason.astype(object)
    similarity, after, changed = result.similarity.copy(), result.score_after.copy(), result.words_changed.copy()
    success[lost], reason[lost] = False, "not confirmed by a fresh prediction"
    similarity[lost], after[lost], changed[lost] = np.nan, np.nan, 0
    texts = [None if i in lost else text for i, text in enumerate(result.adversarial)]
    warnings.warn(
        f"{len(lost)} adversarials were not confirmed by a fresh prediction; they count as failed.", stacklevel=2
    )
    return replace(
        result, success=success, reason=reason.astype(str), similarity=similarity, score_after=after,
        words_changed=changed, adversarial=texts,
    )  # fmt: skip


def write_text_records(
    folder: Path, config: Config, result: Any, evaluation: Evaluation, seconds: float, facts: dict[str, Any]
) -> list[str]:
    """Write every file of a finished attack and return their names.

    Parameters
    ----------
    result : TextResult
    seconds : float
        Wall time of the attack, shared among the documents by their queries.
    """
    examples = examples_table(result, seconds)
    write_csv(folder / "examples.csv", examples)
    write_csv(folder / "summary.csv", pd.DataFrame([summarize(config, examples, evaluation, seconds)]))
    lines = [json.dumps(document, ensure_ascii=False) + "\n" for document in result.documents()]
    write_bytes(folder / "texts.jsonl", "".join(lines).encode())
    return ["examples.csv", "summary.csv", "texts.jsonl", *write_facts(folder, config, facts)]


def examples_table(result: Any, seconds: float) -> pd.DataFrame:
    """A row per attacked document; `seconds` sums to the wall time."""
    total = max(1, int(result.queries.sum()))
    return pd.DataFrame(
        {
            "index": result.index,
            "label": result.label,
            "success": result.success.astype(int),
            "reason": result.reason,
            "queries": result.queries,
            "seconds": seconds * result.queries / total,
            "similarity": result.similarity,
            "words_changed": result.words_changed,
            "words": result.words,
            "score_before": result.score_before,
            "score_after": result.score_after,
        }
    )


def summarize(config: Config, examples: pd.DataFrame, evaluation: Evaluation, seconds: float) -> dict[str, Any]:
    """The row of summary.csv. Documents the model already gets wrong are failures of its, and cost no queries."""
    wrong = examples["reason"] == ALREADY_WRONG
    attacked, found = examples[~wrong], examples[examples["success"] == 1]
    node, points = config["attack"], len(examples)
    return {
        "dataset": evaluation.dataset,
        "model": evaluation.model,
        "attack": node["name"],
        "n_votes": evaluation.n_votes,
        "voting": evaluation.voting,
        "accuracy_single": evaluation.accuracy_single,
        "accuracy_ensemble": evaluation.accuracy_ensemble,
        "points": points,
        "already_wrong": int(wrong.sum()),
        "succeeded": len(found),
        "success_rate": len(found) / len(attacked) if len(attacked) else float("nan"),
        "adversarial_accuracy": (len(attacked) - len(found)) / points if points else float("nan"),
        "queries_mean": float(attacked["queries"].mean()) if len(attacked) else float("nan"),
        "similarity_mean": float(found["similarity"].mean()) if len(found) else float("nan"),
        "words_changed_mean": float((found["words_changed"] / found["words"]).mean()) if len(found) else float("nan"),
        "one_vote_seconds": evaluation.one_vote_seconds,
        "fit_seconds": evaluation.fit_seconds,
        "attack_seconds": seconds,
        "points_rule": config["points"]["rule"],
        **{k: node.get(k) for k in ("score", "similarity_threshold", "query_budget")},
        "scale": config["scale"]["name"],
        "seed": config["seed"],
    }
