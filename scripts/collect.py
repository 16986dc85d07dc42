"""Reads the finished work in ``outputs/``: a row per evaluation and a row per attack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from pipeline.store import read_json, sealed

PAPER = Path(__file__).with_name("paper_tables.csv")


def paper_values() -> pd.DataFrame:
    """The published numbers, one a row: table, dataset, model, attack, metric, value, note."""
    table = pd.read_csv(PAPER, dtype={"table": str})
    table["value"] = pd.to_numeric(table["value"], errors="coerce")  # a few are bounds in words: see the note
    return table.fillna({"attack": "", "note": ""})


def evaluations(outputs: Path, scale: str = "paper") -> pd.DataFrame:
    """A row per evaluated ensemble of the store, with the settings of its fit."""
    rows = []
    for path in sorted((outputs / "fits").glob("*/evaluation_*.json")):
        found, config = read_json(path), _yaml(path.parent / "config.yaml")
        if isinstance(found, dict) and config and config["scale"]["name"] == scale:
            model = config["model"]
            kept = {k: v for k, v in found.items() if k != "accuracy_per_vote"}
            rows.append({**kept, "n_iter": model.get("n_iter"), "seed": config["seed"], "folder": path.parent.name})
    return pd.DataFrame(rows)


def attacks(outputs: Path, scale: str = "paper") -> pd.DataFrame:
    """A row per finished attack of the store: its summary and its folder. Damaged ones are left out."""
    rows = []
    for folder in sorted((outputs / "attacks").glob("*")):
        facts, _ = sealed(folder)
        if facts is None:
            continue
        row: dict[str, Any] = pd.read_csv(folder / "summary.csv").iloc[0].to_dict()
        config = _yaml(folder / "config.yaml") or {}
        if row["scale"] == scale:
            rows.append({**row, "n_iter": config.get("model", {}).get("n_iter"), "folder": folder.name})
    return pd.DataFrame(rows)


def _yaml(path: Path) -> dict[str, Any] | None:
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError):
        return None
    return found if isinstance(found, dict) else None
