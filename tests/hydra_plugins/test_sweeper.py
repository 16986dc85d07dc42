"""Laws of a sweep whatever engine runs it: every job gets its turn, and none that did not succeed goes unsaid."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.core.utils import JobReturn, JobStatus

from hydra_plugins.scd_sweeps.sweeper import ToleratingSweeper, _Tolerating, further_settings
from pipeline.run_log import command_of, outcome_file


class Engine:
    """An engine that dies with everything it holds when it meets a deadly job, as a pool of processes does.

    Jobs end in order; the one after the deadly one has begun when it strikes.
    """

    def __init__(self, folder: Path, deadly: set[str], loses: bool = True) -> None:
        self.folder, self.deadly, self.loses = folder, deadly, loses
        self.done: list[str] = []
        self.calls: list[list[str]] = []

    def _leave(self, number: int, code: int | None, error: str = "") -> None:
        outcome_file(self.folder, number).write_text(json.dumps({"code": code, "error": error}))

    def launch(self, job_overrides, initial_job_idx):
        self.calls.append([job[0] for job in job_overrides])
        returned = []
        for number, (word,) in enumerate(job_overrides, start=initial_job_idx):
            self._leave(number, None)
            if word in self.deadly and self.loses:
                if number - initial_job_idx + 1 < len(job_overrides):
                    self._leave(number + 1, None)
                raise RuntimeError("a worker was killed\nand more")
            if word in self.deadly:
                returned.append(JobReturn(status=JobStatus.FAILED, _return_value=RuntimeError("a worker was killed")))
                continue
            self.done.append(word)
            self._leave(number, 2 if word.startswith("bad") else 0, "no such thing" if word.startswith("bad") else "")
            returned.append(JobReturn(status=JobStatus.COMPLETED))
        return returned


def swept(tmp_path, words, deadly=(), alone=False, loses=True):
    engine = Engine(tmp_path, set(deadly), loses)
    sweep = _Tolerating(engine, tmp_path, alone, at_once=1)
    sweep.launch([[word] for word in words], initial_job_idx=0)
    return engine, sweep


def test_all_succeed(tmp_path, capsys):
    engine, sweep = swept(tmp_path, ["a=1", "a=2", "a=3"])
    assert sweep.report() == 0
    assert engine.calls == [["a=1", "a=2", "a=3"]]
    assert capsys.readouterr().out == "\n3 of 3 jobs succeeded.\n"
    assert not list(tmp_path.glob("job_*"))


@pytest.mark.parametrize("alone", [False, True])
def test_a_killed_job_takes_no_other_with_it(tmp_path, capsys, alone):
    words = ["a=1", "a=2", "deadly=1", "a=3", "a=4", "bad=1", "a=5"]
    engine, sweep = swept(tmp_path, words, deadly={"deadly=1"}, alone=alone)
    assert sorted(engine.done) == sorted(set(words) - {"deadly=1"}), "each other job ran to its end exactly once"
    assert sweep.report() == 1, "killed is worse than refused"
    said = capsys.readouterr()
    assert "5 of 7 jobs succeeded." in said.out
    assert (
        "job 3: the job was killed or lost (RuntimeError: a worker was killed)\n    python run.py deadly=1" in said.err
    )
    assert "job 6: no such thing\n    python run.py bad=1" in said.err


def test_what_was_refused_before_any_work_has_its_own_status(tmp_path):
    assert swept(tmp_path, ["a=1", "bad=1"])[1].report() == 2


def test_jobs_at_work_when_the_engine_died_are_run_last_and_one_by_one(tmp_path):
    engine, _ = swept(tmp_path, ["a=1", "deadly=1", "a=2", "a=3"], deadly={"deadly=1"})
    assert engine.calls == [["a=1", "deadly=1", "a=2", "a=3"], ["a=3"], ["deadly=1"], ["a=2"]]


def test_an_engine_that_names_its_dead(tmp_path, capsys):
    engine, sweep = swept(tmp_path, ["a=1", "deadly=1", "a=2"], deadly={"deadly=1"}, loses=False)
    assert (engine.done, len(engine.calls)) == (["a=1", "a=2"], 1)
    assert sweep.report() == 1
    assert "job 2: the job was killed or lost (RuntimeError: a worker was killed)" in capsys.readouterr().err


def test_an_engine_that_never_starts_is_said_of_every_job(tmp_path, capsys):
    class Absent:
        def launch(self, job_overrides, initial_job_idx):
            raise ModuleNotFoundError("cluster=ray needs Ray")

    sweep = _Tolerating(Absent(), tmp_path, alone=False, at_once=None)
    sweep.launch([["a=1"], ["a=2"]], initial_job_idx=0)
    assert sweep.report() == 1
    said = capsys.readouterr()
    assert "0 of 2 jobs succeeded" in said.out
    never = "job 1, 2: the job was never begun (ModuleNotFoundError: cluster=ray needs Ray)"
    assert f"{never}\n    python run.py a=1\n    python run.py a=2\n" in said.err, (
        "one error, printed once, of both commands"
    )


def test_outcomes_of_an_earlier_launch_do_not_count(tmp_path):
    outcome_file(tmp_path, 0).write_text('{"code": 0, "error": ""}')
    _, sweep = swept(tmp_path, ["deadly=1"], deadly={"deadly=1"})
    assert sweep.report() == 1


@pytest.mark.parametrize(
    ("overrides", "command"),
    [
        (["model=rf", "points.models=[rf,mlp]"], "python run.py model=rf 'points.models=[rf,mlp]'"),
        (
            ["+experiment=table2", "model=rf", "+cluster=slurm"],
            "python run.py +experiment=table2 model=rf hydra.mode=RUN",
        ),
    ],
)
def test_the_command_of_a_job_is_that_of_a_single_run_without_the_cluster(overrides, command):
    assert command_of(overrides) == command


@pytest.mark.thorough
def test_a_job_that_dies_by_a_signal_does_not_end_a_sweep_of_the_default_engine(run_program, tmp_path):
    """The others run, and it is listed with the signal and its command."""
    (tmp_path / "dies.py").write_text(
        "import os, signal\ndef load(classes=None):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    targets = "dataset._target_=data.digits.load,dies.load,data.digits.load"
    words = ["-m", "dataset=digits", "model=rf", "attack=none", "scale=smoke", "verbose=false"]
    ended = run_program(*words, targets, env={"PYTHONPATH": str(tmp_path)})
    assert "2 of 3 jobs succeeded." in ended.stdout
    assert (
        "job 2: the job was killed or lost (ChildProcessError: its process ended by signal 9 (SIGKILL))" in ended.stderr
    )
    assert "dataset._target_=dies.load" in ended.stderr
    assert ended.returncode == 1
    with next((tmp_path / "outputs" / "sweeps").glob("*/sweep.csv")).open() as file:
        table = list(csv.DictReader(file))
    assert [(row["dataset._target_"], row["state"]) for row in table] == [
        ("data.digits.load", "done"), ("dies.load", "failed"), ("data.digits.load", "done"),
    ]  # fmt: skip
    assert float(table[0]["accuracy"]) > 0.5
    assert "  3    data.digits.load" in ended.stdout


def test_before_the_first_job_one_of_each_combination_of_groups_is_composed():
    composed = []

    class Loader:
        def get_group_options(self, group):
            return ["scd01", "rf"] if group == "model" else []

        def load_sweep_config(self, master_config, sweep_overrides):
            composed.append(sweep_overrides)

    sweeper = ToleratingSweeper.__new__(ToleratingSweeper)  # Hydra loads the base class again, so its own call fails
    sweeper.hydra_context, sweeper.config = SimpleNamespace(config_loader=Loader()), {}
    models = ["model=rf", "model=scd01"]
    jobs = [["+experiment=table2", model, f"seed={seed}"] for seed in range(1000) for model in models]
    sweeper.validate_batch_is_legal(jobs)
    assert [job[1] for job in composed] == models


def test_a_job_has_the_further_settings_of_its_overrides_and_its_own_keep_their_values():
    settings = {"attack=certificate": ["attack.steps=0"], "model=mlp": ["model.n_votes=10", "+model.C=1"]}
    assert further_settings(["attack=certificate", "model=rf"], settings) == ["attack.steps=0"]
    both = further_settings(["attack=certificate", "model=mlp", "model.n_votes=3"], settings)
    assert both == ["attack.steps=0", "+model.C=1"]
    assert further_settings(["attack=hsj", "model=rf", "attack.steps=0"], settings) == []


def test_a_sweep_runs_its_jobs_with_their_further_settings_and_without_those_left_out(monkeypatch):
    sweeper = ToleratingSweeper.__new__(ToleratingSweeper)  # as above
    sweeper.leave_out, sweeper.settings = [{"a=1", "b=2"}], {"a=1": ["c=3"]}
    jobs = [["a=1", "b=1"], ["a=1", "b=2"], ["a=2", "b=2"]]
    monkeypatch.setattr(ToleratingSweeper.__mro__[1], "get_job_batch", lambda self: jobs)
    assert sweeper.get_job_batch() == [["a=1", "b=1", "c=3"], ["a=2", "b=2"]]


def test_a_model_that_is_not_there_is_said_before_any_job(run_program):
    refused = run_program("-m", "scale=smoke", "model=rf,fr", "seed=1,2")
    assert refused.returncode == 2
    assert "Fit" not in refused.stdout
    assert refused.stderr.startswith("error: model=fr is not an option of conf/model/")


def test_a_folder_that_cannot_be_written_is_one_sentence(run_program, tmp_path):
    (tmp_path / "file").touch()
    refused = run_program("-m", "scale=smoke", "model=rf,mlp", f"paths.outputs={tmp_path / 'file' / 'outputs'}")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: the sweep's folder {tmp_path}/file/outputs/sweeps/")
    assert "cannot be used: Not a directory. Choose another" in refused.stderr
    assert refused.stderr.count("\n") == 1
