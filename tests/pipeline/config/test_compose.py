"""Judges have everything that a run has but its model; a run knows which settings are not those of conf/."""

from __future__ import annotations

import pytest

from pipeline.config.check import resolve
from pipeline.config.compose import changed_settings, composed, judges_of
from pipeline.errors import UserError

FOR_ALL = ("points.rule=correct_for_all", "points.models=[rf,scdce]")


def test_judges_have_the_settings_of_the_run_wherever_they_were_given(compose_config):
    config = compose_config(*FOR_ALL, "scale=smoke", "model.n_iter=7")
    config["seed"], config["dataset"]["classes"] = 7, [1, 2]  # as of an experiment in a folder of the user's
    config["dataset"]["training"]["step_hidden"] = 0.25
    forest, network = judges_of(config)
    assert [forest["model"]["name"], network["model"]["name"]] == ["rf", "scdce"]
    for judge in (forest, network):
        for key in ("dataset", "scale", "seed", "device", "memory_budget", "verbose", "paths"):
            assert judge[key] == config[key], key
        assert judge["attack"]["name"] == "none"
    assert network["model"]["step_hidden"] == 0.25
    assert network["model"]["n_iter"] == 20, "settings of the run's own model are not those of its judges"


def test_only_points_or_starts_that_use_judges_have_them(compose_config):
    assert judges_of(compose_config()) == []
    assert len(judges_of(compose_config("attack.start=given", "points.models=[rf]"))) == 1
    with pytest.raises(UserError, match=r"points\.models: 'nobody' cannot be composed: .*model/nobody"):
        judges_of(compose_config("points.rule=correct_for_all", "points.models=[nobody]"))


@pytest.mark.parametrize(
    "experiment",
    ["figure1", "table2", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("table3", "table4", "table8"))],
)
def test_the_judges_of_an_experiment_are_those_of_its_data_set_and_scale(experiment):
    config = resolve(composed(f"+experiment={experiment}", "scale=cpu"))
    groups = [f"dataset={config['dataset']['name']}", "scale=cpu", "attack=none"]
    expected = [resolve(composed(*groups, f"model={name}")) for name in config["points"]["models"]]
    assert judges_of(config) == expected


@pytest.mark.parametrize(
    ("overrides", "changed"),
    [
        ([], []),
        (["scale=smoke", "model=mlp", "attack=rays", "dataset=cifar10"], []),
        (["seed=3", "model.n_votes=5", "model.use_votes=2", "memory_budget=1GiB", "device=cpu"], []),
        (["model=lenet", "model.precision=bf16"], []),
        (["model.n_iter=30", "model.step_hidden=0.1"], ["model.n_iter=30", "model.step_hidden=0.1"]),
        (["dataset.classes=[1,7]"], ["dataset.classes=[1,7]"]),
        (["dataset.training.step_hidden=0.3"], ["model.step_hidden=0.3"]),
        (["attack.max_iter=3", "attack.delta=0.1"], ["attack.max_iter=3", "attack.delta=0.1"]),
        (["points.rule=first", "points.seed=4"], ["points.rule=first", "points.seed=4"]),
        (["model.voting=mean"], ["model.voting=mean"]),
        (["~attack.norm"], ["~attack.norm"]),
        (["model.name=mine"], ["model=mine"]),
    ],
)
def test_settings_that_differ_from_conf_are_listed(compose_config, overrides, changed):
    assert list(changed_settings(compose_config(*overrides))) == changed
