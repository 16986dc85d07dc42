"""Table 6: how often an adversarial of one member of an ensemble fools the others."""

from __future__ import annotations

import pandas as pd

from scripts.results import Results
from scripts.tables.cells import Cell, command, missing, paper_shown, paper_value, where

LITERAL = "Literal count, on the boundary"


def table6(results: Results) -> tuple[str, pd.DataFrame, list[str]]:
    """Transfer probability by overshoot past the boundary, and the paper's literal count."""
    paper = results.paper[results.paper["table"] == "6"]
    cells: list[Cell] = []
    smoothed: list[Cell] = []
    for model in dict.fromkeys(paper["model"]):
        known = paper_value(paper, model=model, attack="hsj")
        smoothed += [
            {**cell, "attack": "transfer_smoothed", "row": f"Smoothed boundary: {cell['row'].lower()}"}
            for cell in _of_model(results, model, "transfer_smoothed", None)
        ]
        found = _of_model(results, model, "transfer", known)
        if not found:
            there = f"{paper_shown(known)}<br>ours –"
            empty = {"row": LITERAL, "model": model, "attack": "transfer", "paper": known}
            cells.append({**empty, "command": command("cifar10", model, "transfer"), "shown": there})
            continue
        cells += found
    cells.sort(key=lambda cell: cell["row"] != LITERAL)  # the paper's row first, the others in their order
    cells += smoothed
    notes = [
        "Fraction of the pairs of members, both correct on the original, where an adversarial of the first fools the "
        "second: mean over images 0 to 7 with its 95 % bootstrap interval. Other rows move the adversarial on past the "
        "boundary by a fraction of its distance, because a point on the boundary of one member fools few others by "
        "construction. The literal count is the paper's: members that misclassify the original count as fooled. "
        "Members are attacked by HopSkipJump; in the last rows, ours, by the smoothed boundary attack with 5,000 "
        "queries a pair, where it was run.",
        *missing(cells),
    ]
    title = "Table 6: probability that an adversarial of one member fools another, CIFAR-10 class 0 against 1"
    return title, pd.DataFrame(cells), notes


def _of_model(results: Results, model: str, attack: str, known: float | None) -> list[Cell]:
    """The cells of the largest run of an attack on the members of a model; none without a run."""
    found = where(results.attacks, dataset="cifar10", model=model, attack=attack)
    if not len(found):
        return []
    ours = found.loc[_effort(found)[::-1].idxmax()]
    rows = results.source.table(ours["folder"], "transfer").to_dict("records")
    return [cell for row in rows for cell in _cells(model, ours, row, known)]


def _effort(found: pd.DataFrame) -> pd.Series:
    """Queries in all; the number of members attacked are not in the summary."""
    return found["points"] * found["queries_mean"]


def _cells(model: str, ours: pd.Series, row: dict[str, float], known: float | None) -> list[Cell]:
    overshoot = row["overshoot"]
    rows: list[tuple[str, str, float | None]]
    rows = [(f"{100 * overshoot:.0f} % past the boundary", "p_main", None)]
    if overshoot == 0:
        rows = [("On the boundary", "p_main", None), (LITERAL, "p_paper_literal", known)]
    cells = []
    for name, column, paper in rows:
        value, low, high = row[column], row[f"{column}_low"], row[f"{column}_high"]
        settings = f"{row['points']:.0f} points, {row['pairs']:.0f} pairs, {ours['max_iter']:.0f} iterations"
        shown = f"ours {value:.4f} ({low:.4f}–{high:.4f})<br>{settings}"
        facts = {"ours": value, "low": low, "high": high, "points": row["points"], "pairs": row["pairs"]}
        about = {"n_votes": ours["n_votes"], "max_iter": ours["max_iter"], "folder": ours["folder"]}
        there = f"{paper_shown(paper)}<br>" if paper is not None else ""
        cell: Cell = {"row": name, "model": model, "attack": "transfer", "paper": paper, **facts, **about}
        cells.append({**cell, "shown": there + shown})
    return cells
