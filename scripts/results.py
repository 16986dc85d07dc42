"""What the tables, figures and claims are made of: the runs of one scale beside the paper's numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from scripts.records.settings import scale_caps
from scripts.records.source import Source, open_source

DRAWN = ("correct", "correct_for_all", "random")
"""Rules (``points.rule``) that draw the attacked points at random."""

PAPER = Path(__file__).parent / "tables" / "paper_tables.csv"


@dataclass(frozen=True, eq=False)
class Results:
    """Finished runs with the settings of conf/, all finished runs, and the paper's numbers; equal to itself alone."""

    evaluations: pd.DataFrame
    """A row per evaluated ensemble with the settings of conf/."""
    attacks: pd.DataFrame
    """A row per attack on a model with the settings of conf/."""
    paper: pd.DataFrame
    all_attacks: pd.DataFrame
    """A row per attack, whatever the settings."""
    source: Source
    """Where the details of a run are read."""
    all_evaluations: pd.DataFrame = field(default_factory=pd.DataFrame)
    """A row per evaluated ensemble, whatever the settings."""
    caps: dict[str, Any] = field(default_factory=dict)
    """Those of the scale that the runs have."""

    def distances(self, run: pd.Series) -> pd.Series:
        """L2 distances of an attack's adversarials by the index of the test sample; NaN where the attack failed."""
        return self.source.examples(run["folder"])["l2"]

    def points(self, run: str) -> frozenset[int]:
        """Indices of the test samples that an attack was given."""
        return frozenset(self.source.examples(run).index)

    @cached_property
    def drawn_points(self) -> set[frozenset[int]]:
        """The sets of points that any attack on CIFAR-10 drew at random."""
        runs = self.attacks
        if not len(runs):
            return set()
        runs = runs[(runs["dataset"] == "cifar10") & runs["points_rule"].isin(DRAWN)]
        return {self.points(run) for run in runs["folder"]}

    @cached_property
    def table_2s_points(self) -> frozenset[int]:
        """The points, drawn at random, at which most models were attacked by most attacks; empty without a run.

        It counts pairs of model and attack: first those of the paper's attacks, then all. Of equals it is the larger
        set.
        """
        papers = set(self.paper.loc[self.paper["table"] == "2", "attack"])
        pairs: dict[frozenset[int], set[tuple[str, str]]] = {points: set() for points in self.drawn_points}
        for run in self.attacks.to_dict("records"):
            if run["dataset"] == "cifar10" and (points := self.points(run["folder"])) in pairs:
                pairs[points].add((run["model"], run["attack"]))
        sizes = {
            points: (sum(attack in papers for _, attack in found), len(found), len(points), sorted(points))
            for points, found in pairs.items()
        }
        return max(sizes, key=sizes.__getitem__, default=frozenset())


def read_results(folder: Path, scale: str) -> tuple[Results, list[str]]:
    """The runs of `scale` in a store or a publication, and a line on those that no table shows."""
    source = open_source(folder)
    every_attack, every_fit = (
        _with_quick_rows(_of_scale(found, scale)) for found in (source.attacks(), source.evaluations())
    )
    fits, other_fits = _as_configured(every_fit)
    attacked, other_attacks = _as_configured(every_attack)
    left_out = f"Left out, for their data set or model settings differ from those of conf/: {other_fits} fits, "
    notes = ["", f"{left_out}{other_attacks} attacks."] if other_fits or other_attacks else []
    notes += ["", *source.notes()] if source.notes() else []
    return Results(fits, attacked, paper_values(), every_attack, source, every_fit, scale_caps(scale)), notes


def shown_at(scale: str) -> tuple[str, ...]:
    """The scales whose runs the tables of `scale` show: `cpu` only leaves votes and models out of `paper`."""
    return ("cpu", "paper") if scale == "cpu" else (scale,)


def paper_values() -> pd.DataFrame:
    """The published numbers, one a row: table, dataset, model, attack, metric, value, note."""
    table = pd.read_csv(PAPER, dtype={"table": str})
    table["value"] = pd.to_numeric(table["value"], errors="coerce")  # a few are bounds in words: see the note
    return _with_quick_rows(table.fillna({"attack": "", "note": ""}))


def _with_quick_rows(found: pd.DataFrame) -> pd.DataFrame:
    """The same table with its texts as objects in one block, of which rows are taken several times faster."""
    return found.astype({name: object for name, kind in found.dtypes.items() if kind == "str"}).copy()


def _of_scale(found: pd.DataFrame, scale: str) -> pd.DataFrame:
    return found[found["scale"].isin(shown_at(scale))].reset_index(drop=True) if len(found) else found


def _as_configured(found: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The runs with the settings of conf/, the default seed last so that it wins, and how many were left out."""
    if not len(found):
        return found, 0
    kept = found[found["as_configured"]]
    return kept.sort_values("seed", ascending=False, kind="stable").reset_index(drop=True), len(found) - len(kept)
