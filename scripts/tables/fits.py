"""Table 1: fit time and clean accuracy."""

from __future__ import annotations

import pandas as pd

from scripts.results import Results
from scripts.tables.cells import Cell, command, missing, most_votes, precision_shown, where


def table1(results: Results) -> tuple[str, pd.DataFrame, list[str]]:
    """Fit time of one vote and clean accuracy of the ensemble."""
    paper = results.paper[results.paper["table"] == "1"]
    models = [*dict.fromkeys(paper["model"]), *_more_models(results)]
    datasets = [*dict.fromkeys(paper["dataset"]), *_more_datasets(results, paper)]
    cells = [_cell(results, paper, dataset, model) for dataset in datasets for model in models]
    notes = [
        "Seconds to fit one vote, and in parentheses the test accuracy of the ensemble. Alone: one vote fitted with "
        "nothing beside it; each: the time of the whole ensemble over its votes. The paper's times are of its GPU.",
        *missing(cells),
    ]
    return "Table 1: fit time and clean accuracy", pd.DataFrame(cells), notes


def _cell(results: Results, paper: pd.DataFrame, dataset: str, model: str) -> Cell:
    known = where(paper, dataset=dataset, model=model).set_index("metric")["value"]
    seconds, accuracy = known.get("fit_seconds_one_vote"), known.get("clean_accuracy_percent")
    cell: Cell = {
        "row": dataset,
        "model": model,
        "paper_fit_seconds_one_vote": seconds,
        "paper_accuracy_percent": accuracy,
    }
    there = "–" if seconds is None else f"{seconds:g} s ({accuracy:g} %)"
    ours = most_votes(where(results.evaluations, dataset=dataset, model=model, voting="hard"))
    if ours is None:
        if seconds is None:
            return {**cell, "shown": "–"}
        return {**cell, "command": command(dataset, model, "none"), "shown": f"paper {there}<br>ours –"}
    alone, each = ours["one_vote_seconds"], ours["fit_seconds"] / ours["n_votes"]
    percent = 100 * ours["accuracy_ensemble"]
    measured = {
        "fit_seconds_one_vote_alone": alone,
        "fit_seconds_per_vote": each,
        "accuracy_percent": percent,
        "votes": ours["n_votes"],
        "iterations": ours["n_iter"],
        "points": ours["n_test"],
        "device": ours["device"],
        "folder": ours["folder"],
    }
    here = f"{alone:.1f} s alone, {each:.1f} s each of {ours['n_votes']:.0f}{precision_shown(ours)} ({percent:.1f} %)"
    if str(ours["device"]).startswith("cuda ("):
        here += f" on one {ours['device'][6:-1]}"
    return {**cell, **measured, "shown": f"paper {there}<br>ours {here}"}


def _more_datasets(results: Results, paper: pd.DataFrame) -> list[str]:
    """Data sets of ours that the paper's table lacks."""
    return [] if not len(results.evaluations) else sorted(set(results.evaluations["dataset"]) - set(paper["dataset"]))


def _more_models(results: Results) -> list[str]:
    """Models that the paper names elsewhere only, where one has been fitted."""
    ours = set(results.evaluations["model"]) if len(results.evaluations) else set()
    return [model for model in ("lenet", "resnet50", "cnn1d", "rf") if model in ours]
