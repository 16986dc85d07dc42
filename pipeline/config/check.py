"""Validates a composed configuration before any work; each error is one sentence that names the key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.config import OF_THE_CALL
from pipeline.config.build import NOT_ARGUMENTS, REQUIRED, SUBGROUPS, arguments, build_attack, build_model
from pipeline.errors import UserError, did_you_mean
from pipeline.protocols import (
    Access,
    AnyAttack,
    Attack,
    CertifiedModel,
    Config,
    Dataset,
    Model,
    SignModel,
    TextAttack,
    TreeModel,
)
from pipeline.store import is_plain_name
from scd.devices import parse_bytes, resolve_device

MULTICLASS = (
    "rf", "rf_authors", "mlp", "mlp_adversarial", "logistic", "lenet", "resnet50", "cnn1d", "estimator", "file",
    "endpoint", "xgboost",
)  # fmt: skip
"""Names of the models in conf/ for more than two classes."""
RULES = ("first", "random", "indices", "correct", "correct_for_all")


class Checked(NamedTuple):
    """The objects that a valid configuration describes, but for its data set."""

    model: Model
    attack: Attack | TextAttack | None


def resolve(cfg: DictConfig) -> Config:
    """The configuration as plain values, without Hydra's own node.

    Raises
    ------
    UserError
        A value that refers to a missing key.
    """
    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(_unresolved(error.full_key, error)) from error
    except TypeError as error:
        raise UserError(_unresolved(None, error)) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key != "hydra"}


def _unresolved(key: str | None, error: Exception) -> str:
    return f"{key or 'The configuration'} cannot be resolved: {str(error).splitlines()[0]}."


def check(config: Config) -> Checked:
    """Build the model and the attack of a valid configuration; reads no data.

    Raises
    ------
    UserError
        A key that is unknown, missing, of the wrong type or out of range, or groups that do not fit each other.
    """
    check_keys(config)
    for key in ("dataset", "model", "attack"):
        _check_group(key, config[key])
    _check_use_votes(config["model"])
    arguments("dataset", config["dataset"])
    model, attack = build_model(config), build_attack(config)
    _check_kinds(config, model, attack)
    if attack is not None:
        check_access(attack, model, config["attack"]["name"], config["model"]["use_votes"])
        _check_call(attack, config["attack"])
    return Checked(model, attack)


def check_ready(attack: AnyAttack, name: str) -> list[str]:
    """The notes of an attack on the files that it uses.

    Raises
    ------
    UserError
        A file or a package is missing or damaged.
    """
    try:
        attack.check_ready()
        return attack.notes()
    except (FileNotFoundError, ImportError, ValueError) as error:
        raise UserError(f"attack={name}: {error}") from error


def check_access(attack: AnyAttack, model: Model, name: str, use_votes: int | None = None) -> None:
    """Refuse an attack that needs access which the model, with all its votes or the first ones, cannot give."""
    votes = use_votes or model.n_votes
    if attack.requires not in list(Access):
        raise UserError(f"attack={name}: `requires` must be {_either(Access)}. Got {attack.requires!r} instead.")
    if attack.requires == Access.GRADIENT and not model.differentiable:
        raise UserError(f"attack={name} needs a model with a gradient; {type(model).__name__} has none.")
    if attack.requires == Access.TREES and not isinstance(model, TreeModel):
        raise UserError(
            f"attack={name} needs a model of decision trees (rf, or model=estimator with a tree ensemble); "
            f"{type(model).__name__} has none."
        )
    if attack.requires == Access.MEMBERS and votes < 2:
        raise UserError(f"attack={name} needs an ensemble of two votes or more: set model.n_votes. Got {votes}.")
    if attack.requires in (Access.TREES, Access.WEIGHTS) and isinstance(model, TreeModel):
        try:
            model.check_trees(votes)
        except ValueError as error:
            raise UserError(f"attack={name}: {error}") from error
    if attack.requires == Access.VOTES and not (isinstance(model, SignModel) and model.voting == "hard"):
        raise UserError(
            f"attack={name} needs sign networks (an scd model or bnn) with model.voting=hard. "
            f"Got {type(model).__name__} with {model.voting} voting."
        )
    if attack.requires == Access.WEIGHTS:
        if not isinstance(model, CertifiedModel):
            raise UserError(
                f"attack={name}: certified radii need sign networks (an scd model or bnn), trees, logistic or mlp; "
                f"{type(model).__name__} has none."
            )
        if model.voting != "hard" and not isinstance(model, TreeModel):
            raise UserError(f"attack={name}: certified radii need model.voting=hard. Got {model.voting!r} instead.")


def _check_call(attack: AnyAttack, node: Config) -> None:
    """Refuse settings of the call that this attack does not have."""
    for key, option in OF_THE_CALL.items():
        if node.get(key) not in (None, False) and option not in attack.call_options:
            raise UserError(
                f"attack.{key} is not for attack={node['name']}; choose a decision-based attack, such as hsj."
            )


def check_dataset(dataset: Dataset, checked: Checked, config: Config) -> None:
    """Refuse a model or attack for two classes where the data set has more, and an attack that needs missing bounds."""
    k, name = len(dataset.class_names), config["model"]["name"]
    if k > 2 and not checked.model.multiclass:
        raise UserError(
            f"model={name} is for two classes, and dataset={dataset.name} has {k}: choose two with "
            f"dataset.classes=[first,second], or a model for more: {', '.join(MULTICLASS)}."
        )
    requires = None if checked.attack is None else checked.attack.requires
    certifies = isinstance(checked.model, CertifiedModel) and checked.model.certifies_multiclass
    if k > 2 and (requires == Access.TREES or (requires == Access.WEIGHTS and not certifies)):
        raise UserError(
            f"attack={config['attack']['name']} on model={name} is for two classes, and dataset={dataset.name} has "
            f"{k}: choose two with dataset.classes=[first,second], or another attack, such as hsj."
        )
    _check_subspace(dataset, checked, config["attack"])
    low, high = np.ravel(dataset.clip[0]), np.ravel(dataset.clip[1])
    if checked.attack is None or (np.isfinite(low).all() and np.isfinite(high).all()):
        return
    if not (checked.attack.unbounded and np.isinf(low).all() and np.isinf(high).all()):
        raise UserError(
            f"attack={config['attack']['name']} needs bounds of the features: set dataset.clip. Got {dataset.clip}."
        )


def _check_subspace(dataset: Dataset, checked: Checked, node: Config) -> None:
    """Refuse a subspace of low frequencies where samples have none, or fewer."""
    if not isinstance(checked.attack, Attack) or node.get("subspace") is None:
        return
    if dataset.provenance.get("features"):
        raise UserError(
            f"attack.subspace={node['subspace']} is for images and signals: the features of dataset={dataset.name} "
            "have no order. Leave it out."
        )
    try:
        checked.attack.check_shape(dataset.feature_shape)
    except ValueError as error:
        raise UserError(f"attack={node['name']}: {error}") from error


def check_keys(config: Config) -> None:
    """The keys outside the three groups."""
    known = {"dataset", "model", "attack", "scale", "seed", "device", "memory_budget", "verbose", "paths", "points"}
    _same_keys("", config, known | {"experiment"})
    check_scale(config["scale"])
    if config["experiment"] is not None:
        _must("experiment", config["experiment"], lambda v: isinstance(v, dict), "null or a group of keys")
        _same_keys("experiment.", config["experiment"], {"name", "votes"})
    for key in ("paths", "points"):
        _must(key, config[key], lambda v: isinstance(v, dict), "a group of keys")
    _same_keys("paths.", config["paths"], {"data", "outputs"})
    _must("seed", config["seed"], _is_seed, _SEED)
    _must("verbose", config["verbose"], lambda v: isinstance(v, bool), "true or false")
    _must("device", config["device"], lambda v: isinstance(v, str), "auto, cpu or cuda")
    for check_value, value in ((resolve_device, config["device"]), (parse_bytes, config["memory_budget"])):
        try:
            check_value(value)
        except ValueError as error:
            raise UserError(str(error)) from error
    for key in ("data", "outputs"):
        _must(f"paths.{key}", config["paths"][key], lambda v: isinstance(v, str) and v != "", "a folder")
    _check_points(config["points"], config["attack"])


def _check_points(points: Config, attack: Any) -> None:
    """The keys of `points`; `attack`, whose group is not checked yet, may start from an image of the same models."""
    _same_keys("points.", points, {"rule", "count", "seed", "indices", "models"})
    rule, indices, models = points["rule"], points["indices"], points["models"]
    _must("points.rule", rule, lambda v: v in RULES, " or ".join(RULES))
    _must("points.count", points["count"], _is_int(1), "an int >= 1")
    _must("points.seed", points["seed"], _is_seed, _SEED)
    _must("points.models", models, _is_list(str), "a list of names of conf/model, e.g. [scd01,mlp]")
    if indices is not None and rule != "indices":
        raise UserError(f"points.indices needs points.rule=indices. Got points.rule={rule}.")
    start = attack.get("start") if isinstance(attack, dict) else None
    if models and rule != "correct_for_all" and start != "given":
        raise UserError(
            "points.models needs points.rule=correct_for_all or attack.start=given, which use these models. "
            f"Got points.rule={rule} and attack.start={start}."
        )
    if rule == "indices":
        _must("points.indices", indices, _is_indices, "a list of distinct row numbers >= 0, e.g. [0,5,9]")
    if rule == "correct_for_all" and not models:
        raise UserError(
            "points.models must name the models that classify the points correctly, e.g. [scd01,mlp]. Got []."
        )


def check_scale(scale: Any) -> None:
    """The keys of conf/scale: caps, models to leave out, and the data set that replaces a missing one."""
    _must("scale", scale, lambda v: isinstance(v, dict), "a group of keys")
    caps = ("votes", "mlp_votes", "conv_votes", "n_iter", "epochs", "restarts", "max_iter", "queries", "points", "rows")
    _same_keys("scale.", scale, {"name", "without", "stand_in", *caps})
    _must("scale.name", scale["name"], is_plain_name, _NAME)
    for key in caps:
        _must(f"scale.{key}", scale[key], lambda v: v is None or _is_int(1)(v), "null or an int >= 1")
    _must("scale.without", scale["without"], _is_list(str), "a list of names of conf/model, e.g. [resnet50]")
    if scale["stand_in"] is not None:
        _must("scale.stand_in", scale["stand_in"], lambda v: isinstance(v, dict), "null or a group of keys")
        _same_keys("scale.stand_in.", scale["stand_in"], {"_target_", "instead_of"})
        # it is called without arguments, so nothing else tells a data set from any other function
        own = re.compile(r"data\.[a-z0-9_]+\.load").fullmatch
        _must("scale.stand_in._target_", scale["stand_in"]["_target_"], lambda v: bool(own(str(v))), "data.<name>.load")


def _check_group(name: str, node: Any) -> None:
    if not isinstance(node, dict):
        raise UserError(f"{name} must be one of the options in conf/{name}/, e.g. {name}=... . Got {node!r} instead.")
    if name == "attack" and node.get("_target_") is None:
        _same_keys("attack.", node, {"name", "points"})
    for key in sorted(REQUIRED[name] | {"name"}):
        if key not in node:
            raise UserError(f"{name}.{key} is missing from conf/{name}/.")
    _must(f"{name}.name", node["name"], is_plain_name, _NAME)
    for key in NOT_ARGUMENTS[name] & {"training", "attack", "points"}:
        if not isinstance(node[key], dict):
            raise UserError(f"{name}.{key} must be a group of keys. Got {node[key]!r} instead.")
        _same_keys(f"{name}.{key}.", node[key], SUBGROUPS[name, key])


def _check_kinds(config: Config, model: Model, attack: AnyAttack | None) -> None:
    """Refuse a model or an attack that does not take what the data set holds: documents, or rows of numbers."""
    dataset = config["dataset"]
    holds = dataset.get("holds", "rows")
    _must("dataset.holds", holds, lambda v: v in ("rows", "documents"), "rows or documents")
    here = f"dataset={dataset['name']}"
    if holds == "documents" and model.takes in ("images", "signals"):
        raise UserError(
            f"model={config['model']['name']} takes {model.takes}, but {here} holds documents; choose wordcnn, or a "
            "model that takes mean word vectors: an scd model, mlp, bnn or rf."
        )
    if holds == "rows" and model.takes == "words":
        raise UserError(
            f"model={config['model']['name']} takes the words of documents, but {here} holds none; choose "
            "mr, imdb, yelp or ag."
        )
    if attack is not None and attack.takes != holds:
        has, allowed = ("documents", "textfooler") if holds == "documents" else ("no documents", "hsj or another")
        raise UserError(
            f"attack={config['attack']['name']} changes {'words' if attack.takes == 'documents' else 'numbers'}, but "
            f"{here} holds {has}; choose attack={allowed} or attack=none."
        )


def _check_use_votes(model: Config) -> None:
    _must("model.n_votes", model["n_votes"], _is_int(1), "an int >= 1")
    use, votes = model["use_votes"], model["n_votes"]
    if use is not None:
        _must("model.use_votes", use, lambda v: _is_int(1)(v) and v <= votes, f"null or an int in 1..{votes}")


def _same_keys(prefix: str, node: Config, known: Iterable[str]) -> None:
    known = set(known)
    for key in node:
        if key not in known:
            allowed = ", ".join(sorted(known))
            raise UserError(f"{prefix}{key} is not a known key; allowed: {allowed}.{did_you_mean(key, known)}")
    for key in sorted(known - set(node)):
        raise UserError(f"{prefix}{key} is missing.")


def _must(key: str, value: Any, valid: Callable[[Any], bool], allowed: str) -> None:
    if not valid(value):
        raise UserError(f"{key} must be {allowed}. Got {value!r} instead.")


def _either(names: Iterable[str]) -> str:
    return " or ".join(map(str, names))


def _is_int(minimum: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= minimum


_NAME = "a name of letters, digits, _ and -, since folders are named after it"
_SEED = f"an int in 0..{2**32 - 1}"


def _is_seed(value: Any) -> bool:
    return _is_int(0)(value) and value < 2**32


def _is_list(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(isinstance(v, kind) for v in value)


def _is_indices(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_int(0), value)) and len(set(value)) == len(value)
