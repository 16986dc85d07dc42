"""What the configs may compute: caps of a scale, lists of models, the data folder."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf


def minimum(value: Any, *caps: Any) -> Any:
    """The minimum of `value` and the `caps` that are not null."""
    return min([value, *(cap for cap in caps if cap is not None)])


def difference(names: list[str], unwanted: list[str]) -> list[str]:
    """The names that are not in `unwanted`, in their order."""
    return [name for name in names if name not in unwanted]


def start_for(target_class: Any) -> str:
    """Where an attack starts: noise, or for a target class, which noise seldom has, the nearest samples of it."""
    return "noise" if target_class is None else "nearest"


def concat(names: list[str]) -> str:
    """The names separated by commas, as Hydra writes a sweep."""
    return ",".join(names)


def data_folder() -> str:
    """``$SCD_DATA``, else a folder ``scd`` in the user's cache.

    A user without a home directory gets ``~/.cache/scd`` as it stands; :mod:`pipeline.stages.data` then asks for a
    folder if the data set needs one.
    """
    given = os.environ.get("SCD_DATA")
    if given:
        return given
    cache = os.environ.get("XDG_CACHE_HOME")
    try:
        return str((Path(cache) if cache else Path.home() / ".cache") / "scd")
    except RuntimeError:  # no HOME and no entry in the password database
        return "~/.cache/scd"


def register_resolvers() -> None:
    """Register ``${min:value,cap}`` and the others with OmegaConf; calling it again is harmless."""
    OmegaConf.register_new_resolver("min", minimum, replace=True)
    OmegaConf.register_new_resolver("difference", difference, replace=True)
    OmegaConf.register_new_resolver("start_for", start_for, replace=True)
    OmegaConf.register_new_resolver("concat", concat, replace=True)
    OmegaConf.register_new_resolver("product", lambda *numbers: math.prod(numbers), replace=True)
    OmegaConf.register_new_resolver("data_folder", data_folder, replace=True)
