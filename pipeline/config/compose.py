"""Compositions of conf/ beside the run's own: the models that choose points, and the settings a run would have had."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict

from pipeline.config import OF_THE_CALL
from pipeline.config.build import CANNOT_CHANGE_RESULT, NOT_ARGUMENTS
from pipeline.config.check import resolve
from pipeline.config.resolvers import register_resolvers
from pipeline.errors import UserError
from pipeline.protocols import Config

CONF = Path(__file__).resolve().parents[2] / "conf"
_SHARED = ("dataset", "scale", "seed", "device", "memory_budget", "verbose", "paths")
_RECORDED_BESIDE = frozenset({"use_votes", "precision"})  # of which tables have columns
_DEFAULTS = {"voting": "hard", "holds": "rows", "precision": "float32"}  # of keys that a file of conf/ may leave out


def composed(*overrides: str) -> DictConfig:
    """The configuration that conf/ gives for these overrides, within a run also from its ``--config-dir``.

    Raises
    ------
    hydra.errors.HydraException
        An option that does not exist.
    """
    register_resolvers()
    if GlobalHydra.instance().is_initialized():
        return compose("config", overrides=list(overrides))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(overrides))


def judges_of(config: Config) -> list[Config]:
    """The configuration of each model in ``points.models``: that of the run with another model and no attack.

    The run's data set, scale, seed, device, memory budget and paths hold for them wherever they were given: on the
    command line, in an experiment or in a configuration folder of the user's. Settings of `model` hold for the run's
    own model only.

    Raises
    ------
    UserError
        A model that conf/model does not have.
    """
    points, attack = config.get("points"), config.get("attack")
    if not isinstance(points, dict) or not isinstance(attack, dict):
        return []  # which the check refuses
    needed = points.get("rule") == "correct_for_all" or attack.get("start") == "given"
    models = points.get("models")
    return [_judge(config, name) for name in models] if needed and isinstance(models, list) else []


def _judge(config: Config, name: Any) -> Config:
    try:
        cfg = composed(f"model={name}", "attack=none")
    except HydraException as error:
        raise UserError(f"points.models: {name!r} cannot be composed: {str(error).splitlines()[0]}") from error
    with open_dict(cfg):
        for key in _SHARED:
            cfg[key] = config[key]
    return resolve(cfg)


def changed_settings(config: Config) -> tuple[str, ...]:
    """Settings that can change a result and differ from conf/, as overrides such as ``model.n_iter=30``.

    The run is compared with ``dataset=… model=… attack=… scale=…`` alone, so an experiment's own settings are listed.
    Not listed are the seed, the number of votes and the precision of training, which have columns of their own, and
    what cannot change a result. A group whose name conf/ does not know is listed whole, as ``model=mine``.
    """
    names = {group: str(config[group]["name"]) for group in ("dataset", "model", "attack", "scale")}
    try:
        standard = _standard(*(f"{group}={name}" for group, name in names.items()))
    except HydraException:
        known = {path.relative_to(CONF).with_suffix("").as_posix() for path in CONF.glob("*/*.yaml")}
        return tuple(f"{group}={name}" for group, name in names.items() if f"{group}/{name}" not in known)
    found = []
    for group in ("dataset", "model", "attack", "points"):
        here, there = _settings(group, config[group]), _settings(group, standard[group])
        found += [f"{group}.{k}={_shown(v)}" for k, v in here.items() if v != there.get(k, _DEFAULTS.get(k))]
        found += [f"~{group}.{k}" for k in there if k not in here and there[k] != _DEFAULTS.get(k)]
    return tuple(found)


@functools.cache
def _standard(*groups: str) -> Config:
    """The configuration of conf/ for these groups; cached, since the jobs of a sweep share them."""
    return resolve(composed(*groups))


def _settings(group: str, node: Config) -> Config:
    ignored = CANNOT_CHANGE_RESULT | _RECORDED_BESIDE | NOT_ARGUMENTS.get(group, frozenset()) - set(OF_THE_CALL)
    return {k: v for k, v in node.items() if k not in ignored}


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ",".join(map(_shown, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
