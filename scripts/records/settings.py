"""Which settings a run had, and whether they are those of ``conf/``."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException

from pipeline.config.build import CANNOT_CHANGE_RESULT
from pipeline.config.check import resolve
from pipeline.config.resolvers import minimum, register_resolvers
from pipeline.store import is_plain_name

CONF = Path(__file__).resolve().parents[2] / "conf"

_OF_FIT = ("dataset", "dataset.classes", "dataset.path", "model")
"""Settings besides those of the model that make a fit another one than that of conf/."""

_NOT_SETTINGS = CANNOT_CHANGE_RESULT - {"n_votes"}
"""Arguments that a run's list of settings leaves out, as no result depends on them."""


def scale_caps(scale: str) -> dict[str, Any]:
    """The settings of ``conf/scale/<scale>.yaml``; none where there is no such file."""
    return read_yaml(CONF / "scale" / f"{scale}.yaml") or {}


def described(config: dict[str, Any], changed: list[str] | None = None) -> dict[str, Any]:
    """What tables show or select by of a run's configuration.

    Parameters
    ----------
    config : dict
        The resolved configuration of the run.
    changed : list of str or None
        The settings that the run recorded as differing from conf/. None for a run that recorded nothing; it is then
        compared with conf/ as it is now.
    """
    model = config["model"]
    configured, table5 = _compared_with_conf(config) if changed is None else _as_recorded(config, changed)
    return {
        "n_iter": model.get("n_iter"),
        "hidden_nodes": model.get("hidden_nodes"),
        "input_quantizer": model.get("input_quantizer"),
        "seed": config["seed"],
        "precision": model.get("precision", "float32"),
        "right_for": _right_for(config.get("points") or {}),
        "as_configured": configured,
        "as_in_table5": table5,
    }


def _as_recorded(config: dict[str, Any], changed: list[str]) -> tuple[bool, bool]:
    """What :func:`_compared_with_conf` says, from the settings that a run recorded as changed."""
    keys = {change.lstrip("~").split("=")[0] for change in changed}
    of_fit = {key for key in keys if key in _OF_FIT or key.startswith("model.")}
    nodes = config["model"].get("hidden_nodes")
    if not nodes:
        return not of_fit, False
    iterations = minimum(50 * nodes, config["scale"].get("n_iter"))
    in_table5 = of_fit <= {"model.hidden_nodes", "model.n_iter"} and config["model"].get("n_iter") == iterations
    return not of_fit, in_table5


def differing_settings(config: dict[str, Any]) -> str:
    """The settings of a run that are not those of conf/ for its names, as ``key=value`` with blanks between them.

    Settings of the model that conf/ does not name are among them: they were added on the command line.
    """
    attack = config.get("attack", {}).get("name", "none")
    standard = _flat(_composed(config["dataset"]["name"], config["model"]["name"], config["scale"]["name"], attack))
    found = _flat(config)
    other = [key for key in found if (key in standard or _added(key, standard)) and found[key] != standard.get(key)]
    return " ".join(f"{key}={_written(found[key])}" for key in other)


def _added(key: str, standard: dict[str, Any]) -> bool:
    return key.startswith("model.") and "model.name" in standard


def read_yaml(path: Path) -> dict[str, Any] | None:
    """The mapping in a YAML file; None if there is none or it is damaged."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return found if isinstance(found, dict) else None


def _compared_with_conf(config: dict[str, Any]) -> tuple[bool, bool]:
    """Whether a run's settings are those of conf/, and whether they are those of Table 5 for its hidden nodes."""
    standard = _composed(config["dataset"]["name"], config["model"]["name"], config["scale"]["name"], "none")
    if not standard:
        return False, False
    found, wanted = _result_settings(config), _result_settings(standard)
    nodes = config["model"].get("hidden_nodes")
    if not nodes:
        return found == wanted, False
    iterations = minimum(50 * nodes, standard["scale"].get("n_iter"))
    table5 = {**wanted["model"], "hidden_nodes": nodes, "n_iter": iterations}
    return found == wanted, found == {**wanted, "model": table5}


def _result_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Data set and model settings that can change a vote; a cell names its precision, which does so by rounding."""
    unessential = CANNOT_CHANGE_RESULT | {"use_votes", "precision"}
    model = {"voting": "hard", **{k: v for k, v in config.get("model", {}).items() if k not in unessential}}
    return {"classes": config.get("dataset", {}).get("classes"), "model": model}


@functools.cache
def _composed(dataset: str, model: str, scale: str, attack: str) -> dict[str, Any]:
    """The configuration that conf/ gives for these names; empty where it does not know them."""
    if not all(map(is_plain_name, (dataset, model, scale, attack))):  # a stored name may say anything
        return {}
    register_resolvers()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            overrides = [f"dataset={dataset}", f"model={model}", f"scale={scale}", f"attack={attack}"]
            return resolve(compose("config", overrides=overrides))
    except HydraException:
        return {}


def _right_for(points: dict[str, Any]) -> int:
    """How many models had to classify a point correctly for it to be drawn."""
    return max(1, len(points.get("models") or ())) if points.get("rule") == "correct_for_all" else 1


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    """The settings of the data set, the model, the attack and the points, and the seed, under dotted keys."""
    found = {}
    for group in ("dataset", "model", "attack", "points"):
        for key, value in (config.get(group) or {}).items():
            if key not in _NOT_SETTINGS and not isinstance(value, dict):
                found[f"{group}.{key}"] = value
    return {**found, "seed": config.get("seed")}


def _written(value: Any) -> str:
    """A value as an override of the command line."""
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
