"""From a config node to the object it describes: ``_target_`` and its keyword arguments, bound before any work."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from pipeline.config import OF_THE_CALL
from pipeline.errors import UserError, did_you_mean
from pipeline.protocols import AnyAttack, Attack, Config, Model, TextAttack
from scd.devices import parse_bytes

_ATTACK_MEMORY = 256 << 20  # bytes of a block of an attack: larger ones leave the cache and gain nothing

NOT_ARGUMENTS = {
    "dataset": {"name", "holds", "training", "attack"},
    "model": {"name", "use_votes"},
    "attack": {"name", "points", *OF_THE_CALL},
}
"""Keys of a group that are not arguments of its target."""

REQUIRED = {
    "dataset": {"training", "attack", "classes"},
    "model": {"n_votes", "use_votes"},
    "attack": {"points"},
}

SUBGROUPS = {
    ("dataset", "training"): {
        "batch_fraction",
        "features_per_step",
        "step_hidden",
        "step_output",
        "mlp_learning_rate",
        "votes",
        "bnn_votes",
    },
    ("dataset", "attack"): {"restarts", "max_iter", "count"},
    ("attack", "points"): {"rule", "count"},
}
"""Keys of the groups within a group: settings of training and attack per data set, and points per attack."""

CANNOT_CHANGE_RESULT = frozenset(
    {
        "n_votes",
        "n_jobs",
        "votes_at_once",
        "device",
        "backend",
        "memory_budget",
        "verbose",
        "warm_start",
        "data_dir",
        "outputs_dir",
        "rows_per_request",
        "timeout",
        "retries",
        "rate_limit",
        "cache_size",
        "token_variable",
    }
)
"""Arguments that are not part of the keys of the store."""

CANNOT_CHANGE_VOTES = CANNOT_CHANGE_RESULT | {"voting", "path"}
"""Arguments of a model that are not part of the key of a fit.

`voting` only says how its votes are combined. Of a model's file the checksum is part of the key, not its `path`.
"""


def locate(group: str, node: Config) -> Callable[..., Any]:
    """Return the class or function a group's ``_target_`` names."""
    target = node.get("_target_")
    if not isinstance(target, str) or "." not in target:
        raise UserError(f"{group}._target_ must name a class or function such as scd.SCDClassifier. Got {target!r}.")
    module, name = target.rsplit(".", 1)
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)  # a name given by the user
    except (ImportError, AttributeError) as error:
        raise UserError(f"{group}._target_={target} cannot be imported: {error}.") from error
    return found


def parameters_of(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Keyword parameters of a class or function; ``**kwargs`` of a class are those of its base classes."""
    found: dict[str, inspect.Parameter] = {}
    layers: list[Callable[..., Any]] = [target]
    if inspect.isclass(target):
        layers = [vars(c)["__init__"] for c in inspect.getmro(target) if "__init__" in vars(c)]
    for layer in layers:
        own = inspect.signature(layer).parameters
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        found = {**{k: p for k, p in own.items() if p.kind in kinds and k != "self"}, **found}
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in own.values()):
            break
    return found


def arguments(group: str, node: Config, **more: Any) -> dict[str, Any]:
    """Keyword arguments of a group's target; of `more`, those that the target takes.

    Raises
    ------
    UserError
        Unknown or missing key.
    """
    allowed = parameters_of(locate(group, node))
    given = {k: v for k, v in node.items() if k != "_target_" and k not in NOT_ARGUMENTS[group]}
    for key in given:
        if key not in allowed:
            raise UserError(
                f"{group}.{key} is not a parameter of {node['_target_']}; it takes: {', '.join(sorted(allowed))}."
                f"{did_you_mean(key, allowed)}"
            )
    given.update({k: v for k, v in more.items() if k in allowed and k not in given})
    missing = [k for k, p in allowed.items() if p.default is inspect.Parameter.empty and k not in given]
    if missing:
        raise UserError(f"{group}.{missing[0]} is missing: {node['_target_']} has no default for it.")
    return given


ADDED_LATER = {
    "attacks.cgba.CGBA": ("subspace", "subspace_size"),
    "attacks.hopskipjump.HopSkipJump": ("delta", "subspace", "subspace_size"),
    "attacks.sign_pattern.SignPattern": ("norm",),
    "attacks.smoothed_boundary.SmoothedBoundary": ("subspace", "subspace_size", "subspace_queries"),
    "attacks.transfer.Transfer": ("search", "query_budget"),
    "attacks.whitebox.WhiteBox": ("norm",),
    "baselines.mlp_adversarial.AdversarialMLPVotes": ("basis", "basis_size"),
    "scd.SCDClassifier": ("batch_size", "class_weight"),
}
"""Settings in conf/ that joined after runs were published: with their default a key is what it was without them."""


def that_change_the_result(group: str, node: Config) -> dict[str, Any]:
    """The arguments that are part of a key of the store; 1 and 1.0 are the same where the default is a float."""
    defaults = {k: p.default for k, p in parameters_of(locate(group, node)).items()}
    ignored = CANNOT_CHANGE_VOTES if group == "model" else CANNOT_CHANGE_RESULT
    given = {k: v for k, v in arguments(group, node).items() if k not in ignored}
    for name in ADDED_LATER.get(node["_target_"], ()):
        if name in given and given[name] == defaults[name]:
            del given[name]
    return {k: float(v) if type(v) is int and isinstance(defaults[k], float) else v for k, v in given.items()}


def build(group: str, node: Config, **more: Any) -> Any:
    """Build the object that a config node describes; a bad value becomes a sentence that begins with the group."""
    try:
        return locate(group, node)(**arguments(group, node, **more))
    except (ValueError, TypeError) as error:
        raise UserError(f"{group}={node.get('name')}: {error}") from error


def _check_class(group: str, node: Config, base: str) -> None:
    """Refuse another target before it is called: whatever it is, calling it could do anything."""
    target = locate(group, node)
    if not (inspect.isclass(target) and hasattr(target, "method_version")):
        raise UserError(f"{group}._target_={node['_target_']} must be a subclass of {base}.")


def build_model(config: Config) -> Model:
    """The unfitted estimator.

    Raises
    ------
    UserError
        A bad parameter, or a class that is no :class:`scd.ensemble.VoteEnsemble`.
    """
    node = config["model"]
    _check_class("model", node, "scd.ensemble.VoteEnsemble")
    budget = config["memory_budget"]
    model = build("model", node, random_state=config["seed"], device=config["device"], memory_budget=budget)
    if not isinstance(model, Model):
        raise UserError(f"model._target_={node['_target_']} must be a subclass of scd.ensemble.VoteEnsemble.")
    try:
        model.check_params()
    except (ValueError, TypeError) as error:
        raise UserError(f"model={node.get('name')}: {error}") from error
    return model


def build_attack(config: Config) -> Attack | TextAttack | None:
    """The attack; None for attack=none.

    Raises
    ------
    UserError
        A bad parameter, or a class that is no :class:`attacks.base.Attack`.
    """
    node = config["attack"]
    if node.get("_target_") is None:
        return None
    _check_class("attack", node, "attacks.base.Attack")
    budget = min(parse_bytes(config["memory_budget"]), _ATTACK_MEMORY)
    attack = build("attack", node, seed=config["seed"], memory_budget=budget, verbose=config["verbose"])
    kind = TextAttack if isinstance(attack, AnyAttack) and attack.takes == "documents" else Attack
    if not isinstance(attack, kind):
        raise UserError(f"attack._target_={node['_target_']} must be a subclass of attacks.base.Attack.")
    return attack
