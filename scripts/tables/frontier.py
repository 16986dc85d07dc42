"""Table 9, not the paper's: accuracy against the distance that an attack finds and the one that is proved."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd

from pipeline.convergence import NOT_FLAT
from scd.statistics import bootstrap
from scripts.records.settings import differing_settings
from scripts.results import Results
from scripts.tables.cells import Cell, missing, points_shown, votes_shown
from scripts.tables.distances import BOUNDS

MODELS = (
    "scd01",
    "scdce",
    "scd01_robust",
    "scdce_robust",
    "scdce_adversarial",
    "scdce_mirrored",
    "logistic",
    "mlp",
    "mlp_adversarial",
    "lenet",
)
"""Those of ``conf/experiment/frontier.yaml``, in the order of the rows of each data set."""

_UPPER, _LOWER = ("whitebox", "sign_pattern", "leaf_tuple"), ("certificate",)
_COLUMNS = ("accuracy, %", "white-box", "certified", "white-box / certified", "white-box, common points")


def table9(results: Results) -> tuple[str, pd.DataFrame, list[str]]:
    """Accuracy, white-box and certified distance of every model and setting that was run at the frontier's points."""
    found = frontier(results)
    cells: list[Cell] = []
    for row in found.to_dict("records"):
        cells += _cells(row)
    lacking = [model for model in MODELS if not len(found) or model not in set(found["model"])]
    for model in lacking:
        empty: Cell = {"row": model, "model": model, "attack": "", "paper": None, "shown": "–"}
        cells.append({**empty, "column": _COLUMNS[0], "command": f"python run.py +experiment=frontier model={model}"})
    notes = [
        "Not in the paper. Mean L2 over the attacked points that the model classifies correctly, with its 95 % "
        "bootstrap interval. White-box: an attack that uses the weights found an adversarial at this distance; of "
        "several the closest at each point. "
        f"Certified: there is none nearer (docs/certificates.md). {BOUNDS} Common points: those of the "
        "attacked samples that every model attacked at them classifies correctly; only this column compares models "
        "at the same points. Where a data set has two sets of samples, the rows of the larger name its size. Settings "
        "beside a name are those that differ from conf/. docs/robust.md says how they were chosen.",
        *missing(cells),
    ]
    return "Table 9: accuracy against white-box and certified distance", pd.DataFrame(cells), notes


@functools.lru_cache(maxsize=1)  # the table and the figure show the same
def frontier(results: Results) -> pd.DataFrame:
    """A row for each model and settings that was attacked at the points of a run of ``+experiment=frontier``.

    Of ensembles that differ in the number of votes alone it is the largest.

    Returns
    -------
    DataFrame
        Columns ``row`` (data set, where it is not Table 2's, model and settings), ``dataset`` (its name, and its
        settings that differ from conf/, such as another pair of classes), ``samples`` (that were attacked),
        ``model``, ``n_votes``, ``accuracy`` (per cent), ``late_gain``; ``upper``, ``lower`` and ``common``, the mean
        distance of the white-box attacks, of several the closest at each point, of the certificate, and of the former
        at the points that all rows of the data set's samples classify correctly, each with ``_low``, ``_high`` and
        ``_points``, the first two with ``_folder``; and ``ratio``, of the means at the points that have both. NaN where
        it was not run. Rows are those of a data set at the same samples, of CIFAR-10 first and of the fewest samples
        first, in the order of `MODELS`, then the others.
    """
    runs = results.all_attacks
    if not len(runs):
        return pd.DataFrame()
    runs = runs[runs["attack"].isin([*_UPPER, *_LOWER]) & runs["voting"].eq("hard")]
    if not len(runs):
        return pd.DataFrame()
    runs = runs[~runs["norm"].eq("linf")]
    there = {results.points(run) for run in runs["folder"] if _of_the_experiment(results, run)}
    runs = runs[np.array([results.points(run) in there for run in runs["folder"]], dtype=bool)]
    points = {run: (_dataset(results, run), results.points(run)) for run in runs["folder"]}
    wanted = {points[run] for run in runs["folder"] if _of_the_experiment(results, run)}
    runs = runs[np.array([points[run] in wanted for run in runs["folder"]], dtype=bool)]
    rows: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for run in runs.sort_values("n_votes", kind="stable").to_dict("records"):
        key = (points[run["folder"]], run["model"], _settings(results, run["folder"]))
        # of the largest ensemble, the last of each attack
        others = [each for each in rows.get(key, []) if each["n_votes"] == run["n_votes"]]
        rows[key] = [*(each for each in others if each["attack"] != run["attack"]), run]
    order = {model: place for place, model in enumerate(MODELS)}

    def place(key: tuple[Any, ...]) -> tuple[Any, ...]:
        (dataset, samples), model, _ = key
        return dataset != "cifar10", dataset, len(samples), sorted(samples), order.get(model, len(MODELS))

    ordered = sorted(rows, key=place)
    upper = {key: _closest(results, rows[key]).dropna() for key in rows}
    upper = {key: distances for key, distances in upper.items() if len(distances)}
    made = []
    for key in ordered:
        same = [set(distances.index) for other, distances in upper.items() if other[0] == key[0]]
        made.append(_row(results, key, rows[key], set.intersection(*same) if same else set()))
    return _named(pd.DataFrame(made)) if made else pd.DataFrame()


def _named(found: pd.DataFrame) -> pd.DataFrame:
    """With the data set before a row's name, and the number of samples if it was attacked at fewer, too."""
    fewest = found.groupby("dataset")["samples"].transform("min")
    more = np.where(found["samples"] > fewest, found["dataset"] + ", " + found["samples"].astype(str) + " samples", "")
    others = found["dataset"].where(found["dataset"] != "cifar10", "")
    before = pd.Series(np.where(more != "", more, others), index=found.index)
    return found.assign(row=before.where(before == "", before + ": ") + found["row"])


def _closest(results: Results, runs: list[dict[str, Any]]) -> pd.Series:
    """The minimum of the white-box distances at each point; empty without such an attack."""
    found = [results.distances(pd.Series(run)) for run in runs if run["attack"] in _UPPER]
    return pd.concat(found, axis=1).min(axis=1).rename("l2") if found else pd.Series(dtype=np.float64, name="l2")


def _row(results: Results, key: tuple[Any, ...], runs: list[dict[str, Any]], common: set[int]) -> dict[str, Any]:
    (dataset, samples), model, settings = key
    attacks = sorted((run for run in runs if run["attack"] in _UPPER), key=lambda run: float(run["l2_mean"]))
    certificate = next((run for run in runs if run["attack"] in _LOWER), None)
    closest = attacks[0] if attacks else {}
    row = {
        "row": f"{model} ({settings})" if settings else model,
        "dataset": dataset,
        "samples": len(samples),
        "model": model,
        "n_votes": runs[0]["n_votes"],
        "accuracy": 100 * runs[0]["accuracy_ensemble"],
        "late_gain": closest.get("late_gain", np.nan),
    }
    for kind, run, statistic in (("upper", closest, "l2_mean"), ("lower", certificate or {}, "l2_lower_mean")):
        row |= {f"{kind}{end}": run.get(f"{statistic}{end}", np.nan) for end in ("", "_low", "_high")}
        row[f"{kind}_points"] = run["points"] - run["already_wrong"] if run else 0
        row[f"{kind}_folder"] = run.get("folder")
    upper = _closest(results, runs).dropna()
    if len(attacks) > 1:
        row |= dict(zip(("upper", "upper_low", "upper_high"), bootstrap(upper.to_numpy()), strict=True))
    at_common = upper[upper.index.isin(common)].to_numpy()
    row |= dict(zip(("common", "common_low", "common_high"), bootstrap(at_common), strict=True))
    row |= {"common_points": len(at_common), "ratio": np.nan}
    if certificate is not None:
        lower = results.source.examples(certificate["folder"])["l2_lower"]
        both = pd.concat([upper, lower], axis=1, join="inner").to_numpy()
        row["ratio"] = both[:, 0].mean() / both[:, 1].mean() if len(both) else np.nan
    return row


def _cells(row: dict[str, Any]) -> list[Cell]:
    """The cells of a row of :func:`frontier`, one for each column of the table."""
    about: Cell = {"row": row["row"], "model": row["model"], "attack": "", "paper": None, "n_votes": row["n_votes"]}
    cells = [{**about, "ours": row["accuracy"], "shown": f"{row['accuracy']:.1f}<br>{votes_shown(row['n_votes'])}"}]
    for kind, attack in (("upper", "whitebox"), ("lower", "certificate"), ("ratio", ""), ("common", "whitebox")):
        value, points = row[kind], row.get(f"{kind}_points", np.nan)
        cell = {**about, "attack": attack, "ours": value, "points": points, "folder": row.get(f"{kind}_folder")}
        low, high = row.get(f"{kind}_low", np.nan), row.get(f"{kind}_high", np.nan)
        mark = " †" if kind == "upper" and row["late_gain"] > NOT_FLAT else ""
        interval = f" ({low:.2f}–{high:.2f})" if pd.notna(low) else ""
        of = f"<br>{points_shown(points)}" if pd.notna(points) else ""
        shown = f"{value:.2f}{mark}{interval}{of}" if pd.notna(value) else "–"
        cells.append({**cell, "low": low, "high": high, "shown": shown})
    return [{**cell, "column": column} for column, cell in zip(_COLUMNS, cells, strict=True)]


def _of_the_experiment(results: Results, run: str) -> bool:
    experiment = results.source.record(run)["config"].get("experiment") or {}
    return bool(experiment.get("name") == "frontier")


def _dataset(results: Results, run: str) -> str:
    """The name of the data set, and those of its settings that differ from conf/."""
    name = results.source.record(run)["config"]["dataset"]["name"]
    words = [word.removeprefix("dataset.") for word in _differing(results, run) if word.startswith("dataset.")]
    return " ".join([name, *words])


def _settings(results: Results, run: str) -> str:
    """The settings of the model, and the seed, that differ from conf/; votes have a place of their own."""
    kept = [word for word in _differing(results, run) if word.startswith(("model.", "seed="))]
    return " ".join(word.removeprefix("model.") for word in kept if not word.startswith("model.n_votes="))


def _differing(results: Results, run: str) -> list[str]:
    config = results.source.record(run)["config"]
    return differing_settings({**config, "attack": {"name": "none"}}).split(" ")  # one to compose for all attacks
