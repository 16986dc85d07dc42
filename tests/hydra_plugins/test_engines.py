"""Real engines: two workers share what they need, a killed job ends no other, the same sweep does what is missing."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipeline.experiment import run
from scd.storage import load_votes

ENGINES = {
    "joblib": ("hydra_plugins.hydra_joblib_launcher", ["+cluster=joblib"]),
    "submitit": (
        "hydra_plugins.hydra_submitit_launcher",
        ["hydra/launcher=submitit_local", "hydra.sweeper.alone=true", "verbose=false"],
    ),
    "ray": ("ray", ["+cluster=ray", "hydra.launcher.init.num_cpus=2"]),
}
KILLER = """
import os, signal
from pathlib import Path
from baselines.forest import ForestVotes

class Killer(ForestVotes):
    def _train(self, *args, **kwargs):
        if Path(__file__).with_name("armed").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._train(*args, **kwargs)
"""


def engine_words(name: str) -> list[str]:
    module, words = ENGINES[name]
    if find_spec(module.split(".")[0]) is None or find_spec(module) is None:
        pytest.skip(f"cluster engine {name} needs an extra: pip install '.[{name}]'")
    return words


def votes(outputs: Path) -> dict[str, list]:
    found = {}
    for path in sorted((outputs / "fits").glob("*/votes_*.npz")):
        found[f"{path.parent.name}/{path.name}"] = load_votes(path)[0]
    return found


@pytest.mark.thorough
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize(
    "name", ["joblib", pytest.param("submitit", marks=pytest.mark.slow), pytest.param("ray", marks=pytest.mark.slow)]
)
def test_a_killed_job_ends_no_other_and_the_same_sweep_finishes(
    run_program, compose_config, tmp_path, monkeypatch, name
):
    (tmp_path / "killer.py").write_text(KILLER)
    (tmp_path / "armed").touch()
    targets = "model._target_=baselines.forest.ForestVotes,killer.Killer"
    sweep = ["-m", "scale=smoke", "model=rf", "attack=none", "verbose=false", targets]
    words, paths = engine_words(name), {"PYTHONPATH": str(tmp_path)}
    first = run_program(*sweep, *words, env=paths)
    assert first.returncode == 1, first.stdout + first.stderr
    assert "1 of 2 jobs succeeded" in first.stdout
    assert "job 2: the job was killed or lost" in first.stderr
    assert "python run.py scale=smoke model=rf attack=none verbose=False model._target_=killer.Killer" in first.stderr
    outputs = tmp_path / "outputs"
    kept = {path: path.stat().st_mtime_ns for path in (outputs / "fits").glob("*/votes_*.npz")}
    assert len(kept) == 2, "two shards of the one fit that was not killed"
    (tmp_path / "armed").unlink()
    again = run_program(*sweep, *words, env=paths)
    assert again.returncode == 0, again.stdout + again.stderr
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items()), "what was there was made again"
    monkeypatch.syspath_prepend(tmp_path)
    for target in targets.partition("=")[2].split(","):
        run(compose_config(*sweep[1:-1], f"model._target_={target}", f"paths.outputs={tmp_path / 'serial'}"))
    got, expected = votes(outputs), votes(tmp_path / "serial")
    assert got.keys() == expected.keys()
    assert len(got) == 4
    for shard, trained in got.items():
        for one, other in zip(trained, expected[shard], strict=True):
            assert one.keys() == other.keys()
            assert all((one[array] == other[array]).all() for array in one)


@pytest.mark.thorough
def test_two_workers_that_need_the_same_fit_train_it_once(run_program, tmp_path):
    done = run_program(
        "-m", "scale=smoke", "model.n_iter=300", "model=scd01", "attack=hsj,noise", *engine_words("joblib")
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "outputs" / "fits").iterdir())) == 1
    assert len(list((tmp_path / "outputs" / "attacks").iterdir())) == 2
    assert done.stdout.count("scd01 on digits, 3 votes\n") == 1, "trained by one job"
    assert done.stdout.count("scd01 on digits, 3 votes (votes from the store)\n") == 1, "read by the other"


def test_a_percent_sign_in_the_outputs_path_is_one_sentence_under_submitit(run_program, tmp_path):
    words = [
        "-m",
        "scale=smoke",
        "model=rf",
        "attack=none",
        f"paths.outputs={tmp_path}/run%j",
        *engine_words("submitit"),
    ]
    refused = run_program(*words)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: under submitit paths.outputs must not contain '%'. Got '")
    assert refused.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
