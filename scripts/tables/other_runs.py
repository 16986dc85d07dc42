"""Every run that no table or figure of the paper shows: a row per set of settings, seeds taken together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.convergence import NOT_FLAT
from scripts.records.settings import differing_settings
from scripts.results import Results
from scripts.tables.cells import Cell, votes_shown, where

NAME = "other_runs"
TITLE = "Your runs: what is in no table of the paper"
NOTES = [
    "Attacks: mean minimum L2 (texts: adversarial accuracy, %); certificate: mean certified L2; fits: test accuracy, "
    "%. Settings that differ from those of conf/ are beside the name. Seeds of the same settings share a cell: mean ± "
    "standard deviation over seeds. In parentheses: 95 % bootstrap interval over the points of one run. An attack "
    "gives an upper bound of the distance. †: the search had not converged."
]


def other_runs(results: Results, shown: set[str]) -> pd.DataFrame:
    """A row per run that is not in `shown`.

    Returns
    -------
    DataFrame
        Columns ``row`` (data set, attack and settings), ``dataset``, ``model``, ``attack``, ``settings``, ``n_votes``,
        ``points``, ``seed``, ``value``, ``low``, ``high``, ``queries_mean``, ``late_gain``, ``folder``.
    """
    attacked = results.all_attacks
    rows = [_attack(results, run) for run in attacked.to_dict("records") if run["folder"] not in shown]
    used = {str(results.source.record(run).get("fit")) for run in attacked.get("folder", [])} | shown
    fits = results.all_evaluations
    for folder, evaluated in fits.groupby("folder", sort=False) if len(fits) else []:
        if folder not in used:
            largest = evaluated.loc[evaluated["n_votes"].idxmax()].to_dict()
            about = {"attack": "", "points": largest["n_test"], "value": 100 * largest["accuracy_ensemble"]}
            unknown = dict.fromkeys(("low", "high", "queries_mean", "late_gain"), np.nan)
            rows.append({**_common(results, largest), **about, **unknown})
    for row in rows:
        name = f"{row['dataset']}: {row['attack'] or 'test accuracy, %'}"
        row["row"] = f"{name} ({row['settings']})" if row["settings"] else name
    return pd.DataFrame(rows)


def other_cells(found: pd.DataFrame) -> pd.DataFrame:
    """The cells of the table: a row per settings, a column per model."""
    cells: list[Cell] = []
    for (row, model), runs in found.groupby(["row", "model"], sort=False):
        values = runs["value"].dropna()
        first = runs.iloc[0]
        mean, spread = (values.mean(), values.std()) if len(values) else (np.nan, np.nan)
        shown = "none found" if not len(values) else f"{mean:.2f}"
        shown += " †" if (runs["late_gain"] > NOT_FLAT).any() else ""
        shown += f" ± {spread:.2f}" if len(values) > 1 else ""
        low, high = (first[end] if len(runs) == 1 else np.nan for end in ("low", "high"))
        shown += f" ({low:.2f}–{high:.2f})" if pd.notna(low) else ""
        facts = [f"{first['points']:.0f} {'points' if first['attack'] else 'samples'}", votes_shown(first["n_votes"])]
        facts += [f"{runs['queries_mean'].mean():,.0f} queries"] if runs["queries_mean"].notna().any() else []
        facts += [f"{len(runs)} seeds"] if len(runs) > 1 else []
        cells.append({
            "row": row, "model": model, "attack": first["attack"], "ours": mean, "over_seeds": spread,
            "low": low, "high": high,
            "seeds": len(runs), "points": first["points"], "n_votes": first["n_votes"],
            "queries_mean": runs["queries_mean"].mean(), "folder": first["folder"],
            "shown": f"{shown}<br>{', '.join(facts)}",
        })  # fmt: skip
    return pd.DataFrame(cells)


def curves(results: Results, found: pd.DataFrame, dataset: str) -> list[tuple[str, str, pd.DataFrame]]:
    """For each settings and model attacked on a data set: its label, model, and distance against queries.

    The frames have columns ``queries``, and ``l2``, ``low`` and ``high`` (mean, minimum, maximum over seeds).
    """
    drawn = []
    attacked = where(found, dataset=dataset)
    for (row, model), runs in attacked.groupby(["row", "model"], sort=False) if len(attacked) else []:
        searches = [c for run in runs["folder"] if runs["attack"].iloc[0] and len(c := results.source.curve(run))]
        if searches:
            drawn.append((f"{model}, {str(row).split(': ', 1)[1]}", str(model), _over_seeds(searches)))
    return drawn


def _over_seeds(searches: list[pd.DataFrame]) -> pd.DataFrame:
    """Mean, minimum and maximum over searches, from where all of them have found an adversarial."""
    begin = max(int(search["queries"].iloc[0]) for search in searches)
    grid = np.unique(np.concatenate([search["queries"].to_numpy() for search in searches]))
    grid = grid[grid >= begin]
    values = np.array([
        search["l2"].to_numpy()[np.searchsorted(search["queries"].to_numpy(), grid, side="right") - 1]
        for search in searches
    ])  # fmt: skip
    return pd.DataFrame(
        {"queries": grid, "l2": values.mean(axis=0), "low": values.min(axis=0), "high": values.max(axis=0)}
    )


def _attack(results: Results, run: dict[str, Any]) -> dict[str, Any]:
    of_text = pd.notna(run.get("adversarial_accuracy"))
    statistic = "l2_lower_mean" if pd.notna(run.get("l2_lower_mean")) else "l2_mean"
    value, low, high = (run.get(f"{statistic}{end}", np.nan) for end in ("", "_low", "_high"))
    value = 100 * run["adversarial_accuracy"] if of_text else value
    about = {"attack": run["attack"], "points": run["points"], "queries_mean": run["queries_mean"]}
    about |= {"value": value, "low": low, "high": high}
    return {**_common(results, run), **about, "late_gain": run.get("late_gain", np.nan)}


def _common(results: Results, run: dict[str, Any]) -> dict[str, Any]:
    settings = differing_settings(results.source.record(run["folder"])["config"]).split(" ")
    names = ("dataset", "model", "n_votes", "seed", "folder")
    return {
        **{name: run[name] for name in names},
        "settings": " ".join(word for word in settings if not word.startswith("seed=")),
    }
