"""What the configs may compute: caps of a scale, and the place of the data cache."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf


def at_most(value: Any, *caps: Any) -> Any:
    """`value`, or the least of `caps` where that is less; a cap that is null is none."""
    return min([value, *(cap for cap in caps if cap is not None)])


def without(names: list[str], unwanted: list[str]) -> list[str]:
    """`names` less those in `unwanted`, in their order."""
    return [name for name in names if name not in unwanted]


def joined(names: list[str]) -> str:
    """The names as Hydra writes a sweep: with commas between them."""
    return ",".join(names)


def data_folder() -> str:
    """``$SCD_DATA``, else a folder ``scd`` in the user's cache."""
    given = os.environ.get("SCD_DATA")
    if given:
        return given
    cache = os.environ.get("XDG_CACHE_HOME")
    return str((Path(cache) if cache else Path.home() / ".cache") / "scd")


def register_resolvers() -> None:
    """Make ``${at_most:value,cap}`` and the others known to OmegaConf; again is harmless."""
    OmegaConf.register_new_resolver("at_most", at_most, replace=True)
    OmegaConf.register_new_resolver("without", without, replace=True)
    OmegaConf.register_new_resolver("joined", joined, replace=True)
    OmegaConf.register_new_resolver("product", lambda *numbers: math.prod(numbers), replace=True)
    OmegaConf.register_new_resolver("data_folder", data_folder, replace=True)
