"""Distance against queries, all black-box attacks on a model together: which one to use with which budget."""

from __future__ import annotations

from typing import Any

from scripts.figures.style import Drawn, axes
from scripts.results import Results
from scripts.tables.cells import votes_shown
from scripts.tables.ranking import NAMES, curve_of, ranking

_COLOURS = {
    "hsj": "#1864ab",
    "hsj_wide": "#4dabf7",
    "hsj_art": "#a5d8ff",
    "boundary": "#868e96",
    "boundary_art": "#ced4da",
    "rays": "#e05a00",
    "surfree": "#d4a017",
    "cgba": "#2b8a3e",
    "smoothed_boundary": "#b5179e",
    "smoothed_few": "#f06bc4",
    "smoothed_lowfreq": "#7b2d5b",
    "surrogate": "#c1121f",
    "surrogate_linear": "#ff9b57",
    "signopt": "#6741d9",
    "arsopt": "#0b8f8f",
}
_TICKS = (0.1, 0.3, 1, 3, 10)


def figure_of_the_ranking(results: Results) -> Drawn:
    """A panel a model, a line an attack: the mean over points, and at its end the median with its interval."""
    title = "Ranking: best L2 against queries of a point, by model"
    data = ranking(results)
    notes = [
        "Lines: the mean over points of the best distance of all runs of an attack. Dots: the median at the end, with "
        "its 95 % bootstrap interval over points. Dashed: the mean over points of the closest adversarial of all these "
        "attacks. Queries are those of all runs of a point, which query in turns. The attacks and points of a model "
        "are those of the ranking table; the lines are those of details/traces.csv.gz. Distances of attacks on "
        "different models do not compare.",
    ]
    if not len(data):
        return Drawn(title, data, None, [*notes, "Filled by: runs of two attacks on the same points"])
    panels_of = list(data.groupby(["dataset", "model"], sort=False))
    columns = min(4, len(panels_of))
    figure, panels = axes(-(-len(panels_of) // columns), columns, 2.7, 2.3, sharex=True, sharey=True)
    all_panels = [panel for row in panels for panel in row]
    shown: dict[str, Any] = {}
    for panel, ((dataset, model), rows) in zip(all_panels, panels_of, strict=False):
        for end in rows.to_dict("records"):
            name, colour, line = NAMES[end["attack"]], _COLOURS[end["attack"]], curve_of(results, end)
            (shown[name],) = panel.plot(line["queries"], line["l2"], lw=1.2, color=colour)
            error = [[end["l2_median"] - end["l2_median_low"]], [end["l2_median_high"] - end["l2_median"]]]
            panel.errorbar(
                line["queries"].iloc[-1], end["l2_median"], yerr=error, marker="o", ms=3, capsize=1.5, elinewidth=0.6,
                color=colour,
            )  # fmt: skip
        panel.axhline(rows["best"].iloc[0], color="black", lw=0.7, ls="--")
        name = str(model) if dataset == "cifar10" else f"{dataset}: {model}"
        panel.set(xscale="log", yscale="log", title=f"{name}, {votes_shown(rows['n_votes'].iloc[0])}")
        panel.minorticks_off()
        panel.set_yticks(_TICKS, map(str, _TICKS))
    for row in panels:
        row[0].set_ylabel("best L2")
    for panel in all_panels[len(panels_of) :]:
        panel.set_visible(False)
    figure.supxlabel("queries of a point", fontsize=9)
    figure.legend(list(shown.values()), list(shown), loc="outside upper center", ncols=4, frameon=False)
    return Drawn(title, data, figure, notes)
