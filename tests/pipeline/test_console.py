"""What a run prints of a result."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.console import summary_lines
from pipeline.convergence import Search, disagreement
from pipeline.experiment import run
from scd import cache_folder

SUMMARY: dict[str, Any] = {
    "attack": "hsj", "points": 2, "already_wrong": 0, "success_rate": 1.0, "norm": "l2", "queries_mean": 10.0,
    "l2_mean": 0.5, "l2_mean_low": 0.4, "l2_mean_high": 0.6, "l2_median": 0.5, "l2_median_low": 0.4,
    "l2_median_high": 0.6, "linf_mean": 0.1, "attack_seconds": 1.0,
}  # fmt: skip


@pytest.mark.parametrize("succeeded", [0, 2])
def test_a_distance_is_called_an_upper_bound_where_there_is_one(succeeded):
    printed = "\n".join(summary_lines({**SUMMARY, "succeeded": succeeded}, reused=False))
    assert ("each distance is an upper bound of the minimum" in printed) == (succeeded > 0)


@pytest.mark.parametrize(
    ("gain", "says"),
    [
        (0.049, "yes, the second half of the queries gained 4.9 %"),
        (0.051, "no, the second half of the queries gained 5.1 %: more queries find less"),
    ],
)
def test_the_summary_says_whether_the_search_has_converged(gain, says):
    assert f"    search has converged         {says}" in summary_lines({**SUMMARY, "succeeded": 2}, False, Search(gain))
    assert "converged" not in "".join(summary_lines({**SUMMARY, "succeeded": 2}, False, Search()))


@pytest.mark.parametrize(
    ("apart", "says"),
    [
        (0.049, "yes, a point's median run ends 4.9 % farther than its best"),
        (0.051, "no, a point's median run ends 5.1 % farther than its best: more runs find less"),
    ],
)
def test_the_summary_says_whether_the_runs_agree(apart, says):
    printed = summary_lines({**SUMMARY, "succeeded": 2}, False, Search(None, apart))
    assert f"    runs agree                   {says}" in printed
    assert "runs agree" not in "".join(summary_lines({**SUMMARY, "succeeded": 2}, False))


def test_disagreement_is_that_of_the_runs_that_were_not_given_up():
    def trace(*runs):
        rows = [(point, run, queries, l2) for point, run, queries, l2 in runs]
        return pd.DataFrame(rows, columns=["index", "restart", "queries", "l2"])

    both = trace((0, 0, 100, 1.0), (0, 1, 60, 1.2), (0, 1, 100, 1.1), (0, 2, 100, 1.3), (0, 3, 40, 9.0))
    assert disagreement(both) == pytest.approx(0.1)
    assert np.isnan(disagreement(trace((0, 0, 100, 1.0), (1, 0, 100, 2.0))))
    assert disagreement(trace((0, 0, 9, 1.0), (0, 1, 9, 1.0), (1, 0, 9, 2.0), (1, 1, 9, 4.0))) == pytest.approx(0.25)


@pytest.mark.thorough
def test_another_attack_that_found_less_than_half_is_named(compose_config, capsys, tmp_path):
    """Noise searches along random directions; the white-box attack at the same points of the same votes finds less."""
    words = ["model.n_votes=5", "model.n_iter=40", "points.count=3"]
    run(compose_config(*words, "attack=whitebox"))
    run(compose_config(*words, "attack=whitebox", "attack.norm=linf"))
    run(compose_config(*words, "attack=whitebox", "points.count=2", "attack.max_iter=9"))
    run(compose_config(*words, "attack=whitebox", "model.n_votes=4"))
    assert "another attack found less" not in capsys.readouterr().out
    for name, left in (("summary.csv", b""), ("examples.csv", b"index\n0\n")):  # damaged, beside the others
        damaged = tmp_path / "outputs" / "attacks" / f"digits-scd01-hsj-{len(left):016d}"
        damaged.mkdir()
        for file in next((tmp_path / "outputs" / "attacks").glob("digits-scd01-whitebox-*")).iterdir():
            (damaged / file.name).write_bytes(left if file.name == name else file.read_bytes())
    run(compose_config(*words, "attack=noise"))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "another attack found less" in line]
    assert re.fullmatch(r"    another attack found less    whitebox: 0\.\d{3} where this one has \d\.\d{3}", line)


def test_a_cache_folder_is_empty_until_code_is_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_folder, "cache_folder", lambda: tmp_path)
    assert cache_folder.is_empty()
    (tmp_path / "module").mkdir()
    (tmp_path / "module" / "function.nbi").touch()
    assert not cache_folder.is_empty()
