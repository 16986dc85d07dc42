"""The data set of a run: loaded, cut to the scale's rows, or replaced by the scale's stand-in where it is missing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

import numpy as np

from pipeline.config.build import arguments, locate
from pipeline.errors import UserError
from pipeline.protocols import Config, Dataset, Labels
from pipeline.run_log import in_sweep
from pipeline.store import key_of

_last: dict[str, Dataset] = {}
"""The data set of the last job of a sweep in this process, by its key: jobs of one set mostly follow each other."""


def load_dataset(config: Config) -> Dataset:
    """The data set of a run.

    Raises
    ------
    UserError
        Files that are missing or damaged, or a bad setting.
    """
    key = key_of(dataset=config["dataset"], scale=config["scale"])
    if in_sweep() and key in _last:
        return _last[key]
    dataset = _cut(_load(config), config["scale"])
    _last.clear()
    if in_sweep():
        _last[key] = dataset
    return dataset


def _load(config: Config) -> Dataset:
    node, stand_in = config["dataset"], config["scale"]["stand_in"]
    name = node["name"]
    _check_home(node)
    loader, settings = locate("dataset", node), arguments("dataset", node)
    try:
        loaded = _dataset(node["_target_"], loader(**settings))
        return loaded if loaded.name == name else dataclasses.replace(cast(Any, loaded), name=name)
    except FileNotFoundError as error:
        if stand_in is None or name not in stand_in["instead_of"]:
            raise UserError(f"dataset={name}: {error}") from error
    except (ValueError, TypeError) as error:
        raise UserError(f"dataset={name}: {error}") from error
    other: Any = _dataset(stand_in["_target_"], locate("scale.stand_in", stand_in)())
    note = f"{other.name} replace {name}, which is not there (scale={config['scale']['name']})"
    replaced: Dataset = dataclasses.replace(other, name=name)
    return replaced.with_note(note)


def _dataset(target: str, loaded: Any) -> Dataset:
    if not isinstance(loaded, Dataset):
        raise UserError(f"dataset._target_={target} must return a data.dataset.Dataset. Got {type(loaded).__name__}.")
    return loaded


def _check_home(node: Config) -> None:
    """Refuse a data folder below the home directory of a user who has none."""
    folder = str(node.get("data_dir") or "")
    try:
        Path(folder).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"dataset={node['name']} needs a data folder, and this user has no home directory for {folder}: "
            "set the environment variable SCD_DATA or paths.data=/some/folder."
        ) from error


def _cut(dataset: Dataset, scale: Config) -> Dataset:
    """At most ``scale.rows`` rows of each split: the first of each class, equally many each, in their order."""
    rows = scale["rows"]
    if rows is None:
        return dataset
    train, test = _first_rows(dataset.y_train, rows), _first_rows(dataset.y_test, rows)
    if len(train) == len(dataset.y_train) and len(test) == len(dataset.y_test):
        return dataset
    each = "half" if len(dataset.class_names) == 2 else "equally many"
    note = f"only the first {rows} rows of each part, {each} of each class (scale={scale['name']})"
    return dataset.subset(train, test).with_note(note)


def _first_rows(y: Labels, rows: int) -> Labels:
    if len(y) <= rows:
        return np.arange(len(y))
    labels = np.unique(y)
    each = max(2, rows // max(2, len(labels)))
    return np.sort(np.concatenate([np.flatnonzero(y == label)[:each] for label in labels]))
