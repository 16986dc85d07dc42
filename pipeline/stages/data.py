"""The data set of a run: loaded, cut to the scale's rows, or replaced by the scale's stand-in where it is absent."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from pipeline.config.build import arguments, locate
from pipeline.config.check import Config
from pipeline.errors import UserError
from pipeline.run_log import in_sweep
from pipeline.store import key_of

_last: dict[str, Any] = {}
"""The data set of the last job of a sweep in this process, by its key: jobs of one set mostly follow each other."""


def load_dataset(config: Config) -> Any:
    """The data set; what is wrong with it becomes one sentence."""
    key = key_of(dataset=config["dataset"], scale=config["scale"])
    if in_sweep() and key in _last:
        return _last[key]
    dataset = _cut(_load(config), config["scale"])
    _last.clear()
    if in_sweep():
        _last[key] = dataset
    return dataset


def _load(config: Config) -> Any:
    node, stand_in = config["dataset"], config["scale"]["stand_in"]
    target, given = locate("dataset", node), arguments("dataset", node)
    try:
        return target(**given)
    except FileNotFoundError as error:
        if stand_in is None or node["name"] not in stand_in["instead_of"]:
            raise UserError(f"dataset={node['name']}: {error}") from error
    except (ValueError, TypeError) as error:
        raise UserError(f"dataset={node['name']}: {error}") from error
    other = locate("scale.stand_in", stand_in)()
    note = f"{other.name} stand in for {node['name']}, which is not there (scale={config['scale']['name']})"
    return _noting(dataclasses.replace(other, name=node["name"]), note)


def _cut(dataset: Any, scale: dict[str, Any]) -> Any:
    """At most ``scale.rows`` rows of each part: the first of each class, half of them each, in their order."""
    rows = scale["rows"]
    if rows is None:
        return dataset
    kept = {part: _first_rows(getattr(dataset, f"y_{part}"), rows) for part in ("train", "test")}
    if all(len(kept[part]) == len(getattr(dataset, f"y_{part}")) for part in kept):
        return dataset
    arrays = {f"{xy}_{part}": getattr(dataset, f"{xy}_{part}")[index] for xy in "xy" for part, index in kept.items()}
    note = f"only the first {rows} rows of each part, half of each class (scale={scale['name']})"
    return _noting(dataclasses.replace(dataset, **arrays, checksum=""), note)


def _first_rows(y: np.ndarray, rows: int) -> np.ndarray:
    if len(y) <= rows:
        return np.arange(len(y))
    return np.sort(np.concatenate([np.flatnonzero(y == label)[: max(2, rows // 2)] for label in (0, 1)]))


def _noting(dataset: Any, note: str) -> Any:
    facts = dataset.provenance
    return dataclasses.replace(dataset, provenance={**facts, "notes": [*facts.get("notes", []), note]})
