"""Writes a table as CSV, Markdown and LaTeX (booktabs)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from scd.files import write_bytes
from scripts.records.publication import csv_bytes


def write_table(folder: Path, name: str, title: str, cells: pd.DataFrame, notes: list[str]) -> None:
    """Write ``<name>.csv`` (a row a cell), ``<name>.md`` and ``<name>.tex`` (a row a line of the paper's table).

    Parameters
    ----------
    cells : DataFrame
        Columns ``row``, ``model``, ``shown`` (what a reader sees) and any others, which go to the CSV only. A column
        ``column`` names the columns of the table in place of the models.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / f"{name}.csv", csv_bytes(cells.drop(columns="shown")))
    column = cells["column"] if "column" in cells else cells["model"]
    rows, columns = list(dict.fromkeys(cells["row"])), list(dict.fromkeys(column))
    shown = {(r, c): s for r, c, s in zip(cells["row"], column, cells["shown"], strict=True)}
    grid = [[shown.get((r, c), "") for c in columns] for r in rows]
    write_bytes(folder / f"{name}.md", _markdown(title, rows, columns, grid, notes).encode())
    write_bytes(folder / f"{name}.tex", _latex(title, rows, columns, grid).encode())


def write_claims(folder: Path, claims: pd.DataFrame) -> None:
    """Write ``claims.csv`` and ``claims.md``: what our runs say of each of the paper's claims."""
    write_bytes(folder / "claims.csv", csv_bytes(claims))
    tested = claims[claims["verdict"] != "not tested"]
    lines = ["# The paper's claims", ""]
    if len(tested):
        lines += ["| where | claim | verdict | number |", "|---|---|---|---|"]
        lines += [f"| {' | '.join(str(value) for value in row)} |" for row in tested.itertuples(index=False)]
        lines += ["", "Open: the 95 % interval of the difference holds zero. Differences are over the same points.", ""]
    if len(tested) < len(claims):
        lines += [
            f"Not tested: {len(claims) - len(tested)} of {len(claims)} claims; claims.csv names what each needs.",
            "",
        ]
    write_bytes(folder / "claims.md", "\n".join(lines).encode())


def _markdown(title: str, rows: list[str], columns: list[str], grid: list[list[str]], notes: list[str]) -> str:
    lines = [f"# {title}", "", "| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {row} | " + " | ".join(cells) + " |" for row, cells in zip(rows, grid, strict=True)]
    return "\n".join([*lines, "", *notes, ""])


def _latex(title: str, rows: list[str], columns: list[str], grid: list[list[str]]) -> str:
    def line(cells: list[str]) -> str:
        return " & ".join(_escaped(c) for c in cells) + r" \\"

    body = [line([row, *cells]) for row, cells in zip(rows, grid, strict=True)]
    head = [
        r"\begin{table}", rf"\caption{{{_escaped(title)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}", r"\toprule", line(["", *columns]), r"\midrule",
    ]  # fmt: skip
    return "\n".join([*head, *body, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _escaped(text: str) -> str:
    for plain, safe in (("\\", r"\textbackslash{}"), ("&", r"\&"), ("%", r"\%"), ("_", r"\_"), ("#", r"\#")):
        text = text.replace(plain, safe)
    return text.replace("±", r"$\pm$").replace("†", r"$\dagger$").replace("<br>", " ")
