"""The words of docs/words.txt are not used: in the docs, configurations, docstrings, comments and messages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "docs" / "words.txt"
ROOMS = [
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", ".github", "docs", "conf",
    "run.py", "scd", "baselines", "attacks", "data", "pipeline", "scripts", "hydra_plugins", "tests",
]  # fmt: skip
"""Files and folders that are scanned."""
NOT_SCANNED = ["docs/results/tables", "docs/results/details", "docs/words.txt", "tests/test_words.py"]
"""Tables are written by programs; the list itself names the words."""
WRAPPED = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", ".github", "docs"]
"""Their Markdown has lines of at most 100 characters."""
SUFFIXES = {".md", ".py", ".yaml", ".toml", ".cff", ".yml"}


def rules() -> list[tuple[re.Pattern[str], str]]:
    """The expressions of the list and what to write instead."""
    lines = [line for line in LIST.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    pairs = [line.rsplit(" -> ", 1) for line in lines]
    return [(re.compile(expression.replace(" ", r"\s+"), re.IGNORECASE), instead) for expression, instead in pairs]


def files() -> list[Path]:
    """Every text file of the scanned rooms."""
    found: list[Path] = []
    for room in ROOMS:
        path = ROOT / room
        found += [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES)
    excluded = [ROOT / name for name in NOT_SCANNED]
    return [path for path in found if not any(path == e or e in path.parents for e in excluded)]


def matches(text: str) -> list[tuple[int, str, str]]:
    """Line, words and what to write instead, for each match; one may run over a line break."""
    return [
        (text.count("\n", 0, found.start()) + 1, " ".join(found[0].split()), instead)
        for rule, instead in rules()
        for found in rule.finditer(text)
    ]


def test_the_list_is_read_and_files_are_found():
    assert len(rules()) > 20
    assert len(files()) > 50


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_word_of_the_list_is_used(path):
    found = [f"line {line}: {words!r}, write {instead}" for line, words, instead in matches(path.read_text("utf-8"))]
    assert not found, f"{path.relative_to(ROOT)}: " + "; ".join(found)


def test_pages_have_lines_of_at_most_100_characters_but_for_rows_of_tables():
    pages = [p for p in files() if p.suffix == ".md" and p.relative_to(ROOT).parts[0] in WRAPPED]
    assert len(pages) > 10
    for page in pages:
        for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
            assert len(line) <= 100 or line.startswith("|"), f"{page.relative_to(ROOT)}:{number}"


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("It runs on the card.", "GPU"),
        ("a rival", "baseline"),
        ("moves of a\ntenth of the distance", "probe radius"),
        ("80 thousand million additions", "10⁹"),
        ("does what it is told, as told", "as configured"),
        ("it is made anew", "again"),
        ("members that are wrong anyway", "already misclassified"),
    ],
)
def test_a_word_of_the_list_is_found_also_over_a_line_break(text, instead):
    assert any(instead in use for _, _, use in matches(text))


@pytest.mark.parametrize("text", ["discard the rest", "an arrival", "amended", "renewal", "it recommends", "wildcards"])
def test_words_that_only_contain_one_are_not_found(text):
    assert not matches(text)
