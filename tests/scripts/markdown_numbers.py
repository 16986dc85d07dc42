"""The decimal numbers in a page's tables of results, and whether they are published."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from scripts.results import paper_values

MODELS = ("scd01", "scdce", "scdcebnn", "mlp", "bnn", "lenet", "resnet50", "cnn1d", "wordcnn", "rf")
_NUMBER = re.compile(r"(?<![\w.])([+−-]?\d[\d,]*\.\d+)(?![\w.])")

Table = list[list[str]]


class Published:
    """The numbers of a publication and of the paper, each with the model and the row of a table that it belongs to."""

    def __init__(self, folder: Path) -> None:
        rows = []
        runs = pd.read_csv(folder / "runs.csv")
        for row in runs.to_dict("records"):
            rows += [(row["model"], "", row[name]) for name in ("value", "low", "high", "paper")]
        for path in sorted((folder / "tables").glob("table*.csv")):
            for row in pd.read_csv(path).to_dict("records"):
                rows += [(row["model"], row["row"], v) for v in row.values() if isinstance(v, float)]
        rows += [(row["model"], "", row["value"]) for row in paper_values().to_dict("records")]
        claims = pd.read_csv(folder / "tables" / "claims.csv")["number"]
        rows += [("", "", _value(text)) for number in claims for text in _NUMBER.findall(number)]
        judged = pd.read_csv(folder / "tables" / "claims_intervals.csv")
        rows += [("", "", value) for value in judged.select_dtypes("number").to_numpy().ravel()]
        rows += [("", "", _value(text)) for each in judged["each"] for text in _NUMBER.findall(each)]
        for row in pd.read_csv(folder / "figures" / "intervals.csv").to_dict("records"):
            rows += [(row["model"], "", row[name]) for name in ("certified_percent", "attacked_percent")]
        table = pd.DataFrame(rows, columns=["model", "row", "value"]).dropna(subset="value")
        self.numbers = pd.concat([table, table.assign(value=100 * table["value"])], ignore_index=True)

    def holds(self, text: str, models: set[str], row: str) -> bool:
        """Whether a number as a page writes it is the rounding of one of these models' numbers, in such a row."""
        decimals, value = len(text.split(".")[1]), _value(text)
        found = self.numbers
        of_models = found["model"].isin(models | {""}) if models else np.ones(len(found), dtype=bool)
        of_row = found["row"].isin({row, ""}) if row in set(found["row"]) else np.ones(len(found), dtype=bool)
        return bool((np.abs(found["value"][of_models & of_row] - value) <= 0.500001 * 10.0**-decimals).any())


def results_tables(page: str) -> list[Table]:
    """The tables of a page that name models of the paper, as rows of cells."""
    tables: list[Table] = [[]]
    for line in page.splitlines():
        if not line.startswith("|"):
            tables.append([])
        elif not re.fullmatch(r"[|\s:-]+", line):
            tables[-1].append([cell.strip() for cell in line.strip("|").split("|")])
    return [table for table in tables if table and any(_models(cell) for row in table for cell in row)]


def unpublished(tables: Iterable[Table], published: Published) -> list[str]:
    """The numbers of these tables that are not published for the models named beside or above them."""
    lost = []
    for header, *rows in tables:
        for first, *cells in rows:
            for column, cell in zip(header[1:], cells, strict=True):
                models = _models(first) | _models(column) | _models(cell)
                for text in _NUMBER.findall(_without_settings(cell)):
                    if not published.holds(text, models, first):
                        lost.append(f"{first}, {column}: {text}")
    return lost


def _models(text: str) -> set[str]:
    return {model for model in MODELS if re.search(rf"\b{model}\b", text)}


def _without_settings(cell: str) -> str:
    """A cell without the settings in it, such as δ = 0.1."""
    return re.sub(r"[δε] = [\d./]+", "", cell)


def _value(text: str) -> float:
    return float(text.replace("−", "-").replace(",", ""))
