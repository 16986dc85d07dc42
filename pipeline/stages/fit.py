"""The fit stage: votes are stored in shards under a key, so resuming, growing and taking a prefix are one mechanism.

Vote 0 is always trained alone, which gives the time of one vote; the others follow in shards.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.build import that_change_the_result
from pipeline.errors import UserError
from pipeline.protocols import Config, FileModel, Job, Model, Vote
from pipeline.provenance import provenance
from pipeline.run_log import BEGUN, command
from pipeline.stages.inputs import adapt, inputs_for
from pipeline.stages.timer import ResumableTimer
from pipeline.store import key_of, locked, read_shard_facts, remove_temporaries, write_checked, write_config
from scd.devices import cores, cuda_is_available
from scd.files import file_sha256
from scd.progress import progress_bar
from scd.storage import load_votes, save_votes

_GPU_SHARD = 100  # votes
_ROWS_A_SHARD = 25_000  # rows times votes: of a small data set more votes make a shard that is worth its overhead


@dataclass(frozen=True)
class Fitted:
    """A fitted ensemble and its place in the store."""

    name: str
    model: Model
    key: str
    folder: Path
    n_votes: int
    one_vote_seconds: float
    """Wall time of vote 0 fitted alone."""
    fit_seconds: float
    """Wall time of all votes used, summed over their shards."""
    trained_now: int
    """Votes that this call had to train."""

    @property
    def voting(self) -> str:
        """How the votes are combined: "hard" or "mean"."""
        return self.model.voting


def fit(job: Job) -> Fitted:
    """Load or train the votes of a job; its model becomes their fitted ensemble.

    Raises
    ------
    UserError
        The model refuses the data.
    """
    model, node = job.model, job.config["model"]
    adapt(model, job.dataset)
    inputs = inputs_for(model, job.dataset)
    files = model.inputs() if isinstance(model, FileModel) else {}
    key = fit_key(job.config, job.dataset.checksum, model.method_version, files)
    folder = job.outputs / "fits" / f"{job.dataset.name}-{job.model_name}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, f"the fit of {job.model_name}"):
        remove_temporaries(folder)
        shards = _Shards(folder)
        missing = [v for v in range(node["n_votes"]) if v not in shards.votes]
        if missing:
            kept = {k: job.config[k] for k in ("dataset", "model", "scale", "seed", "device")}
            write_config(folder / "config.yaml", kept)
            write_checked(folder / BEGUN, {"command": command()})
            _train(job, shards, missing)
            (folder / BEGUN).unlink(missing_ok=True)
    used = range(node["use_votes"] or node["n_votes"])
    model.set_params(n_votes=len(used))
    try:
        model.use_votes(
            [shards.votes[v] for v in used], range(len(job.dataset.class_names)), inputs.n_features, job.seed
        )
    except (ValueError, ImportError) as error:
        raise UserError(f"model={job.model_name} cannot be used as stored in {folder}: {error}") from error
    seconds = float(sum(shards.seconds[v] for v in used))
    return Fitted(job.model_name, model, key, folder, len(used), shards.seconds[0], seconds, len(missing))


def fit_key(config: Config, checksum: str, method_version: int, files: dict[str, str] | None = None) -> str:
    """Key of everything that can change a vote.

    Parameters
    ----------
    config : dict
    checksum : str
        Of the data set.
    method_version : int
        Of the model's class.
    files : dict, optional
        Checksums of the files that the model depends on.
    """
    node = config["model"]
    settings = that_change_the_result("model", node)
    if node.get("backend") == "reference":
        settings["backend"] = "reference"  # the same method with other rounding
    return key_of(
        data=checksum,
        target=node["_target_"],
        settings=settings,
        seed=config["seed"],
        version=method_version,
        **({"files": files} if files else {}),
    )


class _Shards:
    """The shards of one fit on disk. A damaged one is removed with a warning, and trained again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.votes: dict[int, Vote] = {}
        self.seconds: dict[int, float] = {}
        for path in sorted(folder.glob("votes_*.npz")):
            self._load(path)

    def _load(self, path: Path) -> None:
        stored = read_shard_facts(path)
        facts = stored.content
        if facts is None:
            damage = stored.damage or "the file that describes it is missing, as after a kill"
        elif path.is_symlink():
            damage = "it is a link"
        elif file_sha256(path) != facts.get("sha256"):
            damage = "its checksum does not match"
        else:
            votes, _ = load_votes(path)
            for number, vote in enumerate(votes, start=facts["first"]):
                self.votes[number] = vote
                self.seconds[number] = facts["seconds"] / len(votes)
            return
        warnings.warn(f"The votes in {path} cannot be used ({damage}); they are trained again.", stacklevel=2)
        path.unlink(missing_ok=True)

    def add(self, numbers: range, votes: list[Vote], seconds: float, facts: dict[str, Any]) -> None:
        """Write a trained shard."""
        path = self.folder / f"votes_{numbers[0]:05d}-{numbers[-1]:05d}.npz"
        save_votes(path, votes, {})
        about = {"first": numbers[0], "last": numbers[-1], "seconds": seconds, "sha256": file_sha256(path)}
        write_checked(path.with_suffix(".json"), {**about, "provenance": facts})
        for number, vote in zip(numbers, votes, strict=True):
            self.votes[number] = vote
            self.seconds[number] = seconds / len(votes)


def _train(job: Job, shards: _Shards, missing: list[int]) -> None:
    model, total = job.model, job.config["model"]["n_votes"]
    x, y = inputs_for(model, job.dataset).flat("train"), job.dataset.y_train
    with _refusals_of(job.model_name):
        model.warm_up(x, y)
    for numbers in shard_ranges(missing, _shard_votes(model, len(x))):
        upto = f"-{numbers[-1] + 1}" if len(numbers) > 1 else ""
        label = f"{job.model_name}: vote {numbers[0] + 1}{upto} of {total}"
        unfinished = shards.folder / f"unfinished_{numbers[0]:05d}.npz"
        if not unfinished.exists():
            unfinished.with_suffix(".json").unlink(missing_ok=True)  # the time of a shard that is trained again
        timer = ResumableTimer(unfinished.with_suffix(".json"))
        with progress_bar(desc=label, verbose=job.config["verbose"], leave=False) as bar, _refusals_of(job.model_name):
            votes = model.fit_votes(x, y, numbers, timer.timing(_shown_on(bar)), checkpoint=unfinished)
        seconds = timer.stop()
        more = {"seconds": seconds, "method_version": model.method_version}
        shards.add(numbers, votes, seconds, provenance(job.config["device"], job.dataset.provenance, **more))
        timer.path.unlink(missing_ok=True)


@contextlib.contextmanager
def _refusals_of(model: str) -> Iterator[None]:
    """What a model refuses within, as the user's error."""
    try:
        yield
    except (ValueError, ImportError) as error:
        raise UserError(f"model={model} cannot be fitted: {error}") from error


def _shown_on(bar: Any) -> Callable[[int, int, float], None]:
    def show(done: int, total: int, score: float) -> None:
        bar.total = total
        bar.n = done
        if np.isfinite(score):
            bar.set_postfix_str(f"best so far {score:.3f}", refresh=False)
        bar.update(0)

    return show


def _shard_votes(model: Model, rows: int) -> int:
    if model.device != "cpu" and cuda_is_available():
        return _GPU_SHARD
    return shard_votes(model.shard_votes, rows, cores())


def shard_votes(of_two_cores: int, rows: int, cores: int) -> int:
    """Votes of a shard: enough to keep all cores busy, few enough that a kill loses little time.

    Every shard checks the data and makes columns again, which one core does.

    Parameters
    ----------
    of_two_cores : int
        Votes that two cores finish in the time that a kill may lose.
    rows : int
        Training samples.
    cores : int
    """
    return max(of_two_cores * max(1, cores // 2), 2 * cores, _ROWS_A_SHARD // rows)


def shard_ranges(missing: list[int], size: int) -> list[range]:
    """Cut sorted vote numbers into runs of at most `size`, at multiples of `size`, vote 0 alone."""
    runs: list[range] = []
    for v in missing:
        if runs and runs[-1].stop == v and v > 1 and v % size != 0:
            runs[-1] = range(runs[-1].start, v + 1)
        else:
            runs.append(range(v, v + 1))
    return runs
