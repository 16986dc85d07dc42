"""Runs with more than two classes: from files to fit, evaluation, attack, records and tables."""

from __future__ import annotations

import json

import joblib
import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from pipeline.config.build import build_model
from pipeline.config.check import MULTICLASS
from pipeline.config.compose import CONF
from pipeline.errors import UserError
from pipeline.experiment import run

IRIS = load_iris()
FOREST = ("model=rf", "model.n_votes=5", "model.n_jobs=1")


@pytest.fixture
def iris(tmp_path, compose_config):
    """Composes a configuration for iris as a table, three classes by name."""
    table = pd.DataFrame(IRIS.data, columns=["sl", "sw", "pl", "pw"]).assign(kind=IRIS.target_names[IRIS.target])
    table.to_csv(tmp_path / "iris.csv", index=False)
    own = ("dataset=table", f"dataset.path={tmp_path / 'iris.csv'}", "dataset.target=kind", "points.count=6")
    return lambda *words: compose_config(*own, *words)


def outputs(config):
    from pathlib import Path

    return Path(config["paths"]["outputs"])


def test_three_classes_are_fitted_evaluated_and_attacked(iris):
    config = iris(*FOREST, "attack=hsj", "attack.max_iter=3")
    made = run(config)
    (path,) = (outputs(config) / "fits" / made["fit"]).glob("evaluation_5.json")
    evaluation = json.loads(path.read_text())
    assert len(evaluation["accuracy_per_class"]) == 3
    assert evaluation["accuracy_balanced"] == pytest.approx(np.mean(evaluation["accuracy_per_class"]))
    assert evaluation["auc"] is None
    confusion = pd.read_csv(path.with_name("confusion_5.csv"), index_col=0)
    assert confusion.index.tolist() == confusion.columns.tolist() == ["setosa", "versicolor", "virginica"]
    counts = confusion.to_numpy()
    assert counts.sum() == evaluation["n_test"]
    assert np.trace(counts) / counts.sum() == pytest.approx(evaluation["accuracy_ensemble"])
    summary = pd.read_csv(outputs(config) / "attacks" / made["attack"] / "summary.csv").iloc[0]
    assert (summary["points"], summary["succeeded"]) == (6, 6)


def examples(config, made):
    return pd.read_csv(outputs(config) / "attacks" / made["attack"] / "examples.csv")


def adversarials(config, made):
    return np.load(outputs(config) / "attacks" / made["attack"] / "adversarials.npz")


def test_records_name_the_labels_before_and_after(iris):
    config = iris(*FOREST, "attack=hsj", "attack.max_iter=2")
    table = examples(config, run(config))
    names = ["setosa", "versicolor", "virginica"]
    assert [names[label] for label in table["label"]] == table["label_name"].tolist()
    assert [names[label] for label in table["adversarial_label"]] == table["adversarial_label_name"].tolist()
    assert (table["label"] != table["adversarial_label"]).all()


@pytest.mark.parametrize("attack", [("attack=hsj", "attack.max_iter=3"), ("attack=rays", "scale.queries=500"),
                                    ("attack=hsj", "attack.max_iter=3", "attack.start=given")])  # fmt: skip
def test_a_target_class_is_reached_from_its_own_samples(iris, attack):
    config = iris(*FOREST, *attack, "attack.target_class=virginica")
    made = run(config)
    table = examples(config, made)
    assert (table["label_name"] != "virginica").all()
    assert set(table.loc[table["success"] == 1, "adversarial_label_name"]) == {"virginica"}
    assert table["success"].mean() >= 0.5
    summary = pd.read_csv(outputs(config) / "attacks" / made["attack"] / "summary.csv").iloc[0]
    assert (summary["target_class"], summary["n_classes"]) == ("virginica", 3)


MLP = ("model=mlp", "model.n_votes=2", "model.n_jobs=1", "model.max_iter=60", "model.learning_rate=0.5")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "attack",
    [
        ("attack=whitebox", "attack.max_iter=20"),
        ("attack=whitebox", "attack.max_iter=20", "attack.target_class=setosa", "attack.mask=[sl]"),
        ("attack=transfer", "attack.max_iter=2"),
        ("attack=transfer", "attack.max_iter=2", "attack.target_class=versicolor", "attack.mask=[sl]"),
        ("attack=substitute", "attack.rounds=2", "attack.epsilon=0.25"),
        ("attack=noise", "attack.levels=10"),
    ],
)
def test_every_kind_of_attack_takes_more_than_two_classes(iris, attack):
    config = iris(*MLP, *attack, "points.count=12", "dataset.scaling=minmax")
    table = examples(config, run(config))
    found = table[table["success"] == 1]
    assert len(found) or attack[0] == "attack=substitute"
    assert (found["label_name"] != found["adversarial_label_name"]).all()
    assert table.loc[table["success"] == 0, "adversarial_label_name"].isna().all()


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_substitute_learns_the_class_that_it_is_to_reach(iris):
    """Its points are also those of that class; they are no attacked points."""
    settings = ("attack.rounds=3", "attack.epochs=200", "attack.epsilon=0.25", "points.count=36")
    config = iris(*MLP, "attack=substitute", *settings, "attack.target_class=versicolor", "dataset.scaling=minmax")
    made = run(config)
    table = examples(config, made)
    trained = table["reason"] == "used to train the substitute"
    assert "versicolor" in set(table.loc[trained, "label_name"])
    found = table[table["success"] == 1]
    assert len(found)
    assert set(found["adversarial_label_name"]) == {"versicolor"}
    assert "versicolor" not in set(found["label_name"])
    curve = pd.read_csv(outputs(config) / "attacks" / made["attack"] / "curve.csv")
    assert {"reached", "noise_reached"} <= set(curve)
    fixed = iris(*MLP, "attack=substitute", *settings, "attack.mask=[sl,pw]", "dataset.scaling=minmax")
    stored = adversarials(fixed, run(fixed))
    kept = np.isfinite(stored["adversarial"]).all(axis=1)
    assert kept.any()
    assert np.array_equal(stored["adversarial"][kept][:, [0, 3]], stored["original"][kept][:, [0, 3]])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_white_box_adversarials_of_whole_numbers(iris, tmp_path):
    config = iris("model=logistic", "attack=whitebox", "attack.max_iter=20", "attack.integer=true")
    tenths = pd.read_csv(tmp_path / "iris.csv")
    tenths.iloc[:, :4] *= 10
    tenths.round().to_csv(tmp_path / "iris.csv", index=False)
    made = run(config)
    stored = adversarials(config, made)
    kept = np.isfinite(stored["adversarial"]).all(axis=1)
    assert kept.any()
    assert np.array_equal(stored["adversarial"][kept], np.rint(stored["adversarial"][kept]))
    moved = stored["adversarial"][kept].astype(float) - stored["original"][kept]
    np.testing.assert_allclose(examples(config, made)["l2"][kept], np.linalg.norm(moved, axis=1))


def test_features_stay_fixed_or_whole_and_the_settings_are_part_of_the_key(iris, tmp_path):
    words = (*FOREST, "attack=hsj", "attack.max_iter=2")
    fixed = iris(*words, "attack.mask=[sl,3]")
    made = run(fixed)
    stored = adversarials(fixed, made)
    found = np.isfinite(stored["adversarial"]).all(axis=1)
    assert found.any()
    assert np.array_equal(stored["adversarial"][found][:, [0, 3]], stored["original"][found][:, [0, 3]])
    np.save(tmp_path / "mask.npy", np.array([True, False, False, True]))
    assert run(iris(*words, f"attack.mask={tmp_path / 'mask.npy'}"))["attack"] == made["attack"]
    plain = run(iris(*words))
    assert plain["attack"] != made["attack"]
    tenths = pd.read_csv(tmp_path / "iris.csv")
    tenths.iloc[:, :4] *= 10
    tenths.round().to_csv(tmp_path / "iris.csv", index=False)
    whole = iris(*words, "attack.integer=true")
    stored = adversarials(whole, run(whole))
    kept = stored["adversarial"][np.isfinite(stored["adversarial"]).all(axis=1)]
    assert len(kept)
    assert np.array_equal(kept, np.rint(kept))


def test_no_bounds(iris):
    config = iris("model=logistic", "model.C=100", "dataset.clip=null", "attack=hsj", "attack.max_iter=4")
    table = examples(config, run(config))
    assert table["success"].all()
    certified = iris("model=logistic", "model.C=100", "dataset.clip=null", "attack=certificate")
    radii = examples(certified, run(certified))
    assert radii["index"].tolist() == table["index"].tolist()
    assert (radii["l2_lower"] <= table["l2"]).all()
    assert (radii["l2_lower"] >= 0.8 * table["l2"]).sum() >= 3
    with pytest.raises(UserError, match=r"attack=whitebox needs bounds of the features: set dataset\.clip"):
        run(iris("model=logistic", "dataset.clip=null", "attack=whitebox"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("attack=hsj", "attack.target_class=rose"), "target_class must be a class of table: setosa, versicolor, virg"),
        (
            ("attack=hsj", "attack.mask=[sl,petal]"),
            r"its features are sl, sw, pl, pw, or numbers in 0\.\.3. Got 'petal'",
        ),
        (("attack=hsj", "attack.mask=[0,1,2,3]"), "must leave at least one feature"),
        (("attack=hsj", "attack.integer=nowhere.npy"), r"attack\.integer=nowhere\.npy cannot be read"),
        (
            ("attack=hsj", "attack.integer=[pl]"),
            r"features of table that are whole numbers\. Got .* feature 2",
        ),
        (
            ("attack=cgba", "attack.subspace=dct"),
            r"is for images and signals: the features of dataset=table have no order",
        ),
        (("attack=transfer", "+attack.integer=true"), r"attack\.integer is not for attack=transfer"),
        (("attack=substitute", "+attack.integer=[0]"), r"attack\.integer is not for attack=substitute"),
        (("attack=hsj", "points.rule=indices", "points.indices=[0,999]"), r"points\.indices must be in 0\.\.35"),
        (("attack=leaf_tuple",), "attack=leaf_tuple on model=rf is for two classes, and dataset=table has 3"),
        (("attack=certificate",), "attack=certificate on model=rf is for two classes, and dataset=table has 3"),
        (("attack=transfer", "model.use_votes=1"), r"attack=transfer needs an ensemble of two votes or more.* Got 1\."),
    ],
)
def test_bad_settings_of_the_call_are_one_sentence_before_the_fit(iris, monkeypatch, words, sentence):
    monkeypatch.setattr("pipeline.experiment.fit", None)
    with pytest.raises(UserError, match=sentence):
        run(iris(*FOREST, *words))


def test_perceptrons_of_three_classes_are_not_certified(iris, monkeypatch):
    monkeypatch.setattr("pipeline.experiment.fit", None)
    with pytest.raises(UserError, match="attack=certificate on model=mlp is for two classes, and dataset=table has 3"):
        run(iris("model=mlp", "attack=certificate"))


@pytest.mark.parametrize("attack", ["leaf_tuple", "certificate"])
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["svm.SVC"], "The trees must be those of .* Got SVC instead"),
        (["ensemble.RandomForestClassifier", "model.n_votes=2"], "Several classifiers with voting='hard' are a sum"),
    ],
)
def test_an_estimator_that_is_no_sum_of_trees_is_refused_before_the_fit(iris, monkeypatch, attack, words, sentence):
    monkeypatch.setattr("pipeline.experiment.fit", None)
    model = ("model=estimator", f"model.estimator._target_=sklearn.{words[0]}", "model.trust_pickle=true", *words[1:])
    with pytest.raises(UserError, match=f"attack={attack}: {sentence}"):
        run(iris(*model, f"attack={attack}", "dataset.classes=[setosa,virginica]"))


def test_a_scale_keeps_every_class(iris):
    config = iris(*FOREST, "attack=none", "scale=smoke", "scale.rows=30")
    made = run(config)
    (path,) = (outputs(config) / "fits" / made["fit"]).glob("evaluation_5_smoke.json")
    assert json.loads(path.read_text())["n_test"] == 30


@pytest.mark.parametrize("model", ["scd01", "scdcebnn"])
def test_a_model_for_two_classes_names_those_for_more(iris, model):
    config = iris(f"model={model}", "attack=none")
    with pytest.raises(UserError, match=f"model={model} is for two classes, and dataset=table has 3: choose two.*rf"):
        run(config)


@pytest.mark.thorough
def test_the_models_that_are_named_are_those_for_more_classes(compose_config, tmp_path):
    names = [path.stem for path in sorted((CONF / "model").glob("*.yaml"))]
    words = {
        "estimator": ["model.estimator._target_=sklearn.naive_bayes.GaussianNB", "model.trust_pickle=true"],
        "file": [f"model.path={tmp_path / 'm.pkl'}", "model.trust_pickle=true"],
        "endpoint": ["model.url=http://localhost/x"],
        "scd_file": [f"model.path={tmp_path}", "model.n_votes=1"],
    }
    (tmp_path / "vote_0.pt").write_bytes(b"")
    (tmp_path / "m.pkl").write_bytes(b"")
    able = [name for name in names if build_model(compose_config(f"model={name}", *words.get(name, []))).multiclass]
    assert sorted(able) == sorted(MULTICLASS)
    assert all(yaml.safe_load((CONF / "model" / f"{name}.yaml").read_text())["name"] == name for name in MULTICLASS)


def test_classes_of_the_embedded_digits(compose_config):
    config = compose_config("dataset=digits", "dataset.classes=[7,1,4]", *FOREST, "attack=none")
    made = run(config)
    (path,) = (outputs(config) / "fits" / made["fit"]).glob("evaluation_5.json")
    assert json.loads(path.read_text())["accuracy_ensemble"] > 0.8


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.filterwarnings("ignore:.*is loaded as a pickle")
def test_a_model_that_knows_its_columns_refuses_a_table_of_others(iris, tmp_path):
    table = pd.read_csv(tmp_path / "iris.csv")
    joblib.dump(LogisticRegression(max_iter=500).fit(table.iloc[:, :4], table["kind"]), tmp_path / "m.joblib")
    config = iris("model=file", f"model.path={tmp_path / 'm.joblib'}", "model.trust_pickle=true", "attack=none")
    run(config)
    table.iloc[:, [1, 0, 2, 3, 4]].to_csv(tmp_path / "iris.csv", index=False)
    with pytest.raises(UserError, match=r"must be the features of the model, in its order: sl, .* Got sw for sl\."):
        run(config)
