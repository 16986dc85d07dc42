"""Running a composed experiment, and where it leaves its records."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def go(config: dict[str, Any]) -> Any:
    from pipeline.experiment import run

    return run(config)


def job_of(config: dict[str, Any]) -> Any:
    """The job of a configuration, ready for the stages."""
    from pipeline.config.check import check
    from pipeline.protocols import Job
    from pipeline.stages.data import load_dataset

    built = check(config)
    return Job(config, load_dataset(config), built.model, built.attack, Path(config["paths"]["outputs"]))


def attack_folder(config: dict[str, Any], record: dict[str, Any]) -> Path:
    return Path(config["paths"]["outputs"]) / "attacks" / record["attack"]


def fit_folder(config: dict[str, Any], record: dict[str, Any]) -> Path:
    return Path(config["paths"]["outputs"]) / "fits" / record["fit"]
