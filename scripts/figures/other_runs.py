"""Distance against queries of the runs that are not the paper's, with the spread over seeds."""

from __future__ import annotations

import pandas as pd

from scripts.figures.style import Drawn, axes, colour
from scripts.results import Results
from scripts.tables.other_runs import curves

_LABEL = 60
"""Characters of a line's label."""
_STYLES = ("-", "--", ":", "-.")


def figure_of_other_runs(results: Results, found: pd.DataFrame) -> Drawn:
    """A panel for each data set, a line for each settings and model; the band spans the seeds."""
    title = "Your runs: mean best L2 against queries of a run"
    datasets = list(dict.fromkeys(found["dataset"])) if len(found) else []
    panels_of = {dataset: lines for dataset in datasets if (lines := curves(results, found, dataset))}
    if not panels_of:
        return Drawn(title, pd.DataFrame(), None, [])
    columns = min(2, len(panels_of))
    figure, panels = axes(-(-len(panels_of) // columns), columns, 4.8, 3.4)
    every_panel = [panel for row in panels for panel in row]
    data = []
    for panel, (dataset, lines) in zip(every_panel, panels_of.items(), strict=False):
        for number, (label, model, curve) in enumerate(lines):
            style = _STYLES[number % len(_STYLES)]
            panel.plot(curve["queries"], curve["l2"], style, lw=1.3, color=colour(model), label=_short(label))
            panel.fill_between(curve["queries"], curve["low"], curve["high"], color=colour(model), alpha=0.15, lw=0)
            data.append(curve.assign(dataset=dataset, line=label))
        panel.set(xscale="log", title=dataset, ylim=(0, None), xlabel="queries of a run", ylabel="mean best L2")
        panel.legend(frameon=False, fontsize=6).set_in_layout(False)  # long settings must not squeeze the panel
    for panel in every_panel[len(panels_of) :]:
        panel.set_visible(False)
    notes = ["Mean over points of the best of a point's restarts; the band spans minimum to maximum over seeds."]
    return Drawn(title, pd.concat(data, ignore_index=True), figure, notes)


def _short(label: str) -> str:
    """A label that fits a panel; the whole is in the CSV."""
    return label if len(label) <= _LABEL else f"{label[: _LABEL - 1]}…"
