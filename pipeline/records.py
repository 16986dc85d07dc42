"""The files of a finished attack: examples and summary as CSV, adversarials, configuration, provenance."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.protocols import Floats, Job, Labels, Result, RowsResult, TextResult
from pipeline.stages.evaluate import Evaluation
from pipeline.store import write_checked, write_config
from scd.files import write_bytes
from scd.statistics import bootstrap

MISCLASSIFIED = "already misclassified"
"""Reason of an example that the model misclassifies without an attack."""
_WHOLE = {"adversarial_label": "Int64"}  # whole numbers, also where one is missing
ALREADY_THE_TARGET = "already of the target class"
"""Reason of an example that the model classifies as the target class without an attack."""
TRAINED_ON = "used to train the substitute"
"""Reason of an example that an attack used for a substitute model, and did not attack."""


def write_records(
    folder: Path,
    job: Job,
    result: RowsResult,
    evaluation: Evaluation,
    facts: dict[str, Any],
    x: Floats,
    y: Labels,
) -> list[str]:
    """Write the files of an attack on rows of numbers.

    Parameters
    ----------
    folder : Path
    job : Job
    result : AttackResult
    evaluation : Evaluation
    facts : dict
        The provenance; its ``seconds``, the wall time, are divided among the examples by their queries.
    x : (n, d) float32
        The originals.
    y : (n,) int64
        Their true labels.

    Returns
    -------
    list of str
        Names of the files.
    """
    classes, target = job.dataset.class_names, job.config["attack"].get("target_class")
    named = len(classes) > 2 or target is not None
    examples = examples_table(result, facts["seconds"], classes if named else None)
    more = {**({"n_classes": len(classes)} if len(classes) > 2 else {}), **({"target_class": target} if target else {})}
    summary = summarize(job, examples, evaluation, facts).assign(**more, key=_key(folder))
    names = _write_tables(folder, {"examples": examples, "trace": pd.DataFrame(result.trace), "summary": summary})
    names += _write_tables(folder, {name: pd.DataFrame(columns) for name, columns in result.tables.items()})
    buffer = io.BytesIO()
    np.savez_compressed(buffer, index=result.index, label=y, original=x, adversarial=result.adversarials)
    write_bytes(folder / "adversarials.npz", buffer.getvalue())
    return [*names, "adversarials.npz", *_write_facts(folder, job, facts)]


def write_text_records(
    folder: Path, job: Job, result: TextResult, evaluation: Evaluation, facts: dict[str, Any]
) -> list[str]:
    """Write the files of an attack on documents and return their names; parameters as of :func:`write_records`."""
    examples = text_examples_table(result, facts["seconds"])
    summary = summarize_texts(job, examples, evaluation, facts).assign(key=_key(folder))
    names = _write_tables(folder, {"examples": examples, "summary": summary})
    lines = [json.dumps(document, ensure_ascii=False) + "\n" for document in result.documents()]
    write_bytes(folder / "texts.jsonl", "".join(lines).encode())
    return [*names, "texts.jsonl", *_write_facts(folder, job, facts)]


def examples_table(result: RowsResult, seconds: float, classes: Sequence[str] | None = None) -> pd.DataFrame:
    """A row per attacked example; a failed one has empty distances. `seconds` sums to the wall time.

    With names of `classes` there are also those of the labels of the example and of its adversarial.
    """
    columns: dict[str, Any] = {
        "index": result.index,
        "label": result.label,
        "success": result.success.astype(int),
        "l2": result.l2,
        "linf": result.linf,
        "queries": result.queries,
        "restart": result.restart,
        "seconds": _seconds_each(result, seconds),
        "reason": result.reason,
    }
    if classes is not None and result.adversarial_label is not None:
        found = result.adversarial_label.tolist()
        columns |= {
            "label_name": [classes[label] for label in result.label],
            "adversarial_label": [label if label >= 0 else None for label in found],
            "adversarial_label_name": [classes[label] if label >= 0 else None for label in found],
        }
    return pd.DataFrame({**columns, **result.extra}).astype(_WHOLE if "adversarial_label" in columns else {})


def text_examples_table(result: TextResult, seconds: float) -> pd.DataFrame:
    """A row per attacked document; `seconds` sums to the wall time."""
    return pd.DataFrame(
        {
            "index": result.index,
            "label": result.label,
            "success": result.success.astype(int),
            "reason": result.reason,
            "queries": result.queries,
            "seconds": _seconds_each(result, seconds),
            "similarity": result.similarity,
            "words_changed": result.words_changed,
            "words": result.words,
            "score_before": result.score_before,
            "score_after": result.score_after,
        }
    )


def _seconds_each(result: Result, seconds: float) -> NDArray[np.float64]:
    """(n,) wall time of each example, by its queries."""
    return np.asarray(seconds * result.queries / max(1, int(result.queries.sum())))


def summarize(job: Job, examples: pd.DataFrame, evaluation: Evaluation, facts: dict[str, Any]) -> pd.DataFrame:
    """The row of summary.csv.

    Examples that the model already misclassifies are counted, and left out of rates and distances. Examples that an
    attack used to train a substitute were not attacked: they are left out of everything.
    """
    examples = examples[examples["reason"] != TRAINED_ON]
    attacked, found = _attacked(examples), examples[examples["success"] == 1]
    l2 = found["l2"].to_numpy()
    mean, median = bootstrap(l2, "mean"), bootstrap(l2, "median")
    zeros = np.concatenate([l2, np.zeros(len(examples) - len(attacked))])
    return pd.DataFrame(
        [
            {
                **_counts(job, examples, evaluation),
                "l2_mean": mean[0],
                "l2_mean_low": mean[1],
                "l2_mean_high": mean[2],
                "l2_median": median[0],
                "l2_median_low": median[1],
                "l2_median_high": median[2],
                "l2_mean_with_zeros": _mean(zeros),
                "linf_mean": _mean(found["linf"]),
                **_certified(attacked),
                "queries_mean": _mean(attacked["queries"]),
                **_protocol(job, evaluation, facts, ("norm", "max_iter", "restarts", "start", "query_budget")),
            }
        ]
    )


def summarize_texts(job: Job, examples: pd.DataFrame, evaluation: Evaluation, facts: dict[str, Any]) -> pd.DataFrame:
    """The row of summary.csv of an attack on documents; misclassified documents are counted and cost no queries."""
    attacked, found = _attacked(examples), examples[examples["success"] == 1]
    robust = (len(attacked) - len(found)) / len(examples) if len(examples) else float("nan")
    return pd.DataFrame(
        [
            {
                **_counts(job, examples, evaluation),
                "adversarial_accuracy": robust,
                "queries_mean": _mean(attacked["queries"]),
                "similarity_mean": _mean(found["similarity"]),
                "words_changed_mean": _mean(found["words_changed"] / found["words"]),
                **_protocol(job, evaluation, facts, ("score", "similarity_threshold", "query_budget")),
            }
        ]
    )


def _key(folder: Path) -> str:
    """The key of an attack, at the end of its folder's name."""
    return folder.name.rpartition("-")[2]


def _attacked(examples: pd.DataFrame) -> pd.DataFrame:
    return examples[~examples["reason"].isin((MISCLASSIFIED, ALREADY_THE_TARGET))]


def _certified(attacked: pd.DataFrame) -> dict[str, float]:
    """Means and medians of certified radii with intervals; nothing for an attack, which certifies none.

    An infinite radius makes the mean infinite, and leaves the statistic without an interval.
    """
    found: dict[str, float] = {}
    for norm in ("l2", "linf") if "l2_lower" in attacked else ():
        values = attacked[f"{norm}_lower"].to_numpy()
        for statistic in ("mean", "median"):
            if np.isfinite(values).all():
                ends = bootstrap(values, statistic)
            else:
                ends = (float(getattr(np, statistic)(values)), float("nan"), float("nan"))
            found |= {f"{norm}_lower_{statistic}{end}": x for end, x in zip(("", "_low", "_high"), ends, strict=True)}
    return found


def _mean(values: Any) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _counts(job: Job, examples: pd.DataFrame, evaluation: Evaluation) -> dict[str, Any]:
    """The first columns of a summary: model, accuracy, examples and successes."""
    attacked, succeeded = len(_attacked(examples)), int((examples["success"] == 1).sum())
    return {
        "dataset": evaluation.dataset,
        "model": evaluation.model,
        "attack": job.attack_name,
        "n_votes": evaluation.n_votes,
        "voting": evaluation.voting,
        "accuracy_single": evaluation.accuracy_single,
        "accuracy_ensemble": evaluation.accuracy_ensemble,
        "points": len(examples),
        "already_wrong": len(examples) - attacked,
        "succeeded": succeeded,
        "success_rate": succeeded / attacked if attacked else float("nan"),
    }


def _protocol(job: Job, evaluation: Evaluation, facts: dict[str, Any], settings: tuple[str, ...]) -> dict[str, Any]:
    """The last columns of a summary: times, settings of the attack, and whether they are those of conf/."""
    return {
        "one_vote_seconds": evaluation.one_vote_seconds,
        "fit_seconds": evaluation.fit_seconds,
        "attack_seconds": facts["seconds"],
        "points_rule": job.config["points"]["rule"],
        **{k: job.config["attack"].get(k) for k in settings},
        "scale": job.scale,
        "seed": job.seed,
        "as_configured": not job.changed,
        "changed": " ".join(job.changed),
        "fit": facts["fit"],
    }


def read_summary(folder: Path) -> dict[str, Any]:
    """The row of summary.csv."""
    row = pd.read_csv(folder / "summary.csv").iloc[0].to_dict()
    return {str(k): (None if isinstance(v, float) and np.isnan(v) else v) for k, v in row.items()}


def _write_tables(folder: Path, tables: dict[str, pd.DataFrame]) -> list[str]:
    """Write tables as CSV, atomically, and return the names of the files."""
    for name, table in tables.items():
        write_bytes(folder / f"{name}.csv", table.to_csv(index=False).encode())
    return [f"{name}.csv" for name in tables]


def _write_facts(folder: Path, job: Job, facts: dict[str, Any]) -> list[str]:
    """Write configuration and provenance and return the names of the files."""
    write_config(folder / "config.yaml", {k: v for k, v in job.config.items() if k != "paths"})
    write_checked(folder / "provenance.json", facts)
    return ["config.yaml", "provenance.json"]
