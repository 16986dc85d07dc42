"""A bar on a terminal; in a file plain lines, some seconds apart however the work is cut."""

from __future__ import annotations

import sys

import pytest

from scd import progress
from scd.progress import PlainLines, progress_bar


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(PlainLines, "_printed", None)
    return now


def test_lines_in_a_file_are_some_seconds_apart(clock, capsys):
    with progress_bar(100, desc="Attack", unit="query") as bar:
        for _ in range(100):
            clock[0] += 0.25
            bar.set_postfix_str("mean best l2 0.5", refresh=False)
            bar.update(1)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"Attack: {4 * s} of 100 queries, mean best l2 0.5, {s} s" for s in (5, 10, 15, 20, 25)]


def test_many_short_pieces_print_lines_too(clock, capsys):
    for piece in range(20):
        with progress_bar(desc=f"vote {piece + 1}") as bar:
            clock[0] += 1
            bar.update(1)
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == [
        "vote 5",
        "vote 10",
        "vote 15",
        "vote 20",
    ]


def test_a_terminal_has_a_bar_and_verbose_false_nothing(monkeypatch, capsys):
    with progress_bar(3, desc="quiet", verbose=False) as bar:
        bar.update(3)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bar(3, desc="bar") as bar:
        bar.update(3)
    assert not isinstance(bar, PlainLines)
    assert "\rbar: 100%" in capsys.readouterr().err
