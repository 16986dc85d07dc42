"""Jobs of a sweep as tasks of a Ray cluster, through Ray's own API.

Hydra's Ray launcher requires the client of a cloud provider in versions that conflict with current packages.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

_ROOT = Path(__file__).resolve().parents[2]


class RayLauncher(Launcher):
    """Each job is one Ray task.

    Parameters
    ----------
    init : DictConfig
        Arguments of ``ray.init``; ``address`` null starts a cluster on this machine for the time of the sweep.
    remote : DictConfig
        Arguments of ``ray.remote``: ``num_cpus``, ``num_gpus`` and the like, of each job.
    """

    def __init__(self, init: DictConfig, remote: DictConfig) -> None:
        self.init, self.remote = init, remote
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.task_function: TaskFunction | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the jobs need."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs as tasks and wait for them all; one whose worker is killed is returned as failed.

        Raises
        ------
        ModuleNotFoundError
            Ray is not installed.
        """
        ray = _ray()
        given: Any = OmegaConf.to_container(self.init, resolve=True)
        options: Any = OmegaConf.to_container(self.remote, resolve=True)
        paths = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        ray.init(runtime_env={"env_vars": {"PYTHONPATH": paths}}, **given)
        try:
            task = ray.remote(max_retries=0, **options)(_run)  # the user decides when a killed job is run again
            common = (self.hydra_context, self.config, self.task_function, Singleton.get_state(), os.getcwd())
            tasks = [
                task.remote(initial_job_idx + i, list(overrides), *common) for i, overrides in enumerate(job_overrides)
            ]
            return [_result(ray, each) for each in tasks]
        finally:
            ray.shutdown()


def _result(ray: Any, task: Any) -> JobReturn:
    try:
        result: JobReturn = ray.get(task)
    except ray.exceptions.RayError as error:
        return JobReturn(status=JobStatus.FAILED, _return_value=error)
    return result


def _run(
    number: int,
    overrides: list[str],
    context: HydraContext,
    config: DictConfig,
    task: TaskFunction,
    state: Any,
    folder: str,
) -> JobReturn:
    """One job, in a worker of the cluster; `folder` is where the sweep was started."""
    os.chdir(folder)
    setup_globals()
    Singleton.set_state(state)
    sweep_config = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(sweep_config):
        sweep_config.hydra.job.id = f"{sweep_config.hydra.job.name}_{number}"
        sweep_config.hydra.job.num = number
    return run_job(
        hydra_context=context,
        task_function=task,
        config=sweep_config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def _ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("cluster=ray needs Ray: pip install '.[ray]'") from error
    return ray
