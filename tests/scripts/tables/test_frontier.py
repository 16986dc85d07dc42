"""Table 9 and its figure: which runs they show, and what they compute from them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from scripts.figures.frontier import figure_of_the_frontier
from scripts.results import Results, paper_values
from scripts.tables.frontier import MODELS, frontier, table9
from tests.contract.freeze import composed

L2 = [1.0, np.nan, 3.0]
LOWER = [0.5, 0.0, 1.0]


def results(*runs):
    """Results of runs: (model, attack, votes, points, distances, words of the command line, experiment)."""
    rows, examples, records = [], {}, {}
    for number, (model, attack, votes, points, values, words, experiment) in enumerate(runs):
        column = "l2_lower" if attack == "certificate" else "l2"
        examples[str(number)] = pd.DataFrame({"index": points, "l2": np.nan, "l2_lower": np.nan, column: values})
        config = composed(f"model={model}", "dataset=cifar10", f"attack={attack}", *words)
        records[str(number)] = {"config": {**config, "experiment": {"name": experiment} if experiment else None}}
        kept = pd.Series(values).replace(0, np.nan).dropna()
        mean = {"l2_lower_mean" if attack == "certificate" else "l2_mean": kept.mean()}
        ends = {f"{name}{end}": kept.mean() + more for name in mean for end, more in (("_low", -0.1), ("_high", 0.1))}
        rows.append({
            "dataset": "cifar10", "model": model, "attack": attack, "voting": "hard", "norm": np.nan,
            "folder": str(number), "n_votes": votes, "accuracy_ensemble": 0.8 + 0.01 * number, "points": len(points),
            "already_wrong": len(points) - len(kept), "late_gain": 0.0, **mean, **ends,
        })  # fmt: skip
    source = SimpleNamespace(examples=lambda run: examples[run].set_index("index"), record=lambda run: records[run])
    attacks = pd.DataFrame(rows)
    return Results(pd.DataFrame(), pd.DataFrame(), paper_values(), attacks, source)


@pytest.fixture
def found():
    return results(
        ("mlp", "whitebox", 30, [7, 5, 3], [9.0, 9.0, 9.0], (), None),  # of fewer votes than the next
        ("mlp", "whitebox", 100, [3, 5, 7], [0.1, 0.2, np.nan], (), None),  # published earlier, at the same points
        ("scd01", "whitebox", 100, [3, 5, 7], L2, (), "frontier"),
        ("scd01", "certificate", 100, [7, 5, 3], LOWER[::-1], (), "frontier"),
        ("logistic", "whitebox", 1, [3, 5, 7], [1.0, 1.0, 1.0], ("model.C=0.01",), "frontier"),
        ("logistic", "whitebox", 1, [3, 5, 7], [2.0, 2.0, 2.0], ("seed=4",), "frontier"),
        ("mlp", "whitebox", 100, [3, 5, 7], [0.3, 0.3, 0.3], ("+model.extra=0.5",), None),
        ("lenet", "whitebox", 10, [3, 5, 8], L2, (), None),  # other points
        ("lenet", "hsj", 10, [3, 5, 7], L2, (), "frontier"),  # another attack
    )


def test_a_row_is_a_model_with_settings_at_the_points_of_the_experiment(found):
    rows = frontier(found).set_index("row")
    assert list(rows.index) == ["scd01", "logistic (C=0.01)", "logistic (seed=4)", "mlp", "mlp (extra=0.5)"]
    assert rows["n_votes"].tolist() == [100, 1, 1, 100, 100]
    assert rows.loc["mlp", "accuracy"] == pytest.approx(81)
    assert (rows["upper_folder"].tolist(), rows["lower_folder"].tolist()[0]) == (["2", "4", "5", "1", "6"], "3")


def test_distances_from_both_sides_and_at_the_points_that_all_classify_correctly(found):
    rows = frontier(found).set_index("row")
    scd01, mlp = rows.loc["scd01"], rows.loc["mlp"]
    assert (scd01["upper"], scd01["upper_points"]) == (2.0, 2)
    assert (scd01["lower"], scd01["lower_points"]) == (0.75, 2)
    assert scd01["ratio"] == pytest.approx(2.0 / 0.75)
    assert np.isnan(mlp["lower"])
    assert np.isnan(mlp["ratio"])
    assert rows["common"].tolist() == [1.0, 1.0, 2.0, 0.1, 0.3]  # at point 3 alone
    assert rows["common_points"].tolist() == [1] * 5


def test_more_samples_have_rows_and_common_points_of_their_own_and_are_drawn(found):
    at_two = [("scd01", "whitebox", 100, [3, 5, 7], L2, (), "frontier")]
    many = [3, 5, 7, 9]
    at_four = [
        ("scd01", "whitebox", 100, many, [1.0, 2.0, 3.0, 4.0], (), "frontier"),
        ("mlp", "whitebox", 100, many, [1.0, 2.0, 3.0, np.nan], (), "frontier"),
    ]
    rows = frontier(results(*at_four, *at_two)).set_index("row")
    assert list(rows.index) == ["scd01", "cifar10, 4 samples: scd01", "cifar10, 4 samples: mlp"]
    assert rows["common"].tolist() == [2.0, 2.0, 2.0]
    assert rows["common_points"].tolist() == [2, 3, 3]
    drawn = figure_of_the_frontier(results(*at_four, *at_two))
    assert drawn.data["samples"].tolist() == [4, 4]


def test_the_table_has_a_cell_for_each_column_and_names_what_is_missing(found):
    title, cells, notes = table9(found)
    assert title.startswith("Table 9")
    shown = cells.set_index(["row", "column"])["shown"]
    assert shown["scd01", "white-box"] == "2.00 (1.90–2.10)<br>2 points"
    assert shown["scd01", "certified"] == "0.75 (0.65–0.85)<br>2 points"
    assert shown["mlp", "certified"] == "–"
    assert shown["logistic (C=0.01)", "accuracy, %"] == "84.0<br>1 vote"
    commands = [note for note in notes if note.startswith("python run.py +experiment=frontier model=")]
    missing = set(MODELS) - {"scd01", "mlp", "logistic"}
    assert {command.rsplit("=", 1)[1] for command in commands} == missing


def test_without_a_run_of_the_experiment_every_model_is_missing():
    only = results(("mlp", "whitebox", 30, [7, 5, 3], [9.0, 9.0, 9.0], (), "table2"))
    for there in (only, Results(pd.DataFrame(), pd.DataFrame(), paper_values(), pd.DataFrame(), None)):
        assert not len(frontier(there))
        assert list(table9(there)[1]["row"]) == list(MODELS)
        drawn = figure_of_the_frontier(there)
        assert drawn.figure is None
        assert "python run.py +experiment=frontier" in drawn.notes[-1]


def test_the_figure_joins_the_settings_of_a_model(found):
    drawn = figure_of_the_frontier(found)
    panels = drawn.figure.axes
    assert [len(panel.containers) for panel in panels] == [3, 1]
    lines = {each.get_label(): each.lines[0].get_xydata() for each in panels[0].containers}
    np.testing.assert_allclose(lines["logistic"], [[84, 1], [85, 2]])
    assert [text.get_text() for text in drawn.figure.legends[0].get_texts()] == ["scd01", "logistic", "mlp"]


def test_the_models_are_those_of_the_experiment():
    from tests.contract.test_every_experiment import jobs

    swept = {word.split("=")[1] for job in jobs("frontier", "paper") for word in job if word.startswith("model=")}
    assert swept == set(MODELS)


def test_of_several_white_box_attacks_the_closest_counts_at_each_point():
    both = results(
        ("scd01", "whitebox", 100, [3, 5, 7], [1.0, np.nan, 3.0], (), "frontier"),
        ("scd01", "sign_pattern", 100, [7, 5, 3], [2.0, np.nan, 1.5], (), None),
        ("scd01", "sign_pattern", 50, [7, 5, 3], [0.1, 0.1, 0.1], (), None),  # of fewer votes
        ("scd01", "certificate", 100, [7, 5, 3], LOWER[::-1], (), "frontier"),
    )
    (row,) = frontier(both).to_dict("records")
    assert row["upper"] == pytest.approx(1.5)
    assert row["upper_low"] >= 1.0
    assert row["common"] == pytest.approx(1.5)
    assert row["ratio"] == pytest.approx(1.5 / 0.75)
    assert row["upper_folder"] == "1"


def test_another_pair_of_classes_is_another_data_set():
    pair = "dataset.classes=[3,5]"
    both = results(
        ("scd01", "whitebox", 100, [3, 5, 7], [5.0, 6.0, 7.0], (pair,), "frontier"),
        ("mlp", "whitebox", 100, [3, 5, 7], [np.nan, 2.0, 2.0], (pair,), "frontier"),
        ("scd01", "whitebox", 100, [3, 5, 7], L2, (), "frontier"),
    )
    rows = frontier(both)
    assert rows["row"].tolist() == ["scd01", "cifar10 classes=[3,5]: scd01", "cifar10 classes=[3,5]: mlp"]
    assert rows["common"].tolist() == [2.0, 6.5, 2.0]  # points 3 and 7 of the one set, 5 and 7 of the other
    assert figure_of_the_frontier(both).data["row"].tolist() == ["scd01"]
