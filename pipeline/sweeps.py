"""How the jobs of a sweep ended: each leaves a file, so that a job that was killed is told from one that failed."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from pipeline.run_log import in_sweep
from pipeline.store import read_json
from scd.files import write_json


def note_outcome(code: int | None, error: str = "") -> None:
    """Leave, and say, the exit status of this job of a sweep, None while it works; does nothing outside a sweep."""
    if in_sweep():
        hydra = HydraConfig.get()
        write_json(outcome_file(hydra.runtime.output_dir, hydra.job.num), {"code": code, "error": error})
        state = "begins" if code is None else "done" if code == 0 else "failed"
        print(f"[job {hydra.job.num + 1}] {state}: {hydra.job.override_dirname}", flush=True)


def outcome_file(folder: str | Path, number: int) -> Path:
    """Where job `number` of the sweep in `folder` leaves its outcome."""
    return Path(folder) / f"job_{number}.json"


def outcome(folder: str | Path, number: int) -> tuple[bool, int | None, str]:
    """Whether a job has begun, its exit status (None: not ended), and its error."""
    found = read_json(outcome_file(folder, number))
    if not isinstance(found, dict):
        return False, None, ""
    return True, found.get("code"), str(found.get("error", ""))
