"""What an attack leaves on disk: examples, trace and summary as CSV, adversarials, configuration, provenance."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config.check import Config
from pipeline.stages.evaluate import Evaluation
from pipeline.store import write_yaml
from scd.files import write_bytes, write_json
from scd.statistics import bootstrap

ALREADY_WRONG = "already misclassified"
TRAINED_ON = "used to train the substitute"


def write_records(
    folder: Path,
    config: Config,
    result: Any,
    evaluation: Evaluation,
    seconds: float,
    facts: dict[str, Any],
    *,
    x: np.ndarray,
    y: np.ndarray,
) -> list[str]:
    """Write every file of a finished attack and return their names.

    Parameters
    ----------
    seconds : float
        Wall time of the attack, shared among the examples by their queries.
    x : (n, d) float32
        The attacked rows.
    y : (n,) int64
        Their true labels.
    """
    examples = examples_table(result, seconds)
    summary = summarize(config, examples, evaluation, seconds)
    write_csv(folder / "examples.csv", examples)
    write_csv(folder / "trace.csv", pd.DataFrame(result.trace))
    write_csv(folder / "summary.csv", pd.DataFrame([summary]))
    for name, columns in result.tables.items():
        write_csv(folder / f"{name}.csv", pd.DataFrame(columns))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, index=result.index, label=y, original=x, adversarial=result.adversarials)
    write_bytes(folder / "adversarials.npz", buffer.getvalue())
    tables = [f"{name}.csv" for name in ("examples", "trace", "summary", *result.tables)]
    return [*tables, "adversarials.npz", *write_facts(folder, config, facts)]


def write_facts(folder: Path, config: Config, facts: dict[str, Any]) -> list[str]:
    """Write the configuration and the provenance of a finished attack and return the names of the files."""
    write_yaml(folder / "config.yaml", {k: config[k] for k in config if k != "paths"})
    write_json(folder / "provenance.json", facts)
    return ["config.yaml", "provenance.json"]


def examples_table(result: Any, seconds: float) -> pd.DataFrame:
    """A row per attacked example; a failed one has empty distances. `seconds` sums to the wall time."""
    total = max(1, int(result.queries.sum()))
    columns = {
        "index": result.index,
        "label": result.label,
        "success": result.success.astype(int),
        "l2": result.l2,
        "linf": result.linf,
        "queries": result.queries,
        "restart": result.restart,
        "seconds": seconds * result.queries / total,
        "reason": result.reason,
    }
    return pd.DataFrame({**columns, **result.extra})


def summarize(config: Config, examples: pd.DataFrame, evaluation: Evaluation, seconds: float) -> dict[str, Any]:
    """The row of summary.csv. Points the model already gets wrong are counted, and left out of rates and distances.

    Points that an attack used to train a substitute were not attacked: they are left out altogether.
    """
    examples = examples[examples["reason"] != TRAINED_ON]
    wrong = examples["reason"] == ALREADY_WRONG
    attacked, found = examples[~wrong], examples[examples["success"] == 1]
    l2 = found["l2"].to_numpy()
    mean, median = bootstrap(l2, "mean"), bootstrap(l2, "median")
    zeros = np.concatenate([l2, np.zeros(int(wrong.sum()))])
    node = config["attack"]
    return {
        "dataset": evaluation.dataset,
        "model": evaluation.model,
        "attack": node["name"],
        "n_votes": evaluation.n_votes,
        "voting": evaluation.voting,
        "accuracy_single": evaluation.accuracy_single,
        "accuracy_ensemble": evaluation.accuracy_ensemble,
        "points": len(examples),
        "already_wrong": int(wrong.sum()),
        "succeeded": len(found),
        "success_rate": len(found) / len(attacked) if len(attacked) else float("nan"),
        "l2_mean": mean[0],
        "l2_mean_low": mean[1],
        "l2_mean_high": mean[2],
        "l2_median": median[0],
        "l2_median_low": median[1],
        "l2_median_high": median[2],
        "l2_mean_with_zeros": float(zeros.mean()) if len(zeros) else float("nan"),
        "linf_mean": float(found["linf"].mean()) if len(found) else float("nan"),
        "queries_mean": float(attacked["queries"].mean()) if len(attacked) else float("nan"),
        "one_vote_seconds": evaluation.one_vote_seconds,
        "fit_seconds": evaluation.fit_seconds,
        "attack_seconds": seconds,
        "points_rule": config["points"]["rule"],
        **{k: node.get(k) for k in ("norm", "max_iter", "restarts", "start", "query_budget")},
        "scale": config["scale"]["name"],
        "seed": config["seed"],
    }


def read_summary(folder: Path) -> dict[str, Any]:
    """The row of summary.csv."""
    row = pd.read_csv(folder / "summary.csv").iloc[0].to_dict()
    return {str(k): (None if isinstance(v, float) and np.isnan(v) else v) for k, v in row.items()}


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table whole or not at all."""
    write_bytes(path, table.to_csv(index=False).encode())
