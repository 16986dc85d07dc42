"""Accuracy against the radius of a perturbation, from both sides: certified, and under all attacks together."""

from __future__ import annotations

import numpy as np
import pandas as pd

from scripts.figures.style import Drawn, axes, colour
from scripts.results import Results
from scripts.tables.cells import largest, votes_shown
from scripts.tables.distances import ATTACKS, protocol

_ATTACKS = (*ATTACKS, "leaf_tuple")


def intervals(results: Results) -> Drawn:
    """A panel a certified model: between the two steps is the accuracy under the best attack that there can be."""
    title = "Both sides: accuracy within an L2 radius, CIFAR-10 class 0 against 1"
    models = list(dict.fromkeys(results.attacks["model"])) if len(results.attacks) else []
    curves = [curve for model in models if (curve := _curve(results, model)) is not None]
    data = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame()
    notes = [
        "The points of Table 2. A point counts up to its certified radius on the lower line, and up to the closest "
        "adversarial of all attacks on the upper one; the accuracy under the strongest possible attack is in the band. "
        "One model is more robust than another at a radius if its lower line is above the other's upper line.",
    ]
    if not len(data):
        return Drawn(title, data, None, [*notes, "Filled by: `python run.py +experiment=certificates`"])
    there = list(dict.fromkeys(data["model"]))
    columns = min(4, len(there))
    figure, panels = axes(-(-len(there) // columns), columns, 2.7, 2.3, sharex=True, sharey=True)
    all_panels = [panel for row in panels for panel in row]
    for panel, model in zip(all_panels, there, strict=False):
        rows = data[data["model"] == model]
        radius, lower, upper = (rows[name].to_numpy() for name in ("radius", "certified_percent", "attacked_percent"))
        panel.fill_between(radius, lower, upper, step="post", color=colour(model), alpha=0.25, lw=0)
        panel.step(radius, upper, where="post", color=colour(model), lw=1.3, label="under all attacks")
        panel.step(radius, lower, where="post", color=colour(model), lw=1.3, ls=":", label="certified")
        panel.set(
            title=f"{model}, {votes_shown(rows['n_votes'].iloc[0])}",
            ylim=(0, 105),
            xlim=(0, 1.02 * data["radius"].max()),
        )
        panel.legend(frameon=False, fontsize=7)
    for row in panels:
        row[0].set_ylabel("accuracy, %")
    for panel in all_panels[len(there) :]:
        panel.set_visible(False)
    figure.supxlabel("L2 radius", fontsize=9)
    return Drawn(title, data, figure, notes)


def _curve(results: Results, model: str) -> pd.DataFrame | None:
    """Both accuracies where one of them changes; None without a certificate, or without an attack at its points."""
    found = protocol(results, model, "certificate")
    if not len(found):
        return None
    run = largest(found)
    lower = results.source.examples(run["folder"])["l2_lower"]
    attacked = []
    for attack in _ATTACKS:
        runs = protocol(results, model, attack)
        runs = runs[runs["n_votes"] == run["n_votes"]] if len(runs) else runs
        same = [results.points(folder) == results.points(run["folder"]) for folder in runs.get("folder", [])]
        runs = runs[np.array(same, dtype=bool)]
        attacked += [results.distances(each) for _, each in runs.iterrows()]
    if not attacked:
        return None
    upper = pd.concat(attacked, axis=1).min(axis=1).reindex(lower.index).fillna(np.inf)
    upper = upper.mask(lower == 0, 0.0)  # misclassified without a perturbation
    changes = np.unique([0.0, *lower, *upper[np.isfinite(upper)]])
    percent = {
        name: [100 * float((distance > radius).mean()) for radius in changes]
        for name, distance in (("certified_percent", lower), ("attacked_percent", upper))
    }
    facts = {"model": model, "n_votes": run["n_votes"], "points": len(lower), "attacks": len(attacked)}
    return pd.DataFrame({**facts, "radius": changes, **percent})
