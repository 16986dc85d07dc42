"""What all tests share: composed configurations and the program as a user starts it."""

from __future__ import annotations

import copy
import functools
import os
import pickle
import re
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
    """Compose the same words once in a process, whatever the folders, and read each file of conf/ once."""
    import omegaconf._utils
    import omegaconf.base
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.config_repository import ConfigRepository
    from omegaconf import OmegaConf, open_dict

    read, parse = ConfigRepository.load_config, functools.cache(omegaconf.base.parse)
    load = ConfigLoaderImpl.load_configuration
    files: dict[str, Any] = {}
    configurations: dict[Any, bytes] = {}

    def of_the_checkout(sources: list[Any]) -> bool:
        return [source.path for source in sources] == ["hydra.conf", str(ROOT / "conf"), ""]

    def load_config(self: Any, config_path: str) -> Any:
        if not of_the_checkout(self.get_sources()):
            return read(self, config_path)
        if config_path not in files:
            files[config_path] = read(self, config_path)
        return copy.deepcopy(files[config_path])

    def load_configuration(self: Any, config_name: str, overrides: list[str], *more: Any, **options: Any) -> Any:
        folders = [word for word in overrides if re.fullmatch(r"paths\.\w+=/[\w./-]*", word)]
        if not of_the_checkout(self.get_sources()):
            return load(self, config_name, overrides, *more, **options)
        words = [word.split("=")[0] if word in folders else word for word in overrides]
        key = (config_name, *words, more, *sorted(options.items()), os.getcwd())
        if key not in configurations:
            found = load(self, config_name, overrides, *more, **options)
            configurations[key] = pickle.dumps(found)
            return found
        found = pickle.loads(configurations[key])
        with open_dict(found):
            for word in folders:
                OmegaConf.update(found, *word.split("=", 1))
            found.hydra.overrides.task = [word for word in overrides if not word.startswith("hydra.")]
        return found

    ConfigRepository.load_config = load_config  # type: ignore[method-assign]
    ConfigLoaderImpl.load_configuration = load_configuration  # type: ignore[method-assign]
    omegaconf.base.parse = omegaconf._utils.parse = parse


_choose_blas_kernels()
_remember_configurations()


@pytest.hookimpl(trylast=True)  # after those of other suites are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of two processes each begins with a loss of its own to compile, so that neither waits for the other.

    One begins with the attacks, on votes of the 0-1 loss. The other has the second half of the tests.
    """

    def rank(item: pytest.Item) -> int:
        room = item.path.relative_to(ROOT / "tests").parts[0]
        return 0 if room in ("attacks", "scd") else 2 if room in ("contract", "pipeline", "scripts") else 1

    items.sort(key=rank)
    first = [item for item in items if item.name == "test_both_backends_give_the_same_accuracy[ce-binary]"]
    if len(items) > 1000:  # the whole suite
        others = [item for item in items if item not in first]
        middle = len(items) // 2
        items[:] = [*others[:middle], *first, *others[middle:]]


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
