"""What all tests share: composed configurations and the program as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Threads of several test processes share the cores: one that waits must not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def compose_config(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Compose a configuration as the command line would, writing to a temporary folder."""
    from hydra import compose, initialize_config_dir

    from pipeline.config.check import resolve
    from pipeline.config.resolvers import register_resolvers

    register_resolvers()

    def composed(*overrides: str) -> dict[str, Any]:
        paths = [f"paths.outputs={tmp_path / 'outputs'}", f"paths.data={tmp_path}", "verbose=false"]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return resolve(compose("config", overrides=[*paths, *overrides]))

    return composed


@pytest.fixture
def run_program(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Start ``python run.py`` in a process of its own, from the checkout's root."""

    def start(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "run.py", *words]
        if not any(w.startswith("paths.outputs") for w in words):
            command.append(f"paths.outputs={tmp_path / 'outputs'}")
        environment = {**os.environ, "SCD_DATA": str(tmp_path), **(env or {})}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)

    return start


@pytest.fixture(scope="session")
def run_in_miniature() -> Callable[..., dict[str, Any]]:
    """Run with scale=smoke into a folder; digits replace CIFAR-10, which is not there."""
    from hydra import compose, initialize_config_dir

    from pipeline.config.check import resolve
    from pipeline.config.resolvers import register_resolvers
    from pipeline.experiment import run
    from scripts.tables.cells import CONF

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
