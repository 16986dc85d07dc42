"""A real SLURM cluster of one node: a sweep of four jobs, one of them cancelled, goes on and equals a serial one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from scd.storage import load_votes
from tests.slow.slurm_cluster import slurm_cluster, why_not

ROOT = Path(__file__).resolve().parents[2]
WAITER = """
import os, time
from pathlib import Path
from baselines.forest import ForestVotes

class Waiter(ForestVotes):
    def _train(self, *args, **kwargs):
        here = Path(__file__).parent
        while (here / "armed").exists():
            (here / "waiting").write_text(os.environ["SLURM_JOB_ID"])
            time.sleep(0.2)
        return super()._train(*args, **kwargs)
"""
SWEEP = ["-m", "scale=smoke", "model=rf", "attack=none,hsj", "verbose=false", "points.rule=random",
         "model._target_=baselines.forest.ForestVotes,waiter.Waiter"]  # fmt: skip
ON_SLURM = ["+cluster=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=null"]


def start(folder: Path, *words: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "run.py", *SWEEP, *words, f"paths.outputs={folder}"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=540)


def results(outputs: Path) -> dict[str, np.ndarray]:
    """Every array that the runs left, by its place."""
    found = {}
    for path in sorted(outputs.glob("fits/*/votes_*.npz")):
        for number, vote in enumerate(load_votes(path)[0]):
            found |= {f"{path.relative_to(outputs)} {number} {name}": array for name, array in vote.items()}
    for path in sorted(outputs.glob("attacks/*/adversarials.npz")):
        with np.load(path) as arrays:
            found |= {f"{path.relative_to(outputs)} {name}": arrays[name] for name in arrays.files}
    return found


@pytest.mark.slow
@pytest.mark.skipif(bool(why_not()), reason=f"a SLURM cluster {why_not()}")
def test_a_cancelled_job_is_made_up_for_by_the_same_sweep(tmp_path):
    pytest.importorskip("submitit", reason="cluster=slurm needs an extra: pip install '.[slurm]'")
    (tmp_path / "waiter.py").write_text(WAITER)
    (tmp_path / "armed").touch()
    (tmp_path / "cluster").mkdir()
    more = {"PYTHONPATH": str(tmp_path), "SCD_DATA": str(tmp_path)}
    with slurm_cluster(tmp_path / "cluster") as cluster:
        cancelled = []

        def cancel() -> None:
            """Cancel the first job that waits, then let the others go."""
            while not (tmp_path / "waiting").exists():
                time.sleep(0.1)
            cancelled.append((tmp_path / "waiting").read_text())
            subprocess.run(["scancel", cancelled[0]], env=cluster, check=True)
            while (
                cancelled[0]
                in subprocess.run(
                    ["squeue", "-h", "-o", "%i"], env=cluster, capture_output=True, text=True
                ).stdout.split()
            ):
                time.sleep(0.2)
            (tmp_path / "armed").unlink()

        canceller = threading.Thread(target=cancel, daemon=True)
        canceller.start()
        first = start(tmp_path / "outputs", *ON_SLURM, environment={**cluster, **more})
        canceller.join(30)
        states = subprocess.run(
            ["sacct", "-n", "-X", "-o", "State"], env=cluster, capture_output=True, text=True
        ).stdout
        again = start(tmp_path / "outputs", *ON_SLURM, environment={**cluster, **more})
    said = first.stdout + first.stderr
    assert states.count("CANCELLED") == 1, states + said
    assert first.returncode == 1, said
    assert "3 of 4 jobs succeeded" in first.stdout
    assert "the job was killed or lost" in first.stderr
    assert "python run.py scale=smoke model=rf" in first.stderr
    assert again.returncode == 0, again.stdout + again.stderr
    assert "4 of 4 jobs succeeded" in again.stdout
    serial = start(tmp_path / "serial", environment={**os.environ, **more})
    assert serial.returncode == 0, serial.stderr
    got, expected = results(tmp_path / "outputs"), results(tmp_path / "serial")
    assert got.keys() == expected.keys()
    assert len(got) > 0
    for name, array in got.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
