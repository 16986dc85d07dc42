"""A bad configuration is refused before any work, by a sentence that names the key."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("+model.speed=3", r"model\.speed is not a parameter of scd\.SCDClassifier; it takes: .*n_votes"),
        ("+attack.speed=3", r"attack\.speed is not a parameter of attacks\.hopskipjump\.HopSkipJump"),
        ("+dataset.speed=3", r"dataset\.speed is not a parameter of data\.digits\.load"),
        ("+speed=3", r"speed is not a known key; allowed: .*seed"),
        ("+points.speed=3", r"points\.speed is not a known key"),
        ("model.batch_fraction=0", r"model=scd01: The 'batch_fraction' parameter .* in the range \(0.0, 1.0\].* Got 0"),
        ("model.batch_fraction=1.5", r"'batch_fraction' parameter .* Got 1.5"),
        ("model.n_iter=many", r"'n_iter' parameter .* must be an int .* Got 'many'"),
        ("model.n_iter=-1", r"'n_iter' parameter .* Got -1"),
        ("model.loss=hinge", r"'loss' parameter .* Got 'hinge'"),
        ("model.nodes_per_iter=21", r"'nodes_per_iter' .* at most hidden_nodes = 20\. Got 21"),
        ("model.use_votes=101", r"model\.use_votes must be null or an int in 1\.\.100\. Got 101"),
        ("attack.max_iter=-1", r"attack=hsj: The 'max_iter' parameter of HopSkipJump must be .* Got -1"),
        ("attack.norm=l3", r"'norm' parameter of HopSkipJump .* Got 'l3'"),
        ("attack.query_budget=0", r"'query_budget' parameter .* Got 0"),
        ("points.rule=best", r"points\.rule must be first or random or indices .* Got 'best'"),
        ("points.count=0", r"points\.count must be an int >= 1\. Got 0"),
        ("points.rule=indices", r"points\.indices must be a list of distinct row numbers .* Got None"),
        ("points.rule=correct_for_all", r"points\.models must name the models .* Got \[\]"),
        ("seed=-1", r"seed must be an int in 0\.\.4294967295\. Got -1"),
        ("seed=5000000000", r"seed must be an int in 0\.\.4294967295\. Got 5000000000"),
        ("seed=x", r"seed must be an int in 0\.\.4294967295\. Got 'x'"),
        ("points=3", r"points must be a group of keys\. Got 3"),
        ("points.indices=[0,1]", r"points\.indices needs points\.rule=indices"),
        ("points.models=[rf]", r"points\.models needs points\.rule=correct_for_all or attack\.start=given"),
        ("+dataset.training.bacth=1", r"dataset\.training\.bacth is not a known key"),
        ("+attack.points.foo=1", r"attack\.points\.foo is not a known key"),
        ("+scale.foo=1", r"scale\.foo is not a known key"),
        ("model.step_output=1e-9", r"'step_output' parameter .* Got 1e-09"),
        ("device=tpu", r"'device' parameter must be 'auto', 'cpu' or 'cuda'\. Got 'tpu'"),
        ("memory_budget=lots", r"'memory_budget' parameter must be a positive number of bytes, .* Got 'lots'"),
        ("verbose=loud", r"verbose must be true or false\. Got 'loud'"),
        ("model._target_=scd.Missing", r"model\._target_=scd\.Missing cannot be imported"),
        ("model.name=../../x", r"model\.name must be a name of letters, digits, _ and -.* Got '\.\./\.\./x'"),
        ("attack.name=a/b", r"attack\.name must be a name of letters"),
        ("dataset.name=..", r"dataset\.name must be a name of letters"),
        ("scale.name=a.b", r"scale\.name must be a name of letters"),
        ("model._target_=nowhere", r"model\._target_ must name a class or function"),
        ("~model.loss", r""),
        ("dataset.training.batch_fraction=2", r"'batch_fraction' parameter .* Got 2"),
    ],
)
def test_bad_key_is_named(compose_config, override, sentence):
    from pipeline.config.check import check
    from pipeline.errors import UserError

    if not sentence:  # a parameter with a default may be left out
        check(compose_config(override))
        return
    with pytest.raises(UserError, match=sentence) as caught:
        check(compose_config(override))
    assert caught.value.code == 2
    assert "\n" not in str(caught.value)


def test_reference_to_nothing_is_named(compose_config):
    from pipeline.errors import UserError

    with pytest.raises(UserError, match=r"cannot be resolved"):
        compose_config("seed=${nowhere}")


def test_cuda_asked_for_and_absent(compose_config):
    import torch

    from pipeline.config.check import check
    from pipeline.errors import UserError

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(UserError, match="torch finds no CUDA device"):
        check(compose_config("device=cuda"))


@pytest.mark.parametrize("model", ["scd01", "rf"])
def test_device_and_memory_are_checked_whatever_the_model(compose_config, model):
    from pipeline.config.check import check
    from pipeline.errors import UserError

    for override in ("device=nonsense", "memory_budget=1.5", "memory_budget=-3"):
        with pytest.raises(UserError, match=override.split("=")[0]):
            check(compose_config(f"model={model}", override))


def test_a_good_configuration_passes(compose_config):
    from pipeline.config.check import check

    for overrides in ([], ["dataset=cifar10"], ["points.rule=indices", "points.indices=[4,2]"], ["model.use_votes=7"]):
        check(compose_config(*overrides))


def test_data_set_values_reach_model_and_attack(compose_config):
    config = compose_config("dataset=cifar10", "dataset.training.step_hidden=0.3", "dataset.attack.restarts=4")
    assert config["model"]["step_hidden"] == 0.3
    assert config["attack"]["restarts"] == 4
    assert compose_config()["attack"]["max_iter"] == 40
    assert compose_config("dataset=cifar10")["attack"]["max_iter"] == 100


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("dataset.classes=[3,3]", "classes"),
        ("dataset.classes=[3,12]", "classes"),
        ("dataset.classes=[1]", "classes"),
        ("dataset.classes=[1,2,3]", "classes"),
        ("points.indices=[5000]", r"points\.indices must be in 0\.\.106"),
    ],
)
def test_bad_values_that_only_the_data_reveal(compose_config, override, sentence):
    from pipeline.errors import UserError
    from pipeline.experiment import run

    more = ["points.rule=indices"] if override.startswith("points") else []
    with pytest.raises(UserError, match=sentence):
        run(compose_config(override, "scale=smoke", *more))


def test_more_features_per_step_than_features(compose_config):
    from pipeline.errors import UserError
    from pipeline.experiment import run

    with pytest.raises(UserError, match=r"'features_per_step' .* range \[1, 64\].* Got 65"):
        run(compose_config("model.features_per_step=65", "scale=smoke"))


@pytest.mark.parametrize("group", ["model", "attack"])
def test_another_target_is_refused_before_it_is_called(compose_config, tmp_path, group):
    """Also where the group is given whole, as a dictionary."""
    from pipeline.config.check import check
    from pipeline.errors import UserError

    made = tmp_path / "made"
    config = compose_config()
    more = {"model": {"n_votes": 1, "use_votes": None}, "attack": {"points": {"rule": "first", "count": 1}}}[group]
    for target in ("os.makedirs", "subprocess.Popen"):
        key = "name" if target == "os.makedirs" else "args"
        node = {"_target_": target, "name": "mine", **more, **({key: ["touch", str(made)]} if key == "args" else {})}
        with pytest.raises(UserError, match=rf"{group}\._target_={target} must be a subclass"):
            check({**config, group: node})
    assert not made.exists()


@pytest.mark.parametrize("target", ["os.makedirs", "os.system", "subprocess.call", "builtins.exec", "shutil.rmtree"])
def test_a_data_set_of_another_target_is_refused_before_it_is_called(compose_config, tmp_path, target):
    """A configuration from elsewhere, such as that of a store, cannot call what is no data set."""
    from pipeline.config.check import check
    from pipeline.errors import UserError

    made, config = tmp_path / "made", compose_config()
    config["dataset"] |= {"_target_": target, "command": f"touch {made}", "path": str(made)}
    with pytest.raises(UserError, match=r"^dataset\.\w+ (is not a parameter of|is missing)"):
        check(config)
    config = compose_config("scale=smoke")
    config["scale"]["stand_in"]["_target_"] = target
    with pytest.raises(UserError, match=r"^scale\.stand_in\._target_ must be data\.<name>\.load\. Got"):
        check(config)
    assert not made.exists()


def test_no_record_of_a_refused_name_is_written_elsewhere(compose_config, tmp_path):
    from pipeline.errors import UserError
    from pipeline.run_log import RunRecord

    config = compose_config("model.name=../../../x")
    with pytest.raises(UserError, match="must consist of letters"):
        RunRecord(tmp_path / "outputs", config).fail("refused", 2)
    assert not list(tmp_path.rglob("*x*"))
