"""Claims are judged on runs that can be compared."""

from __future__ import annotations

import pandas as pd
import pytest

from scripts.claims import (
    FAILS,
    HOLDS,
    OPEN,
    UNTESTED,
    highest_distortion,
    highest_under_black_boxes,
    lowest_transfer,
    quantizers_alike,
)
from tests.scripts.miniature_results import results_of, write_attack_table


@pytest.fixture
def bnn_run(tmp_path):
    def write(quantizer, n_votes, distances, restarts=10):
        name = f"{quantizer}-{n_votes}-{restarts}"
        write_attack_table(tmp_path, name, pd.DataFrame({"index": list(distances), "l2": list(distances.values())}))
        return {
            "dataset": "cifar10", "model": "bnn", "attack": "hsj", "norm": "l2", "start": "noise", "n_votes": n_votes,
            "points": len(distances), "max_iter": 100, "restarts": restarts, "points_rule": "indices",
            "right_for": 1, "folder": name, "input_quantizer": quantizer,
        }  # fmt: skip

    return write


@pytest.fixture
def judged(tmp_path):
    return lambda *runs: quantizers_alike(results_of(pd.DataFrame(list(runs)), tmp_path))


def test_quantizers_are_compared_at_equal_votes_of_most_effort_on_points_of_both(bnn_run, judged):
    runs = [
        bnn_run("approx_sign", 100, {1: 9.0, 2: 9.0}),
        bnn_run("approx_sign", 10, {1: 1.0, 2: 1.2, 3: 50.0}),
        bnn_run("approx_sign", 10, {1: 7.0, 2: 7.0, 3: 7.0}, restarts=1),
        bnn_run("ste_sign", 10, {1: 1.0, 2: 1.0, 4: 80.0}),
    ]
    for order in (runs, runs[::-1]):
        verdict = judged(*order)
        assert verdict.verdict == HOLDS
        assert "approx_sign 1.10" in verdict.number
        assert "ste_sign 1.00" in verdict.number
        assert "10 votes, 2 points" in verdict.number


def test_quantizers_that_differ_fail(bnn_run, judged):
    assert judged(bnn_run("approx_sign", 10, {1: 2.0}), bnn_run("ste_sign", 10, {1: 1.0})).verdict == FAILS


def test_one_quantizer_or_no_common_size_is_not_tested(bnn_run, judged):
    assert judged(bnn_run("approx_sign", 10, {1: 2.0})).verdict == UNTESTED
    assert judged(bnn_run("approx_sign", 20, {1: 2.0}), bnn_run("ste_sign", 10, {1: 1.0})).verdict == UNTESTED
    assert quantizers_alike(results_of()).verdict == UNTESTED


@pytest.fixture
def attack_run(tmp_path):
    def write(model, attack, distances):
        name = f"{model}-{attack}"
        write_attack_table(tmp_path, name, pd.DataFrame({"index": range(len(distances)), "l2": distances}))
        return {
            "dataset": "cifar10", "model": model, "attack": attack, "norm": "l2", "start": "noise", "voting": "hard",
            "n_votes": 100, "points": len(distances), "max_iter": 100, "restarts": 10,
            "points_rule": "correct_for_all", "right_for": 4, "folder": name,
        }  # fmt: skip

    return write


def test_the_best_of_the_black_box_attacks_is_taken_point_by_point(attack_run, tmp_path):
    runs = [
        attack_run("scd01", "hsj", [9.0, 9.0, 1.0, 9.0]),
        attack_run("scd01", "hsj_wide", [1.0, 1.0, 9.0, 1.0]),
        attack_run("scd01", "whitebox", [0.1, 0.1, 0.1, 0.1]),  # no black-box attack
        attack_run("lenet", "hsj", [2.0, 2.0, 2.0, None]),
        attack_run("mlp", "hsj", [0.5, 0.5, 0.5, 0.5]),
    ]
    results = results_of(pd.DataFrame(runs), tmp_path)
    assert highest_distortion(results).number.startswith("scd01 − lenet, the best of 2 baselines: +4.33")
    verdict = highest_under_black_boxes(results)
    assert verdict.verdict == FAILS
    assert verdict.number.startswith("scd01 − lenet, the best of 2 baselines: -1.00")
    assert verdict.number.endswith("attacks: scd01 2, mlp 1, lenet 1")


def test_without_a_baseline_the_best_attacks_decide_nothing(attack_run, tmp_path):
    for attacks in (pd.DataFrame(), pd.DataFrame([attack_run("scd01", "hsj", [1.0, 2.0])])):
        assert highest_under_black_boxes(results_of(attacks, tmp_path)).verdict == UNTESTED


@pytest.mark.parametrize(
    ("interval", "verdict"), [((0.2, 0.1, 0.3), HOLDS), ((0.03, 0.0, 0.07), OPEN), ((0.001, 0.0, 0.01), FAILS)]
)
def test_transfer_is_judged_by_intervals(tmp_path, interval, verdict):
    """A baseline whose few pairs decide nothing leaves the claim open, whichever mean is the lower."""
    runs = []
    for model, (value, low, high) in {"scd01": (0.04, 0.02, 0.06), "lenet": interval}.items():
        columns = {"overshoot": 0.0, "points": 8, "pairs": 80}
        for name in ("p_main", "p_paper_literal"):
            columns |= {name: value, f"{name}_low": low, f"{name}_high": high}
        write_attack_table(tmp_path, model, pd.DataFrame([columns]), "transfer")
        runs.append({
            "dataset": "cifar10", "model": model, "attack": "transfer", "points": 8, "queries_mean": 1.0,
            "n_votes": 10, "max_iter": 100, "folder": model,
        })  # fmt: skip
    found = lowest_transfer(results_of(pd.DataFrame(runs), tmp_path))
    assert found.verdict == verdict
    assert "scd01 within 0.020 to 0.060" in found.number
