"""One self-contained HTML page: claims, tables, figures, where each number came from and what is missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from scd.files import write_bytes
from scripts.figures.style import Drawn
from scripts.results import Results
from scripts.tables.cells import Cell, Made
from scripts.tables.render import CLAIMS_NOTES, INTERVALS_COLUMNS, INTERVALS_NOTE, intervals_row

SAME_ACCURACY = 2.0
"""Accuracies, per cent, that differ from the paper's by no more are called the same."""

FIRST = "frontier"
"""The figure above the claims: what distances mean."""

PAGE = Path(__file__).with_name("page")

_READABLE = ' \n"<>=/:;,(){}*'
"""What an address may hold between single quotation marks, besides letters, digits and what `quote` never quotes."""


def write_report(
    outputs: Path,
    results: Results,
    tables: list[Made],
    figures: dict[str, Drawn],
    claims: tuple[pd.DataFrame, pd.DataFrame],
    scale: str,
) -> Path:
    """Write ``report.html`` into `outputs` and return its path.

    Parameters
    ----------
    outputs : Path
        Folder that the report is written to.
    results : Results
        Their source says where the runs under each table came from.
    tables, figures
        As made; a figure of the paper that nothing was run for is listed with the command that fills it.
    claims : (DataFrame, DataFrame)
        Those of :func:`scripts.claims.claims_table` and :func:`scripts.claims.intervals_table`.
    scale : str
    """
    page = Environment(loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined)
    page.filters["inline"] = _inline
    lacking = [name for name, drawn in figures.items() if drawn.figure is None and name.startswith("figure")]
    drawn_figures = [_figure(outputs, name, drawn) for name, drawn in figures.items() if drawn.figure is not None]
    html = page.get_template("report.html.j2").render(
        style=Markup((PAGE / "report.css").read_text("utf-8")),
        scale=scale,
        claims=claims[0].to_dict("records"),
        claims_notes=CLAIMS_NOTES,
        intervals=[intervals_row(row) for row in claims[1].to_dict("records")],
        intervals_columns=INTERVALS_COLUMNS,
        intervals_note=INTERVALS_NOTE,
        tables=[_table(results, table) for table in tables],
        first=[each for each in drawn_figures if each["name"] == FIRST],
        figures=[each for each in drawn_figures if each["name"] != FIRST],
        lacking=[_figure(outputs, name, figures[name]) for name in lacking],
    )
    write_bytes(outputs / "report.html", html.encode())
    return outputs / "report.html"


def _table(results: Results, table: Made) -> dict[str, Any]:
    cells = table.cells.to_dict("records")
    named = "column" if "column" in table.cells else "model"
    rows, columns = list(dict.fromkeys(c["row"] for c in cells)), list(dict.fromkeys(c[named] for c in cells))
    at = {(cell["row"], cell[named]): {"lines": _lines(cell)} for cell in cells}
    folders = dict.fromkeys(str(c["folder"]) for c in cells if isinstance(c.get("folder"), str))
    return {
        "name": table.name,
        "title": table.title,
        "columns": columns,
        "rows": [(row, [at.get((row, column), {"lines": []}) for column in columns]) for row in rows],
        "notes": _notes(table.notes),
        "sources": [_source(results, folder) for folder in folders],
    }


def _lines(cell: Cell) -> list[dict[str, str]]:
    """A cell's lines, as in the Markdown table, and how its value compares with the paper's."""
    lines = []
    for text in cell["shown"].split("<br>"):
        kind = next((kind for kind in ("paper", "ours") if text.startswith(kind)), "soft")
        lines.append({"kind": kind, "text": text})
    kind, words = compared(cell)
    return [*lines, {"kind": f"mark {kind}", "text": words}] if kind else lines


def compared(cell: Cell) -> tuple[str, str]:
    """How a cell's value compares with the paper's: "agree", "more", "less" or "" for no comparison, and words."""
    in_table_1 = _number(cell, "paper_accuracy_percent"), _number(cell, "accuracy_percent")
    paper, ours = in_table_1 if None not in in_table_1 else (_number(cell, "paper"), _number(cell, "ours"))
    if paper is None or ours is None:
        return "", ""
    kind = "more" if ours > paper else "less"
    if None not in in_table_1 or "accuracy" in str(cell["row"]).lower():
        return ("agree", "agrees") if abs(ours - paper) <= SAME_ACCURACY else (kind, f"{ours - paper:+.1f} points")
    low = _number(cell, "l2_mean_low" if "l2_mean_low" in cell else "low")
    high = _number(cell, "l2_mean_high" if "l2_mean_high" in cell else "high")
    if low is not None and high is not None and low <= paper <= high:
        return "agree", "agrees: the paper's is in our interval"
    return kind, f"{ours / paper:.2g} times the paper's" if paper else f"{ours - paper:+.2g}"


def _number(cell: Cell, name: str) -> float | None:
    value = cell.get(name)
    return None if value is None or isinstance(value, str) or pd.isna(value) else float(value)


def _figure(outputs: Path, name: str, drawn: Drawn) -> dict[str, Any]:
    path = outputs / "figures" / f"{name}.svg"
    picture = _address(path.read_text("utf-8")) if drawn.figure is not None else ""
    return {"name": name, "title": drawn.title, "picture": picture, "notes": _notes(drawn.notes)}


def _address(picture: str) -> Markup:
    """A drawing as an address between single quotation marks; base64 would take a third more bytes."""
    return Markup(f"data:image/svg+xml,{quote(picture, safe=_READABLE)}")


def _notes(notes: list[str]) -> list[dict[str, Any]]:
    """Notes as written for Markdown: paragraphs, list items in small type, and blocks of commands."""
    found: list[dict[str, Any]] = []
    text = "\n".join(notes)
    for number, part in enumerate(text.split("```")):
        if number % 2:
            found.append({"commands": part.strip()})
            continue
        for line in part.splitlines():
            if line and not line.endswith("filled by:"):
                small = line.startswith("- ")
                found.append({"commands": "", "small": small, "text": line.removeprefix("- ")})
    return found


def _source(results: Results, folder: str) -> dict[str, str]:
    """Command, commit and device of the run that left `folder`, and the time of an attack."""
    facts = results.source.record(folder)
    git, seconds = facts.get("git") or {}, facts.get("seconds") if "fit" in facts else None
    return {
        "command": facts.get("command", "–"),
        "commit": str(git.get("commit") or "–")[:10] + (" and changes" if git.get("dirty") else ""),
        "device": facts.get("device", "–"),
        "seconds": f"{seconds:,.0f}" if seconds else "–",
        "folder": folder,
    }


def _inline(text: str) -> Markup:
    """Escaped text with `code` marked."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
