"""Table 7: texts under TextFooler."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from scripts.cells import Cell, Store, accuracy_cell, command, missing, most_votes, paper_value, where

VOTES = 8
"""Votes of the paper's text models."""
THRESHOLD = 0.5
"""Similarity threshold of the paper's numbers."""

MAIN: dict[str, Any] = {"score": "votes", "n_votes": VOTES, "keep_equal": False}
"""Settings of the paper's runs."""
_CONTROLS: dict[str, dict[str, Any]] = {
    "votes, equal scores kept": {**MAIN, "keep_equal": True},
    "soft score": {**MAIN, "score": "soft"},
    "hard label": {**MAIN, "score": "label"},
    "hard label, equal scores kept": {**MAIN, "score": "label", "keep_equal": True},
    "share of 100 votes": {**MAIN, "n_votes": 100},
}


def table7(store: Store) -> tuple[str, pd.DataFrame, list[str]]:
    """Clean accuracy, adversarial accuracy and queries by data set and model; below them the controls that were run."""
    paper = store.paper[store.paper["table"] == "7"]
    models = list(dict.fromkeys(paper["model"]))
    eight = replace(store, evaluations=where(store.evaluations, n_votes=VOTES))
    cells: list[Cell] = []
    for dataset in dict.fromkeys(paper["dataset"]):
        for model in models:
            known = paper_value(paper, dataset=dataset, model=model, metric="clean_accuracy_percent")
            cells.append(accuracy_cell(eight, dataset, model, known, f"{dataset}: clean accuracy, %"))
        main = {model: find_run(store, dataset, model, **MAIN) for model in models}
        for model, run in main.items():
            known = paper_value(paper, dataset=dataset, model=model, metric="adversarial_accuracy_percent")
            cells.append(_cell(f"{dataset}: adversarial accuracy, %", dataset, model, known, run, _accuracy))
        for model, run in main.items():
            known = paper_value(paper, dataset=dataset, model=model, metric="queries")
            cells.append(_cell(f"{dataset}: queries", dataset, model, known, run, _queries))
        for label, wanted in _CONTROLS.items():
            runs = {model: find_run(store, dataset, model, **wanted) for model in models}
            if any(run is not None for run in runs.values()):
                row = f"{dataset}: adversarial accuracy, {label}"
                cells += [_control(row, model, run) for model, run in runs.items()]
    notes = [
        f"TextFooler on the first documents of each test set, similarity threshold {THRESHOLD:g}; the score is the "
        f"share of {VOTES} votes unless the row says otherwise. Adversarial accuracy counts documents that the model "
        "gets wrong anyway as failures; queries are the mean over the others. The rows of controls give every model a "
        "score of the same kind: what a model gains from a coarse score is not robustness.",
        *_sources(store),
        *missing(cells),
    ]
    return "Table 7: texts under TextFooler", pd.DataFrame(cells), notes


def find_run(store: Store, dataset: str, model: str, **wanted: Any) -> pd.Series | None:
    """The attack of the most documents among those of these settings, the last among equals; None if there is none."""
    found = where(store.attacks, dataset=dataset, model=model, attack="textfooler", voting="hard")
    found = where(found, similarity_threshold=THRESHOLD, points_rule="first", **wanted)
    return None if not len(found) else most_votes(found[found["points"] == found["points"].max()])


def _cell(row: str, dataset: str, model: str, paper: float | None, run: pd.Series | None, measure: Any) -> Cell:
    cell: Cell = {"row": row, "model": model, "attack": "textfooler", "paper": paper}
    there = "paper –" if paper is None else f"paper {paper:g}"
    if run is None:
        return {**cell, "command": command(dataset, model, "textfooler"), "shown": f"{there}<br>ours –"}
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
    """Right documents that survived, per cent of all attacked."""
    percent = 100 * (run["points"] - run["already_wrong"] - run["succeeded"]) / run["points"]
    return percent, f"{percent:.1f} ({run['points']:.0f} documents)"


def _queries(run: pd.Series) -> tuple[float, str]:
    return run["queries_mean"], f"{run['queries_mean']:,.0f}"


def _sources(store: Store) -> list[str]:
    """What the attacks said of their synonyms."""
    found = where(store.attacks, attack="textfooler")
    notes = {note for several in found.get("attack_notes", ()) for note in several}
    return [f"- TextFooler's {note}." for note in sorted(notes)]
