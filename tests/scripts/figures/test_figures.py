"""The figures draw what the runs wrote: curves, points, pictures; and say what is missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scripts.figures.intervals import RADII, intervals
from scripts.records.traces import mean_best
from scripts.tables.write import main
from tests.scripts.miniature_results import results_of, write_attack_table


@pytest.fixture(scope="module")
def outputs(tmp_path_factory, run_in_miniature):
    """An attack on 1 and on 3 votes, one on another point, a forest, a substitute, a transfer."""
    folder = tmp_path_factory.mktemp("figures")
    for words in (
        ("model=scd01", "attack=hsj", "points.rule=random"),
        ("model=scd01", "attack=hsj", "points.rule=random", "model.use_votes=1"),
        ("model=scd01", "attack=hsj", "points.rule=indices", "points.indices=[5]", "model.use_votes=2"),
        ("model=rf", "attack=hsj", "points.rule=random"),
        ("model=scd01", "attack=substitute"),
        ("model=scd01", "attack=transfer"),
        ("model=scd01", "attack=transfer_smoothed"),
        ("model=scd01", "attack=smoothed_boundary", "points.rule=random"),
        ("model=scd01", "attack=smoothed_boundary", "points.rule=random", "model.use_votes=1"),
    ):
        run_in_miniature(folder, *words)
    assert main(["--outputs", str(folder), "--scale", "smoke"]) == 0
    return folder


def summary(outputs, **wanted):
    rows = pd.concat([pd.read_csv(path) for path in (outputs / "attacks").glob("*/summary.csv")])
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    return rows.iloc[0]


def test_figure_1_has_the_runs_on_the_same_points_and_no_other(outputs):
    found = pd.read_csv(outputs / "figures" / "figure1.csv").set_index(["attack", "model", "n_votes"])
    ours = [("smoothed_boundary", "scd01", votes) for votes in (1, 3)]
    assert sorted(found.index) == [("hsj", "rf", 3), ("hsj", "scd01", 1), ("hsj", "scd01", 3), *ours]
    for attack in ("hsj", "smoothed_boundary"):
        for votes in (1, 3):
            ran = summary(outputs, model="scd01", attack=attack, n_votes=votes)
            assert found.loc[(attack, "scd01", votes), "l2_mean"] == pytest.approx(ran["l2_mean"])


def test_figure_2_has_the_last_round(outputs):
    found = pd.read_csv(outputs / "figures" / "figure2.csv")
    (folder,) = (outputs / "attacks").glob("*-substitute-*")
    curve = pd.read_csv(folder / "curve.csv")
    last = curve[curve["round"] == curve["round"].max()]
    np.testing.assert_allclose(found["accuracy"], last["accuracy"])
    np.testing.assert_allclose(found["noise_accuracy"], last["noise_accuracy"])


def test_table_6_is_the_transfer_table(outputs):
    cells = pd.read_csv(outputs / "tables" / "table6.csv")
    ours = cells[(cells["model"] == "scd01")].set_index("row")["ours"]
    (folder,) = (outputs / "attacks").glob("*-transfer-*")
    ran = pd.read_csv(folder / "transfer.csv").set_index("overshoot")
    assert ours["On the boundary"] == pytest.approx(ran.loc[0.0, "p_main"])
    assert ours["20 % past the boundary"] == pytest.approx(ran.loc[0.2, "p_main"])
    assert ours["Literal count, on the boundary"] == pytest.approx(ran.loc[0.0, "p_paper_literal"])
    (folder,) = (outputs / "attacks").glob("*-transfer_smoothed-*")
    ran = pd.read_csv(folder / "transfer.csv").set_index("overshoot")
    assert ours["Smoothed boundary: on the boundary"] == pytest.approx(ran.loc[0.0, "p_main"])
    literal = cells[cells["row"] == "Literal count, on the boundary"].set_index("model")
    assert literal.loc["scd01", "paper"] == 0.006
    assert literal.loc["mlp", "command"].startswith("python run.py")


def test_pictures_show_the_stored_adversarials(outputs):
    found = pd.read_csv(outputs / "figures" / "images_cifar10.csv").set_index("model")
    for path in (outputs / "attacks").glob("*-rf-hsj-*/examples.csv"):
        ran = pd.read_csv(path).set_index("index")["l2"]
        assert found.loc["rf", "l2"] == pytest.approx(ran[found.loc["rf", "index"]], rel=1e-5)
    assert found["index"].nunique() == 1


@pytest.mark.thorough
def test_svg_files_are_the_same_each_time_and_what_is_missing_has_none(outputs):
    folder = outputs / "figures"
    before = {path.name: path.read_bytes() for path in folder.glob("*.svg")}
    assert {"figure1.svg", "figure2.svg", "convergence.svg", "images_cifar10.svg"} <= set(before)
    assert "figure3.svg" not in before
    main(["--outputs", str(outputs), "--scale", "smoke"])
    assert before == {path.name: path.read_bytes() for path in folder.glob("*.svg")}


def test_the_heartbeat_and_its_adversarials(tmp_path):
    from scripts.figures.examples import figure3

    rows = []
    for number, model in enumerate(("scd01", "rf")):
        path = tmp_path / "attacks" / model
        path.mkdir(parents=True)
        original = np.linspace(0, 1, 12, dtype=np.float32)[None].repeat(2, axis=0)
        adversarial = original + np.float32(0.1 * (number + 1))
        adversarial[0] = np.nan  # this point was not fooled
        np.savez(path / "adversarials.npz", index=[7, 9], label=[0, 1], original=original, adversarial=adversarial)
        rows.append({"dataset": "ecg200", "model": model, "attack": "hsj", "norm": "l2", "start": "noise",
                     "voting": "hard", "points": 2, "max_iter": 1, "restarts": 1, "n_votes": 3, "points_rule": "first",
                     "right_for": 1,
                     "folder": model})  # fmt: skip
    drawn = figure3(results_of(pd.DataFrame(rows), tmp_path))
    assert "test beat 9" in drawn.title
    np.testing.assert_allclose(drawn.data["rf"] - drawn.data["original"], 0.2, atol=1e-6)


def test_the_best_of_all_runs_falls_to_the_least_of_each_point():
    trace = pd.DataFrame({
        "index": [1, 1, 1, 1, 2, 2], "restart": [0, 0, 1, 1, 0, 0],
        "queries": [10, 100, 20, 200, 10, 100], "l2": [4.0, 2.0, 3.0, 1.0, 8.0, 6.0],
    })  # fmt: skip
    curve = mean_best(trace).set_index("queries")["l2"]
    assert curve.iloc[0] == (4.0 + 8.0) / 2
    assert curve.iloc[-1] == (1.0 + 6.0) / 2
    assert curve[curve.index < 100].iloc[-1] == (3.0 + 8.0) / 2
    assert (np.diff(curve) <= 0).all()


@pytest.fixture
def both_sides(tmp_path, monkeypatch):
    """The figure of made-up runs on scd01: attack, its examples, and what differs from the others."""
    monkeypatch.setattr("scripts.figures.intervals.differing_settings", lambda config: "attack.steps=0 seed=1")

    def drawn(*runs):
        rows = []
        for number, (attack, table, about) in enumerate(runs):
            write_attack_table(tmp_path, str(number), pd.DataFrame(table))
            rows.append({
                "dataset": "cifar10", "model": "scd01", "attack": attack, "voting": "hard", "norm": "l2",
                "start": "noise", "points": len(table["index"]), "points_rule": "random", "max_iter": 1.0,
                "restarts": 1.0, "right_for": 1, "n_votes": 5, "folder": str(number), **about,
            })  # fmt: skip
        return intervals(results_of(pd.DataFrame(rows), tmp_path))

    return drawn


SURE = {
    "index": [3, 5, 7],
    "l2": [np.nan] * 3,
    "l2_lower": [0.0, 1.0, 2.0],
    "reason": ["already misclassified", "", ""],
}


def test_intervals_are_the_steps_of_the_certified_and_of_the_closest_attacked_distance(both_sides):
    """Points 3, 5 and 7: one is misclassified, one is certified up to its adversarial, one was never found."""
    reason = SURE["reason"]
    attacks = [
        ("hsj", {"index": [7, 5, 3], "l2": [np.nan, 4.0, np.nan], "reason": reason[::-1]}, {}),
        ("whitebox", {"index": [3, 5, 7], "l2": [np.nan, 1.5, np.nan], "reason": reason}, {}),
        ("rays", {"index": [3, 5, 8], "l2": [0.1, 0.1, 0.1]}, {}),  # other points
        ("boundary", {"index": [3, 5, 7], "l2": [0.2, 0.2, 0.2]}, {"n_votes": 3}),
        ("surfree", {"index": [3, 5, 7], "l2": [0.2, 0.2, 0.2]}, {"accuracy_ensemble": 0.8}),  # votes of another device
        ("cgba", {"index": [3, 5, 7], "l2": [0.2, 0.2, 0.2]}, {"norm": "linf"}),
    ]
    drawn = both_sides(("certificate", SURE, {}), *attacks)
    found = drawn.data.set_index("radius")
    assert found["attacks"].unique() == 2
    assert found["certified_percent"].round(1).to_dict() == {0.0: 66.7, 1.0: 33.3, 1.5: 33.3, 2.0: 0.0}
    assert found["attacked_percent"].round(1).to_dict() == {0.0: 66.7, 1.0: 66.7, 1.5: 33.3, 2.0: 33.3}
    assert drawn.runs == ("0", "1", "2")
    assert "- scd01, 3 points: certificate (steps=0), hsj (steps=0), whitebox (steps=0)." in drawn.notes
    assert both_sides(*attacks).figure is None


def test_intervals_are_of_the_most_points_that_both_sides_have(both_sides):
    """A certificate of all of 2,000 samples: an attack on 1,500 of them is shown before one on ten."""
    lower = np.linspace(0.001, 2.0, 2000)
    all_of_them = {"index": range(2000), "l2": np.nan, "l2_lower": lower}
    ten = {"index": range(1990, 2000), "l2": np.nan, "l2_lower": 3.0}
    some = {"index": range(1500), "l2": lower[:1500] + 0.5}
    whole, first = {"points_rule": "first", "points": 2000}, {"points_rule": "first", "points": 1500}
    runs = [
        ("certificate", all_of_them, whole),
        ("certificate", ten, {}),
        ("hsj", {"index": range(1990, 2000), "l2": 4.0}, {}),
        ("whitebox", some, first),
    ]
    drawn = both_sides(*runs)
    found = drawn.data.set_index("radius")
    assert set(found["points"]) == {1500}
    assert len(found) <= 66
    assert set(RADII) <= set(found.index)
    assert found.loc[1.0, "certified_percent"] == pytest.approx(100 * (lower[:1500] > 1).mean())
    assert found.loc[1.0, "attacked_percent"] == pytest.approx(100 * (lower[:1500] > 0.5).mean())
    assert drawn.runs == ("0", "3")
    without = both_sides(*runs[:3])
    assert set(without.data["points"]) == {10}
    assert without.data["radius"].tolist() == [0.0, 3.0, 4.0]  # at each point the larger of two certificates
