"""The wheel: one top-level name, the attacks below it, and the same classes as in a checkout."""

from __future__ import annotations

import importlib
import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import attacks
from attacks.result import AttackResult

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"scd": "scd", "attacks": "scd/attacks", "baselines/foreign": "scd/foreign"}
"""Folders of the checkout that a wheel holds, and where."""


def sources(folder: str) -> list[Path]:
    return sorted(path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*.py"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of a copy of the sources: setuptools writes beside them."""
    pytest.importorskip("setuptools")
    base = tmp_path_factory.mktemp("wheel")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, base / "source" / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, base / "source")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*build, "-w", base, base / "source"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (built,) = base.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder with nothing but what the wheel installs."""
    target = tmp_path_factory.mktemp("installed")
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", target, wheel]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    return target


def run(path: Path, program: str, folder: Path) -> str:
    """What a program prints in an empty folder, where `path` holds the package."""
    environment = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_wheel_has_one_top_level_name_and_every_module(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    modules = {name for name in names if not name.startswith("scd-")}
    expected = {f"{there}/{path.as_posix()}" for here, there in FOLDERS.items() for path in sources(here)}
    assert modules == expected | {"scd/py.typed"}


@pytest.mark.thorough
def test_the_wheel_alone_has_the_classifier_the_attacks_and_the_certificates(installed, tmp_path):
    found = run(installed, "\n".join([
        "import importlib, pkgutil, sys",
        "from scd import SCDClassifier",
        f"from scd.attacks import {', '.join(attacks.__all__)}",
        "from scd.certificates import certify, verify_certificate",
        "import scd.foreign.formats",
        "HopSkipJump(max_iter=1)",
        "print(HopSkipJump.__module__, sys.modules['scd.attacks'].__file__)",
        "print([name for name in ('attacks', 'baselines', 'data', 'scripts') if name in sys.modules])",
    ]), tmp_path)  # fmt: skip
    assert found.splitlines() == [f"scd.attacks.hopskipjump {installed}/scd/attacks/__init__.py", "[]"]


@pytest.mark.thorough
def test_the_wheel_alone_has_the_command(installed, tmp_path):
    program = (
        "import sys; from scd.command.line import main; sys.stderr = sys.stdout; "
        "print(main(['attack', '--model', 'm.onnx', '--data', 'X.npy']))"
    )
    np.save(tmp_path / "X.npy", np.zeros((3, 2)))
    (tmp_path / "m.onnx").write_text("damaged")
    found = run(installed, program, tmp_path)
    assert found.splitlines()[-1] == "2"
    assert found.startswith(("error: The model file m.onnx cannot be used: ", "error: A model of the form .onnx needs"))
    (script,) = (installed / "bin").iterdir()
    assert script.name == "scd"


@pytest.mark.parametrize("name", sorted(attacks.__all__))
def test_in_a_checkout_both_names_are_the_same_object(name):
    kind = getattr(attacks, name)
    module = "attacks" + kind.__module__.removeprefix("scd.").removeprefix("attacks")
    assert getattr(importlib.import_module("scd.attacks"), name) is kind
    assert importlib.import_module(f"scd.{module}") is importlib.import_module(module)
    assert importlib.import_module(module).__spec__.name == module


def test_where_attacks_is_of_another_project_the_other_name_never_finds_it(tmp_path):
    """An editable install finds the checkout's own folder, and without one there is no such module."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "scd").symlink_to(ROOT / "scd")
    (tmp_path / "path" / "attacks.py").write_text("HopSkipJump = 'of another project'\n")
    program = (
        "import attacks, scd; from importlib.util import find_spec; "
        "print(attacks.HopSkipJump, getattr(find_spec('scd.attacks'), 'origin', None), sep='|')"
    )
    found, origin = run(tmp_path / "path", program, tmp_path).split("|")
    assert found == "of another project"
    assert origin in ("None", str(ROOT / "attacks" / "__init__.py"))


def test_a_result_pickled_in_a_checkout_is_read_where_the_wheel_is_and_the_reverse(installed, tmp_path):
    whole = np.zeros(1, dtype=np.int64)
    distance = np.ones(1)
    result = AttackResult(
        whole, whole, whole == 0, np.ones((1, 2), dtype=np.float32), distance, distance, whole, whole, np.array([""])
    )
    (tmp_path / "here.pickle").write_bytes(pickle.dumps(result))
    program = (
        "import pickle; r = pickle.load(open('here.pickle', 'rb')); print(r.l2.tolist()); "
        "pickle.dump(r, open('there.pickle', 'wb'))"
    )
    assert run(installed, program, tmp_path) == "[1.0]"
    back = pickle.loads((tmp_path / "there.pickle").read_bytes())
    assert type(back) is AttackResult
    assert back.adversarials.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("folder", ["attacks", "baselines/foreign"])
def test_modules_with_two_names_import_one_another_relatively(folder):
    absolute = re.compile(rf"^\s*(?:from|import) {folder.replace('/', '[.]')}\b", re.MULTILINE)
    for path in sources(folder):
        found = absolute.search((ROOT / folder / path).read_text(encoding="utf-8"))
        assert found is None, f"{path}: {found[0].strip()} must be relative: it is another name in a wheel"
