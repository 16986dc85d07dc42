"""How the figures look: one colour and one name a model, quiet axes, text that stays text, the same bytes each time."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from scd.files import write_bytes
from scripts.figures.svg import compact
from scripts.records.publication import csv_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "scd01": "#b5179e",
    "scdce": "#e05a00",
    "scdcebnn": "#d4a017",
    "scd01bnn": "#8d6e63",
    "scd_random": "#9e9e9e",
    "scd01_robust": "#f06bc4",
    "scdce_robust": "#ff9b57",
    "scd01_parts": "#7a1fa2",
    "scdce_adversarial": "#c1121f",
    "scdce_mirrored": "#660708",
    "logistic": "#6741d9",
    "mlp": "#1864ab",
    "mlp_adversarial": "#4dabf7",
    "bnn": "#0b8f8f",
    "lenet": "#5c940d",
    "resnet50": "#2b8a3e",
    "cnn1d": "#5c940d",
    "rf": "#343a40",
    "rf_authors": "#868e96",
    "xgboost": "#adb5bd",
}
"""Sign networks trained without gradients warm, the others cold; forests grey."""

_STYLE: Any = {
    "svg.hashsalt": "scd",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # a reader without it takes its own
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e9ecef",
    "axes.axisbelow": True,
}


@dataclass(frozen=True)
class Drawn:
    """A figure, the numbers in it, and its notes.

    ``figure`` is None, and ``notes`` name the commands, where nothing has been run for it yet. ``runs`` are those in
    the figure that `data` does not name in a column ``folder``.
    """

    title: str
    data: pd.DataFrame
    figure: Figure | None
    notes: list[str]
    runs: tuple[str, ...] = ()


def axes(rows: int, columns: int, width: float, height: float, **more: Any) -> tuple[Figure, list[list[Axes]]]:
    """A figure of `rows` × `columns` panels of `width` × `height` inches each, without pyplot's global state."""
    import matplotlib  # heavy
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, **more)
    return figure, [list(row) for row in panels]


def colour(model: str) -> str:
    """The colour of a model; black for one that has none."""
    return COLOURS.get(model, "#000000")


def svg(figure: Figure) -> bytes:
    """The figure as SVG, the same bytes for the same figure."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return compact(buffer.getvalue())


def write_figure(folder: Path, name: str, drawn: Drawn) -> None:
    """Write ``<name>.svg`` and ``<name>.csv``; remove those of an earlier call where nothing is to be drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    if drawn.figure is None:
        for kind in ("svg", "csv"):
            (folder / f"{name}.{kind}").unlink(missing_ok=True)
        return
    write_bytes(folder / f"{name}.csv", csv_bytes(drawn.data, digits=7))
    write_bytes(folder / f"{name}.svg", svg(drawn.figure))
