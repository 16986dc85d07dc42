"""The program as a user starts it: exit codes, help, nothing left lying about, a kill in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.config.compose import judges_of
from pipeline.errors import UserError
from pipeline.experiment import run

ROOT = Path(__file__).resolve().parents[2]


def test_a_run_prints_a_table_and_where_it_was_written(run_program, tmp_path):
    before = set(os.listdir(ROOT))
    done = run_program("scale=smoke")
    assert done.returncode == 0, done.stderr
    for text in ("clean accuracy, ensemble", "clean accuracy, single vote", "success rate", "mean minimum L2"):
        assert text in done.stdout
    assert f"Written to {tmp_path / 'outputs' / 'attacks'}" in done.stdout
    assert set(os.listdir(ROOT)) == before | {"outputs"}, "Hydra wrote into the checkout"


def test_a_bad_key_ends_with_code_2_and_one_sentence(run_program):
    done = run_program("model.batch_fraction=2")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: model=scd01: The 'batch_fraction' parameter")


def test_an_unknown_group_or_key_is_refused_by_hydra(run_program):
    for words, text in ((("model=nothing",), "nothing"), (("model.nothing=1",), "nothing")):
        done = run_program(*words)
        assert done.returncode != 0
        assert text in done.stderr


@pytest.mark.thorough
def test_missing_cifar_is_one_sentence(run_program, tmp_path):
    done = run_program("dataset=cifar10", f"paths.data={tmp_path / 'absent' / 'folder'}")
    assert done.returncode == 2
    assert "paths.data" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_and_cfg_import_nothing_heavy():
    """Neither loads torch, scikit-learn, pandas or Numba, which is what keeps them quick."""
    code = (
        "import sys, runpy\n"
        "sys.argv = ['run.py', *sys.argv[1:]]\n"
        "try: runpy.run_path('run.py', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print('HEAVY', [m for m in ('torch','sklearn','pandas','numba','torchvision','numpy') if m in sys.modules])"
    )
    for word in (["--help"], ["--cfg", "job"]):
        done = subprocess.run([sys.executable, "-c", code, *word], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert "HEAVY []" in done.stdout, done.stdout[-300:] + done.stderr
        assert "scd01" in done.stdout


@pytest.mark.thorough
def test_a_failing_job_does_not_stop_a_sweep(run_program, tmp_path):
    done = run_program("-m", "scale=smoke", "attack=none", "model.batch_fraction=2,0.5")
    assert done.returncode == 2
    assert "Got 2 instead" in done.stderr
    assert len(list((tmp_path / "outputs" / "fits").glob("*/evaluation_3_smoke.json"))) == 1


@pytest.mark.thorough
def test_ctrl_c_ends_a_sweep_and_says_how_to_go_on(run_program, tmp_path):
    (tmp_path / "interrupted.py").write_text(
        "from baselines.forest import ForestVotes\n"
        "class Interrupted(ForestVotes):\n"
        "    def _train(self, *args, **kwargs):\n"
        "        raise KeyboardInterrupt\n"
    )
    targets = "model._target_=interrupted.Interrupted,baselines.forest.ForestVotes"
    done = run_program("-m", "scale=smoke", "model=rf", "attack=none", targets, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 130
    assert done.stderr.strip().endswith("Completed work was saved; the same command runs what is missing.")
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "outputs" / "fits").glob("*/votes_*")), "the next job was begun all the same"
    again = run_program("-m", "scale=smoke", "model=rf", "attack=none", "model._target_=baselines.forest.ForestVotes")
    assert again.returncode == 0, again.stderr


@pytest.mark.thorough
def test_correct_for_all_trains_the_other_models_and_attacks_what_all_get_right(run_program, compose_config, tmp_path):
    done = run_program("scale=smoke", "points.rule=correct_for_all", "points.models=[rf,scdce]", "attack.start=given")
    assert done.returncode == 0, done.stderr
    names = sorted(p.name.split("-")[1] for p in (tmp_path / "outputs" / "fits").iterdir())
    assert names == ["rf", "scd01", "scdce"]
    summary = pd.read_csv(next((tmp_path / "outputs" / "attacks").glob("*/summary.csv"))).iloc[0]
    assert summary["points_rule"] == "correct_for_all"
    with pytest.raises(UserError, match=r"points\.models: 'nobody' cannot be composed"):
        judges_of(compose_config("points.rule=correct_for_all", "points.models=[nobody]"))


def _queries_in_snapshots(outputs: Path) -> int:
    """Queries that the snapshots of unfinished attacks have counted."""
    counted = 0
    for path in outputs.glob("attacks/*/state.npz"):
        with np.load(path) as state:
            counted += int(state["snapshot.oracle.queries"].sum()) if "snapshot.oracle.queries" in state else 0
    return counted


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_kill_in_the_middle_and_the_same_command_again(run_program, compose_config, tmp_path):
    """kill -9 during the attack; the same command ends with the numbers of an undisturbed run."""
    words = ["model.n_votes=3", "model.n_iter=30", "attack.max_iter=40", "attack.restarts=5", "points.count=3"]
    run(compose_config(*words, f"paths.outputs={tmp_path / 'whole'}"))
    impatient = (  # the same program, saving its state ten times a second so that the test need not be long
        "import runpy, sys, attacks.engine.checkpoint\n"
        "attacks.engine.checkpoint.SAVE_SECONDS = 0.1\n"
        "sys.argv = ['run.py', *sys.argv[1:]]\n"
        "runpy.run_path('run.py', run_name='__main__')"
    )
    command = [sys.executable, "-c", impatient, *words, f"paths.outputs={tmp_path / 'outputs'}"]
    environment = {**os.environ, "SCD_DATA": str(tmp_path)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not _queries_in_snapshots(tmp_path / "outputs") and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert _queries_in_snapshots(tmp_path / "outputs"), "the attack ended before the kill"
    again = run_program(*words)
    assert again.returncode == 0, again.stderr
    for name in ("examples.csv", "summary.csv", "trace.csv"):
        got, expected = (
            pd.read_csv(next((tmp_path / where / "attacks").glob(f"*/{name}"))) for where in ("outputs", "whole")
        )
        times = [column for column in got if column.endswith("seconds")]
        pd.testing.assert_frame_equal(got.drop(columns=times), expected.drop(columns=times))
    assert "(votes from the store)" in again.stdout
