"""The tutorials: docs/own-model.md in miniature on files of the kinds that it names, the others as written."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.baselines.authors_votes import write_votes
from tests.label_service import label_service

ROOT = Path(__file__).resolve().parents[1]
ROBUST, TABLE2 = (
    (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("is-it-robust.md", "reproduce-table2.md")
)
PAGE = (ROOT / "docs" / "own-model.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(command.replace("\\\n", " "))[2:]
    for command in re.findall(r"^python run\.py ((?:.*\\\n)*.*)$", PAGE, re.MULTILINE)
    for command in [f"python run.py {command}"]
]


def own_files(folder: Path) -> None:
    """X.npy, y.npy and t.csv: two classes in three features of different units."""
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    x = (rng.random((80, 3)) + 0.8 * y[:, None]) * [1, 10, 1000]
    np.save(folder / "X.npy", x)
    np.save(folder / "y.npy", np.array(["ham", "spam"])[y])
    pd.DataFrame({**dict(zip("abc", x.T, strict=True)), "label": y}).to_csv(folder / "t.csv", index=False)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command in a folder with these files, without a process of its own; what it prints."""
    from hydra import compose, initialize_config_dir

    from pipeline.config.resolvers import register_resolvers
    from pipeline.experiment import run_from_command_line

    own_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    register_resolvers()

    def run_words(words: list[str], conf: Path = ROOT / "conf") -> str:
        with initialize_config_dir(str(conf), version_base="1.3"):
            config = compose("config", overrides=[*words, "scale=smoke", "verbose=false"])
        status = run_from_command_line(config)
        printed = capsys.readouterr()
        assert status == 0, printed.err
        return printed.out

    return run_words


def test_the_page_has_a_command_for_a_file_a_class_and_a_service():
    assert [next(word for word in words if word.startswith("model=")) for words in COMMANDS] == [
        "model=file",
        "model=estimator",
        "model=scd_file",
        "model=endpoint",
    ]


def test_attack_my_xgboost_model(run, tmp_path):
    xgboost = pytest.importorskip("xgboost")
    x, y = np.load("X.npy"), np.load("y.npy")
    xgboost.XGBClassifier(n_estimators=20).fit(x, y == "spam").save_model("m.ubj")
    printed = run(COMMANDS[0])
    assert "file on arrays, 1 votes" in printed
    assert "success rate                 100 % (2 of 2)" in printed
    (attack,) = (tmp_path / "outputs" / "attacks").iterdir()
    found = np.load(attack / "adversarials.npz")["adversarial"]
    assert (found >= x.min(axis=0).astype("f4")).all()
    assert (found <= x.max(axis=0).astype("f4")).all()


TRUST = [] if find_spec("skops") else ["model.trust_pickle=true"]


def test_train_and_attack_a_class(run):
    assert "success rate                 100 % (2 of 2)" in run([*COMMANDS[1], *TRUST])


def test_attack_the_authors_votes(run, tmp_path):
    """On digits, which need no files."""
    (tmp_path / "checkpoints" / "pt").mkdir(parents=True)
    write_votes(tmp_path / "checkpoints" / "pt", features=64, count=8)
    words = ["dataset=digits" if word == "dataset=cifar10" else word for word in COMMANDS[2]]
    printed = run([*words, "points.rule=random"])
    assert "scd_file on digits, 8 votes" in printed
    assert "sign_pattern on 2 points" in printed


def test_attack_a_service(run, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with label_service(lambda row: "spam" if row[2] > 900 else "ham") as service:
        words = [f"model.url={service.url}" if word.startswith("model.url=") else word for word in COMMANDS[3]]
        assert "success rate                 100 % (2 of 2)" in run(words)


@pytest.mark.thorough
def test_the_python_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    Path("example.py").write_text(code, encoding="utf-8")
    names = runpy.run_path("example.py")
    x, fixed, result, there = names["X"][1:6], names["fixed"], names["result"], names["there"]
    assert result.success.all()
    assert fixed.sum() == 2
    assert (result.adversarials[:, fixed] == x[:, fixed]).all()
    assert set(names["model"].predict(there.adversarials[there.success])) == {"class_2"}
    assert len(pd.read_csv("result.csv")) == 5


def test_a_pipeline_in_a_file_of_its_own(run, tmp_path):
    """In a copy of conf/; tests/pipeline/test_own_data.py gives a folder by --config-dir."""
    (yaml,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "conf" / "model" / "scaled_svc.yaml").write_text(yaml, encoding="utf-8")
    words = [*COMMANDS[1][:3], "model=scaled_svc", "attack=none", *TRUST]
    assert "scaled_svc on table, 1 votes" in run(words, tmp_path / "conf")


@pytest.mark.thorough
def test_is_my_robust_model_robust(capsys, tmp_path):
    (tmp_path / "example.py").write_text(
        "\n".join(re.findall(r"```python\n(.*?)```", ROBUST, re.DOTALL)), encoding="utf-8"
    )
    runpy.run_path(str(tmp_path / "example.py"))
    printed, (page,) = capsys.readouterr().out, re.findall(r"It prints\n\n```\n(.*?)```", ROBUST, re.DOTALL)
    ours, theirs = ([float(line.split()[-1]) for line in text.splitlines()] for text in (printed, page))
    assert ours == pytest.approx(theirs, abs=0.05)  # another machine's product rounds differently
    assert ours[1:] == sorted(ours[1:], reverse=True)


@pytest.mark.thorough
def test_reproduce_table_2_in_miniature(run_program, tmp_path):
    command, tables = re.findall(r"^python (.*scale.smoke.*)$", TABLE2, re.MULTILINE)
    (without,) = re.findall(r"Without the extra of bnn add `(.*)`", TABLE2)
    done = run_program(*shlex.split(command)[1:], without)  # TensorFlow takes as long as all others
    assert done.stdout.endswith("2 of 2 jobs succeeded.\n"), done.stderr
    _, module, *words = shlex.split(tables)
    assert import_module(f"{module}.write").main([*words, "--outputs", str(tmp_path / "outputs")]) == 0
    table = pd.read_csv(tmp_path / "outputs" / "tables" / "table2.csv")
    assert set(table.model[table.attack.eq("hsj") & table.ours.notna()]) == {"scd01", "rf"}


def three_classes() -> None:
    """X.npy and y.npy of three classes, instead of the two of `own_files`."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    np.save("X.npy", (rng.random((90, 3)) + 0.8 * np.eye(3)[y]) * [1, 10, 1000])
    np.save("y.npy", np.array(["eggs", "ham", "spam"])[y])


def found_labels(folder: Path) -> pd.DataFrame:
    (attack,) = (folder / "outputs" / "attacks").iterdir()
    return pd.read_csv(attack / "examples.csv")


def test_an_xgboost_model_of_three_classes(run, tmp_path):
    xgboost = pytest.importorskip("xgboost")
    three_classes()
    x, y = np.load("X.npy"), np.load("y.npy")
    model = xgboost.XGBClassifier(n_estimators=20).fit(x, np.unique(y, return_inverse=True)[1])
    model.save_model("m.ubj")
    assert "success rate                 100 % (2 of 2)" in run([*COMMANDS[0], "attack.target_class=ham"])
    found = found_labels(tmp_path)
    assert set(found["adversarial_label_name"]) == {"ham"}
    (attack,) = (tmp_path / "outputs" / "attacks").iterdir()
    assert set(model.predict(np.load(attack / "adversarials.npz")["adversarial"])) == {1}


def test_a_service_of_three_classes(run, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    three_classes()
    names, unit = ["eggs", "ham", "spam"], np.array([1, 10, 1000])
    with label_service(lambda row: names[int(np.argmax(np.array(row) / unit))]) as service:
        words = [word if not word.startswith("model.url=") else f"model.url={service.url}" for word in COMMANDS[3]]
        assert "success rate                 100 % (2 of 2)" in run(words)
    found = found_labels(tmp_path)
    assert (found["label_name"] != found["adversarial_label_name"]).all()
    assert set(found["adversarial_label_name"]) <= set(names)


@pytest.mark.parametrize("target", ["sklearn.svm.SVC", "catboost.CatBoostClassifier"])
def test_a_class_of_another_library_on_three_classes(run, tmp_path, target):
    pytest.importorskip(target.split(".")[0])
    three_classes()
    more = [
        "+model.estimator.iterations=10",
        "+model.estimator.verbose=0",
        "+model.estimator.allow_writing_files=false",
    ]
    words = [
        "dataset=arrays",
        "dataset.path=X.npy",
        "dataset.labels=y.npy",
        "dataset.clip=features",
        "model=estimator",
        f"model.estimator._target_={target}",
        "model.trust_pickle=true",
        "attack=hsj",
        *(more if target.startswith("catboost") else []),
    ]
    assert "success rate                 100 % (2 of 2)" in run(words)
    found = found_labels(tmp_path)
    assert (found["label"] != found["adversarial_label"]).all()
