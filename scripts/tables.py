"""The paper's tables from whatever runs exist, the paper's value beside ours: ``make tables``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from scripts.cells import Store
from scripts.collect import attacks, evaluations, paper_values, scale_caps
from scripts.render import write_table
from scripts.table_distances import table2, table3, table4, table5, table8
from scripts.table_fits import table1

TABLES: dict[str, Callable[[Store], tuple[str, pd.DataFrame, list[str]]]] = {
    "table1": table1,
    "table2": table2,
    "table3": table3,
    "table4": table4,
    "table5": table5,
    "table8": table8,
}


def _as_configured(found: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The runs with the settings of conf/, the default seed last so that it wins, and how many were left out."""
    if not len(found):
        return found, 0
    kept = found[found["as_configured"]]
    return kept.sort_values("seed", ascending=False, kind="stable").reset_index(drop=True), len(found) - len(kept)


def _of_the_data(store: Store, cells: pd.DataFrame) -> list[str]:
    """What sets the data behind the cells apart from what their source promises: a subset must not pass for the set."""
    if "folder" not in cells or not len(store.evaluations):
        return []
    shown = {str(folder).split("-")[0] for folder in cells["folder"].dropna()}
    fits = store.evaluations[store.evaluations["dataset"].isin(shown)]
    pairs = zip(fits["dataset"], fits["data_notes"], strict=True)
    said = dict.fromkeys((name, note) for name, notes in pairs for note in notes)
    return [""] * bool(said) + [f"- Data of {name}: {note}." for name, note in said]


def _at_scale(scale: str, cells: pd.DataFrame, notes: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """The table with commands that fill its cells at this scale."""
    if scale == "paper":
        return cells, notes

    def scaled(text: Any) -> Any:
        return f"{text} scale={scale}" if isinstance(text, str) and text.startswith("python run.py") else text

    if "command" in cells:
        cells = cells.assign(command=cells["command"].map(scaled))
    return cells, [f"Runs of scale={scale}, not of the paper's sizes.", "", *(scaled(note) for note in notes)]


def main(words: list[str] | None = None) -> int:
    """Write the tables and say where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outputs", default="outputs", help="folder that the runs wrote to (paths.outputs)")
    parser.add_argument("--scale", default="paper", help="take the runs of this scale (paper, cpu, smoke)")
    given = parser.parse_args(words)
    outputs = Path(given.outputs)
    if not outputs.is_dir():
        print(f"error: there is no folder {outputs}; run something first or give --outputs.", file=sys.stderr)
        return 2
    all_attacks = attacks(outputs, given.scale)
    fits, other_fits = _as_configured(evaluations(outputs, given.scale))
    attacked, other_attacks = _as_configured(all_attacks)
    store = Store(fits, attacked, paper_values(), all_attacks, scale_caps(given.scale))
    for name, make in TABLES.items():
        title, cells, notes = make(store)
        cells, notes = _at_scale(given.scale, cells, notes)
        notes += _of_the_data(store, cells)
        if other_fits or other_attacks:
            others = f"{other_fits} fits, {other_attacks} attacks"
            notes += ["", f"Left out, for their data set or model settings differ from those of conf/: {others}."]
        write_table(outputs / "tables", name, title, cells, notes)
        print((outputs / "tables" / f"{name}.md").read_text().replace("<br>", "; "))
    print(f"Written to {outputs / 'tables'}/ as CSV, Markdown and LaTeX.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
