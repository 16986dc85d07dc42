"""Every data set, model, attack and scale in conf/ composes, binds and runs in miniature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

CONF = Path(__file__).resolve().parents[2] / "conf"


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


PREPARED = {"cifar10": ("cifar10_0_1.npz", (32, 32, 3))}  # file and row shape of sets that are not embedded
EXTRAS = {"hsj_art": "art"}  # configs that need an extra, by the module it brings


@pytest.mark.parametrize("dataset", options("dataset"))
@pytest.mark.parametrize("scale", options("scale"))
def test_every_data_set_composes_with_every_scale(compose_config, dataset, scale):
    from pipeline.configcheck import check

    config = compose_config(f"dataset={dataset}", f"scale={scale}", "model=scd01", "attack=hsj")
    check(config)
    assert config["dataset"]["name"] == dataset
    assert config["scale"]["name"] == scale


@pytest.mark.filterwarnings("ignore:.*had not converged")  # of course not: it is a miniature
@pytest.mark.parametrize("dataset", options("dataset"))
def test_every_data_set_is_fitted_and_attacked(compose_config, tmp_path, dataset):
    """A set that is not embedded runs on a small prepared file of its own shape."""
    from pipeline.experiment import run

    if dataset in PREPARED:
        rng, (name, shape) = np.random.default_rng(0), PREPARED[dataset]
        parts = {"train": 40, "test": 12}
        arrays = {f"x_{part}": rng.integers(0, 256, (n, *shape), dtype=np.uint8) for part, n in parts.items()}
        arrays |= {f"y_{part}": np.arange(n, dtype=np.uint8) % 2 for part, n in parts.items()}
        (tmp_path / "prepared").mkdir()
        np.savez(tmp_path / "prepared" / name, **arrays)
    config = compose_config(f"dataset={dataset}", "scale=smoke", "points.rule=random")
    record = run(config)
    assert record["attack"].startswith(f"{dataset}-scd01-hsj-")


@pytest.mark.filterwarnings("ignore:.*had not converged")
@pytest.mark.parametrize("model", options("model"))
def test_every_model_fits_evaluates_and_is_attacked(compose_config, model):
    from pipeline.experiment import run

    config = compose_config(f"model={model}", "attack=hsj", "scale=smoke")
    record = run(config)
    assert config["model"]["name"] == model
    outputs = Path(config["paths"]["outputs"])
    summary = pd.read_csv(outputs / "attacks" / record["attack"] / "summary.csv").iloc[0]
    assert summary["model"] == model
    assert 0.5 <= summary["accuracy_ensemble"] <= 1
    assert summary["points"] == 2
    found = np.load(outputs / "attacks" / record["attack"] / "adversarials.npz")
    assert found["adversarial"].shape == (2, 64)


@pytest.mark.parametrize("attack", options("attack"))
def test_every_attack_runs(compose_config, attack):
    from pipeline.experiment import run

    if attack in EXTRAS:
        pytest.importorskip(EXTRAS[attack], reason=f"attack={attack} needs an extra")
    config = compose_config("model=scd01", f"attack={attack}", "scale=smoke")
    record = run(config)
    assert (record["attack"] is None) == (attack == "none")
    assert config["attack"]["name"] == attack


@pytest.mark.parametrize("model", options("model"))
def test_every_model_says_what_is_wrong_with_its_number_of_votes(compose_config, model):
    from pipeline.configcheck import check
    from pipeline.errors import UserError

    with pytest.raises(UserError, match=r"model\.n_votes must be an int >= 1\. Got 0"):
        check(compose_config(f"model={model}", "model.n_votes=0"))
