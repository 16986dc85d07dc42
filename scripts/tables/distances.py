"""Tables 2 to 5 and 8: minimum distances under attack."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config.resolvers import minimum
from pipeline.convergence import NOT_FLAT
from pipeline.records import MISCLASSIFIED
from scd.statistics import bootstrap, paired_p_values
from scripts.results import DRAWN, Results
from scripts.tables.cells import (
    Cell,
    accuracy_cell,
    distance_cell,
    largest,
    missing,
    paper_value,
    points_shown,
    precision_shown,
    votes_shown,
    where,
)

CERTIFIED = (
    "Certified: no adversarial of any attack is nearer (docs/certificates.md), the mean over the points with its 95 % "
    "bootstrap interval. White-box / certified: the quotient of the means at the same points, 1 at best; white-box is "
    "per point the minimum over the white-box attacks. Sign networks with hard voting, bnn among them, forests, "
    "logistic regression and mlp are certified."
)

RADII_LINF = {"8/255": 8 / 255, "16/255": 16 / 255}
WITHIN = (
    "Still correct within 8/255 and 16/255, L∞: the share of random test samples, misclassified ones included, that no "
    "white-box attack in L∞ changed within the radius; an upper bound of the accuracy there, with its 95 % bootstrap "
    "interval."
)

Table = tuple[str, pd.DataFrame, list[str]]

IN_TABLE_2 = {"hsj": "HopSkipJump", "boundary": "Boundary", "rays": "RayS"}
BLACK_BOX = {
    "hsj_wide": "HopSkipJump, δ = 0.1",
    "hsj_art": "HopSkipJump (ART)",
    "boundary_art": "Boundary (ART)",
    "surfree": "SurFree",
    "cgba": "CGBA",
    "smoothed_boundary": "Smoothed boundary",
    "smoothed_few": "Smoothed boundary, 5,000 queries",
    "smoothed_lowfreq": "Smoothed boundary, low frequencies, 5,000 queries",
    "surrogate": "Surrogate, sign votes, 5,000 queries",
    "surrogate_linear": "Surrogate, linear, 5,000 queries",
    "signopt": "Sign-OPT",
    "arsopt": "ARS-OPT",
    "noise": "Noise",
}
WHITE_BOX = {"whitebox": "White-box (bound)", "sign_pattern": "Sign pattern (white-box)"}
ATTACKS = {**IN_TABLE_2, **BLACK_BOX, **WHITE_BOX}
_TREES = ("rf", "rf_authors", "xgboost")
"""Models without a gradient: their white-box attack is `leaf_tuple`."""
_CERTIFIED = ("logistic", "mlp", "bnn", *_TREES)
"""Models besides sign networks that certify radii."""
BOUNDS = (
    f"An attack gives an upper bound of the distance. †: the second half of its queries still gained more than "
    f"{100 * NOT_FLAT:.0f} %, so it had not converged."
)


def table2(results: Results) -> Table:
    """Clean accuracy and mean minimum L2 by attack, on Table 2's protocol."""
    paper = results.paper[results.paper["table"] == "2"]
    models = [*dict.fromkeys(paper["model"]), *_controls(results)]
    cells: list[Cell] = []
    for model in models:
        known = paper_value(paper, model=model, metric="clean_accuracy_percent")
        cells.append(accuracy_cell(results, "cifar10", model, known, "Clean accuracy, %"))
    for attack, label in ATTACKS.items():
        if attack not in IN_TABLE_2 and not any(len(protocol(results, m, _attack_on(m, attack))) for m in models):
            continue  # not the paper's: no row without a run
        for model in models:
            known, ours = paper_value(paper, model=model, attack=attack), _attack_on(model, attack)
            cell = distance_cell(label, "cifar10", model, ours, known, protocol(results, model, ours))
            cells.append(cell if attack in IN_TABLE_2 else _not_asked_for(cell))
    for label, also_white in (("Best black-box", False), ("Best of all", True)):
        cells += [_best_cell(results, model, label, also_white) for model in models]
    explained = []
    if any(len(protocol(results, model, "certificate")) for model in models):  # not the paper's: no row without a run
        cells += [cell for row in zip(*(certified_cells(results, m) for m in models), strict=True) for cell in row]
        explained = [CERTIFIED]
    if any(len(_linf_runs(results, m)) for m in models):
        cells += [cell for row in zip(*(linf_cells(results, m) for m in models), strict=True) for cell in row]
        explained.append(WITHIN)
    notes = [
        "Mean minimum L2 over the attacked points with its 95 % bootstrap interval. The paper: 10 points, 10 restarts "
        f"× 100 iterations; its HopSkipJump and Boundary are ART's. {BOUNDS} Best: per point the minimum over "
        "the attacks of this table that were run on as many votes and the same points. δ is HopSkipJump's probe radius "
        "relative to the current distance; its default is 0.01.",
        *explained,
        *missing(cells),
    ]
    return "Table 2: mean minimum L2 distortion, CIFAR-10 class 0 against 1", pd.DataFrame(cells), notes


def _not_asked_for(cell: Cell) -> Cell:
    """The cell of an attack that is not the paper's: without a run it is empty, and no command is named for it."""
    return {**{k: v for k, v in cell.items() if k != "command"}, "shown": "–"} if "command" in cell else cell


def _attack_on(model: str, attack: str) -> str:
    """The attack in a model's row: the white-box attack on trees is another one."""
    return "leaf_tuple" if attack == "whitebox" and model in _TREES else attack


def _white_box_on(model: str) -> list[str]:
    """The white-box attacks of Table 2 on a model."""
    return [_attack_on(model, attack) for attack in WHITE_BOX]


def _controls(results: Results) -> list[str]:
    """Models that are not the paper's and have been attacked."""
    there = set(results.attacks["model"]) if len(results.attacks) else set()
    return [model for model in ("scd_random", "scd01bnn", "rf_authors", "xgboost") if model in there]


@functools.lru_cache(maxsize=256)
def protocol(results: Results, model: str, attack: str) -> pd.DataFrame:
    """The runs of an attack on a model that Table 2 may show: from noise, at Table 2's points.

    Where there is none at these points it is those at any points drawn at random.
    """
    runs = where(results.attacks, dataset="cifar10", model=model, attack=attack, voting="hard")
    return at_table_2s_points(results, drawn_at_random(results, from_noise_in_l2(runs))) if len(runs) else runs


def at_table_2s_points(results: Results, runs: pd.DataFrame) -> pd.DataFrame:
    """Of each attack in `runs`, all on one model, the runs at Table 2's points; of one with none there all runs.

    So a run at more points fills an empty cell, but displaces no cell that compares with the others of its row.
    """
    there = [results.points(run) == results.table_2s_points for run in runs["folder"]]
    there = pd.Series(there, runs.index, dtype=bool)
    return runs[there | ~there.groupby(runs["attack"]).transform("any")]


def drawn_at_random(results: Results, runs: pd.DataFrame) -> pd.DataFrame:
    """The runs at points that were drawn at random.

    Points that were named (``points.rule=indices``) count where they are those of a run that drew them.
    """
    at_random = [
        rule in DRAWN or (rule == "indices" and results.points(run) in results.drawn_points)
        for rule, run in zip(runs["points_rule"], runs["folder"], strict=True)
    ]
    return runs[np.array(at_random, dtype=bool)]


def from_noise_in_l2(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that begin at noise and minimise L2; RayS searches in L-infinity, and its L2 counts."""
    from_image = runs["start"].eq("given")
    other_norm = runs["norm"].eq("linf") & runs["attack"].ne("rays")
    return runs[~(from_image | other_norm)]


def _best_cell(results: Results, model: str, row: str, also_white: bool) -> Cell:
    """Per point the minimum distance over attacks of the same model on the same points."""
    cell: Cell = {"row": row, "model": model, "attack": "best", "paper": None}
    runs = runs_on_the_same_points(results, model, also_white)
    same = [results.distances(run) for run in runs]
    if len(same) < 2:
        return {**cell, "shown": "–"}
    minimum = pd.concat(same, axis=1).min(axis=1).dropna().to_numpy()
    mean, low, high = bootstrap(minimum, "mean")
    facts = {"ours": mean, "l2_mean": mean, "l2_mean_low": low, "l2_mean_high": high, "points": len(same[0])}
    shown = f"{mean:.2f} ({low:.2f}–{high:.2f})<br>{len(same)} attacks, {votes_shown(runs[0]['n_votes'])}"
    return {**cell, **facts, "n_votes": runs[0]["n_votes"], "shown": shown}


def certified_cells(results: Results, model: str) -> tuple[Cell, Cell]:
    """The mean certified radius of a model, and the mean white-box distance at the same points relative to it."""
    lower: Cell = {"row": "Certified at least", "model": model, "attack": "certificate", "paper": None}
    ratio: Cell = {"row": "White-box / certified", "model": model, "attack": "certificate", "paper": None}
    found = protocol(results, model, "certificate")
    if not len(found):
        why = "not run" if model.startswith("scd") or model in _CERTIFIED else "no certificate"
        return {**lower, "shown": f"–<br>{why}"}, {**ratio, "shown": f"–<br>{why}"}
    ours = largest(found)
    lower |= _certified(ours)
    nearest = _nearest_white_box(results, model, ours)
    if nearest is None:
        return lower, {**ratio, "shown": "–<br>no white-box run at these points"}
    radius = results.source.examples(ours["folder"])["l2_lower"]
    both = pd.concat([nearest, radius], axis=1, join="inner").dropna()
    value = float(both["l2"].mean() / both["l2_lower"].mean()) if len(both) else float("nan")
    return lower, {**ratio, "ours": value, "points": len(both), "shown": f"{value:.2f}<br>{points_shown(len(both))}"}


def _certified(ours: pd.Series) -> Cell:
    """What a cell says of the mean certified radius of a run."""
    low, high = ours["l2_lower_mean_low"], ours["l2_lower_mean_high"]
    names = ["points", "already_wrong", "n_votes", "n_iter", "points_rule", "folder"]
    interval = f" ({low:.2f}–{high:.2f})" if pd.notna(low) else ""
    left_out = f", {ours['already_wrong']:.0f} already misclassified" if ours["already_wrong"] else ""
    about = f"{points_shown(ours['points'])}, {votes_shown(ours['n_votes'])}{left_out}"
    shown = f"{ours['l2_lower_mean']:.2f}{interval}<br>{about}"
    return {"ours": ours["l2_lower_mean"], **{n: ours[n] for n in names}, "shown": shown}


def _nearest_white_box(results: Results, model: str, certified: pd.Series) -> pd.Series | None:
    """Per point the minimum distance of the white-box attacks on the certified votes; None without such a run."""
    found = []
    for attack in _white_box_on(model):
        runs = protocol(results, model, attack)
        same = [results.points(run) == results.points(certified["folder"]) for run in runs.get("folder", [])]
        runs = runs[np.array(same, dtype=bool)]
        runs = runs[runs["n_votes"] == certified["n_votes"]] if len(runs) else runs
        if len(runs):
            found.append(results.distances(largest(runs)))
    return pd.concat(found, axis=1).min(axis=1).rename("l2") if found else None


def _linf_runs(results: Results, model: str) -> pd.DataFrame:
    """The white-box runs in L-infinity at random test samples."""
    runs = where(results.attacks, dataset="cifar10", model=model, norm="linf", voting="hard", points_rule="random")
    return runs[runs["attack"].isin(_white_box_on(model))] if len(runs) else runs


def linf_cells(results: Results, model: str) -> list[Cell]:
    """For each of `RADII_LINF` the per cent of test samples that stay correct under the white-box attacks."""
    cells: list[Cell] = [
        {"row": f"Still correct within {name}, L∞, %", "model": model, "attack": "whitebox", "paper": None}
        for name in RADII_LINF
    ]
    runs = _linf_runs(results, model)
    if not len(runs):
        return [{**cell, "shown": "–"} for cell in cells]
    ours = largest(runs)
    examples = [results.source.examples(run) for run in runs.loc[runs["n_votes"] == ours["n_votes"], "folder"]]
    same = [found for found in examples if set(found.index) == results.points(ours["folder"])]
    nearest = pd.concat([found["linf"] for found in same], axis=1).min(axis=1)
    wrong = same[0]["reason"].reindex(nearest.index).eq(MISCLASSIFIED)
    about = f"{len(nearest)} samples, {votes_shown(ours['n_votes'])}{precision_shown(ours)}"
    for cell, radius in zip(cells, RADII_LINF.values(), strict=True):
        correct = 100.0 * (~wrong & ~nearest.le(radius)).to_numpy(dtype=np.float64)
        mean, low, high = bootstrap(correct, "mean")
        cell |= {"ours": mean, "points": len(correct), "n_votes": ours["n_votes"], "folder": ours["folder"]}
        cell["shown"] = f"{mean:.0f} ({low:.0f}–{high:.0f})<br>{about}"
    return cells


def runs_on_the_same_points(results: Results, model: str, also_white: bool) -> list[pd.Series]:
    """The largest run of each of Table 2's attacks on as many votes, at the points of the first of them.

    Of several numbers of votes it is the one with the most attacks, of these the largest.
    """
    names = [*IN_TABLE_2, *BLACK_BOX, *(_white_box_on(model) if also_white else [])]
    found = [runs for name in names if len(runs := protocol(results, model, name))]
    groups = []
    for votes in sorted({n for runs in found for n in runs["n_votes"]}, reverse=True):
        runs = [largest(same) for each in found if len(same := each[each["n_votes"] == votes])]
        points = [results.points(run["folder"]) for run in runs]
        groups.append([run for run, some in zip(runs, points, strict=True) if some == points[0]])
    return max(groups, key=len, default=[])


def table3(results: Results) -> Table:
    """HopSkipJump with 10 iterations on the first 100 test images, from a fixed image per class."""
    paper = results.paper[results.paper["table"] == "3"]
    iterations, points = minimum(10, results.caps.get("max_iter")), minimum(100, results.caps.get("points"))
    words = f" points.rule=first points.count={points} attack.start=given attack.restarts=1"
    words += f" attack.max_iter={iterations} points.models=[scd01,mlp,rf]"
    cells = []
    for model in dict.fromkeys(paper["model"]):
        found = where(
            results.attacks, dataset="cifar10", model=model, attack="hsj", norm="l2", start="given",
            points_rule="first", max_iter=iterations, restarts=1,
        )  # fmt: skip
        known = paper_value(paper, model=model, attack="hsj")
        cells.append(distance_cell("HopSkipJump", "cifar10", model, "hsj", known, found, words))
    notes = [
        "Points that are already misclassified are left out of the mean and counted; the mean with zeros for them "
        "is in the CSV. The paper's initial images are unpublished: here the first training image of the other class "
        f"that all compared models (points.models; without it, the model itself) classify correctly. {BOUNDS}",
        *missing(cells),
    ]
    title = "Table 3: mean minimum L2 distortion, first 100 test images, 10 iterations, CIFAR-10 class 0 against 1"
    return title, pd.DataFrame(cells), notes


def table4(results: Results) -> Table:
    """HopSkipJump on one image of each of the other image sets, and other attacks on the same image."""
    paper = results.paper[results.paper["table"] == "4"]
    cells = []
    models = ("scd01", "scdce", "scdcebnn", "mlp", "bnn", "resnet50", "lenet", "rf")
    for dataset in dict.fromkeys(paper["dataset"]):
        of_hsj = {"dataset": dataset, "attack": "hsj", "norm": "l2", "start": "noise"}
        attacked = {model: where(results.attacks, model=model, **of_hsj) for model in models}
        for model, found in attacked.items():
            known = paper_value(paper, dataset=dataset, model=model)
            cells.append(distance_cell(dataset, dataset, model, "hsj", known, found))
        cells += _other_attacks(results, dataset, dataset, attacked)
    notes = [
        f"The paper attacks one random image of each set, which it does not name: {BOUNDS} Ours is the mean over the "
        "points attacked; of one point there is no interval over points. docs/data.md says which of our files are "
        "subsets or rescaled. Other attacks than HopSkipJump are ours, where they were run on the same image.",
        *missing(cells),
    ]
    return "Table 4: minimum L2 distortion on CelebA, GTSRB and ImageNet", pd.DataFrame(cells), notes


def table5(results: Results) -> Table:
    """scd01 with other numbers of hidden nodes and 50 iterations for each."""
    paper = results.paper[results.paper["table"] == "5"]
    runs = where(
        results.all_attacks,
        dataset="cifar10",
        model="scd01",
        attack="hsj",
        norm="l2",
        start="noise",
        as_in_table5=True,
    )
    cells = []
    for nodes in (4, 16, 20, 32, 64):
        known = paper[paper["note"].str.contains(f"hidden_nodes={nodes};")]["value"]
        found = of_table_5(runs, nodes)
        words = f" model.hidden_nodes={nodes} model.n_iter={minimum(50 * nodes, results.caps.get('n_iter'))}"
        value = float(known.iloc[0]) if len(known) else None
        cell = distance_cell("scd01, HopSkipJump", "cifar10", "scd01", "hsj", value, found, words)
        cells.append({**cell, "model": f"{nodes} nodes", "hidden_nodes": nodes})
    notes = [f"50 iterations for each hidden node, 100 votes. The paper attacks one image. {BOUNDS}", *missing(cells)]
    title = "Table 5: minimum L2 distortion of scd01 by the number of hidden nodes, CIFAR-10 class 0 against 1"
    return title, pd.DataFrame(cells), notes


def of_table_5(runs: pd.DataFrame, nodes: int) -> pd.DataFrame:
    """The runs with so many nodes; preferably those at points that scd01 alone had to classify correctly."""
    found = where(runs, hidden_nodes=nodes)
    own = where(found, points_rule="correct_for_all", right_for=1)
    return own if len(own) else found


def table8(results: Results) -> Table:
    """ECG: clean accuracy, HopSkipJump, and the paired test of scd01 against rf."""
    paper = results.paper[results.paper["table"] == "8"]
    models = ("scd01", "scdce", "mlp", "bnn", "cnn1d", "rf")
    cells: list[Cell] = []
    for dataset, label in (("ptb", "ptb"), ("ecg200", "ecg200 (stand-in)")):
        for model in models:
            known = paper_value(paper, dataset=dataset, model=model, metric="clean_accuracy_percent")
            cells.append(accuracy_cell(results, dataset, model, known, f"{label}: clean accuracy, %"))
        attacked = {m: where(results.attacks, dataset=dataset, model=m, attack="hsj", norm="l2") for m in models}
        for model, found in attacked.items():
            known = paper_value(paper, dataset=dataset, model=model, attack="hsj")
            more = f" points.rule=correct_for_all points.models=[{','.join(models)}]"
            cells.append(distance_cell(f"{label}: HopSkipJump, L2", dataset, model, "hsj", known, found, more))
        known = paper_value(paper, dataset=dataset, metric="p_value")
        cells.append(_paired_cell(results, attacked["scd01"], attacked["rf"], f"{label}: p, scd01 against rf", known))
        cells += _other_attacks(results, dataset, label, attacked)
    notes = [
        "The paper's data set is PTB; ECG200 is another, smaller set, used where PTB is not there; it is no "
        f"reproduction. {BOUNDS} p: two-sided paired tests of the per-point distances of scd01 and rf, the exact "
        "signed-rank test first, then the t test; the paper does not say which it used. Other attacks than HopSkipJump "
        "are ours, where they were run.",
        *missing(cells),
    ]
    return "Table 8: ECG", pd.DataFrame(cells), notes


def _other_attacks(results: Results, dataset: str, label: str, attacked: dict[str, pd.DataFrame]) -> list[Cell]:
    """A row for each attack that is not the paper's on this set and was run on any model, and one of certificates.

    Parameters
    ----------
    attacked : dict of DataFrame
        The runs of HopSkipJump on each model: of another attack those at the same points are shown.
    """
    cells: list[Cell] = []
    for attack, name in ATTACKS.items():
        runs = {m: where(results.attacks, dataset=dataset, model=m, attack=_attack_on(m, attack)) for m in attacked}
        runs = {m: found[found["norm"].ne("linf")] if len(found) else found for m, found in runs.items()}
        runs = {m: _at_the_points_of(results, attacked[m], found) for m, found in runs.items()}
        if attack == "hsj" or not any(map(len, runs.values())):
            continue
        cells += [
            _not_asked_for(distance_cell(f"{label}: {name}, L2", dataset, m, _attack_on(m, attack), None, found))
            for m, found in runs.items()
        ]
    certified = {m: where(results.attacks, dataset=dataset, model=m, attack="certificate") for m in attacked}
    certified = {m: _at_the_points_of(results, attacked[m], found) for m, found in certified.items()}
    if any(map(len, certified.values())):
        row = {"row": f"{label}: certified at least, L2", "attack": "certificate", "paper": None}
        for model, found in certified.items():
            cells.append({**row, "model": model, **(_certified(largest(found)) if len(found) else {"shown": "–"})})
    return cells


def _at_the_points_of(results: Results, first: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Of `found` the runs at the points of the largest run of `first`; all where `first` is empty."""
    if not len(first) or not len(found):
        return found
    points = results.points(largest(first)["folder"])
    return found[np.array([results.points(run) == points for run in found["folder"]], dtype=bool)]


def _paired_cell(results: Results, first: pd.DataFrame, second: pd.DataFrame, row: str, paper: float | None) -> Cell:
    cell: dict[str, Any] = {"row": row, "model": "scd01", "attack": "hsj", "paper": paper}
    there = "paper –" if paper is None else f"paper {paper:g}"
    if not len(first) or not len(second):
        return {**cell, "shown": f"{there}<br>ours –"}
    pairs = pd.concat([results.distances(largest(found)) for found in (first, second)], axis=1, join="inner").dropna()
    rank, t = paired_p_values(*(pairs.iloc[:, k].to_numpy(dtype=np.float64) for k in (0, 1)))
    facts = {"ours": rank, "p_signed_rank": rank, "p_t": t, "points": len(pairs)}
    shown = f"{there}<br>ours {rank:.3g}, {t:.3g} ({points_shown(len(pairs))})"
    return {**cell, **facts, "shown": shown}
