"""Distance against queries, for every attack and model: has a search converged?"""

from __future__ import annotations

from typing import Any

import pandas as pd

from scripts.figures.style import Drawn, axes, colour
from scripts.results import Results
from scripts.tables.cells import command, largest
from scripts.tables.distances import BLACK_BOX, IN_TABLE_2, protocol

_PANELS = {**IN_TABLE_2, **BLACK_BOX, "whitebox": "White-box (not black-box)"}


def convergence(results: Results) -> Drawn:
    """A panel an attack, a line a model: mean over points of the best of all restarts after so many queries of each."""
    title = "Convergence: mean best L2 against queries of a run, CIFAR-10 class 0 against 1"
    curves, runs = [], []
    models = list(dict.fromkeys(results.attacks["model"])) if len(results.attacks) else []
    for attack in _PANELS:
        for model in models:
            found = protocol(results, model, attack)
            if len(found):
                run = largest(found)
                curve = results.source.curve(run["folder"])
                curves.append(curve.assign(attack=attack, model=model))
                runs.append(run["folder"])
    data = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame()
    notes = [
        "After so many queries of every run (a restart), the best of a point's runs, mean over points. Where the line "
        "still falls at its right end the search has not converged: its distance says more about the attack than about "
        "the model. Distances of attacks on different points do not compare.",
    ]
    if not len(data):
        return Drawn(title, data, None, [*notes, f"Filled by: `{command('cifar10', 'scd01', 'hsj')}` and others"])
    there = [attack for attack in _PANELS if attack in set(data["attack"])]
    columns = min(3, len(there))
    figure, panels = axes(-(-len(there) // columns), columns, 3.4, 2.7)
    all_panels = [panel for row in panels for panel in row]
    shown: dict[str, Any] = {}
    for panel, attack in zip(all_panels, there, strict=False):
        for model, rows in data[data["attack"] == attack].groupby("model", sort=False):
            (shown[str(model)],) = panel.plot(rows["queries"], rows["l2"], lw=1.3, color=colour(str(model)))
        panel.set(xscale="log", yscale="log", title=_PANELS[attack])
        panel.set_xlabel("queries of a run")
        for formatter in (panel.yaxis.set_major_formatter, panel.yaxis.set_minor_formatter):
            formatter("{x:g}")
        panel.tick_params(axis="y", which="both", labelsize=7)
    for row in panels:
        row[0].set_ylabel("mean best L2")
    for panel in all_panels[len(there) :]:
        panel.set_visible(False)
    figure.legend(
        list(shown.values()), list(shown), loc="outside upper center", ncols=min(6, len(shown)), frameon=False
    )
    return Drawn(title, data, figure, notes, tuple(runs))
