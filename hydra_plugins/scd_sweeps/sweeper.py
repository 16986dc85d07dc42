"""Hydra's grid sweep, which continues when a job fails or is killed and reports at the end which did not succeed."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, NoReturn

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from pipeline.run_log import command_of, outcome, outcome_file, outcome_result
from pipeline.sweep_table import rows_of, table_lines, write_table

Jobs = dict[int, list[str]]
"""Overrides of each job, by its number in the sweep."""


class ToleratingSweeper(BasicSweeper):
    """The jobs of Hydra's basic sweeper, none of which ends the others.

    Parameters
    ----------
    max_batch_size, params
        As in Hydra's basic sweeper: jobs handed over at a time (null: all), and what to sweep over.
    leave_out : list of list of str
        Exclusions: skip a job whose overrides contain every entry of one of these lists.
    settings : dict of list of str
        Further overrides of the jobs that have an override, such as ``attack=certificate``. A key that the job sets
        already keeps its value.
    alone : bool
        Hand every job to the engine separately, for engines that drop all jobs when one is killed.
    at_once : int, optional
        With `alone`, the maximum number of jobs in progress; null for no limit.
    """

    def __init__(
        self,
        max_batch_size: int | None = None,
        params: dict[str, str] | None = None,
        leave_out: list[list[str]] | None = None,
        settings: dict[str, list[str]] | None = None,
        alone: bool = False,
        at_once: int | None = None,
    ) -> None:
        super().__init__(max_batch_size=max_batch_size, params=params)
        self.leave_out = [set(overrides) for overrides in leave_out or []]
        self.settings = {given: list(more) for given, more in (settings or {}).items()}
        self.alone, self.at_once = alone, at_once

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Set up the engine behind a launcher that survives its failures."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        assert self.launcher is not None
        folder = str(config.hydra.sweep.dir)
        if "submitit" in str(config.hydra.launcher.get("_target_")) and "%" in folder:
            # submitit and SLURM put the number of a job for %j, also in the name of a folder
            print(f"error: under submitit paths.outputs must not contain '%'. Got {folder!r} instead.", file=sys.stderr)
            raise SystemExit(2)
        self.launcher = _Tolerating(self.launcher, Path(config.hydra.sweep.dir), self.alone, self.at_once)

    def get_job_batch(self) -> Sequence[Sequence[str]]:
        """The next jobs with their further settings, without those left out."""
        jobs = [job for job in super().get_job_batch() if not any(all_of <= set(job) for all_of in self.leave_out)]
        return [[*job, *further_settings(job, self.settings)] for job in jobs]

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Compose one job of each combination of groups: what a key's value is does not matter, and composing is slow.

        A thousand seeds then begin at once, instead of after a minute.
        """
        assert self.hydra_context is not None
        loader = self.hydra_context.config_loader
        keys = {word: word.partition("=")[0] for word in {word for job in batch for word in job}}
        groups = {key for key in set(keys.values()) if loader.get_group_options(key.lstrip("+~").partition("@")[0])}
        alike = {frozenset(word if keys[word] in groups else keys[word] for word in job): job for job in batch}
        super().validate_batch_is_legal(list(alike.values()))

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs, list those that did not succeed, and exit with the most severe status."""
        launcher = self.launcher
        assert isinstance(launcher, _Tolerating)
        try:
            super().sweep(arguments)
        except KeyboardInterrupt:
            print("\nInterrupted. Completed work was saved; the same command runs what is missing.", file=sys.stderr)
            raise SystemExit(130) from None
        except HydraException:  # some are OSErrors
            raise
        except OSError as error:  # the folder of the sweep; what a job meets is in its outcome
            print(
                f"error: the sweep's folder {launcher.folder} cannot be used: {error.strerror or error}. "
                "Choose another one with paths.outputs=/some/folder.",
                file=sys.stderr,
            )
            raise SystemExit(2) from None
        raise SystemExit(launcher.report())


def further_settings(job: Sequence[str], settings: dict[str, list[str]]) -> list[str]:
    """The overrides of `settings` for a job, without keys that it sets already."""
    keys = {word.lstrip("+").partition("=")[0] for word in job}
    found = [word for given, more in settings.items() if given in job for word in more]
    return [word for word in found if word.lstrip("+").partition("=")[0] not in keys]


class _Tolerating(Launcher):
    """Hands jobs to an engine's launcher and reads their outcomes from their files."""

    def __init__(self, engine: Launcher, folder: Path, alone: bool, at_once: int | None) -> None:
        self.engine, self.folder, self.alone, self.at_once = engine, folder, alone, at_once
        self.jobs: Jobs = {}
        self.lost: dict[int, str] = {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Nothing: the engine has been set up."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs; whatever happens to one of them, the others are run too."""
        jobs = {initial_job_idx + i: list(overrides) for i, overrides in enumerate(job_overrides)}
        self.jobs |= jobs
        for number in jobs:
            outcome_file(self.folder, number).unlink(missing_ok=True)
        if self.alone:
            with ThreadPoolExecutor(self.at_once or max(1, len(jobs))) as waiting:
                list(waiting.map(self._alone, jobs))
        elif jobs:
            self._together(jobs)
        return []

    def _together(self, jobs: Jobs) -> None:
        """Run jobs in one call of the engine; if that breaks, those that had not ended are run again.

        A process that is killed takes with it all that its engine holds. Which one it was is not known, so the jobs
        that were at work then are run one by one, after the others.
        """
        first = min(jobs)  # an engine numbers the jobs of a call in order, hence `_sequences`
        try:
            if isinstance(self.engine, BasicLauncher) and hasattr(os, "fork"):
                self.lost |= _in_a_child(lambda: self._launch(jobs, first))
            else:
                self.lost |= self._launch(jobs, first)
        except Exception as error:
            self._after(error, jobs)

    def _launch(self, jobs: Jobs, first: int) -> dict[int, str]:
        """Call the engine; the errors of jobs that raised, by number."""
        returned = self.engine.launch(list(jobs.values()), initial_job_idx=first)
        failed = (r.status == JobStatus.FAILED for r in returned)
        return {n: _short(r._return_value) for n, r, f in zip(jobs, returned, failed, strict=True) if f}

    def _after(self, error: Exception, jobs: Jobs) -> None:
        begun = {n for n in jobs if outcome(self.folder, n)[0]}
        working = [n for n in jobs if n in begun and outcome(self.folder, n)[1] is None]
        waiting = [n for n in jobs if n not in begun]
        if len(jobs) == 1 or not begun:
            self.lost |= {n: _short(error) for n in [*working, *waiting]}
            return
        for run in _sequences(waiting):
            self._together({n: jobs[n] for n in run})
        for n in working:
            self._together({n: jobs[n]})

    def _alone(self, number: int) -> None:
        try:
            self.engine.launch([self.jobs[number]], initial_job_idx=number)
        except Exception as error:
            self.lost[number] = _short(error)
        done = "done" if outcome(self.folder, number)[1] == 0 else "did not succeed"
        print(f"[job {number + 1} of {len(self.jobs)}] {done}: {' '.join(self.jobs[number])}", flush=True)

    def _table(self) -> None:
        """Print and write the table of the results, if there is one."""
        results = {n: outcome_result(self.folder, n) for n in self.jobs}
        if not any(results.values()):
            return
        states = {n: "done" if outcome(self.folder, n)[1] == 0 else "failed" for n in self.jobs}
        rows = rows_of(self.jobs, states, results)
        print("\n".join(["", *table_lines(rows)]))
        try:
            print(f"Written to {write_table(self.folder, rows)}")
        except OSError as error:
            print(f"warning: the table was not written: {error}", file=sys.stderr)

    def report(self) -> int:
        """Print the results, how many jobs succeeded, and the error and command of each other one; return the status.

        The results are also written as ``sweep.csv``. The status is the most severe one.

        A failure during the work (1) is more severe than a refusal before it (2), such as missing data.
        """
        codes, failed = {0}, dict[str, list[int]]()
        for number in self.jobs:
            begun, code, error = outcome(self.folder, number)
            if code == 0:
                continue
            codes.add(code or 1)
            if code is None:
                error = "was killed or lost" if begun else "was never begun"
                error = f"the job {error}" + (f" ({self.lost[number]})" if number in self.lost else "")
            failed.setdefault(error, []).append(number)
        self._table()
        count = len(self.jobs) - sum(map(len, failed.values()))
        print(f"\n{count} of {len(self.jobs)} jobs succeeded.", flush=True)
        for error, numbers in failed.items():  # an error that many jobs share, such as missing data, is printed once
            commands = [f"    {command_of(self.jobs[n])}" for n in numbers]
            print("\n".join([f"  job {', '.join(str(n + 1) for n in numbers)}: {error}", *commands]), file=sys.stderr)
        if failed:
            print("The same sweep runs only what is missing.", file=sys.stderr, flush=True)
        for number in self.jobs:
            outcome_file(self.folder, number).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # files of an engine stay
            (self.folder / "multirun.yaml").unlink(missing_ok=True)
            self.folder.rmdir()
        return next(code for code in (*sorted(codes - {0, 2}), 2, 0) if code in codes)


def _in_a_child(work: Callable[[], dict[int, str]]) -> dict[int, str]:
    """What `work` returns, in one forked process for all jobs, so that a signal that ends it does not end the sweep.

    A fork costs milliseconds and loads nothing again. It is safe here because the sweep itself computes nothing: no
    compiled threads run in it, and no GPU is in use.

    Raises
    ------
    ChildProcessError
        The process was ended by a signal or by an error.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as passed:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # idle threads of a library are no danger
            child = os.fork()
        if child == 0:
            _end_after(work, passed)
        status = os.waitstatus_to_exitcode(_waited_for(child))
        if status == 130:
            raise KeyboardInterrupt
        if status:
            ended = f"by signal {-status} ({signal.Signals(-status).name})" if status < 0 else f"with status {status}"
            raise ChildProcessError(f"its process ended {ended}")
        passed.seek(0)
        return {int(number): error for number, error in json.load(passed).items()}


def _end_after(work: Callable[[], dict[int, str]], passed: IO[bytes]) -> NoReturn:
    """The whole life of the child: it never returns into the code of its parent."""
    status = 1
    atexit._clear()  # what the parent has registered is the parent's to do
    try:
        passed.write(json.dumps(work()).encode())
        passed.flush()
        status = 0
    except KeyboardInterrupt:
        status = 130
    except BaseException:  # also SystemExit, which would run the parent's code
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):  # the end of an interpreter: pools of workers end, their files are removed
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _waited_for(child: int) -> int:
    """The wait status of a child; Ctrl-C reaches the child too, which saves its work and ends first."""
    try:
        return os.waitpid(child, 0)[1]
    except KeyboardInterrupt:
        os.waitpid(child, 0)
        raise


def _sequences(numbers: list[int]) -> list[list[int]]:
    """Cut numbers in rising order into runs without gaps."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and runs[-1][-1] == n - 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return runs


def _short(error: Exception) -> str:
    """The first line of what an engine says, with its kind."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}"[:300] if lines else type(error).__name__
