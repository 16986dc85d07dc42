"""The tables show what the store holds beside the paper's values, and how to fill what is missing."""

from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
import sys

import pandas as pd
import pytest

from scripts.records.command import run_command
from scripts.records.settings import CONF
from scripts.results import paper_values
from scripts.tables.write import main


def test_the_papers_numbers_are_carried_over():
    """A few read off the paper's own tables; the counts are those of its Tables 1 to 3."""
    paper = paper_values()
    assert len(paper[paper["table"] == "1"]) == 4 * 5 * 2
    assert len(paper[paper["table"] == "2"]) == 8 * 4
    assert len(paper[paper["table"] == "3"]) == 4

    def value(**where):
        rows = paper
        for name, wanted in where.items():
            rows = rows[rows[name] == wanted]
        return rows["value"].iloc[0]

    assert value(table="1", dataset="cifar10", model="scdcebnn", metric="fit_seconds_one_vote") == 422
    assert value(table="2", model="scd01", attack="hsj") == 3.2
    assert value(table="3", model="mlp") == 0.83


def test_empty_store_shows_the_commands(tmp_path, capsys):
    assert main(["--outputs", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "python run.py dataset=cifar10 model=scd01 attack=hsj" in shown
    for table in ("table1", "table2", "table3"):
        for kind in ("csv", "md"):
            assert (tmp_path / "tables" / f"{table}.{kind}").read_text()
        assert f"% {table}\n\\begin{{table}}" in (tmp_path / "tables" / "tables.tex").read_text()


def test_no_folder_is_a_sentence(tmp_path, capsys):
    assert main(["--outputs", str(tmp_path / "absent")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_runs_stand_beside_the_papers_values(compose_config, tmp_path, monkeypatch, capsys):
    """Digits renamed to cifar10: the cell holds what the runs wrote, not what the table makes up."""
    from data import digits
    from pipeline.experiment import run

    real = digits.load

    @functools.wraps(real)
    def renamed(*args, **kwargs):
        return dataclasses.replace(real(*args, **kwargs), name="cifar10")

    monkeypatch.setattr(digits, "load", renamed)
    common = ("dataset.name=cifar10", "dataset.classes=[0,1]", "model.n_votes=3")
    run(compose_config(*common, "attack.max_iter=2", "points.count=2"))
    run(compose_config(*common, "points.rule=indices", "points.indices=[0,1,2,3,4]", "attack.start=given",
                       "attack.max_iter=10", "attack.restarts=1"))  # fmt: skip
    run(compose_config(*common, "points.rule=first", "points.count=5", "attack.start=given", "attack.max_iter=10"))
    run(compose_config(*common, "points.rule=first", "points.count=9", "attack.start=given", "attack.max_iter=3"))
    outputs = tmp_path / "outputs"
    assert main(["--outputs", str(outputs)]) == 0
    summaries = pd.concat([pd.read_csv(p) for p in (outputs / "attacks").glob("*/summary.csv")])
    noise = summaries[summaries["start"] == "noise"].iloc[0]
    given = summaries[(summaries["points_rule"] == "first") & (summaries["max_iter"] == 10)].iloc[0]
    two = pd.read_csv(outputs / "tables" / "table2.csv")
    cell = two[(two["model"] == "scd01") & (two["row"] == "HopSkipJump")].iloc[0]
    assert cell["paper"] == 3.2
    assert cell["ours"] == pytest.approx(noise["l2_mean"])
    assert (cell["points"], cell["n_votes"], cell["max_iter"], cell["n_iter"]) == (2, 3, 2, 1000)
    three = pd.read_csv(outputs / "tables" / "table3.csv").set_index("model").loc["scd01"]
    assert three["ours"] == pytest.approx(given["l2_mean"])
    assert three["already_wrong"] + three["succeeded"] == 5
    one = pd.read_csv(outputs / "tables" / "table1.csv")
    fit = one[(one["row"] == "cifar10") & (one["model"] == "scd01")].iloc[0]
    assert fit["accuracy_percent"] == pytest.approx(100 * noise["accuracy_ensemble"])
    assert fit["fit_seconds_one_vote_alone"] == pytest.approx(noise["one_vote_seconds"])
    assert "paper 3.2; ours" in capsys.readouterr().out


def test_other_settings_stay_out_of_the_papers_cells(compose_config, tmp_path, monkeypatch):
    """Another pair of classes and an option of the method: counted as left out, never shown as the paper's model."""
    from data import digits
    from pipeline.experiment import run

    real = digits.load
    load = functools.wraps(real)(lambda *a, **k: dataclasses.replace(real(*a, **k), name="cifar10"))
    monkeypatch.setattr(digits, "load", load)
    common = ("dataset.name=cifar10", "dataset.classes=[0,1]", "model.n_votes=3", "attack=none")
    right = run(compose_config(*common))
    for option in ("dataset.classes=[3,5]", "model.init_thresholds=searched", "model.n_iter=999"):
        run(compose_config(*common, option, "model.n_votes=4"))
    main(["--outputs", str(tmp_path / "outputs")])
    cell = (
        pd.read_csv(tmp_path / "outputs" / "tables" / "table1.csv").set_index(["row", "model"]).loc["cifar10", "scd01"]
    )
    assert (cell["folder"], cell["votes"]) == (right["fit"], 3)
    assert "differ from those of conf/: 3 fits, 0 attacks" in (tmp_path / "outputs/tables/table1.md").read_text()


@pytest.mark.thorough
def test_arts_row_of_table_2_is_filled(compose_config, tmp_path, monkeypatch):
    pytest.importorskip("art", reason="attack=hsj_art needs an extra")
    from data import digits
    from pipeline.experiment import run

    real = digits.load
    load = functools.wraps(real)(lambda *a, **k: dataclasses.replace(real(*a, **k), name="cifar10"))
    monkeypatch.setattr(digits, "load", load)
    words = ("dataset.name=cifar10", "dataset.classes=[0,1]", "model=rf", "model.n_votes=3", "attack=hsj_art")
    run(compose_config(*words, "attack.max_iter=1", "points.count=1"))
    main(["--outputs", str(tmp_path / "outputs")])
    two = pd.read_csv(tmp_path / "outputs" / "tables" / "table2.csv").set_index(["row", "model"])
    assert two.loc[("HopSkipJump (ART)", "rf"), "ours"] > 0


@pytest.mark.thorough
def test_smoke_runs_stay_out_of_the_papers_tables(compose_config, tmp_path):
    from pipeline.experiment import run

    run(compose_config("scale=smoke"))
    main(["--outputs", str(tmp_path / "outputs")])
    assert "digits" not in (tmp_path / "outputs" / "tables" / "table1.md").read_text()
    main(["--outputs", str(tmp_path / "outputs"), "--scale", "smoke"])
    assert "digits" in (tmp_path / "outputs" / "tables" / "table1.md").read_text()


def test_tables_of_another_scale_take_its_caps_and_name_its_commands(compose_config, tmp_path, monkeypatch):
    """Tables 3 and 5 ask for iterations of their own, which a scale caps; a stand-in is named under the table."""

    def absent(*given):
        raise FileNotFoundError("nothing there")

    monkeypatch.setattr("data.cifar10._official_sets", absent)
    from pipeline.experiment import run

    smoke = ("scale=smoke", "dataset=cifar10")
    run(compose_config(*smoke, "+experiment=table3", "points.models=[]"))
    run(compose_config(*smoke, "+experiment=table5", "points.rule=first", "points.models=[]", "model.hidden_nodes=16"))
    main(["--outputs", str(tmp_path / "outputs"), "--scale", "smoke"])
    three = pd.read_csv(tmp_path / "outputs" / "tables" / "table3.csv").set_index("model")
    assert three.loc["scd01", "max_iter"] == 2
    five = pd.read_csv(tmp_path / "outputs" / "tables" / "table5.csv").set_index("model")
    assert five.loc["16 nodes", "n_iter"] == 20
    assert five.loc["4 nodes", "command"].endswith("model.n_iter=20 scale=smoke")
    shown = (tmp_path / "outputs" / "tables" / "table3.md").read_text()
    assert "Data of cifar10: digits replace cifar10, which is not there" in shown
    assert "Runs of scale=smoke" in shown


@pytest.mark.parametrize(
    ("call", "number", "reason"), [("mkstemp", 30, "Read-only file system"), ("fsync", 28, "No space")]
)
def test_a_store_that_cannot_be_written_is_a_sentence(tmp_path, capsys, monkeypatch, call, number, reason):
    """A read-only one fails when a file is made, a full one when it is written, then without the file's name."""

    def refuse(*given, dir=None, **more):
        raise OSError(number, os.strerror(number), *([f"{dir}/file"] if call == "mkstemp" else []))

    monkeypatch.setattr(f"scd.files.{'tempfile' if call == 'mkstemp' else 'os'}.{call}", refuse)
    assert run_command(lambda: main(["--outputs", str(tmp_path)])) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path}/")
    assert reason in said
    assert said.count("\n") == 1
    assert not list(tmp_path.glob("**/*.tmp"))


@pytest.mark.thorough
def test_files_are_read_and_written_as_utf_8_whatever_the_locale(tmp_path):
    command = [sys.executable, "-X", "warn_default_encoding", "-W", "always", "-m", "scripts.tables"]
    done = subprocess.run([*command, "--outputs", str(tmp_path)], cwd=CONF.parent, capture_output=True, text=True)
    assert done.returncode == 0
    own = [line for line in done.stderr.splitlines() if "EncodingWarning" in line and f"{CONF.parent}/scripts" in line]
    assert own == []
