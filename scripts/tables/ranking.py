"""The ranking, not the paper's: how close each black-box attack comes to the best of all, and how soon."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scd.seeds import generator_for
from scd.statistics import RESAMPLES, bootstrap
from scripts.results import Results
from scripts.tables.cells import Cell, largest, where
from scripts.tables.distances import BLACK_BOX, IN_TABLE_2, from_noise_in_l2

Floats = NDArray[np.float64]

NAMES = {name: shown for name, shown in {**IN_TABLE_2, **BLACK_BOX}.items() if name != "noise"}
"""Noise is a control: it does not search."""
BUDGETS = (1_000, 5_000, 20_000, 68_700)
"""Queries of a point, over all runs of an attack, after which the table has its mean distance."""


def table_ranking(results: Results) -> tuple[str, pd.DataFrame, list[str]]:
    """A row for each model and attack; of each model the attack with the largest optimality first."""
    found = ranking(results)
    cells = [cell for row in found.to_dict("records") for cell in _cells(row)]
    if not cells:
        cells = [{"row": "–", "column": "optimality", "model": "", "attack": "", "paper": None, "shown": "–"}]
    notes = [
        "Not in the paper. Of every model the points at which at least two attacks were run on the same votes; of an "
        "attack its largest run there that found any adversarial. Attacks have their own budgets; queries are those of "
        "a point, over all runs of the attack. Points that the model misclassifies are left out.",
        "Optimality is AttackBench's local optimality (Cinà et al., AAAI 2025): (ρ ε₀ − A) / (ρ ε₀ − A*), with the "
        "clean accuracy ρ, the area A under the accuracy against ε from 0 to ε₀, that area A* of the best of all "
        "attacks at each point, and the ε₀ at which that best one leaves no point. 1: nothing is closer at any "
        "point. In parentheses are 95 % bootstrap intervals over points. With few attacks on a model the best of them "
        "is a weak reference, so optimality compares the attacks on one model and not the models.",
        "Mean L2 after at most so many queries, the last one where an attack ended before. Times the lowest: the mean, "
        "over the logarithm of the queries, of the mean L2 relative to the lowest mean L2 of any attack after as many, "
        "from where all of them have a distance to the end of the longest; it is the area between the curves. "
        "Attacks that plan for their budget are ahead late: `smoothed_boundary` with a budget of 5,000 is closer than "
        "after 5,000 of 68,700 queries (docs/choosing-an-attack.md). The "
        "published traces are means over points at 60 geometric steps: a distance is that of the last step before, "
        "one step is 10 to 20 %, medians are known for the ends alone, and these means have no interval.",
    ]
    title = "Ranking: black-box attacks by what they find and how soon"
    return title, pd.DataFrame(cells), notes


@functools.lru_cache(maxsize=1)  # the table and the figure show the same
def ranking(results: Results) -> pd.DataFrame:
    """A row for each model and attack that was run at the points of another attack.

    Returns
    -------
    DataFrame
        Columns ``dataset``, ``model``, ``n_votes``, ``points``, ``attack``, ``restarts``, ``queries`` (mean of a
        point), ``l2_median``, ``optimality``, each with ``_low`` and ``_high``, ``best`` (mean over points of the
        closest of all attacks), ``after_<budget>`` (mean L2), ``times_lowest`` and ``folder``.
    """
    return pd.DataFrame([row for runs in groups(results) for row in _rows(results, runs)])


def groups(results: Results) -> list[pd.DataFrame]:
    """For each data set and model the largest runs of two attacks or more on the same votes and points.

    Attacks without a single adversarial are left out. Of several sets of votes and points it is the one with the most
    attacks, of these the one with the most votes.
    """
    runs = results.attacks
    if not len(runs) or "start" not in runs:  # nothing, or texts alone
        return []
    runs = runs[runs["attack"].isin(list(NAMES)) & runs["voting"].eq("hard") & runs["succeeded"].gt(0)]
    runs = from_noise_in_l2(runs)
    runs = runs.assign(place=[tuple(sorted(results.points(run))) for run in runs["folder"]])
    found = []
    for _, of_model in runs.groupby(["dataset", "model"], sort=False):
        same = [rows for _, rows in of_model.groupby(["n_votes", "place"])]
        most = max(same, key=lambda rows: (rows["attack"].nunique(), rows["n_votes"].iloc[0]))
        if most["attack"].nunique() > 1:
            there = [name for name in NAMES if name in set(most["attack"])]
            found.append(pd.DataFrame([largest(where(most, attack=name)) for name in there]))
    order = list(dict.fromkeys(results.paper["model"]))
    return sorted(found, key=lambda rows: (rows["dataset"].iloc[0], _position(order, rows["model"].iloc[0])))


def curve_of(results: Results, run: Any) -> pd.DataFrame:
    """Mean best L2 of an attack against the queries of a point over all its restarts, which query in turns."""
    curve = results.source.curve(run["folder"])
    return curve.assign(queries=curve["queries"] * _restarts(run))


def optimality(distances: Floats, draws: NDArray[np.int64]) -> Floats:
    """AttackBench's local optimality of each attack on resamples of the points.

    Parameters
    ----------
    distances : (attacks, points) float
        To the adversarials of points that are classified correctly; infinite where an attack failed. Each point has
        an adversarial of at least one attack.
    draws : (resamples, points) int
        Indices of points.

    Returns
    -------
    (resamples, attacks) float
        From 0 to 1; NaN where all points of a resample have the same closest distance, for the reference is then
        without an area.
    """
    drawn = distances[:, draws]  # (attacks, resamples, points)
    best = drawn.min(axis=0)
    end = best.max(axis=1, keepdims=True)
    gained = (end - np.minimum(drawn, end)).sum(axis=2)
    whole = (end - best).sum(axis=1)
    return np.asarray(np.divide(gained, whole, out=np.full_like(gained, np.nan), where=whole > 0).T)


def times_lowest(curves: list[pd.DataFrame]) -> list[float]:
    """For each curve (``queries``, ``l2``) the mean over log queries of its quotient with the lowest of all."""
    begin = max(curve["queries"].iloc[0] for curve in curves)
    grid = np.unique(np.concatenate([curve["queries"].to_numpy() for curve in curves]))
    grid = grid[grid >= begin]
    values = np.array([_after(curve, grid) for curve in curves])
    width = np.diff(np.log(grid))
    quotients = (values / values.min(axis=0))[:, :-1]
    return [float(row @ width / width.sum()) if len(width) else float("nan") for row in quotients]


def _rows(results: Results, runs: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of one group, the largest optimality first."""
    found = pd.concat([results.distances(run).rename(run["attack"]) for _, run in runs.iterrows()], axis=1)
    found = found.dropna(how="all").fillna(np.inf)  # at a point without any distance the label is already another
    distances = found.to_numpy().T
    count = distances.shape[1]
    draws = generator_for(0, "bootstrap", count).integers(0, count, (RESAMPLES, count))
    value = optimality(distances, np.arange(count)[None])[0]
    low = high = np.full(len(value), np.nan)
    if np.isfinite(value).all():
        low, high = np.nanpercentile(optimality(distances, draws), [2.5, 97.5], axis=0)
    curves = [curve_of(results, run) for _, run in runs.iterrows()]
    above = times_lowest(curves)
    rows = []
    for k, (_, run) in enumerate(runs.iterrows()):
        row = {name: run[name] for name in ("dataset", "model", "n_votes", "attack", "folder")}
        with np.errstate(invalid="ignore"):  # a failed point is at infinity
            median = bootstrap(distances[k], "median")
        row |= {"points": count, "restarts": _restarts(run), "queries": run["queries_mean"]}
        row |= dict(zip(("l2_median", "l2_median_low", "l2_median_high"), median, strict=True))
        row |= {"optimality": value[k], "optimality_low": low[k], "optimality_high": high[k], "times_lowest": above[k]}
        row = {name: round(each, 6) if isinstance(each, float) else each for name, each in row.items()}
        row |= {f"after_{budget}": float(_after(curves[k], budget)) for budget in BUDGETS}
        rows.append({**row, "best": distances.min(axis=0).mean()})
    return sorted(rows, key=lambda row: -np.nan_to_num(row["optimality"]))


def _cells(row: dict[str, Any]) -> list[Cell]:
    """The cells of a row of :func:`ranking`, one for each column of the table."""
    name = row["model"] if row["dataset"] == "cifar10" else f"{row['dataset']}: {row['model']}"
    about: Cell = {"row": f"{name}, {NAMES[row['attack']]}", "model": row["model"], "attack": row["attack"]}
    about |= {"paper": None, "n_votes": row["n_votes"], "points": row["points"], "folder": row["folder"]}
    each = row["queries"] / row["restarts"]
    cells = [{**about, "column": "runs × queries", "ours": row["queries"], "shown": f"{row['restarts']} × {each:,.0f}"}]
    for kind, column in (("optimality", "optimality"), ("l2_median", "median L2")):
        value, low, high = row[kind], row[f"{kind}_low"], row[f"{kind}_high"]
        interval = "" if np.isnan(low) else f" ({_number(low)}–{_number(high)})"  # none of a single point
        cell = {"column": column, "ours": value, "low": low, "high": high, "shown": f"{_number(value)}{interval}"}
        cells.append({**about, **cell})
    for budget in BUDGETS:
        value = row[f"after_{budget}"]
        cells.append({**about, "column": f"mean L2, {budget:,}", "ours": value, "shown": _number(value)})
    cells.append(
        {**about, "column": "times the lowest", "ours": row["times_lowest"], "shown": _number(row["times_lowest"])}
    )
    return cells


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "none found" if value > 0 else "–"


def _after(curve: pd.DataFrame, queries: Any) -> Floats:
    """The distances of a curve after at most so many queries, of the shape of `queries`; NaN before its first."""
    before = np.searchsorted(curve["queries"].to_numpy(), queries, side="right")
    return np.append(np.nan, curve["l2"].to_numpy(dtype=np.float64))[before]


def _restarts(run: Any) -> int:
    return int(run["restarts"]) if pd.notna(run["restarts"]) else 1


def _position(order: list[str], name: str) -> int:
    return order.index(name) if name in order else len(order)
