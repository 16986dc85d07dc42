"""Miniature runs in a folder that several tests share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def run_in_miniature() -> Callable[..., dict[str, Any]]:
    """Run with scale=smoke into a folder; digits stand in for CIFAR-10, which is not there."""
    from hydra import compose, initialize_config_dir

    from pipeline.configcheck import resolve
    from pipeline.experiment import run
    from pipeline.resolvers import register_resolvers
    from scripts.cells import CONF

    register_resolvers()

    def run_into(folder: Path, *words: str) -> dict[str, Any]:
        common = [f"paths.outputs={folder}", f"paths.data={folder}", "verbose=false", "scale=smoke", "dataset=cifar10"]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = resolve(compose("config", overrides=[*common, *words]))
        return run(config)

    return run_into


@pytest.fixture
def small(compose_config: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """A small experiment on digits; more overrides may follow."""

    def composed(*overrides: str) -> dict[str, Any]:
        attacked = () if "attack=none" in overrides else ("attack.max_iter=3",)
        iterations = () if {"model=mlp", "model=lenet"} & set(overrides) else ("model.n_iter=30",)
        return compose_config(*iterations, "points.count=3", "model.n_votes=4", *attacked, *overrides)

    return composed
