"""The command line around Hydra's: the version, output that the terminal can show, and errors with a suggestion."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf

from pipeline.config import OF_THE_CALL
from pipeline.config.resolvers import register_resolvers
from pipeline.errors import did_you_mean
from scd import __version__

CONF = Path(__file__).resolve().parents[1] / "conf"


def prepare() -> None:
    """Prepare this process: unencodable characters are replaced, and Hydra hands its errors to :func:`explained`.

    Threads that wait for others spin for microseconds and then sleep. By default they spin for about a millisecond,
    which takes the cores from the threads that they wait for if the machine has other work.
    """
    if "OMP_WAIT_POLICY" not in os.environ:  # read when the compiled code is loaded, later
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    replace_unencodable()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    sys.argv[1:] = with_plus(sys.argv[1:])
    if "--version" in sys.argv[1:]:
        print(f"scd {__version__}")
        raise SystemExit(0)


def with_plus(words: list[str]) -> list[str]:
    """The command line with ``experiment=table2`` and ``cluster=slurm`` as Hydra needs them, ``+experiment=table2``.

    The two groups are in no defaults list: an experiment overrides the groups that are.
    """
    return [f"+{word}" if re.match(r"(experiment|cluster)=(?!null$)", word) else word for word in words]


def replace_unencodable() -> None:
    """Let standard output and error replace the characters that their encoding lacks, instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def explained(error: HydraException, overrides: list[str]) -> str:
    """One sentence for a configuration that Hydra cannot compose, with the key or option that was probably meant.

    Parameters
    ----------
    error : HydraException
    overrides : list of str
        The command line.
    """
    text = str(error)
    if found := re.search(r"Could not override '([^']+)'(?!.*\n?No match in the defaults list)", text):
        key = found[1]
        if key in {f"attack.{option}" for option in OF_THE_CALL}:
            return f"{key} is not for this attack; choose a decision-based attack, such as hsj."
        hint = did_you_mean(key, known_keys(overrides))
        return f"{key} is not a known key.{hint or f' A parameter that conf/ leaves out is given as +{key}=… .'}"
    if found := re.search(r"Could not find '([\w.-]+)/([^']+)'", text):
        group, name = found[1], found[2]
        options = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
        known = f"; there are: {', '.join(options)}" if options else ""
        return f"{group}={name} is not an option of conf/{group}/{known}.{did_you_mean(name, options)}"
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def known_keys(overrides: list[str]) -> list[str]:
    """All keys of the configuration for the groups that `overrides` choose, such as ``model.n_iter``."""
    groups = {path.parent.name for path in CONF.glob("*/*.yaml")}
    chosen = [word for word in overrides if word.partition("=")[0].lstrip("+") in groups]
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        try:
            cfg = compose("config", overrides=chosen)
        except HydraException:  # a group is wrong, too
            cfg = compose("config")
    return list(_keys(OmegaConf.to_container(cfg, resolve=False)))


def _keys(node: Any, prefix: str = "") -> Iterator[str]:
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        yield f"{prefix}{key}"
        yield from _keys(value, f"{prefix}{key}.")
