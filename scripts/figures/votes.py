"""Figure 1: distortion against the number of votes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from scripts.figures.style import Drawn, axes, colour
from scripts.results import Results
from scripts.tables.cells import command, largest, where

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODELS = ("scd01", "scdce", "scdcebnn", "mlp", "bnn", "rf")
PANELS = {"hsj": "HopSkipJump", "smoothed_boundary": "Smoothed boundary"}
"""The attack of each panel: the paper's, and ours where it was run."""


def figure1(results: Results) -> Drawn:
    """HopSkipJump on the first k votes of the same fit, on the same points, for each k that was run; and ours."""
    title = "Figure 1: mean minimum L2 distortion against the number of votes, CIFAR-10 class 0 against 1"
    runs = [rows for model in MODELS if len(rows := of_one_protocol(results, model, "hsj"))]
    curves = [rows for model in MODELS if len(rows := of_one_protocol(results, model, "smoothed_boundary")) > 1]
    data = pd.concat([*runs, *curves], ignore_index=True) if runs else pd.DataFrame()
    words = f" points.rule=correct_for_all points.models=[{','.join(MODELS)}] model.use_votes=1,2,5,10,20,50,100"
    notes = [
        "The first k votes of one fit, attacked by HopSkipJump on the same points; bars are 95 % bootstrap intervals "
        "over points. A point that k votes misclassify is not in their mean; the CSV also has the mean with zeros. "
        "The smoothed boundary attack is not the paper's.",
    ]
    found = list(data["model"][data["attack"] == "hsj"]) if len(data) else []
    lacking = [model for model in MODELS if found.count(model) < 2]
    if lacking:
        notes.append(f"Filled by: `{command('cifar10', lacking, 'hsj')}{words}`")
    if not len(data):
        return Drawn(title, data, None, notes)
    attacks = [attack for attack in PANELS if (data["attack"] == attack).any()]
    figure, [panels] = axes(1, len(attacks), 6.4 if len(attacks) == 1 else 4.2, 3.8, sharey=True)
    for attack, panel in zip(attacks, panels, strict=True):
        _draw(panel, data[data["attack"] == attack])
        panel.set(xlabel="votes", title=PANELS[attack] if len(attacks) > 1 else "")
    panels[0].set(ylabel="mean minimum L2", ylim=(0, None))
    panels[0].legend(ncols=2, frameon=False)
    return Drawn(title, data, figure, notes)


def _draw(panel: Axes, data: pd.DataFrame) -> None:
    """Draw a curve for each model."""
    for model, rows in data.groupby("model", sort=False):
        error = [rows["l2_mean"] - rows["l2_mean_low"], rows["l2_mean_high"] - rows["l2_mean"]]
        panel.errorbar(
            rows["n_votes"], rows["l2_mean"], yerr=pd.DataFrame(error).fillna(0.0).to_numpy(), marker="o", ms=4,
            capsize=2, lw=1.4, elinewidth=0.8, color=colour(str(model)), label=str(model),
        )  # fmt: skip
    panel.set_xscale("log")
    ticks = sorted(data["n_votes"].unique())
    panel.set_xticks(ticks, [f"{k:.0f}" for k in ticks])
    panel.minorticks_off()


def of_one_protocol(results: Results, model: str, attack: str) -> pd.DataFrame:
    """The largest group of an attack's runs on a model that differ in the number of votes alone.

    They share points, restarts and iterations. A row per number of votes, ascending.
    """
    same = {"attack": attack, "norm": "l2", "start": "noise", "voting": "hard"}
    found = where(results.attacks, dataset="cifar10", model=model, **same)
    if not len(found):
        return found
    found = found.assign(
        same=[
            (tuple(sorted(results.points(run))), restarts, iterations)
            for run, restarts, iterations in zip(found["folder"], found["restarts"], found["max_iter"], strict=True)
        ]
    )
    sizes = found.groupby("same")["n_votes"].nunique()
    candidates = found[found["same"].isin(sizes[sizes == sizes.max()].index)]
    chosen = found[found["same"] == largest(candidates)["same"]]
    columns = ["attack", "model", "n_votes", "l2_mean", "l2_mean_low", "l2_mean_high", "l2_mean_with_zeros"]
    columns += ["points", "already_wrong", "succeeded", "restarts", "max_iter", "folder"]
    return chosen.drop_duplicates("n_votes", keep="last").sort_values("n_votes")[columns]
