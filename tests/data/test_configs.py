"""Each conf/dataset/*.yaml loads its data set through nothing but its own keys and the two folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from data import Dataset

CONF = Path(__file__).resolve().parents[2] / "conf" / "dataset"


@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_config_loads_the_data_set_it_names(name: str, tmp_path: Path, mini_cifar: Any) -> None:
    mini_cifar.write(tmp_path)
    paths = {"data": str(tmp_path), "outputs": str(tmp_path / "outputs")}
    config = OmegaConf.create({"dataset": OmegaConf.load(CONF / f"{name}.yaml"), "paths": paths})
    arguments = {k: v for k, v in config.dataset.items() if k not in ("name", "training", "attack")}
    dataset = instantiate(arguments)
    assert isinstance(dataset, Dataset)
    assert dataset.name == name == config.dataset.name
