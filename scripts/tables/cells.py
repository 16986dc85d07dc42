"""The cells of the tables: our value beside the paper's value, or the command that fills the cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.convergence import NOT_FLAT
from scripts.records.settings import CONF
from scripts.results import Results

Cell = dict[str, Any]


@dataclass(frozen=True)
class Made:
    """A table: its file name, title, cells (a row each) and the lines below it."""

    name: str
    title: str
    cells: pd.DataFrame
    notes: list[str]


def accuracy_cell(results: Results, dataset: str, model: str, paper: float | None, row: str) -> Cell:
    """Test accuracy of the ensemble, per cent."""
    ours = most_votes(where(results.evaluations, dataset=dataset, model=model, voting="hard"))
    cell: Cell = {"row": row, "model": model, "attack": "", "paper": paper}
    if ours is None:
        return {**cell, "command": command(dataset, model, "none"), "shown": f"{paper_shown(paper)}<br>ours –"}
    accuracy = 100 * ours["accuracy_ensemble"]
    more = {"ours": accuracy, "n_votes": ours["n_votes"], "n_iter": ours["n_iter"], "points": ours["n_test"]}
    shown = f"{paper_shown(paper)}<br>ours {accuracy:.1f} ({votes_shown(ours['n_votes'])}{precision_shown(ours)})"
    return {**cell, **more, "folder": ours["folder"], "shown": shown}


def distance_cell(
    row: str, dataset: str, model: str, attack: str, paper: float | None, found: pd.DataFrame, more: str = ""
) -> Cell:
    """Mean minimum L2 of the largest of the attacks in `found`, with its interval and settings."""
    cell: Cell = {"row": row, "model": model, "attack": attack, "paper": paper}
    if not len(found):
        words = command(dataset, model, attack)
        words += more if words.startswith("python") else ""
        return {**cell, "command": words, "shown": f"{paper_shown(paper)}<br>ours –"}
    ours = largest(found)
    names = ["l2_mean", "l2_mean_low", "l2_mean_high", "l2_median", "l2_mean_with_zeros", "points", "already_wrong"]
    names += ["succeeded", "n_votes", "n_iter", "max_iter", "restarts", "queries_mean", "points_rule", "late_gain"]
    settings = [points_shown(ours["points"]), f"{votes_shown(ours['n_votes'])}{precision_shown(ours)}"]
    if pd.notna(ours["restarts"]) and pd.notna(ours["max_iter"]):
        settings.insert(1, f"{ours['restarts']:.0f} × {ours['max_iter']:.0f}")
    if ours["already_wrong"]:
        settings.append(f"{ours['already_wrong']:.0f} already misclassified")
    failed = ours["points"] - ours["already_wrong"] - ours["succeeded"]
    if failed:
        settings.append(f"{failed:.0f} failed")
    shown = f"{paper_shown(paper)}<br>ours {_with_interval(ours)}<br>{', '.join(settings)}"
    return {**cell, "ours": ours["l2_mean"], **{n: ours[n] for n in [*names, "folder"]}, "shown": shown}


def largest(found: pd.DataFrame) -> pd.Series:
    """The run with the largest effort; the last among equals.

    Effort is points × iterations × restarts × votes, doubled if the points were selected as classified correctly by
    several models.
    """
    effort = found["points"] * found["max_iter"].fillna(1) * found["restarts"].fillna(1) * found["n_votes"]
    shared = (found["right_for"] > 1).astype(float)
    return found.loc[(effort * (1 + shared))[::-1].idxmax()]


def _with_interval(ours: pd.Series) -> str:
    if pd.isna(ours["l2_mean"]):
        return "none found"
    mark = " †" if ours.get("late_gain", 0.0) > NOT_FLAT else ""
    interval = f" ({ours['l2_mean_low']:.2f}–{ours['l2_mean_high']:.2f})" if pd.notna(ours["l2_mean_low"]) else ""
    return f"{ours['l2_mean']:.2f}{mark}{interval}"


def precision_shown(ours: pd.Series) -> str:
    """What a cell adds where votes were trained in less than float32."""
    return "" if ours["precision"] == "float32" else f" trained in {ours['precision']}"


def votes_shown(n: float) -> str:
    """A number of votes in words: "1 vote", "100 votes"."""
    return _counted(n, "vote")


def points_shown(n: float) -> str:
    """A number of points in words: "1 point", "10 points"."""
    return _counted(n, "point")


def _counted(n: float, what: str) -> str:
    return f"1 {what}" if n == 1 else f"{n:.0f} {what}s"


def paper_shown(paper: float | None) -> str:
    """The paper's value as a cell shows it."""
    return "paper " + ("–" if paper is None or pd.isna(paper) else f"{paper:g}")


def paper_value(paper: pd.DataFrame, **columns: Any) -> float | None:
    """The paper's number of one row; None where it has none."""
    found = where(paper, **columns)["value"]
    return None if found.empty else float(found.iloc[0])


def where(table: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """The rows with these values; none where a column is missing."""
    if not len(table) or any(name not in table for name in columns):
        return table.iloc[:0]
    kept = np.ones(len(table), dtype=bool)
    for name, value in columns.items():
        kept &= (table[name] == value).to_numpy(dtype=bool)
        if not kept.any():
            return table.iloc[:0]
    return table[kept]


def most_votes(found: pd.DataFrame) -> pd.Series | None:
    """The row of the largest ensemble, the last among equals; None for no rows."""
    return None if not len(found) else found.loc[found["n_votes"][::-1].idxmax()]


def command(dataset: str, model: str | Sequence[str], attack: str) -> str:
    """The command that fills a cell, a sweep for several models; states it where there is no such config."""
    models = [model] if isinstance(model, str) else list(model)
    for group, name in (("dataset", dataset), *(("model", each) for each in models), ("attack", attack)):
        if not (CONF / group / f"{name}.yaml").is_file():
            return f"(no {group}={name} in this version)"
    sweep = " -m" if len(models) > 1 else ""
    return f"python run.py{sweep} dataset={dataset} model={','.join(models)} attack={attack}"


def missing(cells: list[Cell]) -> list[str]:
    """Lines that name the commands of the empty cells."""
    commands = [c["command"] for c in cells if str(c.get("command", "")).startswith("python")]
    return ["", "Missing cells are filled by:", "", "```", *dict.fromkeys(commands), "```"] if commands else []
