"""What the tables compute from finished attacks: convergence, best of several, the paired test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon

from pipeline.convergence import late_gain
from scd.statistics import paired_p_values
from scripts.tables.distances import protocol, table2, table5, table8
from scripts.tables.write import _of_the_data
from tests.scripts.miniature_results import results_of, write_attack_table


def trace(*runs: list[tuple[int, float]]) -> pd.DataFrame:
    """A trace with one run a list of (queries, best L2)."""
    rows = [{"index": 0, "restart": r, "queries": q, "l2": d} for r, run in enumerate(runs) for q, d in run]
    return pd.DataFrame(rows)


def test_late_gain_is_what_the_second_half_of_the_queries_still_gained():
    assert late_gain(trace([(10, 4.0), (50, 2.0), (100, 1.0)])) == pytest.approx(0.5)
    assert late_gain(trace([(10, 4.0), (50, 2.0), (100, 2.0)])) == 0
    both = late_gain(trace([(10, 4.0), (100, 2.0)], [(40, 6.0), (80, 6.0)]))
    assert both == pytest.approx(1 - (2 + 6) / (4 + 6))
    assert np.isnan(late_gain(trace([(10, 4.0)])))


def test_the_signed_rank_test_is_the_exact_one():
    """Five differences of one sign: 2 of the 2**5 sign patterns are as extreme, p = 1/16."""
    first = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    rank, t = paired_p_values(first, first - np.array([0.1, 0.2, 0.3, 0.4, 0.5]))
    assert rank == pytest.approx(2 / 2**5)
    assert 0 < t < 0.02
    other = np.array([1.3, 1.9, 2.2, 4.5, 3.1])
    assert paired_p_values(first, other)[0] == pytest.approx(wilcoxon(first - other, method="exact").pvalue)
    assert np.isnan(paired_p_values(first, first)).all()


@pytest.fixture
def results(tmp_path):
    """Two attacks on scd01 at the same points, one at others; the fourth is another number of hidden nodes."""
    runs = {
        ("cifar10", "scd01", "hsj"): ([3, 5, 7], [1.0, 4.0, 2.0]),
        ("cifar10", "scd01", "cgba"): ([7, 5, 3], [3.0, 1.0, 0.5]),  # in another order
        ("cifar10", "scd01", "surfree"): ([3, 5, 8], [0.1, 0.1, 0.1]),  # other points
        ("ecg200", "scd01", "hsj"): ([0, 1, 2, 3], [1.0, 2.0, 3.0, 4.0]),
        ("ecg200", "rf", "hsj"): ([3, 2, 1, 0], [3.5, 2.8, 1.7, 0.9]),
    }
    rows = []
    for number, ((dataset, model, attack), (index, l2)) in enumerate(runs.items()):
        write_attack_table(tmp_path, str(number), pd.DataFrame({"index": index, "l2": l2}))
        rows.append({
            "dataset": dataset, "model": model, "attack": attack, "voting": "hard", "norm": "l2", "start": "noise",
            "points_rule": "correct", "right_for": 1,
            "points": len(index), "max_iter": 100.0, "restarts": 10.0, "n_votes": 100,
            "n_iter": 1000, "already_wrong": 0, "succeeded": len(index), "l2_mean": float(np.mean(l2)),
            "l2_mean_low": 0.0, "l2_mean_high": 9.0, "l2_median": 1.0, "l2_mean_with_zeros": 1.0, "queries_mean": 1.0,
            "late_gain": 0.2, "hidden_nodes": 20, "as_in_table5": number == 0, "folder": str(number),
            "precision": "float32",
        })  # fmt: skip
    attacks = pd.DataFrame(rows)
    return results_of(attacks, tmp_path)


def test_best_is_the_least_at_each_point_over_attacks_on_the_same_points(results):
    _, cells, _ = table2(results)
    best = cells[(cells["row"] == "Best black-box") & (cells["model"] == "scd01")].iloc[0]
    assert best["ours"] == pytest.approx((0.5 + 1.0 + 2.0) / 3)
    assert "2 attacks" in best["shown"]


def test_points_that_were_named_count_where_another_run_drew_them(results):
    """The two attacks on scd01 at 3, 5 and 7 named their points; only a run on lenet that drew the same shows them."""
    runs = results.attacks.copy()
    mine = (runs["dataset"] == "cifar10") & (runs["attack"] != "surfree")
    runs.loc[mine, "points_rule"] = "indices"
    assert not len(protocol(replace(results, attacks=runs), "scd01", "hsj"))
    drew = runs[mine].iloc[[1]].assign(model="lenet", points_rule="correct_for_all", right_for=4)
    both = replace(results, attacks=pd.concat([runs, drew], ignore_index=True))
    assert len(protocol(both, "scd01", "hsj")) == 1
    assert len(protocol(both, "scd01", "surfree")) == 1


@pytest.mark.parametrize("rule", ["random", "first"])
def test_a_larger_run_at_other_points_displaces_no_cell_at_table_2s_points(results, tmp_path, rule):
    """Cells of attacks, the best of them and certificates are those at 3, 5 and 7, whatever is run at 40 samples."""
    first = results.attacks.iloc[:1]
    many = {"index": range(40), "l2": 0.01, "l2_lower": 0.005}
    radii = {"l2_lower_mean": 1.0, "l2_lower_mean_low": 0.0, "l2_lower_mean_high": 2.0}
    write_attack_table(tmp_path, "sure", pd.DataFrame({"index": [3, 5, 7], "l2": np.nan, "l2_lower": 1.0}))
    write_attack_table(tmp_path, "white", pd.DataFrame({"index": [3, 5, 7], "l2": 2.0}))
    runs = [results.attacks, first.assign(attack="certificate", folder="sure", **radii)]
    runs += [first.assign(attack="whitebox", folder="white", l2_mean=2.0)]
    for attack in ("cgba", "certificate", "whitebox", "sign_pattern"):
        write_attack_table(tmp_path, f"many {attack}", pd.DataFrame(many))
        about = {"points_rule": rule, "points": 40, "l2_mean": 0.01, "right_for": 9, **radii, "l2_lower_mean": 0.005}
        runs.append(first.assign(attack=attack, folder=f"many {attack}", **about))
    few, all_runs = (replace(results, attacks=pd.concat(some, ignore_index=True)) for some in (runs[:3], runs))
    assert all_runs.table_2s_points == {3, 5, 7}
    before, after = (table2(each)[1].set_index(["row", "model"]) for each in (few, all_runs))
    pattern = after.loc[("Sign pattern (white-box)", "scd01")] if rule == "random" else None
    assert pattern is None or pattern["points"] == 40  # an empty cell is filled, by points drawn at random
    assert before.loc[("Certified at least", "scd01"), "ours"] == 1.0
    assert before.loc[("White-box (bound)", "scd01"), "ours"] == 2.0
    for cell, shown in before["shown"].items():
        assert after.loc[cell, "shown"] == shown


def test_certified_rows_are_there_with_a_run_and_say_why_a_cell_is_empty(results, tmp_path):
    """The means of white-box distance and radius are over the same points; a white-box run at others does not count."""
    first = results.attacks.iloc[:1]
    assert not table2(results)[1]["row"].str.contains("ertified").any()
    write_attack_table(tmp_path, "sure", pd.DataFrame({"index": [7, 3, 5], "l2": np.nan, "l2_lower": [1.0, 0.0, 2.0]}))
    write_attack_table(tmp_path, "white", pd.DataFrame({"index": [3, 5, 7], "l2": [0.5, 3.0, 2.5]}))
    write_attack_table(tmp_path, "other", pd.DataFrame({"index": [3, 5, 8], "l2": [9.0, 9.0, 9.0]}))
    radii = {"l2_mean": np.nan, "l2_lower_mean": 1.0, "l2_lower_mean_low": 0.0, "l2_lower_mean_high": 2.0}
    sure = first.assign(attack="certificate", folder="sure", norm=None, **radii)
    other, white = (first.assign(attack="whitebox", folder=f, norm=None) for f in ("other", "white"))
    write_attack_table(tmp_path, "pattern", pd.DataFrame({"index": [3, 5, 7], "l2": [1.0, 2.25, 1.0]}))
    pattern = first.assign(attack="sign_pattern", folder="pattern", norm=None)
    for white_box, ratio in (
        ([other], "–<br>no white-box run at these points"),
        ([other, white], "2.00<br>3 points"),
        ([white, pattern], "1.25<br>3 points"),  # per point the closest of both
    ):
        runs = pd.concat([results.attacks, sure, *white_box], ignore_index=True)
        _, cells, notes = table2(replace(results, attacks=runs))
        shown = cells.set_index(["row", "model"])["shown"]
        assert shown["Certified at least", "scd01"] == "1.00 (0.00–2.00)<br>3 points, 100 votes"
        assert shown["White-box / certified", "scd01"] == ratio
        assert shown["Certified at least", "scdce"] == "–<br>not run"
        assert shown["Certified at least", "lenet"] == "–<br>no certificate"
        assert any("no adversarial of any attack is nearer" in note for note in notes)


def test_rows_in_l_infinity_count_what_no_white_box_attack_changed(results, tmp_path):
    """Four samples: one is misclassified, one was never found, two are found at 0.02 and 0.05."""
    first = results.attacks.iloc[:1].assign(attack="whitebox", norm="linf", points_rule="random", points=4)
    assert not table2(results)[1]["row"].str.contains("Still correct").any()
    reason = ["already misclassified", "no adversarial start", "", ""]
    for name, linf in (("a", [np.nan, np.nan, 0.04, 0.05]), ("b", [np.nan, np.nan, 0.02, 0.07])):
        write_attack_table(tmp_path, name, pd.DataFrame({"index": [1, 2, 3, 4], "linf": linf, "reason": reason}))
    write_attack_table(tmp_path, "c", pd.DataFrame({"index": [1, 2, 3, 5], "linf": 0.0, "reason": ""}))
    others = first.assign(folder="c", points=3)
    runs = [results.attacks, first.assign(folder="a"), first.assign(folder="b", attack="sign_pattern"), others]
    _, cells, notes = table2(replace(results, attacks=pd.concat(runs, ignore_index=True)))
    of_scd01 = cells[cells["model"] == "scd01"].set_index("row")
    assert of_scd01.loc["Still correct within 8/255, L∞, %", "ours"] == 50
    assert of_scd01.loc["Still correct within 16/255, L∞, %", "ours"] == 25
    assert of_scd01.loc["Still correct within 16/255, L∞, %", "shown"].endswith("<br>4 samples, 100 votes")
    assert "White-box (bound)" not in of_scd01.index  # another norm
    assert cells.set_index(["row", "model"])["shown"]["Still correct within 8/255, L∞, %", "lenet"] == "–"
    assert any("no white-box attack in L∞" in note.replace("\n", " ") for note in notes)


def test_a_search_that_had_not_converged_is_marked(results):
    _, cells, notes = table2(results)
    cell = cells[(cells["row"] == "HopSkipJump") & (cells["model"] == "scd01")].iloc[0]
    assert "2.33 † (" in cell["shown"]
    assert "†" in notes[0]


def test_a_cell_says_how_many_of_its_points_are_not_in_the_mean(results):
    """Ten points of which two are already misclassified are a mean over eight."""
    attacks = results.attacks.assign(already_wrong=2)
    _, cells, _ = table2(replace(results, attacks=attacks, all_attacks=attacks))
    cell = cells[(cells["row"] == "HopSkipJump") & (cells["model"] == "scd01")].iloc[0]
    assert "2 already misclassified" in cell["shown"]
    _, cells, _ = table2(results)
    assert not cells["shown"].str.contains("already misclassified").any()


def test_a_cell_of_one_point_says_point(results):
    attacks = results.attacks.assign(points=1)
    cells = table2(replace(results, attacks=attacks, all_attacks=attacks))[1]
    cell = cells[(cells["row"] == "HopSkipJump") & (cells["model"] == "scd01")].iloc[0]
    assert "<br>1 point, 10 × 100" in cell["shown"]


def test_a_cell_names_the_precision_of_training_where_it_was_not_float32(results):
    attacks = results.attacks.assign(precision=["tf32"] + ["float32"] * (len(results.attacks) - 1))
    cells = table2(replace(results, attacks=attacks))[1]
    shown = cells[cells["model"] == "scd01"].set_index("attack")["shown"]
    assert shown["hsj"].endswith("100 votes trained in tf32")
    assert shown["cgba"].endswith("100 votes")


def test_table_5_takes_only_fifty_iterations_a_node(results):
    _, cells, _ = table5(results)
    shown = cells.set_index("hidden_nodes")["ours"]
    assert shown[20] == pytest.approx(7 / 3)
    assert shown.drop(20).isna().all()


def test_points_drawn_for_one_model_stand_in_table_5_and_not_before_those_of_all(results, tmp_path):
    """Table 5's own run with 20 nodes is as large as Table 2's, and the later of the two."""
    found = results.attacks[(results.attacks["model"] == "scd01") & (results.attacks["attack"] == "hsj")].iloc[:1]
    shared = found.assign(points_rule="correct_for_all", right_for=4, l2_mean=1.0)
    own = found.assign(points_rule="correct_for_all", right_for=1, l2_mean=2.0)
    runs = pd.concat([shared, own], ignore_index=True)
    both = replace(results, attacks=runs, all_attacks=runs.assign(hidden_nodes=20, as_in_table5=True))
    cells = table2(both)[1].set_index(["row", "model"])
    assert cells.loc[("HopSkipJump", "scd01"), "ours"] == 1.0
    assert table5(both)[1].set_index("hidden_nodes").loc[20, "ours"] == 2.0
    first = found.assign(points_rule="first", right_for=1, l2_mean=3.0)
    runs = pd.concat([shared, first], ignore_index=True)
    without = replace(both, all_attacks=runs.assign(hidden_nodes=20, as_in_table5=True, points=[3, 1]))
    assert table5(without)[1].set_index("hidden_nodes").loc[20, "ours"] == 1.0


def test_table_8_pairs_points_by_their_index(results):
    _, cells, _ = table8(results)
    cell = cells[cells["row"] == "ecg200 (stand-in): p, scd01 against rf"].iloc[0]
    assert cell["points"] == 4
    assert cell["ours"] == pytest.approx(2 / 2**4)  # all four differences have one sign
    assert "ours –" in cells[cells["row"] == "ptb: p, scd01 against rf"].iloc[0]["shown"]


def test_table_8_shows_other_attacks_where_they_were_run_and_asks_for_none(results):
    wide = results.attacks[results.attacks["dataset"] == "ecg200"].assign(attack="hsj_wide", l2_mean=0.5)
    boundary = wide.assign(attack="boundary", norm=np.nan)  # an attack of one norm has no such setting
    more = [wide[wide["model"] == "scd01"], boundary[boundary["model"] == "rf"]]
    attacks = pd.concat([results.attacks, *more], ignore_index=True)
    cells = table8(replace(results, attacks=attacks))[1].set_index(["row", "model"])
    row = "ecg200 (stand-in): HopSkipJump, δ = 0.1, L2"
    assert cells.loc[(row, "scd01"), "ours"] == 0.5
    assert cells.loc[(row, "rf"), "shown"] == "–"
    assert pd.isna(cells.loc[(row, "rf"), "command"])
    other = "Boundary|RayS|δ = 0.1|White-box"
    rows = cells.index.get_level_values(0)
    assert set(rows[rows.str.contains(other)]) == {row, "ecg200 (stand-in): Boundary, L2"}
    assert cells.loc[("ecg200 (stand-in): Boundary, L2", "rf"), "ours"] == 0.5


def test_table_8_shows_another_attack_at_the_points_of_hopskipjump_alone(results, tmp_path):
    """A larger run at other points does not replace the one at the same points."""
    same = results.attacks[(results.attacks["dataset"] == "ecg200") & (results.attacks["model"] == "scd01")]
    same = same.assign(attack="whitebox", l2_mean=0.5)
    write_attack_table(tmp_path, "elsewhere", pd.DataFrame({"index": [0, 1, 2, 3, 4], "l2": 0.1}))
    elsewhere = same.assign(folder="elsewhere", l2_mean=0.1, points=5)
    attacks = pd.concat([results.attacks, same, elsewhere], ignore_index=True)
    cells = table8(replace(results, attacks=attacks))[1].set_index(["row", "model"])
    assert cells.loc[("ecg200 (stand-in): White-box (bound), L2", "scd01"), "ours"] == 0.5


def test_what_is_amiss_with_the_data_stands_under_the_table(results):
    fits = pd.DataFrame({"dataset": ["gtsrb", "gtsrb", "mnist"], "data_notes": [("a subset",), ("a subset",), ("x",)]})
    known = replace(results, evaluations=fits)
    cells = pd.DataFrame({"folder": ["gtsrb-scd01-0a", None, "cifar10-rf-1b"]})
    assert _of_the_data(known, cells) == ["", "- Data of gtsrb: a subset."]
    assert _of_the_data(known, cells.drop(columns="folder")) == []
