"""Table 7: texts under TextFooler."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from scripts.results import Results
from scripts.tables.cells import Cell, accuracy_cell, command, missing, most_votes, paper_value, where

VOTES = 8
"""Votes of the paper's text models."""
THRESHOLD = 0.5
"""Similarity threshold of the paper's numbers."""

MAIN: dict[str, Any] = {"score": "votes", "n_votes": VOTES, "keep_equal": False}
"""Settings of the paper's runs on sign networks."""
SIGN = ("scd01", "scdce")
"""Models whose score is a fraction of votes in the authors' program. It combines the others by mean probability."""

_CONTROLS: dict[str, dict[str, Any]] = {
    "fraction of 8 votes": MAIN,
    "fraction of 8 votes, equal scores kept": {**MAIN, "keep_equal": True},
    "fraction of 100 votes": {**MAIN, "n_votes": 100},
    "soft score": {**MAIN, "score": "soft"},
    "hard label": {**MAIN, "score": "label"},
    "hard label, equal scores kept": {**MAIN, "score": "label", "keep_equal": True},
}


def papers_score(model: str) -> str:
    """The `attack.score` that a model has in the paper."""
    return "votes" if model in SIGN else "soft"


def table7(results: Results) -> tuple[str, pd.DataFrame, list[str]]:
    """Clean accuracy, adversarial accuracy and queries by data set and model; below them the controls that were run."""
    paper = results.paper[results.paper["table"] == "7"]
    models = list(dict.fromkeys(paper["model"]))
    eight = replace(results, evaluations=where(results.evaluations, n_votes=VOTES))
    cells: list[Cell] = []
    for dataset in dict.fromkeys(paper["dataset"]):
        for model in models:
            known = paper_value(paper, dataset=dataset, model=model, metric="clean_accuracy_percent")
            cells.append(accuracy_cell(eight, dataset, model, known, f"{dataset}: clean accuracy, %"))
        main = {m: find_run(results, dataset, m, **{**MAIN, "score": papers_score(m)}) for m in models}
        for model, run in main.items():
            known = paper_value(paper, dataset=dataset, model=model, metric="adversarial_accuracy_percent")
            cells.append(_cell(f"{dataset}: adversarial accuracy, %", dataset, model, known, run, _accuracy))
        for model, run in main.items():
            known = paper_value(paper, dataset=dataset, model=model, metric="queries")
            cells.append(_cell(f"{dataset}: queries", dataset, model, known, run, _queries))
        for label, wanted in _CONTROLS.items():
            runs = {model: find_run(results, dataset, model, **wanted) for model in models}
            if any(run is not None for run in runs.values()):
                row = f"{dataset}: adversarial accuracy, {label}"
                cells += [_control(row, model, run) for model, run in runs.items()]
    notes = [
        f"TextFooler on the first documents of each test set, similarity threshold {THRESHOLD:g}. In the rows with the "
        f"paper's values the score is, as in the authors' program, the fraction of {VOTES} votes for sign networks and "
        "the mean probability for the others; the rows below give all models a score of one kind. A gain from "
        "a coarse score is not robustness. Adversarial accuracy counts documents that are already "
        "misclassified as failures; queries are the mean over the others.",
        *_sources(results),
        *missing(cells),
    ]
    return "Table 7: texts under TextFooler", pd.DataFrame(cells), notes


def find_run(results: Results, dataset: str, model: str, **wanted: Any) -> pd.Series | None:
    """The attack on the most documents among those of these settings, the last among equals; None if there is none."""
    found = where(results.attacks, dataset=dataset, model=model, attack="textfooler", voting="hard")
    found = where(found, similarity_threshold=THRESHOLD, points_rule="first", **wanted)
    return None if not len(found) else most_votes(found[found["points"] == found["points"].max()])


def _cell(row: str, dataset: str, model: str, paper: float | None, run: pd.Series | None, measure: Any) -> Cell:
    cell: Cell = {"row": row, "model": model, "attack": "textfooler", "paper": paper}
    there = "paper –" if paper is None else f"paper {paper:g}"
    if run is None:
        words = command(dataset, model, "textfooler")
        if words.startswith("python") and papers_score(model) != "votes":
            words += f" attack.score={papers_score(model)}"
        return {**cell, "command": words, "shown": f"{there}<br>ours –"}
    ours, shown = measure(run)
    return {**cell, "ours": ours, **_settings(run), "shown": f"{there}<br>ours {shown}"}


def _control(row: str, model: str, run: pd.Series | None) -> Cell:
    cell: Cell = {"row": row, "model": model, "attack": "textfooler", "paper": None}
    if run is None:
        return {**cell, "shown": "–"}
    ours, shown = _accuracy(run)
    queries = f"{run['queries_mean']:,.0f} queries"
    return {**cell, "ours": ours, **_settings(run), "shown": f"{shown}<br>{queries}"}


def _settings(run: pd.Series) -> dict[str, Any]:
    names = ("points", "already_wrong", "succeeded", "n_votes", "score", "queries_mean", "attack_seconds", "folder")
    return {name: run[name] for name in names}


def _accuracy(run: pd.Series) -> tuple[float, str]:
    """Correctly classified documents that survived, per cent of all attacked."""
    percent = 100 * (run["points"] - run["already_wrong"] - run["succeeded"]) / run["points"]
    return percent, f"{percent:.1f} ({run['points']:.0f} documents)"


def _queries(run: pd.Series) -> tuple[float, str]:
    return run["queries_mean"], f"{run['queries_mean']:,.0f}"


def _sources(results: Results) -> list[str]:
    """What the attacks recorded of their synonyms."""
    found = where(results.attacks, attack="textfooler")
    notes = {note for several in found.get("attack_notes", ()) for note in several}
    return [f"- TextFooler's {note}." for note in sorted(notes)]
