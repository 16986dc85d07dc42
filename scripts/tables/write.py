"""The paper's tables and figures from whatever runs exist, the paper's value beside ours: ``make tables``."""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from scripts.claims import claims_table, intervals_table
from scripts.figures.other_runs import figure_of_other_runs
from scripts.figures.style import Drawn, write_figure
from scripts.figures.write import write_figures
from scripts.records.publication import RUNS, recorded_scale
from scripts.report.write import write_report
from scripts.results import Results, read_results, shown_at
from scripts.tables.cells import Made
from scripts.tables.distances import table2, table3, table4, table5, table8
from scripts.tables.fits import table1
from scripts.tables.frontier import table9
from scripts.tables.other_runs import NAME, NOTES, TITLE, other_cells, other_runs
from scripts.tables.ranking import table_ranking
from scripts.tables.render import write_claims, write_latex, write_table
from scripts.tables.text import table7
from scripts.tables.transfer import table6

TABLES: dict[str, Callable[[Results], tuple[str, pd.DataFrame, list[str]]]] = {
    "table1": table1,
    "table2": table2,
    "table3": table3,
    "table4": table4,
    "table5": table5,
    "table6": table6,
    "table7": table7,
    "table8": table8,
    "table9": table9,
    "ranking": table_ranking,
}


def make_tables(results: Results, scale: str, left_out: list[str]) -> list[Made]:
    """All tables, those with nothing in them included."""
    made = []
    for name, make in TABLES.items():
        title, cells, notes = make(results)
        notes = [*(at_scale(note, scale) for note in notes), *_of_the_data(results, cells), *left_out]
        if scale != "paper":
            notes.insert(0, f"Runs of scale={' and '.join(shown_at(scale))}; each cell names its votes and points.")
        if "command" in cells:
            cells = cells.assign(command=[at_scale(words, scale) for words in cells["command"]])
        made.append(Made(name, title, cells, notes))
    return made


def at_scale(text: Any, scale: str) -> Any:
    """A command, or a note with commands between backticks, as it is given at this scale."""
    if scale == "paper" or not isinstance(text, str):
        return text
    return re.sub(r"(^|`)(python run\.py[^`]*)", rf"\1\2 scale={scale}", text)


def _of_the_data(results: Results, cells: pd.DataFrame) -> list[str]:
    """What sets the data behind the cells apart from what their source promises: a subset must not pass for the set."""
    if "folder" not in cells or not len(results.evaluations):
        return []
    shown = {str(folder).split("-")[0] for folder in cells["folder"].dropna()}
    fits = results.evaluations[results.evaluations["dataset"].isin(shown)]
    pairs = zip(fits["dataset"], fits["data_notes"], strict=True)
    notes_of = dict.fromkeys((name, note) for name, notes in pairs for note in notes)
    return [""] * bool(notes_of) + [f"- Data of {name}: {note}." for name, note in notes_of]


def render(outputs: Path, scale: str) -> tuple[list[Made], list[str]]:
    """Write tables, figures and report of the runs in `outputs` beside them; returns the tables, and text to print.

    The text leaves out tables and figures that no run has filled, if there are others, and names them.
    """
    results, left_out = read_results(outputs, scale)
    tables = make_tables(results, scale, left_out)
    figures = {
        name: dataclasses.replace(drawn, notes=[at_scale(note, scale) for note in drawn.notes])
        for name, drawn in write_figures(results, outputs / "figures").items()
    }
    if not (outputs / RUNS).is_file():  # a publication lists all its runs in that file
        _add_other_runs(outputs, results, tables, figures)
    for table in tables:
        write_table(outputs / "tables", table.name, table.title, table.cells, table.notes)
    write_latex(outputs / "tables", tables)
    claims, intervals = claims_table(results), intervals_table(results)
    write_claims(outputs / "tables", claims, intervals)
    write_report(outputs, results, tables, figures, (claims, intervals), scale)
    filled = [table for table in tables if _shown([table], {})]
    drawn_or_all = {name: drawn for name, drawn in figures.items() if drawn.figure or not filled}
    texts = [(outputs / "tables" / f"{t.name}.md").read_text("utf-8").replace("<br>", "; ") for t in filled or tables]
    texts.append((outputs / "tables" / "claims.md").read_text("utf-8"))
    for name, drawn in drawn_or_all.items():
        empty = "" if drawn.figure else " (nothing to draw yet)"
        texts.append("\n".join([f"{name}: {drawn.title}{empty}", *drawn.notes, ""]))
    printed = {*(table.name for table in filled or tables), *drawn_or_all}
    without = [name for name in (*(table.name for table in tables), *figures) if name not in printed]
    if without:
        texts.append(f"Without a run: {', '.join(without)}. The report has the command for each.\n")
    return tables, texts


def _add_other_runs(outputs: Path, results: Results, tables: list[Made], figures: dict[str, Drawn]) -> None:
    """Add the part "your runs": first among the tables, and a figure."""
    found = other_runs(results, _shown(tables, figures))
    figures[NAME] = figure_of_other_runs(results, found)
    write_figure(outputs / "figures", NAME, figures[NAME])
    if len(found):
        tables.insert(0, Made(NAME, TITLE, other_cells(found), NOTES))
    else:
        for path in (outputs / "tables").glob(f"{NAME}.*"):
            path.unlink()


def _shown(tables: list[Made], figures: dict[str, Drawn]) -> set[str]:
    """The runs in these tables and figures."""
    frames = [*(table.cells for table in tables), *(drawn.data for drawn in figures.values())]
    named = {str(run) for frame in frames if "folder" in frame for run in frame["folder"].dropna()}
    return named.union(*(drawn.runs for drawn in figures.values()))


def main(words: list[str] | None = None) -> int:
    """Write tables and figures and say where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outputs", default="outputs", help="folder that the runs wrote to (paths.outputs)")
    parser.add_argument(
        "--scale", help="take the runs of this scale (paper, cpu, smoke); default: paper, or that of a publication"
    )
    given = parser.parse_args(words)
    outputs = Path(given.outputs)
    if not outputs.is_dir():
        print(f"error: there is no folder {outputs}; run something first or give --outputs.", file=sys.stderr)
        return 2
    _, texts = render(outputs, given.scale or recorded_scale(outputs))
    print("\n".join(texts))
    print(f"Written: {outputs / 'report.html'}; {outputs / 'tables'}/ as CSV, Markdown, LaTeX; {outputs / 'figures'}/.")
    return 0
