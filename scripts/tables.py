"""Tables 1, 2 and 3 from whatever runs exist, the paper's value beside ours: ``make tables``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from scripts.collect import attacks, evaluations, paper_values
from scripts.render import write_table

CONF = Path(__file__).resolve().parent.parent / "conf"


@dataclass(frozen=True)
class Store:
    """What the runs left, and the paper's numbers."""

    evaluations: pd.DataFrame
    attacks: pd.DataFrame
    paper: pd.DataFrame


def table1(store: Store) -> tuple[str, pd.DataFrame, list[str]]:
    """Fit time of one vote and clean accuracy of the ensemble."""
    paper = store.paper[store.paper["table"] == "1"]
    cells = []
    for dataset in [*dict.fromkeys(paper["dataset"]), *_extra(store.evaluations, paper)]:
        for model in dict.fromkeys(paper["model"]):
            known = paper[(paper["dataset"] == dataset) & (paper["model"] == model)].set_index("metric")["value"]
            seconds, accuracy = known.get("fit_seconds_one_vote"), known.get("clean_accuracy_percent")
            ours = _most_votes(_where(store.evaluations, dataset=dataset, model=model))
            cell: dict[str, Any] = {
                "row": dataset, "model": model,
                "paper_fit_seconds_one_vote": seconds, "paper_accuracy_percent": accuracy,
            }  # fmt: skip
            there = "-" if seconds is None else f"{seconds:g} s ({accuracy:g} %)"
            if ours is None:
                command = _command(dataset, model, "none")
                cells.append({**cell, "command": command, "shown": f"paper {there}<br>ours –"})
                continue
            alone, each = ours["one_vote_seconds"], ours["fit_seconds"] / ours["n_votes"]
            measured = {
                "fit_seconds_one_vote_alone": alone, "fit_seconds_per_vote": each,
                "accuracy_percent": 100 * ours["accuracy_ensemble"], "votes": ours["n_votes"],
                "iterations": ours["n_iter"], "points": ours["n_test"], "folder": ours["folder"],
            }  # fmt: skip
            accuracy = 100 * ours["accuracy_ensemble"]
            here = f"{alone:.1f} s alone, {each:.1f} s each of {ours['n_votes']:.0f} ({accuracy:.1f} %)"
            cells.append({**cell, **measured, "shown": f"paper {there}<br>ours {here}"})
    notes = [
        "Seconds to fit one vote, and in parentheses the test accuracy of the ensemble. Alone: one vote fitted with "
        "nothing beside it; each: the time of the whole ensemble over its votes. The paper's times are of its GPU.",
        *_missing(cells),
    ]
    return "Table 1: fit time and clean accuracy", pd.DataFrame(cells), notes


def table2(store: Store) -> tuple[str, pd.DataFrame, list[str]]:
    """Clean accuracy and mean minimum L2 by attack, on Table 2's protocol."""
    paper = store.paper[store.paper["table"] == "2"]
    cells = []
    for model in dict.fromkeys(paper["model"]):
        known = paper[(paper["model"] == model) & (paper["metric"] == "clean_accuracy_percent")]["value"]
        ours = _most_votes(_where(store.evaluations, dataset="cifar10", model=model))
        cell = {"row": "Clean accuracy, %", "model": model, "attack": "", "paper": known.iloc[0]}
        if ours is None:
            cells.append(
                {**cell, "shown": f"paper {known.iloc[0]:g}<br>ours –", "command": _command("cifar10", model, "none")}
            )
        else:
            accuracy = 100 * ours["accuracy_ensemble"]
            more = {"ours": accuracy, "votes": ours["n_votes"], "iterations": ours["n_iter"], "points": ours["n_test"]}
            cells.append(
                {**cell, **more, "folder": ours["folder"], "shown": f"paper {known.iloc[0]:g}<br>ours {accuracy:.1f}"}
            )
    names = [("hsj", "HopSkipJump"), ("hsj_art", "HopSkipJump of ART"), ("boundary", "Boundary"), ("rays", "RayS")]
    for attack, label in names:
        for model in dict.fromkeys(paper["model"]):
            found = _where(store.attacks, dataset="cifar10", model=model, attack=attack, norm="l2", start="noise")
            cells.append(_distance_cell(label, model, attack, _paper(paper, model, attack), found, ""))
    order = ["Clean accuracy, %", *(label for _, label in names)]
    cells.sort(key=lambda c: order.index(c["row"]))
    notes = [
        "Mean minimum L2 over the attacked points with its 95 % bootstrap interval. The paper: 10 points, 10 restarts "
        "× 100 iterations. An attack gives an upper bound of the distance. The paper's HopSkipJump is ART's.",
        *_missing(cells),
    ]
    return "Table 2: mean minimum L2 distortion, CIFAR-10 class 0 against 1", pd.DataFrame(cells), notes


def table3(store: Store) -> tuple[str, pd.DataFrame, list[str]]:
    """HopSkipJump with 10 iterations on the first 100 test images, from a fixed image per class."""
    paper = store.paper[store.paper["table"] == "3"]
    protocol = " points.rule=first points.count=100 attack.start=given attack.restarts=1 attack.max_iter=10"
    protocol += " points.models=[scd01,mlp,rf]"
    cells = []
    for model in dict.fromkeys(paper["model"]):
        found = _where(
            store.attacks, dataset="cifar10", model=model, attack="hsj", norm="l2", start="given",
            points_rule="first", max_iter=10, restarts=1,
        )  # fmt: skip
        cell = _distance_cell("HopSkipJump", model, "hsj", _paper(paper, model, "hsj"), found, protocol)
        cells.append(cell)
    notes = [
        "Points that the model already gets wrong are left out of the mean and counted; the mean with zeros for them "
        "is in the CSV. The paper's initial images are unpublished: here the first training image of the other class "
        "that all compared models (points.models; without it, the model itself) get right.",
        *_missing(cells),
    ]
    return "Table 3: mean minimum L2 distortion, first 100 test images, 10 iterations", pd.DataFrame(cells), notes


TABLES: dict[str, Callable[[Store], tuple[str, pd.DataFrame, list[str]]]] = {
    "table1": table1,
    "table2": table2,
    "table3": table3,
}


def _as_configured(found: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The runs with the settings of conf/, the default seed last so that it wins, and how many were left out."""
    if not len(found):
        return found, 0
    kept = found[found["as_configured"]]
    return kept.sort_values("seed", ascending=False, kind="stable").reset_index(drop=True), len(found) - len(kept)


def _distance_cell(
    row: str, model: str, attack: str, paper: float | None, found: pd.DataFrame, more: str
) -> dict[str, Any]:
    cell: dict[str, Any] = {"row": row, "model": model, "attack": attack, "paper": paper}
    there = "paper " + ("–" if paper is None or pd.isna(paper) else f"{paper:g}")
    if not len(found):
        return {**cell, "command": _command("cifar10", model, attack) + more, "shown": f"{there}<br>ours –"}
    effort = found["points"] * found["max_iter"].fillna(1) * found["restarts"].fillna(1) * found["n_votes"]
    ours = found.loc[effort[::-1].idxmax()]  # the last among equals
    names = ["l2_mean", "l2_mean_low", "l2_mean_high", "l2_median", "l2_mean_with_zeros", "points", "already_wrong"]
    names += ["succeeded", "n_votes", "n_iter", "max_iter", "restarts", "queries_mean", "points_rule", "folder"]
    settings = (
        f"{ours['points']:.0f} points, {ours['restarts']:.0f} × {ours['max_iter']:.0f}, {ours['n_votes']:.0f} votes"
    )
    interval = f" ({ours['l2_mean_low']:.2f}–{ours['l2_mean_high']:.2f})" if pd.notna(ours["l2_mean_low"]) else ""
    shown = f"{there}<br>ours {ours['l2_mean']:.2f}{interval}<br>{settings}"
    return {**cell, "ours": ours["l2_mean"], **{n: ours[n] for n in names}, "shown": shown}


def _paper(paper: pd.DataFrame, model: str, attack: str) -> float | None:
    found = paper[(paper["model"] == model) & (paper["attack"] == attack)]["value"]
    return None if found.empty else float(found.iloc[0])


def _where(table: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    for name, value in columns.items():
        if not len(table) or name not in table:
            return table.iloc[:0]
        table = table[table[name] == value]
    return table


def _most_votes(found: pd.DataFrame) -> pd.Series | None:
    return None if not len(found) else found.loc[found["n_votes"][::-1].idxmax()]


def _extra(found: pd.DataFrame, paper: pd.DataFrame) -> list[str]:
    """Data sets of ours that the paper's table lacks."""
    return [] if not len(found) else sorted(set(found["dataset"]) - set(paper["dataset"]))


def _command(dataset: str, model: str, attack: str) -> str:
    """The command that fills a cell; says so where a config is not there yet."""
    for group, name in (("dataset", dataset), ("model", model), ("attack", attack)):
        if not (CONF / group / f"{name}.yaml").is_file():
            return f"(no {group}={name} in this version)"
    return f"python run.py dataset={dataset} model={model} attack={attack}"


def _missing(cells: list[dict[str, Any]]) -> list[str]:
    commands = [c["command"] for c in cells if str(c.get("command", "")).startswith("python")]
    if not commands:
        return []
    return ["", "Missing cells are filled by:", "", "```", *dict.fromkeys(commands), "```"]


def main(words: list[str] | None = None) -> int:
    """Write the tables and say where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outputs", default="outputs", help="folder that the runs wrote to (paths.outputs)")
    parser.add_argument("--scale", default="paper", help="take the runs of this scale (paper, smoke)")
    given = parser.parse_args(words)
    outputs = Path(given.outputs)
    if not outputs.is_dir():
        print(f"error: there is no folder {outputs}; run something first or give --outputs.", file=sys.stderr)
        return 2
    fits, other_fits = _as_configured(evaluations(outputs, given.scale))
    attacked, other_attacks = _as_configured(attacks(outputs, given.scale))
    store = Store(fits, attacked, paper_values())
    for name, make in TABLES.items():
        title, cells, notes = make(store)
        if other_fits or other_attacks:
            others = f"{other_fits} fits, {other_attacks} attacks"
            notes += ["", f"Left out, for their data set or model settings differ from those of conf/: {others}."]
        write_table(outputs / "tables", name, title, cells, notes)
        print((outputs / "tables" / f"{name}.md").read_text().replace("<br>", "; "))
    print(f"Written to {outputs / 'tables'}/ as CSV, Markdown and LaTeX.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
