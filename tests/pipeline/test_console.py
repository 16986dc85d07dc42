"""What a run prints of a result."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.console import summary_lines
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
    assert f"    search has converged         {says}" in summary_lines({**SUMMARY, "succeeded": 2}, False, gain)
    assert "converged" not in "".join(summary_lines({**SUMMARY, "succeeded": 2}, False, None))


def test_a_cache_folder_is_empty_until_code_is_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_folder, "cache_folder", lambda: tmp_path)
    assert cache_folder.is_empty()
    (tmp_path / "module").mkdir()
    (tmp_path / "module" / "function.nbi").touch()
    assert not cache_folder.is_empty()
