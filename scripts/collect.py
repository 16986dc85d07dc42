"""Reads the finished work in ``outputs/``: a row per evaluation and a row per attack."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException

from pipeline.components import CANNOT_CHANGE_RESULT
from pipeline.configcheck import resolve
from pipeline.resolvers import register_resolvers
from pipeline.store import read_json, sealed

_GROUPS = ("dataset", "model", "scale")
PAPER = Path(__file__).with_name("paper_tables.csv")


def paper_values() -> pd.DataFrame:
    """The published numbers, one a row: table, dataset, model, attack, metric, value, note."""
    table = pd.read_csv(PAPER, dtype={"table": str})
    table["value"] = pd.to_numeric(table["value"], errors="coerce")  # a few are bounds in words: see the note
    return table.fillna({"attack": "", "note": ""})


def evaluations(outputs: Path, scale: str = "paper") -> pd.DataFrame:
    """A row per evaluated ensemble of the store; ``as_configured`` says whether its settings are those of conf/."""
    rows = []
    for path in sorted((outputs / "fits").glob("*/evaluation_*.json")):
        found, config = read_json(path), _yaml(path.parent / "config.yaml")
        if isinstance(found, dict) and config and found.get("scale") == scale:
            kept = {k: v for k, v in found.items() if k != "accuracy_per_vote"}
            rows.append({**kept, **_of(config), "folder": path.parent.name})
    return pd.DataFrame(rows)


def attacks(outputs: Path, scale: str = "paper") -> pd.DataFrame:
    """A row per finished attack of the store: its summary and its folder. Damaged ones are left out."""
    rows = []
    for folder in sorted((outputs / "attacks").glob("*")):
        facts, _ = sealed(folder)
        if facts is None:
            continue
        row: dict[str, Any] = pd.read_csv(folder / "summary.csv").iloc[0].to_dict()
        config = _yaml(folder / "config.yaml")
        if row["scale"] == scale and config:
            rows.append({**row, **_of(config), "folder": folder.name})
    return pd.DataFrame(rows)


def _of(config: dict[str, Any]) -> dict[str, Any]:
    """What a table shows or asks of a run's configuration."""
    return {
        "n_iter": config["model"].get("n_iter"),
        "seed": config["seed"],
        "as_configured": _settings(config) == _settings(_composed(*(config[g]["name"] for g in _GROUPS))),
    }


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """Data set and model settings that can change a vote."""
    unessential = CANNOT_CHANGE_RESULT | {"use_votes"}
    model = {k: v for k, v in config.get("model", {}).items() if k not in unessential}
    return {"classes": config.get("dataset", {}).get("classes"), "model": model}


@functools.cache
def _composed(dataset: str, model: str, scale: str) -> dict[str, Any]:
    """The configuration that conf/ gives for these; empty where it does not know them."""
    register_resolvers()
    try:
        with initialize_config_dir(str(PAPER.parent.parent / "conf"), version_base="1.3"):
            words = [f"dataset={dataset}", f"model={model}", f"scale={scale}", "attack=none"]
            return resolve(compose("config", overrides=words))
    except HydraException:
        return {}


def _yaml(path: Path) -> dict[str, Any] | None:
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError):
        return None
    return found if isinstance(found, dict) else None
