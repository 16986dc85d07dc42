"""What an attack's call gets besides the points: a target class, features that must not change, whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.protocols import Config, Dataset
from pipeline.store import key_of

_SHOWN = 20  # names in a message
_BLOCK = 4096  # samples read at a time


def call_options(node: Config, dataset: Dataset) -> dict[str, Any]:
    """The arguments ``target``, ``mask`` and ``integer`` of an attack's call, those that the configuration gives.

    Parameters
    ----------
    node : dict
        The group ``attack``: its keys ``target_class``, ``mask`` and ``integer``; null, or none, for no such argument.
    dataset : Dataset

    Returns
    -------
    dict
        ``target`` is the number of a class. ``mask`` and ``integer`` are arrays of bool, (d,).

    Raises
    ------
    UserError
        A class or feature that does not exist, or a file that cannot be read.
    """
    found: dict[str, Any] = {}
    if node.get("target_class") is not None:
        found["target"] = _class(node["target_class"], dataset)
    if node.get("mask") is not None:
        found["mask"] = _features("mask", node["mask"], dataset)
        if found["mask"].all():
            raise UserError("attack.mask must leave at least one feature that may change. Got all of them.")
    if node.get("integer") not in (None, False):
        found["integer"] = _features("integer", node["integer"], dataset)
    return found


def check_call(node: Config, dataset: Dataset) -> None:
    """Refuse, before any work, options of the call that do not fit the data set.

    Raises
    ------
    UserError
        As of `call_options`, and for features that should be whole numbers and are not.
    """
    whole = call_options(node, dataset).get("integer")
    if whole is None:
        return
    for begin in range(0, len(dataset.y_test), _BLOCK):
        values = dataset.rows("test", np.arange(begin, min(begin + _BLOCK, len(dataset.y_test))))[:, whole]
        broken = np.argwhere(values != np.rint(values))
        if len(broken):
            row, column = broken[0]
            raise UserError(
                f"attack.integer must name features of {dataset.name} that are whole numbers. Got "
                f"{values[row, column]:g} in feature {np.flatnonzero(whole)[column]} of test row {begin + row}."
            )


def key_of_options(options: dict[str, Any]) -> dict[str, Any]:
    """The part of an attack's key that these arguments are; empty for none."""
    if not options:
        return {}
    plain = {k: np.flatnonzero(v).tolist() if isinstance(v, np.ndarray) else v for k, v in options.items()}
    return {"call": key_of(**plain)}


def _class(value: Any, dataset: Dataset) -> int:
    names = list(dataset.class_names)
    if str(value) not in names:
        raise UserError(f"attack.target_class must be a class of {dataset.name}: {_listed(names)}. Got {value!r}.")
    return names.index(str(value))


def _features(key: str, value: Any, dataset: Dataset) -> NDArray[np.bool_]:
    """The features that a list of names or numbers, a file or ``true`` means."""
    if value is True and key == "integer":
        return np.ones(int(np.prod(dataset.feature_shape)), dtype=bool)
    if isinstance(value, str) and value.endswith(".npy"):
        return _from_file(key, value, dataset)
    names: Sequence[str] = dataset.provenance.get("features") or ()
    d = int(np.prod(dataset.feature_shape))
    chosen = np.zeros(d, dtype=bool)
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str) and each in names:
            chosen[names.index(each)] = True
        elif isinstance(each, int) and not isinstance(each, bool) and 0 <= each < d:
            chosen[each] = True
        else:
            known = f"its features are {_listed(names)}, or " if names else ""
            raise UserError(
                f"attack.{key} must be a list of features of {dataset.name}, or the path of an .npy file of bools: "
                f"{known}numbers in 0..{d - 1}. Got {each!r}."
            )
    return chosen


def _from_file(key: str, path: str, dataset: Dataset) -> NDArray[np.bool_]:
    shape = tuple(dataset.feature_shape)
    try:
        with Path(path).expanduser().open("rb") as file:
            found = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"attack.{key}={path} cannot be read: {str(error).splitlines()[0]}.") from error
    flat = (int(np.prod(shape)),)
    if not isinstance(found, np.ndarray) or found.dtype != bool or found.shape not in (shape, flat):
        got = f"{found.dtype} of shape {found.shape}" if isinstance(found, np.ndarray) else "several arrays"
        raise UserError(f"attack.{key}={path} must hold an array of bools of shape {shape}. Got {got}.")
    return found.reshape(-1)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
