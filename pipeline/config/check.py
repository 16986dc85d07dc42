"""Checks a composed configuration before any work, one sentence for what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.config.build import NOT_ARGUMENTS, REQUIRED, SUBGROUPS, arguments, build, locate
from pipeline.errors import UserError
from scd.devices import parse_bytes, resolve_device

RULES = ("first", "random", "indices", "correct", "correct_for_all")

Config = dict[str, Any]


def resolve(cfg: DictConfig) -> Config:
    """The configuration as plain values, without Hydra's own node.

    Raises
    ------
    UserError
        A value that refers to something absent.
    """
    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except (OmegaConfBaseException, TypeError) as error:
        where = getattr(error, "full_key", None)
        raise UserError(f"{where or 'The configuration'} cannot be resolved: {str(error).splitlines()[0]}.") from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key != "hydra"}


def check(config: Config) -> None:
    """Refuse unknown, missing, wrongly typed and out-of-range keys; imports the targets, does no other work."""
    check_keys(config)
    for key in ("dataset", "model", "attack"):
        _check_group(key, config[key])
    _check_use_votes(config["model"])
    check_kinds(config)
    arguments("dataset", config["dataset"])
    build_model(config)
    if config["attack"].get("_target_") is not None:
        build_attack(config)


def check_ready(config: Config) -> None:
    """Refuse an attack that lacks a file or a package, before any work."""
    if config["attack"].get("_target_") is None:
        return
    ready = getattr(build_attack(config), "check_ready", None)
    try:
        if ready is not None:
            ready()
    except (FileNotFoundError, ImportError, ValueError) as error:
        raise UserError(f"attack={config['attack']['name']}: {error}") from error


def build_model(config: Config) -> Any:
    """The unfitted estimator."""
    return build(
        "model",
        config["model"],
        random_state=config["seed"],
        device=config["device"],
        memory_budget=config["memory_budget"],
    )


def build_attack(config: Config) -> Any:
    """The attack object."""
    return build(
        "attack",
        config["attack"],
        seed=config["seed"],
        memory_budget=_attack_memory(config["memory_budget"]),
        verbose=config["verbose"],
    )


def _attack_memory(budget: int | str) -> int:
    """Blocks of an attack beyond 256 MiB leave the cache and gain nothing."""
    return min(parse_bytes(budget), 256 << 20)


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
    _same_keys("points.", config["points"], {"rule", "count", "indices", "models"})
    points = config["points"]
    _must("seed", config["seed"], lambda v: _is_int(0)(v) and v < 2**32, f"an int in 0..{2**32 - 1}")
    _must("verbose", config["verbose"], lambda v: isinstance(v, bool), "true or false")
    _must("device", config["device"], lambda v: isinstance(v, str), "auto, cpu or cuda")
    for check_value, value in ((resolve_device, config["device"]), (parse_bytes, config["memory_budget"])):
        try:
            check_value(value)
        except ValueError as error:
            raise UserError(str(error)) from error
    for key in ("data", "outputs"):
        _must(f"paths.{key}", config["paths"][key], lambda v: isinstance(v, str) and v != "", "a folder")
    _must("points.rule", points["rule"], lambda v: v in RULES, " or ".join(RULES))
    _must("points.count", points["count"], _is_int(1), "an int >= 1")
    _must("points.models", points["models"], _is_list(str), "a list of names of conf/model, e.g. [scd01,mlp]")
    if points["indices"] is not None and points["rule"] != "indices":
        raise UserError(f"points.indices needs points.rule=indices. Got points.rule={points['rule']}.")
    if points["models"] and points["rule"] != "correct_for_all" and config["attack"].get("start") != "given":
        raise UserError(
            "points.models needs points.rule=correct_for_all or attack.start=given, which ask these models."
        )
    if points["rule"] == "indices":
        _must("points.indices", points["indices"], _is_indices, "a list of row numbers >= 0, each once, e.g. [0,5,9]")
    if points["rule"] == "correct_for_all" and not points["models"]:
        raise UserError("points.models must name the models that are to be right, e.g. [scd01,mlp]. Got [] instead.")


def check_scale(scale: Any) -> None:
    """The keys of conf/scale: caps, and what a scale does without or puts in another's place."""
    _must("scale", scale, lambda v: isinstance(v, dict), "a group of keys")
    caps = ("votes", "mlp_votes", "conv_votes", "n_iter", "epochs", "restarts", "max_iter", "queries", "points", "rows")
    _same_keys("scale.", scale, {"name", "without", "stand_in", *caps})
    for key in caps:
        _must(f"scale.{key}", scale[key], lambda v: v is None or _is_int(1)(v), "null or an int >= 1")
    _must("scale.without", scale["without"], _is_list(str), "a list of names of conf/model, e.g. [resnet50]")
    if scale["stand_in"] is not None:
        _must("scale.stand_in", scale["stand_in"], lambda v: isinstance(v, dict), "null or a group of keys")
        _same_keys("scale.stand_in.", scale["stand_in"], {"_target_", "instead_of"})


def _check_group(name: str, node: Any) -> None:
    if not isinstance(node, dict):
        raise UserError(f"{name} must be one of the options in conf/{name}/, e.g. {name}=... . Got {node!r} instead.")
    if name == "attack" and node.get("_target_") is None:
        _same_keys("attack.", node, {"name", "points"})
    for key in sorted(REQUIRED[name] | {"name"}):
        if key not in node:
            raise UserError(f"{name}.{key} is missing from conf/{name}/.")
    for key in NOT_ARGUMENTS[name] & {"training", "attack", "points"}:
        if not isinstance(node[key], dict):
            raise UserError(f"{name}.{key} must be a group of keys. Got {node[key]!r} instead.")
        _same_keys(f"{name}.{key}.", node[key], SUBGROUPS[name, key])


def check_kinds(config: Config) -> None:
    """Refuse a model or an attack that can do nothing with what the data set holds: documents, or rows of numbers."""
    dataset, model, attack = config["dataset"], config["model"], config["attack"]
    _must("dataset.holds", dataset.get("holds", "rows"), lambda v: v in ("rows", "documents"), "rows or documents")
    documents = dataset.get("holds") == "documents"
    takes = getattr(locate("model", model), "takes", "rows")
    if documents and takes in ("images", "signals"):
        raise UserError(
            f"model={model['name']} takes {takes}, but dataset={dataset['name']} holds documents; choose wordcnn, or a "
            "model that takes mean word vectors: an scd model, mlp, bnn or rf."
        )
    if takes == "words" and not documents:
        raise UserError(
            f"model={model['name']} takes the words of documents, but dataset={dataset['name']} holds none; choose "
            "mr, imdb, yelp or ag."
        )
    if attack.get("_target_") is None:
        return
    on_texts = getattr(locate("attack", attack), "requires", "label") == "text_score"
    if documents != on_texts:
        has, allowed = ("documents", "textfooler") if documents else ("no documents", "hsj or another")
        raise UserError(
            f"attack={attack['name']} changes {'words' if on_texts else 'numbers'}, but dataset={dataset['name']} "
            f"holds {has}; choose attack={allowed} or attack=none."
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
            raise UserError(f"{prefix}{key} is not a known key; allowed: {', '.join(sorted(known))}.")
    for key in sorted(known - set(node)):
        raise UserError(f"{prefix}{key} is missing.")


def _must(key: str, value: Any, right: Callable[[Any], bool], allowed: str) -> None:
    if not right(value):
        raise UserError(f"{key} must be {allowed}. Got {value!r} instead.")


def _is_int(least: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_list(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(isinstance(v, kind) for v in value)


def _is_indices(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_int(0), value)) and len(set(value)) == len(value)
