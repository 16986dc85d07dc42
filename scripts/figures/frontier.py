"""The frontier: accuracy against the distance that an attack finds and the one that is proved."""

from __future__ import annotations

import re

import pandas as pd

from scripts.figures.style import Drawn, axes, colour
from scripts.results import Results
from scripts.tables.frontier import frontier

_PANELS = {"upper": "white-box: an adversarial was found", "lower": "certified: none is nearer"}

_STYLES = ("-", "--", ":", "-.")  # of a model's curves


def figure_of_the_frontier(results: Results) -> Drawn:
    """A point for each model and settings at the most samples; a line joins those that numbers tell apart."""
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
    curves = data.apply(_curve, axis=1)
    order = {curve: place for _, names in curves.groupby(data["model"]) for place, curve in enumerate(names.unique())}
    figure, [panels] = axes(1, 2, 4.6, 3.8, sharex=True, sharey=True)
    for panel, (kind, name) in zip(panels, _PANELS.items(), strict=True):
        for curve, rows in data.dropna(subset=kind).groupby(curves, sort=False):
            rows, model = rows.sort_values(["accuracy", kind]), rows["model"].iloc[0]
            error = [rows[kind] - rows[f"{kind}_low"], rows[f"{kind}_high"] - rows[kind]]
            panel.errorbar(
                rows["accuracy"], rows[kind], yerr=pd.DataFrame(error).fillna(0.0).to_numpy(), marker="o", ms=4,
                capsize=2, lw=1.2, elinewidth=0.6, color=colour(str(model)), label=str(curve),
                ls=_STYLES[order[curve] % len(_STYLES)],
            )  # fmt: skip
        panel.set(xlabel="accuracy, %", ylabel="mean L2", title=name, ylim=(0, None))
    handles, labels = panels[0].get_legend_handles_labels()
    more = dict(zip(*reversed(panels[1].get_legend_handles_labels()), strict=True))
    named = {**dict(zip(labels, handles, strict=True)), **{k: v for k, v in more.items() if k not in labels}}
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=4, frameon=False)
    return Drawn(title, data, figure, notes)


def _curve(row: pd.Series) -> str:
    """The model, and those of its settings that are no numbers."""
    words = row["row"].partition("(")[2].rstrip(")").split()
    kept = [word for word in words if not re.fullmatch(r"\w+=[-+\d.e,\[\]]+", word)]
    return ", ".join([row["model"], *(re.sub(r"^basis=|=true$", "", word) for word in kept)])
