"""Checks of a loader's own options, each with one sentence that names the key of the configuration."""

from __future__ import annotations

from typing import Any

import numpy as np


def check_whole(dataset: str, key: str, value: Any, least: int, most: int) -> int:
    """Return an option as an int.

    Raises
    ------
    ValueError
        Unless `value` is a whole number in `least`..`most`.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
        raise ValueError(f"dataset.{key} of {dataset} must be a whole number in {least}..{most}, got {value!r}.")
    return int(value)


def check_switch(dataset: str, key: str, value: Any) -> bool:
    """Return an option as a bool.

    Raises
    ------
    ValueError
        Unless `value` is true or false.
    """
    if not isinstance(value, bool):
        raise ValueError(f"dataset.{key} of {dataset} must be true or false, got {value!r}.")
    return value
