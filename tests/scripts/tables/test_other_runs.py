"""What a user ran and no table of the paper shows is in the part "your runs", seeds taken together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scripts.tables.other_runs import _over_seeds, other_cells
from scripts.tables.write import main


@pytest.mark.thorough
def test_a_users_first_command_is_in_the_report_with_mean_and_spread_over_seeds(run_in_miniature, tmp_path, capsys):
    for seed in (0, 1):
        run_in_miniature(tmp_path, "dataset=digits", f"seed={seed}")
    run_in_miniature(tmp_path, "dataset=digits", "attack.max_iter=1")
    assert main(["--outputs", str(tmp_path), "--scale", "smoke"]) == 0
    ran = pd.concat([pd.read_csv(path) for path in tmp_path.glob("attacks/*/summary.csv")])
    seeds = ran[ran["max_iter"] != 1]["l2_mean"]
    cells = pd.read_csv(tmp_path / "tables" / "other_runs.csv").set_index("row")
    assert cells.loc["digits: hsj", "ours"] == pytest.approx(seeds.mean())
    assert cells.loc["digits: hsj", "over_seeds"] == pytest.approx(seeds.std())
    assert cells.loc["digits: hsj (attack.max_iter=1)", "seeds"] == 1
    page = (tmp_path / "report.html").read_text()
    assert f"{seeds.mean():.2f}" in page
    assert "digits: hsj (attack.max_iter=1)" in page
    assert 'id="other_runs"' in page
    drawn = pd.read_csv(tmp_path / "figures" / "other_runs.csv")
    assert set(drawn["line"]) == {"scd01, hsj", "scd01, hsj (attack.max_iter=1)"}
    printed = capsys.readouterr().out
    assert "Not tested: 18 of 18 claims" in printed
    assert "# Your runs" in printed
    assert "# Table 2" not in printed
    assert "nothing to draw yet" not in printed
    assert "Without a run: table2, table3" in printed


def test_the_spread_is_taken_where_all_seeds_have_found_something():
    first = pd.DataFrame({"queries": [10, 30], "l2": [4.0, 2.0]})
    second = pd.DataFrame({"queries": [20, 40], "l2": [6.0, 1.0]})
    found = _over_seeds([first, second]).set_index("queries")
    assert list(found.index) == [20, 30, 40]
    np.testing.assert_allclose(found["l2"], [5.0, 4.0, 1.5])
    np.testing.assert_allclose(found["low"], [4.0, 2.0, 1.0])
    np.testing.assert_allclose(found["high"], [6.0, 6.0, 2.0])


def test_a_run_that_found_nothing_is_shown_as_such():
    row = {"row": "digits: hsj", "model": "rf", "attack": "hsj", "value": np.nan, "late_gain": np.nan, "points": 3,
           "low": np.nan, "high": np.nan, "n_votes": 5, "queries_mean": 9.0, "folder": "x"}  # fmt: skip
    assert other_cells(pd.DataFrame([row]))["shown"][0] == "none found<br>3 points, 5 votes, 9 queries"


def test_one_run_has_an_interval_over_its_points_and_several_a_spread_over_seeds():
    row = {"row": "digits: hsj", "model": "rf", "attack": "hsj", "value": 1.0, "late_gain": np.nan, "points": 3,
           "low": 0.5, "high": 1.5, "n_votes": 5, "queries_mean": 9.0, "folder": "x"}  # fmt: skip
    shown = [other_cells(pd.DataFrame(rows))["shown"][0] for rows in ([row], [row, {**row, "value": 3.0}])]
    assert shown[0] == "1.00 (0.50–1.50)<br>3 points, 5 votes, 9 queries"
    assert shown[1] == "2.00 ± 1.41<br>3 points, 5 votes, 9 queries, 2 seeds"
