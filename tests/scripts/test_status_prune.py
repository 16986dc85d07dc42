"""What the store is said to hold is what is there; what can still be used is never pruned."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from filelock import FileLock

from pipeline.experiment import run
from scripts.prune import main as prune
from scripts.status import main as status


@pytest.fixture
def store(compose_config, tmp_path):
    """An outputs folder with one finished attack on one fit, judged by another."""
    words = ("scale=smoke", "model=rf", "points.rule=correct_for_all", "points.models=[rf]")
    config = compose_config(*words)
    judge = compose_config("scale=smoke", "model=scd01", "attack=none")
    record = run(config, [compose_config(*words, "attack=none"), judge])
    outputs = Path(config["paths"]["outputs"])
    return outputs, outputs / "fits" / record["fit"], outputs / "attacks" / record["attack"]


def shown(capsys, outputs: Path, *words: str) -> str:
    assert status(["--outputs", str(outputs), *words]) == 0
    return capsys.readouterr().out


def test_a_finished_store_is_said_to_be_finished_and_nothing_is_stale(store, capsys):
    outputs, fit, attack = store
    said = shown(capsys, outputs)
    assert "fits: 2 finished; " in said
    assert "attacks: 1 finished; " in said
    assert "runs that are not finished: none" in said
    assert fit.name in said
    assert attack.name in said
    assert fit.name not in shown(capsys, outputs, "--unfinished")
    assert prune(["--outputs", str(outputs), "--yes"]) == 0
    assert capsys.readouterr().out == "Nothing is stale.\n"


def test_a_failed_run_is_listed_with_its_error_and_command_until_it_succeeds(compose_config, tmp_path, capsys):
    from pipeline.run_log import RunRecord

    config = compose_config("scale=smoke", "model=rf", "attack=none")
    outputs = Path(config["paths"]["outputs"])
    RunRecord(outputs, config).fail("the disk is full", 1)
    said = shown(capsys, outputs)
    assert "runs that are not finished: 1 failed" in said
    assert "(the disk is full)" in said
    assert json.loads(next(outputs.glob("runs/*/failed.json")).read_text())["command"] in said
    run(config)
    assert "runs that are not finished: none" in shown(capsys, outputs)
    assert not list(outputs.glob("runs/*/failed.json"))


def test_who_holds_the_lock_is_running_and_is_never_pruned(store, capsys):
    outputs, fit, _ = store
    for path in (outputs / "runs").glob("*/run.json"):
        path.unlink()
    with FileLock(str(fit / ".lock")):
        assert "1 running" in shown(capsys, outputs)
        prune(["--outputs", str(outputs), "--yes"])
    assert fit.is_dir()


def test_what_was_killed_says_what_it_lacks_and_its_command_and_can_go_on(store, capsys):
    outputs, fit, attack = store
    (fit / "votes_00001-00002.json").unlink()
    (fit / "begun.json").write_text('{"command": "python run.py fits this"}')
    for name in ("done.json", "provenance.json"):
        (attack / name).unlink()
    (attack / "begun.json").write_text('{"command": "python run.py attacks this"}')
    (attack / "state.npz").write_bytes(b"")
    said = shown(capsys, outputs)
    for text in (
        "1 of 3 votes",
        "python run.py fits this",
        "goes on from its saved state",
        "python run.py attacks this",
    ):
        assert text in said
    assert said.count("stopped") == 4, "once in the heading, once in the list, of fits and of attacks"
    for path in (outputs / "runs").glob("*/run.json"):
        path.unlink()
    prune(["--outputs", str(outputs), "--yes"])
    assert fit.is_dir()
    assert attack.is_dir()


def test_what_no_run_refers_to_goes_but_only_when_told(store, capsys):
    outputs, fit, _ = store
    for path in (outputs / "runs").glob("*/run.json"):
        path.unlink()
    prune(["--outputs", str(outputs)])
    said = capsys.readouterr().out
    assert f"{fit.relative_to(outputs)}  (no run refers to it)" in said
    assert "Nothing was removed" in said
    assert fit.is_dir()
    prune(["--outputs", str(outputs), "--yes"])
    assert not list((outputs / "fits").iterdir())
    assert not list((outputs / "attacks").iterdir())


def test_damage_goes_and_is_made_again(store, capsys):
    outputs, fit, attack = store
    (fit / "votes_00000-00000.npz").write_bytes(b"damaged")
    (attack / "trace.csv").write_text("damaged")
    (fit / ".votes.npz.x.tmp").write_bytes(b"half")
    prune(["--outputs", str(outputs), "--yes"])
    said = capsys.readouterr().out
    assert "damaged votes, which a run trains again" in said
    assert "trace.csv is damaged or missing" in said
    assert "left by a killed process" in said
    assert not attack.exists()
    assert sorted(p.name for p in fit.glob("votes_*.npz")) == ["votes_00001-00002.npz"]
    assert "2 of 3 votes" in shown(capsys, outputs)
    prune(["--outputs", str(outputs), "--yes"])
    assert capsys.readouterr().out == "Nothing is stale.\n", "the fit of a damaged attack stays"


def test_another_version_of_the_method_is_stale(store, capsys, monkeypatch):
    outputs, fit, attack = store
    monkeypatch.setattr("attacks.hopskipjump.HopSkipJump.method_version", 99)
    prune(["--outputs", str(outputs)])
    said = capsys.readouterr().out
    assert f"{attack.name}  (made by version" in said
    assert "which is at 99)" in said
    assert fit.name not in said.replace(str(attack.name), "")


def test_logs_of_old_sweeps_go(store, capsys):
    outputs, _, _ = store
    old, new = outputs / "sweeps" / "old", outputs / "sweeps" / "new"
    for folder in (old, new):
        (folder / ".submitit").mkdir(parents=True)
    two_days = time.time() - 2 * 86_400
    os.utime(old, (two_days, two_days))
    prune(["--outputs", str(outputs), "--yes"])
    assert not old.exists()
    assert new.exists()


def test_the_table_of_an_old_sweep_stays(store):
    outputs, _, _ = store
    old = outputs / "sweeps" / "old"
    (old / ".submitit").mkdir(parents=True)
    (old / "sweep.csv").touch()
    two_days = time.time() - 2 * 86_400
    os.utime(old, (two_days, two_days))
    prune(["--outputs", str(outputs), "--yes"])
    assert [path.name for path in old.iterdir()] == ["sweep.csv"]


@pytest.mark.parametrize("command", [status, prune])
def test_no_folder_is_a_sentence(command, tmp_path, capsys):
    assert command(["--outputs", str(tmp_path / "absent")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_a_run_whose_fit_is_gone_goes(store, capsys):
    outputs, fit, attack = store
    shutil.rmtree(fit)
    prune(["--outputs", str(outputs), "--yes"])
    assert f"its fit {fit.name} is gone" in capsys.readouterr().out
    assert not list((outputs / "runs").iterdir())
    assert attack.is_dir(), "its own turn comes when no run refers to it any more"


def test_the_fit_of_a_failed_attack_is_kept(compose_config, tmp_path, monkeypatch, capsys):
    """Its votes took time, and the command that failed needs them again."""
    import attacks.hopskipjump

    def failing(*args, **kwargs):
        raise RuntimeError("the attack fails")

    monkeypatch.setattr(attacks.hopskipjump.HopSkipJump, "_attack", failing)
    config = compose_config("scale=smoke", "model=rf")
    with pytest.raises(RuntimeError):
        run(config)
    outputs = Path(config["paths"]["outputs"])
    (folder,) = (outputs / "fits").iterdir()
    for path in outputs.glob("attacks/*/begun.json"):
        path.unlink()
    prune(["--outputs", str(outputs), "--yes"])
    assert list(folder.glob("votes_*.npz"))


def test_a_damaged_record_stops_the_pruning(store, capsys):
    outputs, fit, attack = store
    next(outputs.glob("runs/*/run.json")).write_bytes(b"{damaged")
    assert prune(["--outputs", str(outputs), "--yes"]) == 2
    assert "run.json is damaged" in capsys.readouterr().err
    assert fit.is_dir()
    assert attack.is_dir()


def test_a_folder_that_no_run_wrote_to_is_refused(tmp_path, capsys):
    (tmp_path / "fits" / "mine").mkdir(parents=True)
    assert prune(["--outputs", str(tmp_path), "--yes"]) == 2
    assert "has no runs/" in capsys.readouterr().err
    assert (tmp_path / "fits" / "mine").is_dir()


def test_links_are_not_followed(store, tmp_path, capsys):
    outputs, _, _ = store
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in (".votes.npz.x.tmp", "votes_00000-00000.npz"):
        (elsewhere / name).write_bytes(b"mine")
    for kind in ("fits", "attacks", "runs", "sweeps"):
        (outputs / kind).mkdir(exist_ok=True)
        (outputs / kind / "link").symlink_to(elsewhere)
    assert prune(["--outputs", str(outputs), "--yes"]) == 0
    assert len(list(elsewhere.iterdir())) == 2
    assert "link" not in capsys.readouterr().out


def test_no_code_that_a_stored_config_names_is_run(store, tmp_path, monkeypatch):
    outputs, _, attack = store
    (tmp_path / "hostile.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Attack: method_version = 9\n")
    monkeypatch.syspath_prepend(tmp_path)
    text = (attack / "config.yaml").read_text()
    (attack / "config.yaml").write_text(text.replace("attacks.hopskipjump.HopSkipJump", "hostile.Attack"))
    prune(["--outputs", str(outputs)])
    assert not (tmp_path / "ran").exists()


def test_a_reader_that_goes_away_is_no_error(store):
    import subprocess
    import sys

    outputs, _, _ = store
    command = [sys.executable, "-u", "-m", "scripts.status", "--outputs", str(outputs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == 0, said
    assert "Traceback" not in said


def test_a_stored_command_is_shown_only_if_a_shell_would_do_nothing_else_with_it(store, capsys):
    outputs, fit, _ = store
    for command, is_shown in (
        ("python run.py dataset=digits 'attack={name: x}'", True),
        ("python run.py $(touch /tmp/x)", False),
        ("python run.py; touch x", False),
        ("touch x", False),
        ("python run.py '\x1b]0;x'", False),
    ):
        (fit / "begun.json").write_text(json.dumps({"command": command}))
        (fit / "votes_00000-00000.json").write_text("{}")
        assert (command in shown(capsys, outputs)) == is_shown


def test_status_says_what_is_damaged(store, capsys):
    outputs, fit, _ = store
    evaluation = next(fit.glob("evaluation_*.json"))
    evaluation.write_bytes(evaluation.read_bytes().replace(b'"accuracy_ensemble": 0', b'"accuracy_ensemble": 1'))
    next(outputs.glob("runs/*/run.json")).write_bytes(b"\xff")
    said = shown(capsys, outputs)
    assert f"{evaluation.name} does not match its checksum" in said
    assert "run.json cannot be read" in said
