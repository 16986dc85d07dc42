"""The report says what the store holds, stands alone, and its verdicts follow from the numbers."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest

from scripts.claims import CLAIMS, FAILS, HOLDS, OPEN, UNTESTED, claims_table, greater
from scripts.report.write import compared
from scripts.results import read_results
from scripts.tables.write import main
from tests.scripts.miniature_results import results_of, write_attack_table

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Checks that elements close in order; keeps text, tags and addresses."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text, self.addresses = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page(tmp_path_factory, run_in_miniature):
    """The report of two runs."""
    folder = tmp_path_factory.mktemp("report")
    for model in ("scd01", "rf"):
        run_in_miniature(folder, f"model={model}", "points.rule=random")
    assert main(["--outputs", str(folder), "--scale", "smoke"]) == 0
    read = Page()
    read.feed((folder / "report.html").read_text())
    assert read.open == []
    return folder, read


def test_it_stands_alone(page):
    _, read = page
    assert "script" not in read.tags
    assert "link" not in read.tags
    assert all(address.startswith(("#", "data:image/svg+xml,")) for address in read.addresses)


def test_its_pictures_are_those_of_the_files(page):
    folder, read = page
    found = [unquote(address.split(",", 1)[1]) for address in read.addresses if address.startswith("data:")]
    assert sorted(found) == sorted(path.read_text() for path in (folder / "figures").glob("*.svg"))
    assert all(re.search("['#]", address.split(",", 1)[1]) is None for address in read.addresses if "," in address)


def test_numbers_commands_and_origin_are_in_it(page):
    folder, read = page
    text = " ".join(read.text)
    for path in folder.glob("attacks/*/summary.csv"):
        assert f"{pd.read_csv(path)['l2_mean'].iloc[0]:.2f}" in text
        assert path.parent.name in text
    assert "python run.py dataset=cifar10 model=scdce attack=hsj scale=smoke" in text
    assert text.count("runs behind this table") >= 2
    assert all(claim.words in text for claim in CLAIMS)


def test_every_link_leads_somewhere(page):
    folder, read = page
    html = (folder / "report.html").read_text()
    for address in read.addresses:
        if address.startswith("#"):
            assert f'id="{address[1:]}"' in html


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        ({"row": "HopSkipJump", "paper": 3.2, "ours": 3.6, "l2_mean_low": 2.0, "l2_mean_high": 5.0}, "agree"),
        ({"row": "HopSkipJump", "paper": 3.2, "ours": 6.0, "l2_mean_low": 5.0, "l2_mean_high": 7.0}, "more"),
        ({"row": "HopSkipJump", "paper": 3.2, "ours": 1.0, "l2_mean_low": np.nan, "l2_mean_high": np.nan}, "less"),
        ({"row": "Clean accuracy, %", "paper": 87.0, "ours": 86.1}, "agree"),
        ({"row": "Clean accuracy, %", "paper": 87.0, "ours": 84.0}, "less"),
        ({"row": "cifar10", "paper_accuracy_percent": 87.0, "accuracy_percent": 90.0}, "more"),
        ({"row": "literal", "paper": 0.2, "ours": 0.1, "low": 0.05, "high": 0.25}, "agree"),
        ({"row": "HopSkipJump", "paper": np.nan, "ours": 1.0}, ""),
        ({"row": "HopSkipJump", "paper": None}, ""),
    ],
)
def test_a_cell_is_compared_with_the_papers_value(cell, kind):
    assert compared(cell)[0] == kind


def test_a_difference_decides_only_where_its_interval_does():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(20)
    assert greater(noise - noise.mean() + 2.0, "").verdict == HOLDS
    assert greater(noise - noise.mean() - 2.0, "").verdict == FAILS
    assert greater(noise - noise.mean(), "").verdict == OPEN


def test_claims_follow_from_distances_of_the_same_points(tmp_path):
    """scd01 beats rf under HopSkipJump and loses under the white-box attack; points that rf lacks do not count."""
    rows = []
    for model, attack, l2, index in (
        ("scd01", "hsj", [4.0, 5.0, 6.0, 0.0], [1, 2, 3, 4]),
        ("rf", "hsj", [1.0, 1.5, 2.0], [1, 2, 3]),
        ("scd01", "whitebox", [0.5, 0.6, 0.7], [1, 2, 3]),
        ("rf", "whitebox", [1.0, 1.5, 2.0], [1, 2, 3]),
    ):
        name = f"{model}-{attack}"
        write_attack_table(tmp_path, name, pd.DataFrame({"index": index, "l2": l2}))
        rows.append({"dataset": "cifar10", "model": model, "attack": attack, "voting": "hard", "norm": "l2",
                     "start": "noise", "points_rule": "correct_for_all",
                     "right_for": 4, "points": len(index), "max_iter": 1,
                     "restarts": 1, "n_votes": 3, "folder": name, "l2_mean": np.mean(l2),
                     "as_in_table5": False, "hidden_nodes": 20, "l2_mean_low": 0.0, "l2_mean_high": 9.0,
                     "l2_mean_with_zeros": 1.0, "already_wrong": 0, "succeeded": len(index)})  # fmt: skip
    verdicts = claims_table(results_of(pd.DataFrame(rows), tmp_path)).set_index("claim")
    said = {claim.words: verdicts.loc[claim.words, "verdict"] for claim in CLAIMS}
    assert said["Under HopSkipJump, sign networks need more distortion than every baseline"] == HOLDS
    assert said["Same, against a white-box attack"] == FAILS
    assert verdicts.loc["Under HopSkipJump, sign networks need more distortion than every baseline", "number"].endswith(
        "; 3 points)"
    )
    assert said["BNN's distortion is similar to MLP's"] == UNTESTED


def test_with_no_runs_every_claim_is_untested_and_says_what_it_needs():
    found = claims_table(results_of())
    assert set(found["verdict"]) == {UNTESTED}
    assert found["number"].str.len().min() > 5


def test_only_the_papers_runs_stand_in_the_tables_of_another_scale(run_in_miniature, tmp_path):
    run_in_miniature(tmp_path, "attack=none", "scale=paper", "dataset=digits", "model.n_votes=2", "model.n_iter=1000")
    shown = {
        scale: set(read_results(tmp_path, scale)[0].evaluations.get("scale", [])) for scale in ("paper", "cpu", "smoke")
    }
    assert shown == {"paper": {"paper"}, "cpu": {"paper"}, "smoke": set()}
