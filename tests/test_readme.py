"""README and docs/: examples run as written, commands compose and pass the check, links lead somewhere."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "docs" / "results" / "README.md",
]
README = PAGES[0].read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    pytest.param(command.strip(), id=f"{page.stem}: {command.strip()}")
    for page in PAGES
    if page.stem != "own-model"  # tests/test_tutorial.py runs its commands
    for command in re.findall(r"^python run\.py(.*?)(?: +#.*)?$", page.read_text(), re.MULTILINE)
]
FLAGS = {"-m", "--help", "--cfg", "job", "hydra", "--package", "hydra.launcher"}


def test_there_are_examples_and_commands():
    assert len(EXAMPLES) == 2
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_runs(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "example.py").write_text(example)
    names = runpy.run_path("example.py")
    assert names["model"].score(names["X"], names["y"]) > 0.9
    if "result" in names:
        assert names["result"].success.all()


@pytest.mark.parametrize("command", COMMANDS)
def test_command_composes_and_passes_the_check(command):
    """Placeholders in <angle brackets> stand for any word; of a sweep over a list the first element is taken."""
    from hydra import compose, initialize_config_dir

    from pipeline.config.check import check, resolve
    from pipeline.config.resolvers import register_resolvers

    register_resolvers()
    words = [word for word in shlex.split(re.sub(r"<\w+>", "digits", command)) if word not in FLAGS]
    words = [re.sub(r"^([^=\[]+=[^\[,]*),.*$", r"\1", word) for word in words]
    engine = [word for word in words if word.startswith(("+cluster", "hydra"))]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        check(resolve(compose("config", overrides=[word for word in words if word not in engine])))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_it_links_to_exists(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_test_that_the_page_of_what_is_covered_names_exists_and_has_tests():
    named = re.findall(r"`(tests/[^`]+)`", (ROOT / "docs" / "coverage.md").read_text())
    assert len(named) > 30
    for path in named:
        assert "\ndef test_" in (ROOT / path).read_text(), path


def test_every_make_target_it_names_exists():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"(?:`|^)make ([\w-]+)", page.read_text(), re.MULTILINE):
            assert target in targets, f"{page.name}: make {target}"
