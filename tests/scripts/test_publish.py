"""Published records carry every number, no weights, no folders of the machine; their tables equal those of the runs."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from scripts.publish import main, without_folders
from scripts.tables.write import main as make_tables
from tests.mini_texts import write_texts


@pytest.fixture(scope="module")
def ran(tmp_path_factory, run_in_miniature):
    """Attacks on digits and on what stands in for CIFAR-10."""
    folder = tmp_path_factory.mktemp("publish")
    for words in (("attack=hsj", "dataset=digits"), ("attack=hsj",), ("attack=transfer",)):
        run_in_miniature(folder, *words)
    return folder


@pytest.fixture
def outputs(ran, tmp_path):
    return shutil.copytree(ran, tmp_path / "outputs")


def test_tables_of_the_published_records_equal_those_of_the_runs(outputs, tmp_path):
    to = tmp_path / "published"
    make_tables(["--outputs", str(outputs), "--scale", "smoke"])
    assert main(["--outputs", str(outputs), "--to", str(to), "--scale", "smoke"]) == 0
    for table in ("table1", "table2", "table6"):
        ours, theirs = (pd.read_csv(folder / "tables" / f"{table}.csv") for folder in (outputs, to))
        pd.testing.assert_frame_equal(ours, theirs)
    assert (outputs / "figures" / "convergence.csv").read_text() == (to / "figures" / "convergence.csv").read_text()


def test_no_weights_and_no_folders_leave_the_machine(outputs, tmp_path):
    to = tmp_path / "published"
    main(["--outputs", str(outputs), "--to", str(to), "--scale", "smoke"])
    assert not list(to.glob("fits/**/*.npz"))
    assert list(to.glob("attacks/digits-*/adversarials.npz"))
    for path in [*to.rglob("*.json"), *to.rglob("*.yaml")]:
        assert str(tmp_path) not in path.read_text(), path


def test_pictures_of_other_sets_stay_at_home(outputs, tmp_path):
    main(["--outputs", str(outputs), "--to", str(tmp_path / "published"), "--scale", "smoke"])
    assert list((tmp_path / "published").glob("attacks/cifar10-*/examples.csv"))
    assert not list((tmp_path / "published").glob("attacks/cifar10-*/*.npz"))


def test_texts_stay_at_home(compose_config, tmp_path):
    """Of an attack on documents every number is published, and no document; tables and report are made of them, too."""
    from pipeline.experiment import run

    write_texts(tmp_path, "mr")
    plain = [f"attack.{key}=none" for key in ("similarity", "part_of_speech", "stop_words")]
    run(compose_config("dataset=mr", "attack=textfooler", "scale=smoke", *plain))
    to = tmp_path / "published"
    assert main(["--outputs", str(tmp_path / "outputs"), "--to", str(to), "--scale", "smoke"]) == 0
    assert len(list(to.glob("attacks/mr-scd01-textfooler-*/examples.csv"))) == 1
    assert not list(to.rglob("*.jsonl"))
    for path in [*to.rglob("*.json"), *to.rglob("*.yaml"), *to.rglob("*.md")]:
        assert str(tmp_path) not in path.read_text(), path


def test_table_7_of_the_published_records_equals_that_of_the_runs(compose_config, tmp_path):
    from pipeline.experiment import run

    write_texts(tmp_path, "mr")
    plain = [f"attack.{part}=none" for part in ("similarity", "part_of_speech", "stop_words")]
    run(compose_config("dataset=mr", "model=rf", "attack=textfooler", "scale=smoke", *plain))
    outputs, to = tmp_path / "outputs", tmp_path / "published"
    make_tables(["--outputs", str(outputs), "--scale", "smoke"])
    assert main(["--outputs", str(outputs), "--to", str(to), "--scale", "smoke"]) == 0
    ours, theirs = (pd.read_csv(folder / "tables" / "table7.csv") for folder in (outputs, to))
    pd.testing.assert_frame_equal(ours, theirs)


def test_earlier_records_stay(outputs, tmp_path):
    to = tmp_path / "published"
    main(["--outputs", str(outputs), "--to", str(to), "--scale", "smoke"])
    before = sorted(path.name for path in (to / "attacks").glob("*"))
    for folder in (outputs / "attacks").glob("*"):
        (folder / "done.json").unlink()
    main(["--outputs", str(outputs), "--to", str(to), "--scale", "smoke"])
    assert sorted(path.name for path in (to / "attacks").glob("*")) == before


def test_the_record_of_a_fit_on_another_device_stays(outputs, tmp_path, capsys):
    to = tmp_path / "published"
    main(["--outputs", str(outputs), "--to", str(to), "--scale", "smoke"])
    shards = sorted((to / "fits").glob("digits-*/votes_*.json"))
    shards[0].write_text(shards[0].read_text().replace('"device": "cpu"', '"device": "cuda (NVIDIA H200)"'))
    evaluation = next(shards[0].parent.glob("evaluation_*.json"))
    before = shards[0].read_text(), evaluation.read_text()
    for path in (outputs / "fits" / shards[0].parent.name).glob("evaluation_*.json"):
        path.write_text(path.read_text() + " ")
    capsys.readouterr()
    assert main(["--outputs", str(outputs), "--to", str(to), "--scale", "smoke"]) == 0
    assert (shards[0].read_text(), evaluation.read_text()) == before
    assert f"The record of {shards[0].parent.name}" in capsys.readouterr().out


def test_paths_are_cut_to_their_last_part():
    found = without_folders(
        {"file": "/home/me/x.npz", "command": "python run.py a=1 paths.data=/home/me", "n": [1, "/a/b"]}
    )
    assert found == {"file": "x.npz", "command": "python run.py a=1", "n": [1, "b"]}


def test_the_source_is_not_its_own_target(outputs, capsys):
    assert main(["--outputs", str(outputs), "--to", str(outputs)]) == 2
    assert "must be another folder" in capsys.readouterr().err
    assert main(["--outputs", str(outputs / "absent")]) == 2
