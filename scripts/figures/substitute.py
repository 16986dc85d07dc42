"""Figure 2: accuracy under a substitute model's adversarials and under noise of the same size."""

from __future__ import annotations

import pandas as pd

from scripts.figures.style import Drawn, axes, colour
from scripts.results import Results
from scripts.tables.cells import command, where

MODELS = ("scd01", "scdce", "scdcebnn", "mlp", "bnn", "rf")


def figure2(results: Results) -> Drawn:
    """The curves of the last round: accuracy of the target against epsilon, and with Gaussian noise instead."""
    found = where(results.attacks, dataset="cifar10", attack="substitute", voting="hard")
    title = "Figure 2: accuracy under the substitute model's adversarials, CIFAR-10 class 0 against 1"
    curves = []
    for model in dict.fromkeys([*MODELS, *(found["model"] if len(found) else [])]):
        runs = where(found, model=model)
        if len(runs):
            run = runs.loc[runs["n_votes"][::-1].idxmax()]
            curve = results.source.table(run["folder"], "curve")
            last = curve[curve["round"] == curve["round"].max()]
            curves.append(last.assign(model=model, n_votes=run["n_votes"], folder=run["folder"]))
    data = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=["model"])
    notes = [
        "Solid: adversarials of the substitute, epsilon times the sign of its gradient added to each test row that did "
        "not train it. Dashed: Gaussian noise of standard deviation epsilon instead, mean of ten draws. The paper has "
        "about 40 % for scd01 and near 0 % for mlp and bnn at epsilon 0.125.",
    ]
    lacking = [model for model in MODELS if model not in set(data["model"])]
    if lacking:
        notes.append(f"Filled by: `{command('cifar10', lacking, 'substitute')}`")
    if not len(data):
        return Drawn(title, data, None, notes)
    figure, [[panel]] = axes(1, 1, 6.4, 3.8)
    for model, rows in data.groupby("model", sort=False):
        hue = colour(str(model))
        panel.plot(rows["epsilon"], 100 * rows["accuracy"], marker="o", ms=3.5, lw=1.4, color=hue, label=str(model))
        panel.plot(rows["epsilon"], 100 * rows["noise_accuracy"], ls="--", lw=0.9, color=hue)
    panel.set(xlabel="epsilon (L∞ of the adversarials, standard deviation of the noise)", ylabel="accuracy, %")
    panel.set_ylim(0, 100)
    panel.plot([], [], ls="--", lw=0.9, color="#868e96", label="noise instead")
    panel.legend(ncols=2, frameon=False)
    return Drawn(title, data, figure, notes)
