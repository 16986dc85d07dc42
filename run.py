"""Train an ensemble, evaluate it, attack it: ``python run.py dataset=cifar10 model=scd01 attack=hsj``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import hydra

from pipeline.resolvers import register_resolvers

if TYPE_CHECKING:
    from omegaconf import DictConfig

register_resolvers()
statuses: list[int] = []


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    """Compose the configuration, check it, run it. A job of a sweep that fails does not stop the others."""
    from pipeline.experiment import run_from_command_line  # loaded here so that --help stays quick

    statuses.append(run_from_command_line(cfg))


if __name__ == "__main__":
    main()
    sys.exit(max(statuses, default=0))
