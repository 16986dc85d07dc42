"""Intervals decide a claim only where what is proved of one model is beyond what an attack found on the other."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.records import MISCLASSIFIED
from scripts.claims import CLAIMS, NO_DISTANCES, UNTESTED, claims_table, intervals_table
from scripts.tables.sides import (
    ABOUT_ATTACKS,
    HOLDS,
    REFUTED,
    Sides,
    Term,
    at_few_points,
    compare,
    judge,
    runs_on,
    sides_of,
)
from tests.scripts.miniature_results import results_of, write_attack_table

MOST = "Under HopSkipJump, sign networks need more distortion than every baseline"
ORDER = "On 100 images with ten iterations the order is scd01, rf, lenet, mlp"
ALIKE = "BNN's distortion is similar to MLP's"


def sides(name, lower, upper):
    return Sides(name, *(pd.Series(side, dtype=np.float64) for side in (lower, upper)))


def difference(first, second):
    return compare(Term(1.0, first), Term(-1.0, second))


@pytest.mark.parametrize(
    ("lower", "upper", "verdict"),
    [
        ([0.5, 0.6, 0.7], [0.6, 0.7, 0.8], HOLDS),  # certified above 0.4 at each point
        ([0.1, 0.2, 0.1], [0.2, 0.2, 0.2], REFUTED),  # attacked below the certified 0.3
        ([0.2, 0.3, 0.2], [0.6, 0.7, 0.8], ABOUT_ATTACKS),
        ([0.1, 0.9, 0.3], [0.6, 0.9, 0.8], ABOUT_ATTACKS),  # mean certified 0.43: the points decide, not the mean
    ],
)
def test_a_difference_is_decided_where_one_side_is_beyond_the_other(lower, upper, verdict):
    found = difference(sides("scd01", lower, upper), sides("rf", [0.3] * 3, [0.4] * 3))
    assert found.verdict == verdict
    assert found.words == "scd01 − rf"
    assert found.at_least[0] == pytest.approx(np.mean(lower) - 0.4)
    assert found.at_most[0] == pytest.approx(np.mean(upper) - 0.3)
    assert found.at_least[0] <= found.at_most[0]
    assert found.each[1] == ("rf", pytest.approx(0.3), pytest.approx(0.4))


def test_only_points_of_all_ensembles_count():
    first = sides("scd01", {1: 0.5, 2: 0.5, 3: 9.0}, {1: 0.6, 2: 0.6, 3: 9.0, 4: 9.0})
    found = difference(first, sides("rf", {}, {1: 0.1, 2: 0.3, 4: 0.1}))
    assert found.points == 2
    assert found.at_least[0] == pytest.approx(0.3)
    assert np.isnan(found.at_most[0])  # nothing is certified of rf


def test_without_a_bound_there_is_no_row_and_the_claim_is_about_attacks():
    attacked = sides("scd01", {}, [1.0, 2.0]), sides("mlp", {}, [0.1, 0.1])
    assert difference(*attacked) is None
    assert difference(sides("scd01", [0.5], [0.6]), attacked[1]) is None  # one point
    assert judge([None]) == judge([]) == ABOUT_ATTACKS


def test_a_claim_of_several_differences_holds_by_all_and_is_refuted_by_one():
    low, high = (sides(name, [at] * 3, [at + 0.1] * 3) for name, at in (("low", 0.1), ("high", 0.5)))
    unknown = sides("unknown", {}, [1.0] * 3)
    holds, refuted, open_ = difference(high, low), difference(low, high), difference(high, unknown)
    assert judge([holds, holds]) == HOLDS
    assert judge([holds, open_, refuted]) == REFUTED
    assert judge([holds, open_]) == judge([holds, None]) == ABOUT_ATTACKS


def test_a_point_without_an_adversarial_leaves_the_other_side_without_a_bound():
    """The second model may be arbitrarily robust there."""
    found = difference(sides("scd01", [0.5] * 3, [0.6] * 3), sides("rf", [0.3] * 3, [0.4, np.inf, 0.4]))
    assert np.isnan(found.at_least[0])
    assert found.verdict == ABOUT_ATTACKS


@pytest.fixture
def run(tmp_path):
    def write(model, attack, values, **about):
        """A run whose point k is misclassified where the value is None."""
        name = f"{model}-{attack}-{'-'.join(map(str, about.values()))}"
        column = "l2_lower" if attack == "certificate" else "l2"
        shown = [0.0 if v is None and column == "l2_lower" else v for v in values]
        reason = [MISCLASSIFIED if v is None else "" for v in values]
        table = pd.DataFrame({"index": range(len(values)), "reason": reason, "l2": np.nan, column: shown})
        write_attack_table(tmp_path, name, table)
        return {
            "dataset": "cifar10", "model": model, "attack": attack, "norm": "l2", "start": "noise", "voting": "hard",
            "n_votes": 100, "accuracy_ensemble": 0.9, "fit": "a", "points": len(values), "max_iter": 100,
            "restarts": 10, "points_rule": "correct_for_all", "right_for": 4, "folder": name, "l2_mean": 1.0,
            "l2_mean_low": 0.0, "l2_mean_high": 2.0, "l2_mean_with_zeros": 1.0, "already_wrong": 0,
            "succeeded": len(values), **about,
        }  # fmt: skip

    return write


def both_sides(runs, tmp_path):
    results = results_of(pd.DataFrame(runs), tmp_path)
    return sides_of(results, "scd01", runs_on(results, "cifar10", "scd01"))


def test_the_closest_of_all_attacks_and_the_certificate_are_of_the_same_votes(run, tmp_path):
    runs = [
        run("scd01", "hsj", [3.0, 1.0, 2.0]),
        run("scd01", "sign_pattern", [0.9, 2.0, 0.8]),
        run("scd01", "certificate", [0.5, 0.6, 0.7]),
        run("scd01", "whitebox", [0.1, 0.1, 0.1], n_votes=10),  # fewer votes are another model
        run("scd01", "surfree", [0.1, 0.1, 0.1], fit="b"),
        run("scd01", "rays", [0.1, 0.1, 0.1], accuracy_ensemble=0.8),  # votes of another device
        run("scd01", "hsj_wide", [0.1, 0.1, 0.1], norm="linf"),
        run("scd01", "smoothing", [0.2, 0.2, 0.2]),
    ]
    for order in (runs, runs[::-1]):
        found = both_sides(order, tmp_path)
        assert found.lower.tolist() == [0.5, 0.6, 0.7]
        assert found.upper.tolist() == [0.9, 1.0, 0.8]
    found = both_sides([each for each in runs if each["attack"] != "certificate"], tmp_path)
    assert not len(found.lower)
    assert found.upper.tolist() == [0.9, 1.0, 0.8]  # of 100 votes those with the most attacks


def test_misclassified_points_are_left_out_of_both_sides(run, tmp_path):
    found = both_sides(
        [run("scd01", "hsj", [1.0, None, np.nan]), run("scd01", "certificate", [0.5, None, 0.7])], tmp_path
    )
    assert found.lower.to_dict() == {0: 0.5, 2: 0.7}
    assert found.upper.to_dict() == {0: 1.0, 2: np.inf}  # no attack succeeded


@pytest.mark.parametrize("rule", ["random", "first"])
def test_runs_at_more_points_change_neither_side_at_table_2s_points(run, tmp_path, rule):
    runs = [run("scd01", "hsj", [1.0, 2.0]), run("mlp", "hsj", [1.0, 2.0]), run("scd01", "certificate", [0.5, 0.6])]
    more = [run("scd01", attack, [0.3] * 9, points_rule=rule) for attack in ("hsj", "certificate")]
    found = both_sides([*runs, *more], tmp_path)
    assert found.lower.to_dict() == {0: 0.5, 1: 0.6}
    assert found.upper.to_dict() == {0: 1.0, 1: 2.0}


def test_of_ensembles_at_points_of_their_own_only_runs_at_no_more_points_than_table_2_has_count(run, tmp_path):
    runs = [run("scd01", "hsj", [1.0, 2.0]), run("bnn", "hsj", [1.0, 2.0], points_rule="indices")]
    runs += [
        run("bnn", "hsj", [0.1] * 9, points_rule="first"),
        run("bnn", "whitebox", [0.1] * 3, points_rule="indices"),
    ]
    results = results_of(pd.DataFrame(runs), tmp_path)
    found = at_few_points(results, results.attacks)
    assert found["points"].tolist() == [2, 2]
    assert not len(at_few_points(results, results.attacks.iloc[:0]))


def test_claims_are_judged_by_both_sides(run, tmp_path):
    """scd01 is proved to be above rf and not above lenet; rf is attacked below what is proved of mlp."""
    runs = [
        run("scd01", "hsj", [3.0, 3.0, 3.0]),
        run("scd01", "hsj", [3.0, 3.0, 3.0], start="given", points_rule="first", max_iter=10),
        run("scd01", "certificate", [0.5, 0.5, 0.5]),
        run("rf", "hsj", [0.2, 0.2, 0.3]),
        run("lenet", "hsj", [2.0, 2.0, None]),
        run("mlp", "hsj", [0.9, 0.9, 0.9]),
        run("mlp", "certificate", [0.8, 0.8, 0.8]),
        run("bnn", "hsj", [0.9, 0.8, 0.9]),
    ]
    runs += [
        {**run(m, "hsj", [at] * 3, start="given", points_rule="first", max_iter=10), "l2_mean": at}
        for m, at in (("scd01", 3.0), ("rf", 2.0), ("lenet", 1.0), ("mlp", 0.5))
    ]
    results = results_of(pd.DataFrame(runs), tmp_path)
    claims = claims_table(results).set_index("claim")["intervals"]
    assert claims[MOST] == ABOUT_ATTACKS  # lenet: up to 2.0
    assert claims[ORDER] == REFUTED  # rf at most 0.2, mlp at least 0.8
    assert claims[ALIKE] == ABOUT_ATTACKS
    table = intervals_table(results).set_index("difference")
    assert table.loc["scd01 − rf", "verdict"] == HOLDS
    assert table.loc["scd01 − lenet", "points"] == 2
    assert table.loc["rf − mlp", "verdict"] == REFUTED
    assert table.loc["1.5 × mlp − bnn", "verdict"] == HOLDS  # 1.2 above 0.9
    assert "bnn − mlp" not in table.index


def test_bnn_is_similar_to_mlp_where_both_are_certified(run, tmp_path):
    def judged(bnn):
        runs = [run(m, "hsj", [at] * 3) for m, at in (("mlp", 0.9), ("bnn", bnn + 0.1))]
        runs += [run(m, "certificate", [at] * 3) for m, at in (("mlp", 0.8), ("bnn", bnn))]
        return claims_table(results_of(pd.DataFrame(runs), tmp_path)).set_index("claim")["intervals"][ALIKE]

    assert judged(0.9) == HOLDS  # 1.0 ≤ 1.5 × 0.8 and 0.9 ≤ 1.5 × 0.9
    assert judged(1.3) == ABOUT_ATTACKS
    assert judged(1.4) == REFUTED  # 1.4 > 1.5 × 0.9
    assert judged(0.4) == REFUTED


def test_without_runs_nothing_is_judged_by_intervals():
    claims, table = claims_table(results_of()), intervals_table(results_of())
    compared = [claim.intervals is not None for claim in CLAIMS]
    assert set(claims.loc[compared, "intervals"]) == {UNTESTED}
    assert set(claims.loc[[not each for each in compared], "intervals"]) == {NO_DISTANCES}
    assert not len(table)
