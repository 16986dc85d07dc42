"""The record of a run under ``outputs/runs/``: begun, finished or failed, and the command that repeats it."""

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

from pipeline.store import key_of, locked
from scd.files import write_json

RECORD, BEGUN, FAILED = "run.json", "begun.json", "failed.json"
_NOT_OF_A_JOB = ("cluster", "hydra")


class RunRecord:
    """What is written of one run: ``begun.json`` while it works, then ``run.json`` or ``failed.json``.

    Parameters
    ----------
    outputs : Path
        The outputs folder.
    config : dict
        The resolved configuration. The folder's name depends on it without its paths and the experiment it is part of.
    """

    def __init__(self, outputs: Path, config: dict[str, Any]) -> None:
        names = [config[group]["name"] for group in ("dataset", "model", "attack")]
        self.kept = {k: v for k, v in config.items() if k not in ("paths", "experiment")}
        self.folder = outputs / "runs" / f"{'-'.join(names)}-{key_of(config=self.kept)}"
        self.began = time.time()

    def begin(self, **known: Any) -> None:
        """Say that the run is at work, or how far it has come; a killed run leaves this behind."""
        self.folder.mkdir(parents=True, exist_ok=True)
        where = {"host": platform.node(), "pid": os.getpid()}
        write_json(self.folder / BEGUN, {"command": command(), "began": self.began, **where, **known})

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Hold the run, so that others can tell one at work from one that was killed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder, "the same run"):
            self.begin()
            yield

    def finish(self, record: dict[str, Any]) -> None:
        """Write what the run led to; an earlier failure of the same run is forgotten."""
        facts = {"command": command(), "began": self.began, "seconds": time.time() - self.began}
        write_json(self.folder / RECORD, {**facts, **record, "config": self.kept})
        for old in (BEGUN, FAILED):
            (self.folder / old).unlink(missing_ok=True)

    def fail(self, error: str, code: int) -> None:
        """Write why the run ended."""
        self.folder.mkdir(parents=True, exist_ok=True)
        facts = {"command": command(), "error": error, "code": code, "ended": time.time()}
        write_json(self.folder / FAILED, facts)
        (self.folder / BEGUN).unlink(missing_ok=True)


def in_sweep() -> bool:
    """Whether this is one job of a sweep."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def command() -> str:
    """The command of this run alone, also for a job of a sweep, whose process may have been started by an engine."""
    if not in_sweep():
        return shlex.join(["python", *sys.argv])
    return command_of(list(HydraConfig.get().overrides.task))


def command_of(overrides: list[str]) -> str:
    """The command of one job of a sweep, by its overrides."""
    kept = [o for o in overrides if o.lstrip("+~").split("=")[0].split(".")[0].split("/")[0] not in _NOT_OF_A_JOB]
    alone = ["hydra.mode=RUN"] if any(o.startswith("+experiment=") for o in kept) else []
    return shlex.join(["python", "run.py", *kept, *alone])
