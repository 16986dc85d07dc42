"""From a config node to the object it describes: ``_target_`` and its keyword arguments, bound before any work."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from pipeline.errors import UserError

NOT_ARGUMENTS = {
    "dataset": {"name", "holds", "training", "attack"},
    "model": {"name", "use_votes"},
    "attack": {"name", "points"},
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
"""Keys of the groups within a group: what a data set says of training and attack, and an attack of its points."""

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
    }
)
"""Arguments left out of the keys of the store."""

CANNOT_CHANGE_VOTES = CANNOT_CHANGE_RESULT | {"voting"}
"""Arguments of a model left out of the key of a fit: `voting` only says how its votes are combined."""


def locate(group: str, node: dict[str, Any]) -> Callable[..., Any]:
    """Return the class or function a group's ``_target_`` names."""
    target = node.get("_target_")
    if not isinstance(target, str) or "." not in target:
        raise UserError(f"{group}._target_ must name a class or function such as scd.SCDClassifier. Got {target!r}.")
    module, name = target.rsplit(".", 1)
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{group}._target_={target} cannot be imported: {error}.") from error
    return found


def parameters_of(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Keyword parameters of a class or function; a ``**kwargs`` stands for those of the base classes."""
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


def arguments(group: str, node: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Keyword arguments of a group's target; those in `more` only where the target takes them.

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
            )
    given.update({k: v for k, v in more.items() if k in allowed and k not in given})
    missing = [k for k, p in allowed.items() if p.default is inspect.Parameter.empty and k not in given]
    if missing:
        raise UserError(f"{group}.{missing[0]} is missing: {node['_target_']} needs it and has no default for it.")
    return given


def that_change_the_result(group: str, node: dict[str, Any]) -> dict[str, Any]:
    """The arguments that belong in a key of the store; 1 and 1.0 are the same where the default is a float."""
    defaults = {k: p.default for k, p in parameters_of(locate(group, node)).items()}
    without = CANNOT_CHANGE_VOTES if group == "model" else CANNOT_CHANGE_RESULT
    given = {k: v for k, v in arguments(group, node).items() if k not in without}
    return {k: float(v) if type(v) is int and isinstance(defaults[k], float) else v for k, v in given.items()}


def build(group: str, node: dict[str, Any], **more: Any) -> Any:
    """Make the object a config node describes; a bad value becomes a sentence that begins with the group."""
    try:
        built = locate(group, node)(**arguments(group, node, **more))
        if hasattr(built, "check_params"):
            built.check_params()
    except (ValueError, TypeError) as error:
        raise UserError(f"{group}={node.get('name')}: {error}") from error
    return built
