"""What all tests share: composed configurations and the program as a user starts it."""

from __future__ import annotations

import copy
import functools
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


def _choose_blas_kernels() -> None:
    """An OpenBLAS older than its processor takes kernels without AVX, which are several times slower."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\nflags")[2].partition("\n")[0].split()
    except OSError:
        return
    if "avx512vl" in flags:
        os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")


def _remember_configurations() -> None:
    """Read each file of conf/, and parse each interpolation, once in a process; Hydra does so for every composition."""
    import omegaconf._utils
    import omegaconf.base
    from hydra._internal.config_repository import ConfigRepository

    read, parse = ConfigRepository.load_config, functools.cache(omegaconf.base.parse)
    known: dict[str, Any] = {}

    def load_config(self: Any, config_path: str) -> Any:
        sources = [source.path for source in self.get_sources()]
        if sources != ["hydra.conf", str(ROOT / "conf"), ""]:  # a test's own folder
            return read(self, config_path)
        if config_path not in known:
            known[config_path] = read(self, config_path)
        return copy.deepcopy(known[config_path])

    ConfigRepository.load_config = load_config  # type: ignore[method-assign]
    omegaconf.base.parse = omegaconf._utils.parse = parse


_choose_blas_kernels()
_remember_configurations()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of two processes one begins with what compiles, so that the other, which takes the second half, finds it done."""

    def rank(item: pytest.Item) -> int:
        room = item.path.relative_to(ROOT / "tests").parts[0]
        return 0 if room in ("attacks", "scd") else 2 if room in ("contract", "pipeline", "scripts") else 1

    items.sort(key=rank)


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
