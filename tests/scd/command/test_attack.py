"""``scd attack``: from a model's file and a file of samples to a table and the pipeline's records."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from attacks import HopSkipJump, SmoothedBoundary
from pipeline.records import examples_table
from scd import SCDClassifier, __version__
from scd.command.line import main
from scd.storage import save_votes

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is loaded as a pickle"),
    pytest.mark.filterwarnings("ignore:X does not have valid feature names"),
]


@pytest.fixture(scope="module")
def iris():
    data = load_iris()
    return data.data.astype(np.float32), data.target_names[data.target], list(data.feature_names)


@pytest.fixture
def folder(iris, tmp_path, monkeypatch):
    """A folder with a model of three named classes, and its data as a table and as arrays."""
    x, y, names = iris
    monkeypatch.chdir(tmp_path)
    model = LogisticRegression(max_iter=500).fit(x, y)
    model.feature_names_in_ = np.array(names, dtype=object)  # as if it was fitted on the table
    joblib.dump(model, "m.joblib")
    pd.DataFrame(x, columns=names).assign(species=y).to_csv("t.csv", index=False)
    np.save("X.npy", x)
    np.save("y.npy", y)
    np.savez("both.npz", x_test=x, y_test=y)
    return tmp_path


class Cautious(LogisticRegression):
    """Names a class that it finds possible, although another may be likelier."""

    def predict(self, x):
        """(n,) labels."""
        return np.where(self.predict_proba(x)[:, 2] > 0.1, self.classes_[2], super().predict(x))


TABLE = ("--data", "t.csv", "--target", "species")
MODEL = ("--model", "m.joblib", "--trust-pickle")
SHORT = ("--budget", "300", "--points", "4")


def attack(*words: str) -> int:
    return main(["attack", *words])


def test_a_row_for_each_point_and_what_a_distance_is(folder, capsys):
    assert attack(*MODEL, *TABLE, *SHORT) == 0
    lines = capsys.readouterr().out.splitlines()
    header = next(i for i, line in enumerate(lines) if line.split()[:1] == ["index"])
    assert lines[header].split() == ["index", "label", "adversarial", "L2", "queries"]
    rows = [line.split() for line in lines[header + 1 : header + 5]]
    for index, label, adversarial, distance, queries in rows:
        assert int(index) in range(150)
        assert label != adversarial
        assert float(distance) > 0
        assert int(queries) <= 300
    assert any("upper bound of the minimum" in line for line in lines)


def test_the_result_is_that_of_the_attack_in_python(folder, iris, capsys):
    x, y, _ = iris
    assert attack(*MODEL, *TABLE, *SHORT, "--seed", "3", "--out", "out") == 0
    found = pd.read_csv("out/examples.csv", float_precision="round_trip")
    index = found["index"].to_numpy()
    model = joblib.load("m.joblib")
    direct = HopSkipJump(restarts=1, query_budget=300, seed=3)
    expected = direct(model, x[index], y[index], clip=(x.min(axis=0), x.max(axis=0)), index=index)
    np.testing.assert_array_equal(found["l2"], expected.l2)
    np.testing.assert_array_equal(found["adversarial_label"], model.predict(expected.adversarials))
    stored = np.load("out/adversarials.npz")
    np.testing.assert_array_equal(stored["adversarial"], expected.adversarials)
    np.testing.assert_array_equal(stored["original"], x[index])


def test_the_records_are_those_of_the_pipeline(folder, capsys):
    assert attack(*MODEL, *TABLE, *SHORT, "--out", "out") == 0
    found = pd.read_csv("out/examples.csv")
    names = list(found.columns)
    assert names[-1] == "adversarial_label"
    result = HopSkipJump(restarts=1, max_iter=1)(joblib.load("m.joblib"), np.load("X.npy")[:2], clip=(0, 8))
    assert names[:-1] == list(examples_table(result, 1.0).columns)
    row = pd.read_csv("out/summary.csv").iloc[0]
    assert (row["dataset"], row["model"], row["attack"], row["points"]) == ("t.csv", "m.joblib", "hsj", 4)
    assert row["l2_mean"] == pytest.approx(found["l2"].mean())
    assert row["queries_mean"] == found["queries"].mean()
    assert pd.read_csv("out/trace.csv").columns.tolist() == list(result.trace)
    assert json.loads(Path("out/provenance.json").read_text())["options"]["budget"] == 300
    assert not Path("out/state.npz").exists()


@pytest.mark.parametrize("words", [("--data", "X.npy", "--labels", "y.npy"), ("--data", "both.npz")])
def test_arrays_give_the_results_of_the_table(folder, words, capsys):
    lines = []
    for data in (TABLE, (*words, "--clip", "features")):
        assert attack(*MODEL, *data, *SHORT) == 0
        lines.append([line for line in capsys.readouterr().out.splitlines() if "points of" not in line][:-1])
    assert lines[0] == lines[1]


def test_rows_of_an_array_are_signals_whose_low_frequencies_an_attack_may_take(folder, capsys):
    assert attack(*MODEL, "--data", "X.npy", *SHORT, "--set", "subspace=dct", "--set", "subspace_size=2") == 0
    assert attack(*MODEL, "--data", "X.npy", *SHORT, "--attack", "smoothed_lowfreq") == 0
    assert "upper bound of the minimum" in capsys.readouterr().out


def test_without_classes_those_of_the_model_count_as_true(folder, capsys):
    assert attack(*MODEL, "--data", "X.npy", *SHORT) == 0
    assert "accuracy" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "name",
    [
        "rays",
        "smoothed_boundary",
        "smoothed_few",
        "surrogate",
        "surrogate_linear",
        "noise",
        "boundary",
        "surfree",
        "cgba",
        "signopt",
        "arsopt",
        "hsj_wide",
    ],
)
def test_every_attack_stays_within_the_budget(folder, name, capsys):
    assert attack(*MODEL, *TABLE, "--budget", "60", "--points", "2", "--attack", name, "--out", "out") == 0
    found = pd.read_csv("out/examples.csv")
    assert found["queries"].max() <= 60
    assert found["success"].all()


def test_the_other_samples_are_those_that_an_attack_starts_from_or_trains_on(folder, monkeypatch):
    pools = []
    monkeypatch.setattr(SmoothedBoundary, "__call__", lambda self, *given, **more: pools.append(more) or 1 / 0)
    for words in (("smoothed_boundary", "--set", "start=nearest"), ("surrogate",), ("smoothed_boundary",)):
        with pytest.raises(ZeroDivisionError):
            attack(*MODEL, *TABLE, "--points", "4", "--attack", *words)
    table = pd.read_csv("t.csv").iloc[:, :-1].to_numpy(np.float32)
    assert [len(more.get("pool", [])) for more in pools] == [len(table) - 4, len(table) - 4, 0]
    np.testing.assert_array_equal(pools[0]["pool"], np.delete(table, pools[0]["index"], axis=0))


def test_votes_of_sign_networks_from_a_file_and_from_the_store(iris, tmp_path, monkeypatch, capsys):
    x, y, _ = iris
    x, y = x[50:], y[50:]
    monkeypatch.chdir(tmp_path)
    model = SCDClassifier(n_votes=3, n_iter=20, device="cpu", random_state=0).fit(x, y)
    model.save("m.npz")
    Path("fit").mkdir()
    save_votes("fit/votes_00000-00000.npz", model.votes_[:1], {})
    save_votes("fit/votes_00001-00002.npz", model.votes_[1:], {})
    np.savez("d.npz", X=x, Y=y)
    tables = []
    for words in (("--model", "m.npz"), ("--model", "fit", "--classes", "versicolor,virginica")):
        assert attack(*words, "--data", "d.npz", *SHORT, "--out", words[1] + "_out") == 0
        tables.append(pd.read_csv(f"{words[1]}_out/examples.csv").drop(columns="seconds"))
    pd.testing.assert_frame_equal(*tables)
    Path("fit/votes_00000-00000.npz").unlink()
    assert attack("--model", "fit", "--data", "d.npz") == 2
    assert "Number 0 is missing" in capsys.readouterr().err


def test_the_labels_are_those_that_the_model_predicts_not_the_largest_of_its_probabilities(iris, tmp_path, monkeypatch):
    """Those of a support vector machine are fitted apart from its labels, other models have thresholds of their own."""
    x, y, names = iris
    monkeypatch.chdir(tmp_path)
    model = Cautious(max_iter=500).fit(x, y)
    assert (model.predict(x) != model.classes_[model.predict_proba(x).argmax(axis=1)]).any()
    joblib.dump(model, "m.joblib")
    pd.DataFrame(x, columns=names).assign(species=y).to_csv("t.csv", index=False)
    assert attack(*MODEL, *TABLE, "--budget", "50", "--points", "150", "--out", "out", "--attack", "noise") == 0
    assert pd.read_csv("out/summary.csv")["accuracy_ensemble"].item() == (model.predict(x) == y).mean()
    found = pd.read_csv("out/examples.csv")
    done = found["success"].to_numpy() == 1
    with np.load("out/adversarials.npz") as stored:
        expected = model.predict(stored["adversarial"][done]).tolist()
    assert found["adversarial_label"][done].tolist() == expected


@pytest.mark.parametrize("kind", [int, float, bool])
def test_numbered_classes_are_those_of_the_data_or_are_named(iris, tmp_path, monkeypatch, capsys, kind):
    x, y, names = iris
    x, number = x[50:], (y[50:] == "virginica").astype(kind)
    monkeypatch.chdir(tmp_path)
    joblib.dump(LogisticRegression(max_iter=500).fit(x, number), "m.joblib")
    pd.DataFrame(x, columns=names).assign(species=number).to_csv("t.csv", index=False)
    pd.DataFrame(x, columns=names).assign(species=1 + (y[50:] == "virginica")).to_csv("later.csv", index=False)
    assert attack(*MODEL, *TABLE, *SHORT) == 0
    if kind is bool:
        return
    later = (*MODEL, "--data", "later.csv", "--target", "species", *SHORT)
    assert attack(*later) == 2
    assert "must be 0, 1, as the model numbers them, or be named in its order" in capsys.readouterr().err
    assert attack(*later, "--classes", "1,2") == 0
    assert "accuracy on the data         9" in capsys.readouterr().out


def test_an_interrupted_attack_continues(folder, monkeypatch, capsys):
    words = (*MODEL, *TABLE, "--budget", "2000", "--points", "3")
    assert attack(*words, "--out", "whole") == 0
    calls, predict = [0], LogisticRegression.predict

    def interrupted(self, inputs):
        calls[0] += 1
        if calls[0] == 60:
            raise KeyboardInterrupt
        return predict(self, inputs)

    monkeypatch.setattr(LogisticRegression, "predict", interrupted)
    assert attack(*words, "--out", "parts") == 130
    assert "the same command continues" in capsys.readouterr().err
    assert Path("parts/state.npz").exists()
    assert attack(*words, "--out", "parts") == 0
    whole, parts = (pd.read_csv(f"{name}/examples.csv").drop(columns="seconds") for name in ("whole", "parts"))
    pd.testing.assert_frame_equal(whole, parts)


def test_a_full_disk_does_not_cost_the_numbers(folder, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device", "out/summary.csv")

    monkeypatch.setattr("scd.command.records.write_text", full)
    assert attack(*MODEL, *TABLE, *SHORT, "--out", "out") == 2
    printed = capsys.readouterr()
    assert "mean minimum L2" in printed.out
    assert "written to" not in printed.out
    assert "No space left on device" in printed.err
    assert Path("out/state.npz").exists()  # the same command writes the rest


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--model", "no.ubj", *TABLE), "--model no.ubj is not there."),
        (("--model", "t.csv", *TABLE), "--model must end in .npz, .skops, .ubj"),
        (("--model", "m.joblib", *TABLE), "give --trust-pickle if you trust its author"),
        ((*MODEL, "--data", "no.csv"), "--data no.csv is not there."),
        ((*MODEL, "--data", "m.joblib"), "--data must end in .csv, .tsv, .parquet"),
        ((*MODEL, "--data", "t.csv", "--target", "kind"), "--target must be a column of t.csv: sepal length (cm)"),
        ((*MODEL, "--data", "bare.csv", "--target", "kind"), "Its first line must have the names of the columns."),
        ((*MODEL, "--data", "t.csv"), "The column 'species' of t.csv must be numbers. Got 'setosa' in sample 0"),
        ((*MODEL, "--data", "X.npy", "--target", "species"), "--target is for tables"),
        ((*MODEL, *TABLE, "--labels", "y.npy"), "--labels is for arrays"),
        ((*MODEL, "--data", "X.npy", "--labels", "short.npy"), "must be one for each of 150 samples. Got shape (3,)"),
        (
            (*MODEL, "--data", "nan.npy"),
            "Got NaN or infinity in 1 of them, the first is sample 2",
        ),
        ((*MODEL, "--data", "two.npy"), "cannot predict samples of 2 features: X has 2 features"),
        ((*MODEL, "--data", "ragged.csv"), "must have 2 cells like the line of names. Got 1 in sample 1."),
        ((*MODEL, *TABLE, "--attack", "rays", "--norm", "l2"), "--norm must be linf, which rays minimises. Got l2."),
        ((*MODEL, *TABLE, "--set", "tries=3"), "--set must name a parameter of hsj: norm, max_iter"),
        ((*MODEL, *TABLE, "--set", "delta=-1"), "The 'delta' parameter of HopSkipJump must be a number > 0. Got -1"),
        ((*MODEL, *TABLE, "--attack", "smoothed_lowfreq"), "with subspace='dct': flat samples have no order. Got None"),
        ((*MODEL, *TABLE, "--set", "subspace=dct"), "with subspace='dct': flat samples have no order. Got None"),
        ((*MODEL, *TABLE, "--clip", "0"), "--clip must be features, data or two numbers low,high. Got 0."),
        ((*MODEL, *TABLE, "--clip", "0,1"), "must be within the clip bounds [0, 1]"),
        ((*MODEL, *TABLE, "--classes", "a,b,c"), "--classes must not differ from the model's classes"),
        ((*MODEL, "--data", "X.npy", "--labels", "codes.npy"), "classifies no sample of --data correctly"),
        ((*MODEL, *TABLE, "--set", "query_budget=9"), "--set must not name query_budget, which --budget gives"),
        ((*MODEL, "--data", "turned.csv", "--target", "species"), "Got petal width (cm) for sepal length (cm)."),
        ((*MODEL, "--data", "blank.csv", "--target", "species"), "must not be empty. Got none in sample 4."),
        ((*MODEL, *TABLE, "--out", "old"), "--out old has the results of another attack"),
    ],
)
def test_bad_input_is_one_sentence(folder, capsys, words, sentence):
    np.save("short.npy", np.zeros(3, dtype=int))
    np.save("codes.npy", np.zeros(150, dtype=int))
    np.save("nan.npy", np.array([[0.0], [1.0], [np.nan]]))
    np.save("two.npy", np.zeros((3, 2)))
    Path("bare.csv").write_text("1.5,-2e-3\n1,2\n")
    Path("ragged.csv").write_text("a,b\n1,2\n3\n")
    table = pd.read_csv("t.csv")
    pd.concat([table.iloc[:, 3::-1], table["species"]], axis=1).to_csv("turned.csv", index=False)
    table.assign(species=np.where(np.arange(150) == 4, "", table["species"])).to_csv("blank.csv", index=False)
    Path("old").mkdir()
    Path("old/examples.csv").write_text("")
    assert attack(*words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert sentence in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "the following arguments are required: command; see scd --help"),
        (["attack", "--model", "m"], "the following arguments are required: --data; see scd attack --help"),
        (["attack", "--model", "m", "--data", "d", "--attack", "hjs"], "invalid choice: 'hjs'"),
        (["attack", "--model", "m", "--data", "d", "--budget", "0"], "must be a whole number of at least 1. Got 0"),
        (["attack", "--model", "m", "--data", "d", "--set", "delta"], "invalid setting value: 'delta'"),
    ],
)
def test_a_bad_option_is_one_sentence(capsys, words, sentence):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert sentence in error
    assert error.count("\n") == 1


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "scd", "--version"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, f"scd {__version__}\n")
