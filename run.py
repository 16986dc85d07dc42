"""Train an ensemble, evaluate it, attack it: ``python run.py dataset=cifar10 model=scd01 attack=hsj``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

try:
    import hydra
    from hydra.errors import HydraException
except ModuleNotFoundError as missing:
    sys.exit(f"run.py needs more than the core, {missing.name} is not installed; run: pip install '.[run]'")

from pipeline.command_line import explained, prepare
from pipeline.config.resolvers import register_resolvers

if TYPE_CHECKING:
    from omegaconf import DictConfig

register_resolvers()
status = 0


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    """Run one composed configuration."""
    from pipeline.compile_ahead import compile_ahead

    compile_ahead()
    from pipeline.experiment import run_from_command_line  # loaded here so that --help stays quick

    global status
    register_resolvers()  # an engine may have started another process for this job
    status = run_from_command_line(cfg)


if __name__ == "__main__":
    prepare()
    try:
        main()
    except HydraException as error:
        print(f"error: {explained(error, sys.argv[1:])}", file=sys.stderr)
        status = 2
    sys.exit(status)  # a sweep exits with a status of its own
