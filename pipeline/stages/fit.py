"""The fit stage: votes lie in shards under a key, so resuming, growing and taking a prefix are one mechanism.

Vote 0 is always trained alone, which gives the time of one vote fitted alone; the others follow in shards.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from pipeline.config.build import that_change_the_result
from pipeline.config.check import Config, build_model
from pipeline.errors import UserError
from pipeline.provenance import provenance
from pipeline.run_log import BEGUN, command
from pipeline.stages.inputs import inputs_for
from pipeline.stages.timer import Clock
from pipeline.store import key_of, locked, read_json, sweep, write_yaml
from scd.files import file_sha256, write_json
from scd.storage import Vote, load_votes, save_votes


@dataclass(frozen=True)
class Fitted:
    """A fitted ensemble and where it lies."""

    name: str
    model: Any
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
        return str(getattr(self.model, "voting", "hard"))


def fit(config: Config, dataset: Any, outputs: Path) -> Fitted:
    """Load or train the votes that `config` asks for.

    Raises
    ------
    UserError
        The model refuses the data.
    """
    model, name = build_model(config), config["model"]["name"]
    inputs = inputs_for(model, dataset)
    if "feature_shape" in model.get_params(deep=False):
        model.set_params(feature_shape=inputs.feature_shape)  # what a convolution has to know of a flat row
    key = fit_key(config, dataset, model)
    folder = outputs / "fits" / f"{dataset.name}-{name}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = config["model"]["use_votes"] or config["model"]["n_votes"]
    with locked(folder, f"the fit of {name}"):
        sweep(folder)
        shards = _Shards(folder, config)
        missing = [v for v in range(config["model"]["n_votes"]) if v not in shards.votes]
        if missing:
            write_yaml(folder / "config.yaml", _kept(config))
            write_json(folder / BEGUN, {"command": command()})
            _train(model, dataset, shards, missing, config)
            (folder / BEGUN).unlink(missing_ok=True)
    votes = [shards.votes[v] for v in range(wanted)]
    model.set_params(n_votes=wanted)
    model.use_votes(votes, (0, 1), inputs.n_features, config["seed"])
    seconds = [shards.seconds[v] for v in range(wanted)]
    return Fitted(name, model, key, folder, wanted, shards.seconds[0], float(sum(seconds)), len(missing))


def fit_key(config: Config, dataset: Any, model: Any) -> str:
    """Key of everything that can change a vote."""
    node = config["model"]
    settings = that_change_the_result("model", node)
    if node.get("backend") == "reference":
        settings["backend"] = "reference"  # the same method, other rounding
    return key_of(
        data=dataset.checksum,
        target=node["_target_"],
        settings=settings,
        seed=config["seed"],
        version=getattr(model, "method_version", 1),
    )


def _kept(config: Config) -> Config:
    return {k: config[k] for k in ("dataset", "model", "scale", "seed", "device")}


class _Shards:
    """The shards of one fit on disk. A damaged one is removed with a warning and made again."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder, self.config = folder, config
        self.votes: dict[int, Vote] = {}
        self.seconds: dict[int, float] = {}
        for path in sorted(folder.glob("votes_*.npz")):
            self._load(path)

    def _load(self, path: Path) -> None:
        facts = read_json(path.with_suffix(".json"))
        if not isinstance(facts, dict):
            damage = "the file that describes it is missing, as after a kill, or damaged"
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
        path = self.folder / f"votes_{numbers[0]:05d}-{numbers[-1]:05d}.npz"
        save_votes(path, votes, {})
        about = {"first": numbers[0], "last": numbers[-1], "seconds": seconds, "sha256": file_sha256(path)}
        write_json(path.with_suffix(".json"), {**about, "provenance": facts})
        for number, vote in zip(numbers, votes, strict=True):
            self.votes[number] = vote
            self.seconds[number] = seconds / len(votes)


def _train(model: Any, dataset: Any, shards: _Shards, missing: list[int], config: Config) -> None:
    x, y = inputs_for(model, dataset).flat("train"), dataset.y_train
    if hasattr(model, "warm_up"):
        model.warm_up(x, y)  # compiling is not fitting
    name, total = config["model"]["name"], config["model"]["n_votes"]
    for numbers in shard_ranges(missing, _shard_votes(model, len(x))):
        label = f"{name}: vote {numbers[0] + 1}" + (f"-{numbers[-1] + 1}" if len(numbers) > 1 else "") + f" of {total}"
        unfinished = shards.folder / f"unfinished_{numbers[0]:05d}.npz"
        if not unfinished.exists():
            unfinished.with_suffix(".json").unlink(missing_ok=True)  # of a shard that is begun anew
        clock = Clock(unfinished.with_suffix(".json"))
        with tqdm(desc=label, disable=not config["verbose"], leave=False) as bar:
            try:
                votes = model.fit_votes(x, y, numbers, clock.timing(_shown_on(bar)), checkpoint=unfinished)
            except (ValueError, ImportError) as error:
                raise UserError(f"model={name} cannot be fitted: {error}") from error
        seconds = clock.stop()
        more = {"seconds": seconds, "method_version": getattr(model, "method_version", 1)}
        shards.add(numbers, votes, seconds, provenance(config["device"], dataset.provenance, **more))
        clock.path.unlink(missing_ok=True)


def _shown_on(bar: Any) -> Any:
    def show(done: int, total: int, score: float) -> None:
        bar.total = total
        bar.n = done
        if np.isfinite(score):
            bar.set_postfix_str(f"best so far {score:.3f}", refresh=False)
        bar.update(0)

    return show


def _shard_votes(model: Any, rows: int) -> int:
    """Votes of a shard: enough to keep the device busy, few enough that a kill loses little."""
    if getattr(model, "device", "cpu") != "cpu":
        import torch

        if torch.cuda.is_available():
            return 100
    return max(getattr(model, "shard_votes", 10), 2 * (os.cpu_count() or 1), 25_000 // rows)


def shard_ranges(missing: list[int], size: int) -> list[range]:
    """Cut sorted vote numbers into runs of at most `size`, at multiples of `size`, vote 0 alone."""
    runs: list[range] = []
    for v in missing:
        if runs and runs[-1].stop == v and v > 1 and v % size != 0:
            runs[-1] = range(runs[-1].start, v + 1)
        else:
            runs.append(range(v, v + 1))
    return runs
