"""Train an ensemble, evaluate it, attack it: ``python run.py dataset=cifar10 model=scd01 attack=hsj``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import hydra

from pipeline.config.resolvers import register_resolvers

if TYPE_CHECKING:
    from omegaconf import DictConfig

register_resolvers()
status = 0


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    """Compose the configuration, check it, run it."""
    from pipeline.experiment import run_from_command_line  # loaded here so that --help stays quick

    global status
    register_resolvers()  # again, for the process that an engine may have started for this job
    status = run_from_command_line(cfg)


if __name__ == "__main__":
    main()
    sys.exit(status)  # a sweep has left with its own
