"""The frontier: accuracy against the distance that an attack finds and the one that is proved."""

from __future__ import annotations

import pandas as pd

from scripts.figures.style import Drawn, axes, colour
from scripts.results import Results
from scripts.tables.frontier import frontier

_PANELS = {"upper": "white-box: an adversarial was found", "lower": "certified: none is nearer"}


def figure_of_the_frontier(results: Results) -> Drawn:
    """A point for each model and settings where most samples were attacked; a line joins the settings of a model."""
    title = "Frontier: accuracy against white-box and certified distance, CIFAR-10 class 0 against 1"
    data = frontier(results)
    if len(data):
        data = data[data["dataset"] == "cifar10"]
        data = data[data["samples"] == data["samples"].max()].reset_index(drop=True)
    notes = [
        "Farther up and to the right is better. Mean L2 over the attacked samples that a model classifies correctly, "
        "so that they differ a little from model to model (Table 9 has a column of those in common, and models that "
        "were attacked at fewer samples); bars are 95 % bootstrap intervals. The true mean distance is between the two "
        "panels.",
    ]
    if not len(data):
        return Drawn(title, data, None, [*notes, "Filled by: `python run.py +experiment=frontier`"])
    figure, [panels] = axes(1, 2, 4.6, 3.8, sharex=True, sharey=True)
    for panel, (kind, name) in zip(panels, _PANELS.items(), strict=True):
        for model, rows in data.dropna(subset=kind).groupby("model", sort=False):
            rows = rows.sort_values(["accuracy", kind])
            error = [rows[kind] - rows[f"{kind}_low"], rows[f"{kind}_high"] - rows[kind]]
            panel.errorbar(
                rows["accuracy"], rows[kind], yerr=pd.DataFrame(error).fillna(0.0).to_numpy(), marker="o", ms=4,
                capsize=2, lw=1.2, elinewidth=0.6, color=colour(str(model)), label=str(model),
            )  # fmt: skip
        panel.set(xlabel="accuracy, %", ylabel="mean L2", title=name, ylim=(0, None))
    handles, labels = panels[0].get_legend_handles_labels()
    more = dict(zip(*reversed(panels[1].get_legend_handles_labels()), strict=True))
    named = {**dict(zip(labels, handles, strict=True)), **{k: v for k, v in more.items() if k not in labels}}
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=5, frameon=False)
    return Drawn(title, data, figure, notes)
