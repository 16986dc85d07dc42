"""A publication carries every number, no weights, no folders of the machine; its tables equal those of the runs."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from pipeline.store import write_checked
from scripts.publish import main, without_folders
from scripts.publish import publish as publish_data
from scripts.records.publication import read_published
from scripts.records.run_store import RunStore
from scripts.tables.write import main as make_tables
from tests.mini_texts import write_texts


@pytest.fixture(scope="module")
def ran(tmp_path_factory, run_in_miniature):
    """Attacks on digits, and on digits under the name of CIFAR-10."""
    folder = tmp_path_factory.mktemp("publish")
    for words in (("attack=hsj", "dataset=digits"), ("attack=hsj",), ("attack=transfer",)):
        run_in_miniature(folder, *words)
    return folder


@pytest.fixture
def outputs(ran, tmp_path):
    return shutil.copytree(ran, tmp_path / "outputs")


@pytest.fixture
def publish(outputs, tmp_path):
    """Publish the data of the outputs, or with `all_of_it` tables, figures and report too; the content."""

    def published(all_of_it=False):
        to = tmp_path / "published"
        if all_of_it:
            assert main(["--outputs", str(outputs), "--to", str(to), "--scale", "smoke"]) == 0
        else:
            publish_data(outputs, to)
        return read_published(to)

    return published


def without_checksum(facts):
    return {name: value for name, value in facts.items() if name != "checksum"}


def rendered(folder):
    """Tables and figures in a folder; "your runs" and images of sets that are not ours to publish aside."""
    paths = [*(folder / "tables").iterdir(), *(folder / "figures").iterdir()]
    found = {path.name: path.read_bytes() for path in paths if path.stem not in ("images_cifar10", "other_runs")}
    latex = (b"\n" + found.pop("tables.tex")).split(b"\n% ")
    return {**found, "latex": [table for table in latex if not table.startswith(b"other_runs")]}


@pytest.mark.thorough
def test_tables_and_figures_of_a_publication_equal_those_of_the_runs(outputs, publish, tmp_path):
    """And it knows its scale, and where its runs are shown."""
    make_tables(["--outputs", str(outputs), "--scale", "smoke"])
    content = publish(all_of_it=True)
    assert rendered(tmp_path / "published") == rendered(outputs)
    assert json.loads((tmp_path / "published" / "publication.json").read_text()) == {"scale": "smoke"}
    assert {"table1", "table2", "table6"} <= set(" ".join(content.tables["runs"]["shown_in"].dropna()).split())


def test_every_example_and_the_headline_of_every_attack_are_published(outputs, publish):
    content = publish()
    runs = content.tables["runs"].set_index("run")
    for folder in (outputs / "attacks").iterdir():
        summary = pd.read_csv(folder / "summary.csv").iloc[0]
        examples = content.tables["examples"].query("run == @folder.name")
        ours = pd.read_csv(folder / "examples.csv")
        assert (examples["l2"].to_numpy() == ours["l2"].to_numpy()).all()
        if summary["attack"] == "hsj":
            assert runs.loc[folder.name, "value"] == summary["l2_mean"]
            assert runs.loc[folder.name, "metric"] == "l2_mean"
        else:
            transfer = pd.read_csv(folder / "transfer.csv").set_index("overshoot")
            assert runs.loc[folder.name, "value"] == transfer.loc[0.0, "p_main"]


def test_of_many_examples_a_few_columns_are_published_rounded_to_the_safe_side():
    from scripts.publish import _MANY, _examples, _published_record

    l2 = np.resize([0.1234561, 2.00001, 12345.6, np.nan, np.inf, 1e-9, 0.0], _MANY + 1)
    table = pd.DataFrame({"index": range(_MANY + 1), "label": 1, "reason": "", "l2": l2, "linf": 0.5, "seconds": 0.5})
    found = _examples(table.assign(l2_lower=l2))
    assert list(found) == ["index", "label", "reason", "l2", "l2_lower"]
    assert found["l2"].head(7).tolist()[:3] == [0.12346, 2.0001, 12346.0]
    assert found["l2_lower"].head(7).tolist()[:3] == [0.12345, 2.0, 12345.0]
    for name in ("l2", "l2_lower"):
        np.testing.assert_allclose(found[name], l2, rtol=1e-4)
    assert _examples(table.head(_MANY)).equals(table.head(_MANY).drop(columns="seconds"))
    texts = table.drop(columns="l2").assign(score_after=l2, words=55)
    found = _examples(texts)
    assert found.drop(columns="score_after").equals(texts.drop(columns=["score_after", "seconds"]))
    assert found["score_after"].head(5).tolist()[:3] == [0.12346, 2.0, 12346.0]
    record = {"config": {"dataset": {}}, "points": list(range(_MANY + 1))}
    assert "points" not in _published_record(record)
    assert _published_record({**record, "points": [3]})["points"] == [3]


def test_settings_name_what_differs_from_the_configured_ones(outputs, run_in_miniature, publish):
    run_in_miniature(outputs, "attack=hsj", "model.step_hidden=0.3", "attack.restarts=2", "seed=5")
    content = publish()
    runs = content.tables["runs"]
    (changed,) = runs[(runs["kind"] == "attack") & (runs["seed"] == 5)].to_dict("records")
    for setting in ("model.step_hidden=0.3", "attack.restarts=2", "seed=5"):
        assert setting in changed["settings"]
    assert not changed["as_configured"]
    other = runs[(runs["kind"] == "attack") & (runs["seed"] == 0)]
    assert other["as_configured"].all()
    assert other["settings"].isna().all()


def test_no_weights_no_images_of_others_and_no_folders_are_published(tmp_path, publish):
    content = publish(all_of_it=True)
    to = tmp_path / "published"
    assert {run.split("-")[0] for run in content.pictures} == {"digits"}
    assert {path.suffix for path in to.rglob("*") if path.is_file()} <= {
        ".csv", ".gz", ".xz", ".json", ".md", ".tex", ".svg", ".html", ".npz",
    }  # fmt: skip
    assert [path.name for path in to.rglob("*.npz")] == ["adversarials.npz"]
    assert str(tmp_path) not in json.dumps(content.records)
    for path in (*to.rglob("*.csv"), *to.rglob("*.html"), *to.rglob("*.md")):
        assert str(tmp_path) not in path.read_text(), path


@pytest.mark.thorough
def test_texts_are_not_published_but_table_7_is_that_of_the_runs(compose_config, tmp_path):
    from pipeline.experiment import run

    write_texts(tmp_path, "mr")
    plain = [f"attack.{part}=none" for part in ("similarity", "part_of_speech", "stop_words")]
    run(compose_config("dataset=mr", "model=rf", "attack=textfooler", "scale=smoke", *plain))
    outputs, to = tmp_path / "outputs", tmp_path / "published"
    make_tables(["--outputs", str(outputs), "--scale", "smoke"])
    assert main(["--outputs", str(outputs), "--to", str(to), "--scale", "smoke"]) == 0
    assert rendered(to) == rendered(outputs)
    content = read_published(to)
    (texts,) = outputs.glob("attacks/*/texts.jsonl")
    examples = content.tables["examples"]
    assert len(examples) == len(texts.read_text().splitlines())
    document = json.loads(texts.read_text().splitlines()[0])["original"]
    assert " ".join(document) not in examples.to_csv() + json.dumps(content.records)
    assert not content.pictures


def test_runs_of_earlier_calls_stay(outputs, publish):
    before = publish()
    for folder in (outputs / "attacks").glob("*"):
        (folder / "done.json").unlink()
    after = publish()
    for name, table in before.tables.items():
        pd.testing.assert_frame_equal(after.tables[name], table)
    assert after.records == before.records


def test_a_run_that_was_made_again_replaces_its_rows(outputs, publish):
    before = publish()
    (evaluation,) = outputs.glob("fits/digits-*/evaluation_*.json")
    facts = json.loads(evaluation.read_text())
    write_checked(evaluation, {**without_checksum(facts), "accuracy_ensemble": 0.125})
    after = publish()
    assert len(after.tables["runs"]) == len(before.tables["runs"])
    assert after.tables["runs"].set_index("run").loc[evaluation.parent.name, "value"] == 0.125


@pytest.mark.thorough
def test_the_record_of_a_fit_on_another_device_stays(outputs, publish, capsys):
    before = publish(all_of_it=True)
    (shard,) = outputs.glob("fits/digits-*/votes_00000-00000.json")
    about = shard.read_text().replace('"device": "cpu"', '"device": "cuda (NVIDIA H200)"')
    write_checked(shard, without_checksum(json.loads(about)))
    (evaluation,) = shard.parent.glob("evaluation_*.json")
    write_checked(evaluation, {**without_checksum(json.loads(evaluation.read_text())), "accuracy_ensemble": 0.125})
    capsys.readouterr()
    after = publish(all_of_it=True)
    pd.testing.assert_frame_equal(after.tables["runs"], before.tables["runs"])
    assert f"The record of {shard.parent.name}" in capsys.readouterr().out


def test_links_and_odd_names_are_left_out(outputs, tmp_path, publish):
    (attack,) = outputs.glob("attacks/digits-*")
    shutil.copytree(attack, outputs / "attacks" / "digits scd01")
    elsewhere = shutil.move(attack, tmp_path / "elsewhere")
    attack.symlink_to(elsewhere)
    content = publish()
    assert not content.tables["runs"]["run"].str.contains("digits-scd01-hsj|digits scd01").any()
    assert len(RunStore(outputs).attacks()) == 4, "they are there"


def test_paths_are_cut_to_their_last_part():
    found = without_folders(
        {"file": "/home/me/x.npz", "command": "python run.py a=1 paths.data=/home/me", "n": [1, "/a/b"]}
    )
    assert found == {"file": "x.npz", "command": "python run.py a=1", "n": [1, "b"]}


def test_the_source_is_not_its_own_target(outputs, capsys):
    assert main(["--outputs", str(outputs), "--to", str(outputs)]) == 2
    assert "must be another folder" in capsys.readouterr().err
    assert main(["--outputs", str(outputs / "absent")]) == 2


@pytest.mark.thorough
def test_names_in_a_seal_do_not_leave_their_folder(outputs, tmp_path, publish):
    """Neither with two dots nor through a link: nothing outside is read into the publication, nothing is written."""
    from pipeline.store import sealed, write_checked
    from scd.files import file_sha256

    outside = tmp_path / "run.py"
    outside.write_text("mine")
    attack = next(outputs.glob("attacks/digits-*"))
    for name in ("../../../run.py", str(outside)):
        write_checked(attack / "done.json", {"sha256": {name: file_sha256(outside)}})
        assert sealed(attack)[1] == f"{name} is not a file of this folder"
    (attack / "x.csv").symlink_to(outside)
    write_checked(attack / "done.json", {"sha256": {"x.csv": file_sha256(outside)}})
    assert sealed(attack)[1] == "x.csv is not a file of this folder"
    content = publish(all_of_it=True)
    assert attack.name not in content.records
    assert outside.read_text() == "mine"


def test_what_is_left_out_of_a_publication_is_named(outputs, publish, capsys):
    attack, link = sorted(outputs.glob("attacks/*"))[:2]
    (attack / "examples.csv").write_bytes(b"\xff")
    (link / "more").symlink_to(outputs)
    publish()
    said = capsys.readouterr().err
    assert f"attacks/{attack.name} (examples.csv is damaged or missing)" in said
    assert f"holds one or has no plain name: {link.name}" in said


def test_a_damaged_publication_is_one_sentence(outputs, publish, tmp_path, capsys):
    from scripts.records.command import run_command
    from scripts.records.publication import RECORDS, RUNS

    publish()
    for name, content in ((RUNS, b"run\n\xff\n"), (RECORDS, b"\x1f\x8bnothing"), (RUNS, b"")):
        path = tmp_path / "published" / name
        before = path.read_bytes()
        path.write_bytes(content)
        assert run_command(lambda: make_tables(["--outputs", str(tmp_path / "published")])) == 2
        said = capsys.readouterr().err
        assert "is damaged: " in said
        assert said.count("\n") == 1
        path.write_bytes(before)
