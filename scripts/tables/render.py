"""Writes tables as CSV, Markdown and LaTeX (booktabs)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from scd.files import write_bytes
from scripts.records.publication import csv_bytes
from scripts.tables.cells import Made

CLAIMS_NOTES = (
    "Open: the 95 % interval of the difference holds zero. Differences are over the same points.",
    "By intervals: holds, or refuted, where certified radii of one side and what attacks found on the other decide the "
    "claim; about attacks: they do not, or no certificate bounds what the claim is about. A better attack may then "
    "reverse the verdict. –: the claim compares no distances.",
)
INTERVALS_COLUMNS = ("difference", "certified to closest attack", "at least", "at most", "points", "verdict")
INTERVALS_NOTE = (
    "Mean L2 at the points that all models of a row classify correctly. The difference is at least what is certified "
    "of the first minus what any attack found on the second, and at most the reverse, with 95 % bootstrap intervals "
    "over the points. It holds if the interval of the former is above zero, and is refuted if that of the latter is "
    "below. Certificate and attacks of a model are on the same votes; rows of Table 2 may join runs on fewer votes. "
    "Differences that no certificate bounds have no row. A claim of several rows holds if all of them do, and is "
    "refuted by one."
)


def write_table(folder: Path, name: str, title: str, cells: pd.DataFrame, notes: list[str]) -> None:
    """Write ``<name>.csv`` (a row a cell) and ``<name>.md`` (a row a line of the paper's table).

    Parameters
    ----------
    cells : DataFrame
        Columns ``row``, ``model``, ``shown`` (what a reader sees) and any others, which go to the CSV only. A column
        ``column`` names the columns of the table in place of the models.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / f"{name}.csv", csv_bytes(cells.drop(columns="shown")))
    write_bytes(folder / f"{name}.md", _markdown(title, cells, notes).encode())


def write_latex(folder: Path, tables: list[Made]) -> None:
    """Write ``tables.tex``: all tables, each after a comment with its name."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [f"% {table.name}\n{_latex(table.title, table.cells)}" for table in tables]
    write_bytes(folder / "tables.tex", "\n".join(parts).encode())


def write_claims(folder: Path, claims: pd.DataFrame, intervals: pd.DataFrame) -> None:
    """Write ``claims.csv``, ``claims_intervals.csv`` and ``claims.md``: what our runs say of the paper's claims."""
    write_bytes(folder / "claims.csv", csv_bytes(claims))
    write_bytes(folder / "claims_intervals.csv", csv_bytes(intervals))
    tested = claims[claims["verdict"] != "not tested"]
    lines = ["# The paper's claims", ""]
    if len(tested):
        lines += ["| where | claim | verdict | number | by intervals |", "|---|---|---|---|---|"]
        lines += [f"| {' | '.join(str(value) for value in row)} |" for row in tested.itertuples(index=False)]
        lines += ["", *CLAIMS_NOTES, ""]
    if len(tested) < len(claims):
        lines += [
            f"Not tested: {len(claims) - len(tested)} of {len(claims)} claims; claims.csv names what each needs.",
            "",
        ]
    if len(intervals):
        lines += ["## By intervals", "", f"| {' | '.join(INTERVALS_COLUMNS)} |", "|---" * len(INTERVALS_COLUMNS) + "|"]
        lines += [f"| {' | '.join(intervals_row(row))} |" for row in intervals.to_dict("records")]
        lines += ["", INTERVALS_NOTE, ""]
    write_bytes(folder / "claims.md", "\n".join(lines).encode())


def intervals_row(row: dict[str, Any]) -> list[str]:
    """A row of :func:`scripts.claims.intervals_table` as it is shown, under `INTERVALS_COLUMNS`."""
    bounds = []
    for side in ("at_least", "at_most"):
        mean, low, high = (row[f"{side}{end}"] for end in ("", "_low", "_high"))
        bounds.append("–" if pd.isna(mean) else f"{mean:+.2f} ({low:+.2f} to {high:+.2f})")
    return [row["difference"], row["each"], *bounds, str(row["points"]), row["verdict"]]


def _grid(cells: pd.DataFrame) -> tuple[list[str], list[str], list[list[str]]]:
    """The rows and the columns of a table, and what each cell shows."""
    column = cells["column"] if "column" in cells else cells["model"]
    rows, columns = list(dict.fromkeys(cells["row"])), list(dict.fromkeys(column))
    shown = {(r, c): s for r, c, s in zip(cells["row"], column, cells["shown"], strict=True)}
    return rows, columns, [[shown.get((r, c), "") for c in columns] for r in rows]


def _markdown(title: str, cells: pd.DataFrame, notes: list[str]) -> str:
    rows, columns, grid = _grid(cells)
    lines = [f"# {title}", "", "| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {row} | " + " | ".join(shown) + " |" for row, shown in zip(rows, grid, strict=True)]
    return "\n".join([*lines, "", *notes, ""])


def _latex(title: str, cells: pd.DataFrame) -> str:
    def line(texts: list[str]) -> str:
        return " & ".join(_escaped(text) for text in texts) + r" \\"

    rows, columns, grid = _grid(cells)
    body = [line([row, *shown]) for row, shown in zip(rows, grid, strict=True)]
    head = [
        r"\begin{table}", rf"\caption{{{_escaped(title)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}", r"\toprule", line(["", *columns]), r"\midrule",
    ]  # fmt: skip
    return "\n".join([*head, *body, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _escaped(text: str) -> str:
    for plain, safe in (("\\", r"\textbackslash{}"), ("&", r"\&"), ("%", r"\%"), ("_", r"\_"), ("#", r"\#")):
        text = text.replace(plain, safe)
    return text.replace("±", r"$\pm$").replace("†", r"$\dagger$").replace("<br>", " ")
