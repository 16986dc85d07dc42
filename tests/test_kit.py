"""The maintainers' kit agrees with itself: make, the installation, pre-commit, CI, the documentation."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import scd
from scd.devices import _has_driver

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NOT_IN_THE_CORE = ("hydra", "omegaconf", "filelock", "yaml", "pandas", "matplotlib", "jinja2", "torchvision", "PIL")


def make(*words: str) -> str:
    """What make prints; the tests may themselves run below make."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
    done = subprocess.run(["make", *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pins(name: str) -> dict[str, str]:
    """Versions of a constraints file by package."""
    return dict(line.split("==") for line in (ROOT / name).read_text(encoding="utf-8").splitlines())


def test_make_alone_lists_every_target():
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony
    listed = re.findall(r"^make ([\w-]+) +\S", make(), re.MULTILINE)
    assert sorted(listed) == sorted(phony[1].split())


@pytest.mark.parametrize("target", ["tables", "publish", "text-pages", "status", "prune", "reproduce"])
def test_a_path_with_blanks_reaches_the_program_as_one_word(target):
    command = next(line for line in make("-n", target, "OUTPUTS=/a b").splitlines() if "--outputs" in line)
    words = shlex.split(command)
    assert words[words.index("--outputs") + 1] == "/a b"


def test_the_core_works_without_what_only_run_needs():
    """As a library: no Hydra, no pandas, no torchvision. On a machine without a driver nothing imports torch."""
    assert not {re.match(r"[\w-]+", package)[0] for package in PROJECT["project"]["dependencies"]} & {
        "hydra-core", "omegaconf", "filelock", "pyyaml", "pandas", "matplotlib", "jinja2", "torchvision", "pillow"
    }  # fmt: skip
    program = f"""
import sys
sys.modules.update(dict.fromkeys({NOT_IN_THE_CORE!r}))
import numpy as np
from attacks import HopSkipJump
from scd import SCDClassifier
x = np.random.default_rng(0).random((40, 3), dtype=np.float32)
y = (x[:, 0] > 0.5).astype(int)
model = SCDClassifier(n_votes=2, n_iter=3, random_state=0).fit(x, y)
print(HopSkipJump(max_iter=1, restarts=1)(model.predict, x[:1], model.predict(x[:1]), clip=(0, 1)).success)
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout) == (0, f"[ True]\n{_has_driver()}\n"), done.stderr


def test_run_py_on_the_core_alone_says_what_to_install():
    program = "import runpy, sys; sys.modules['hydra'] = None; runpy.run_path('run.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "run.py needs more than the core, hydra is not installed; run: pip install '.[run]'\n"


def test_both_constraints_pin_the_same_versions_but_numpy():
    old, new = pins("constraints.txt"), pins("constraints-numpy2.txt")
    assert {name for name in new if old.get(name) != new[name]} == {"numpy"}
    assert old["numpy"].startswith("1.26.")
    assert int(new["numpy"].split(".")[0]) >= 2
    assert {"larq", "tensorflow", "tf_keras"} <= set(old) - set(new)


def test_only_bnn_restrains_numpy():
    assert [d for d in PROJECT["project"]["dependencies"] if d.startswith("numpy")] == ["numpy>=1.26"]
    extras = PROJECT["project"]["optional-dependencies"]
    assert [name for name, needs in extras.items() for n in needs if n.startswith("numpy")] == ["bnn"]


def test_the_hooks_of_pre_commit_are_the_steps_of_make_lint():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    steps = re.findall(r"^(\.venv/bin/.*)$", make("-n", "lint", "VENV=.venv"), re.MULTILINE)
    assert [hook["entry"] for hook in hooks] == steps[-4:]  # after the installation


def test_ci_runs_targets_of_the_makefile():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    targets = re.findall(r"^make ([\w-]+)$", script, re.MULTILINE)
    assert {"test", "lint", "docs", "test-numpy2"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


def test_every_page_is_in_the_navigation():
    class Loader(yaml.SafeLoader):
        """mkdocs.yml may name Python objects."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)
    settings = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)
    text = yaml.safe_dump(settings["nav"])
    for page in [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "api").glob("*.md")]:
        assert str(page.relative_to(ROOT / "docs")) in text


def test_the_citation_names_the_paper_and_the_version_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == scd.__version__
    assert citation["references"][0]["title"].startswith("Defending against black-box adversarial attacks")
