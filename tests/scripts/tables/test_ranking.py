"""The ranking: AttackBench's optimality by its definition, the area between curves, and which runs compare."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scripts.figures.ranking import figure_of_the_ranking
from scripts.tables.ranking import optimality, ranking, table_ranking, times_lowest
from tests.scripts.miniature_results import results_of, write_attack_table

RUN = {
    "dataset": "cifar10", "model": "rf", "voting": "hard", "norm": "l2", "start": "noise", "n_votes": 3, "points": 2,
    "max_iter": 1.0, "restarts": 1.0, "right_for": 1, "points_rule": "random", "queries_mean": 90.0, "succeeded": 2,
}  # fmt: skip


def run(tmp_path, folder, distances, trace, **more):
    """A row of an attack whose points and trace are in files."""
    points = pd.DataFrame({"index": list(distances), "l2": list(distances.values())})
    write_attack_table(tmp_path, folder, points)
    write_attack_table(tmp_path, folder, pd.DataFrame(trace, columns=["index", "restart", "queries", "l2"]), "trace")
    return {**RUN, "folder": folder, **more}


def test_optimality_is_the_quotient_of_areas_under_the_accuracy():
    """(ρ ε₀ − A) / (ρ ε₀ − A*) by a sum over thin slices of ε; a failed point stays correct."""
    distances = np.array([[1.0, 2.0, 5.0, np.inf], [2.0, 1.0, 4.0, 3.0], [9.0, 9.0, 9.0, 9.0]])
    best = distances.min(axis=0)
    epsilon = (np.arange(40_000) + 0.5) * best.max() / 40_000
    area = [np.mean([np.mean(row > e) for e in epsilon]) * best.max() for row in [*distances, best]]
    expected = [(best.max() - a) / (best.max() - area[-1]) for a in area[:-1]]
    found = optimality(distances, np.arange(4)[None])[0]
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert found[2] == 0  # never within ε₀


def test_a_resample_without_an_area_has_no_optimality():
    distances = np.array([[1.0, 3.0], [1.0, 4.0]])
    assert np.isnan(optimality(distances, np.array([[0, 0]]))).all()
    np.testing.assert_allclose(optimality(distances, np.array([[0, 1]])), [[1.0, 1.0]])  # 4 counts as ε₀ = 3


def test_the_area_between_curves_is_taken_over_the_logarithm_of_the_queries():
    """From 10 to 100 the second is at twice the first, from 100 to 1000 both are at 1: (2 + 1) / 2."""
    first = pd.DataFrame({"queries": [1, 1000], "l2": [1.0, 1.0]})
    second = pd.DataFrame({"queries": [10, 100], "l2": [2.0, 1.0]})
    assert times_lowest([first, second]) == pytest.approx([1.0, 1.5])


def test_attacks_on_the_same_points_and_votes_are_ranked_and_no_others(tmp_path):
    one = {4: 1.0, 7: 2.0}
    trace = [(4, 0, 10, 1.5), (4, 0, 20, 1.0), (7, 0, 10, 2.0)]
    rows = [
        run(tmp_path, "hsj", one, trace, attack="hsj", restarts=2.0),
        run(tmp_path, "rays", {4: 3.0, 7: 1.5}, [(4, 0, 10, 3.0), (7, 0, 10, 1.5)], attack="rays", norm="linf"),
        run(tmp_path, "cgba-elsewhere", {5: 1.0, 7: 1.0}, trace, attack="cgba"),
        run(tmp_path, "boundary-other-votes", one, trace, attack="boundary", n_votes=9),
        run(tmp_path, "surfree-from-image", one, trace, attack="surfree", start="given"),
        run(tmp_path, "boundary-failed", one, trace, attack="boundary_art", succeeded=0),
        run(tmp_path, "noise", one, trace, attack="noise"),
        run(tmp_path, "whitebox", one, trace, attack="whitebox"),
        run(tmp_path, "alone", one, trace, attack="hsj", model="mlp"),
    ]
    found = ranking(results_of(pd.DataFrame(rows), tmp_path))
    assert found["folder"].tolist() == ["hsj", "rays"]
    hsj, rays = found.to_dict("records")
    assert (hsj["best"], rays["best"]) == (1.25, 1.25)
    assert (hsj["optimality"], rays["optimality"]) == (1.0, 0.0)  # of the area from 1 to ε₀ = 1.5 at point 4
    assert (hsj["l2_median"], rays["l2_median"]) == (1.5, 2.25)
    assert (hsj["after_1000"], rays["after_1000"]) == (1.5, 2.25)


def test_a_single_point_has_distances_and_no_optimality(tmp_path):
    rows = [
        run(tmp_path, "hsj", {4: 1.0}, [(4, 0, 10, 1.0)], attack="hsj"),
        run(tmp_path, "rays", {4: np.nan}, [(4, 0, 10, np.inf)], attack="rays"),
        run(tmp_path, "other", {5: 1.0}, [(5, 0, 10, 1.0)], attack="cgba", model="mlp"),
    ]
    results = results_of(pd.DataFrame(rows), tmp_path)
    found = ranking(results)
    assert found["l2_median"].tolist() == [1.0, np.inf]
    assert found["optimality"].isna().all()
    cells = table_ranking(results)[1]
    assert cells.loc[cells["column"] == "optimality", "shown"].tolist() == ["–", "–"]


def test_points_that_are_already_misclassified_do_not_count(tmp_path):
    rows = [
        run(tmp_path, "hsj", {4: 1.0, 7: 2.0, 9: np.nan}, [(4, 0, 10, 1.0), (7, 0, 10, 2.0)], attack="hsj"),
        run(tmp_path, "rays", {4: 3.0, 7: 1.5, 9: np.nan}, [(4, 0, 10, 3.0), (7, 0, 10, 1.5)], attack="rays"),
    ]
    assert ranking(results_of(pd.DataFrame(rows), tmp_path))["points"].tolist() == [2, 2]


def test_without_runs_the_table_is_empty_and_the_figure_is_not_drawn():
    assert table_ranking(results_of())[1]["shown"].tolist() == ["–"]
    assert figure_of_the_ranking(results_of()).figure is None
