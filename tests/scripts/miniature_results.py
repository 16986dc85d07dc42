"""Results of a few runs that tests make up: what the tables are given, and files for what they read of a run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from scripts.records.run_store import RunStore
from scripts.results import Results, paper_values


def results_of(attacks: pd.DataFrame | None = None, outputs: Path = Path("absent"), **more: pd.DataFrame) -> Results:
    """Results with these rows of attacks; their files are under `outputs`/attacks.

    The runs on a model are on the same votes, without a quantizer, if the rows do not say otherwise.
    """
    attacks = pd.DataFrame() if attacks is None else attacks
    same_votes = {"fit": attacks.get("model"), "accuracy_ensemble": 0.9, "input_quantizer": None}
    attacks = attacks.assign(**{k: v for k, v in same_votes.items() if len(attacks) and k not in attacks})
    given = {"evaluations": pd.DataFrame(), "attacks": attacks, "all_attacks": attacks, **more}
    return Results(**given, paper=paper_values(), source=RunStore(outputs))


def write_attack_table(outputs: Path, run: str, table: pd.DataFrame, name: str = "examples") -> None:
    """Write a table of an attack to where a store has it; its examples are classified correctly if it says no more."""
    if name == "examples" and "reason" not in table:
        table = table.assign(reason="")
    folder = outputs / "attacks" / run
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / f"{name}.csv", index=False)
