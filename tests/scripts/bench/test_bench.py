"""The benchmarks run from end to end, on inputs so small that the figures mean nothing."""

import importlib.util

import numpy as np
import pytest

from scd import SCDClassifier
from scripts.bench.attacks import attack_rates, runs
from scripts.bench.foolbox import foolbox_rates
from scripts.bench.measure import Section
from scripts.bench.scaling import Case, scaling, slope
from scripts.bench.words import words


@pytest.fixture(scope="module")
def small():
    """A fitted model of few votes, its rows and labels."""
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    x = np.clip(rng.random((400, 12)) + 0.3 * (y[:, None] - 0.5), 0, 1).astype(np.float32)
    return SCDClassifier(n_votes=8, n_iter=20, random_state=0).fit(x, y), x, y


@pytest.mark.thorough
def test_rates_of_attacks_are_shares_of_the_forward_rate(small, monkeypatch):
    monkeypatch.setattr("scripts.bench.attacks._REPEATS", 1)
    names = ["hsj", "rays", "transfer"]
    assert set(names) <= set(runs())
    section = attack_rates(*small, only=names)
    titles = ["hsj", "rays", "rays, 50 points", "transfer"]
    assert list(section.ratios) == [f"{title} / forward rate" for title in titles]
    assert all(value > 0 for value in [*section.ratios.values(), *section.figures.values()])
    assert any("substitute" in note for note in section.notes)


def test_foolbox_is_measured_or_its_absence_is_said(small, monkeypatch):
    monkeypatch.setattr("scripts.bench.attacks._REPEATS", 1)
    section = foolbox_rates(*small)
    if importlib.util.find_spec("foolbox") is None:
        assert "not installed" in section.notes[0]
    else:
        assert len(section.figures) / 2 + len(section.notes) == 2


@pytest.mark.thorough
def test_growth_is_measured_in_processes_of_their_own_and_fitted_as_a_power(monkeypatch):
    assert slope([10, 100, 1000], [3.0, 30.0, 300.0]) == pytest.approx(1)
    cases = [Case(rows=rows, features=6, votes=2, hidden=2) for rows in (40, 80)]
    monkeypatch.setattr("scripts.bench.scaling.AXES", {"rows": cases})
    figures = scaling().figures
    assert {"rows 40: ms of an iteration, all votes", "slope of iteration against rows"} <= set(figures)
    assert all(np.isfinite(value) for value in figures.values())


def test_a_section_shows_figures_ratios_and_notes():
    shown = Section("Title", {"rows/s": 12345.6}, {"ours / theirs": 1.234}, ["absent: why"]).markdown()
    assert shown.splitlines()[0] == "### Title"
    for line in ("| rows/s | 12,346 |", "| ours / theirs | 1.23 |", "absent: why"):
        assert line in shown


@pytest.mark.thorough
def test_wordcnn_is_compared_with_the_convolution(monkeypatch):
    monkeypatch.setattr("scripts.bench.words._DOCUMENTS", 2)
    section = words()
    assert len(section.figures) == 4
    assert all(value > 0 for value in section.figures.values())
    for name, ratio in section.ratios.items():
        what = name.removeprefix("wordcnn, ").removesuffix(": convolution / by words")
        by_words, convolution = (section.figures[f"{what}, {way}, ms"] for way in ("by words", "convolution"))
        assert ratio == convolution / by_words
