"""Running a composed experiment, and where it leaves its records."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def go(config: dict[str, Any]) -> Any:
    from pipeline.experiment import run

    return run(config)


def attack_folder(config: dict[str, Any], record: dict[str, Any]) -> Path:
    return Path(config["paths"]["outputs"]) / "attacks" / record["attack"]


def fit_folder(config: dict[str, Any], record: dict[str, Any]) -> Path:
    return Path(config["paths"]["outputs"]) / "fits" / record["fit"]
