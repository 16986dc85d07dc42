"""The figures of the paper, convergence curves and example images, from whatever runs exist."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from scripts.figures.convergence import convergence
from scripts.figures.examples import IMAGES, figure3, images
from scripts.figures.frontier import figure_of_the_frontier
from scripts.figures.intervals import intervals
from scripts.figures.ranking import figure_of_the_ranking
from scripts.figures.style import Drawn, write_figure
from scripts.figures.substitute import figure2
from scripts.figures.votes import figure1
from scripts.results import Results

FIGURES: dict[str, Callable[[Results], Drawn]] = {
    "figure1": figure1,
    "figure2": figure2,
    "figure3": figure3,
    "frontier": figure_of_the_frontier,
    "intervals": intervals,
    "convergence": convergence,
    "ranking": figure_of_the_ranking,
    **{f"images_{dataset}": partial(images, dataset=dataset) for dataset in IMAGES},
}


def write_figures(results: Results, folder: Path) -> dict[str, Drawn]:
    """Draw what can be drawn into `folder` as SVG and CSV; returns all, also those for which nothing was run."""
    drawn = {name: draw(results) for name, draw in FIGURES.items()}
    for name, each in drawn.items():
        write_figure(folder, name, each)
    return drawn
