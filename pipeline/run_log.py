"""The log of runs: records under ``outputs/runs/``, commands that repeat them, outcomes of the jobs of a sweep."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from pipeline.config import OF_THE_CALL
from pipeline.errors import UserError
from pipeline.store import is_plain_name, key_of, locked, read_checked, write_checked

RECORD, BEGUN, FAILED = "run.json", "begun.json", "failed.json"
_NOT_OF_A_JOB = ("cluster", "hydra")


class RunRecord:
    """The record of one run: ``begun.json`` while it works, then ``run.json`` or ``failed.json``.

    Parameters
    ----------
    outputs : Path
        The outputs folder.
    config : dict
        The resolved configuration. It names the folder, but for its paths and the experiment that it is part of.

    Raises
    ------
    UserError
        A name that cannot be part of a folder's name.
    """

    def __init__(self, outputs: Path, config: dict[str, Any]) -> None:
        names = [config[group]["name"] for group in ("dataset", "model", "attack")]
        if not all(map(is_plain_name, names)):  # the record of a refused configuration must not leave the folder
            raise UserError(f"Names of a run must consist of letters, digits, _ and -. Got {names}.")
        self.kept = {k: v for k, v in config.items() if k not in ("paths", "experiment")}
        # so that a run without these settings keeps the name of its folder
        attack = {k: v for k, v in config["attack"].items() if v is not None or k not in OF_THE_CALL}
        self.kept["attack"] = attack
        self.folder = outputs / "runs" / f"{'-'.join(names)}-{key_of(config=self.kept)}"
        self.began = time.time()

    def begin(self, **known: Any) -> None:
        """Record that the run has begun, and how far it has come; a killed run leaves this file behind."""
        self.folder.mkdir(parents=True, exist_ok=True)
        where = {"host": platform.node(), "pid": os.getpid()}
        write_checked(self.folder / BEGUN, {"command": command(), "began": self.began, **where, **known})

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Lock the run, so that other processes can tell one in progress from one that was killed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder, "the same run"):
            self.begin()
            yield

    def finish(self, record: dict[str, Any]) -> None:
        """Write the results of the run and remove the record of an earlier failure."""
        facts = {"command": command(), "began": self.began, "seconds": time.time() - self.began}
        write_checked(self.folder / RECORD, {**facts, **record, "config": self.kept})
        for old in (BEGUN, FAILED):
            (self.folder / old).unlink(missing_ok=True)

    def fail(self, error: str, code: int) -> None:
        """Write why the run ended, and the fits that it had come to, which a later try needs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        begun = read_checked(self.folder / BEGUN).content
        known: dict[str, Any] = {}
        if isinstance(begun, dict):
            known = {key: begun[key] for key in ("fit", "judges") if key in begun}
        facts = {"command": command(), "error": error, "code": code, "ended": time.time(), **known}
        write_checked(self.folder / FAILED, facts)
        (self.folder / BEGUN).unlink(missing_ok=True)


def in_sweep() -> bool:
    """Whether this is one job of a sweep."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def command() -> str:
    """The command that repeats this run alone, also for a job of a sweep, whose process an engine may have started."""
    if not in_sweep():
        return shlex.join(["python", *sys.argv])
    return command_of(list(HydraConfig.get().overrides.task))


def command_of(overrides: list[str]) -> str:
    """The command of one job of a sweep, by its overrides."""
    kept = [o for o in overrides if o.lstrip("+~").split("=")[0].split(".")[0].split("/")[0] not in _NOT_OF_A_JOB]
    alone = ["hydra.mode=RUN"] if any(o.startswith("+experiment=") for o in kept) else []
    return shlex.join(["python", "run.py", *kept, *alone])


def note_outcome(code: int | None, error: str = "", result: dict[str, Any] | None = None) -> None:
    """Record and print the exit status of this job of a sweep, None while it works; does nothing outside a sweep.

    The sweep reads the file, and so can tell a job that was killed from one that failed. `result` is the job's row of
    its table: see :mod:`pipeline.sweep_table`.
    """
    if not in_sweep():
        return
    hydra = HydraConfig.get()
    path = outcome_file(hydra.runtime.output_dir, hydra.job.num)
    # at the end a full disk must not hide why the job failed
    with contextlib.nullcontext() if code is None else contextlib.suppress(OSError):
        write_checked(path, {"code": code, "error": error, "result": result or {}})
    state = "begins" if code is None else "done" if code == 0 else "failed"
    print(f"[job {hydra.job.num + 1}] {state}: {hydra.job.override_dirname}", flush=True)


def outcome_file(folder: str | Path, number: int) -> Path:
    """Where job `number` of the sweep in `folder` records its outcome."""
    return Path(folder) / f"job_{number}.json"


def outcome(folder: str | Path, number: int) -> tuple[bool, int | None, str]:
    """Whether a job has begun, its exit status (None: not ended), and its error."""
    stored = read_checked(outcome_file(folder, number))
    if stored.content is None:
        return bool(stored.damage), None, ""
    found = stored.content
    return True, found.get("code"), str(found.get("error", ""))


def outcome_result(folder: str | Path, number: int) -> dict[str, Any]:
    """The result that a job has recorded; empty if there is none."""
    result = (read_checked(outcome_file(folder, number)).content or {}).get("result")
    return result if isinstance(result, dict) else {}
