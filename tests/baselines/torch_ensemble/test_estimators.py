"""The convolutional baselines as estimators: scikit-learn's checks, input shapes, growth, files, configs."""

import re
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from sklearn.utils.estimator_checks import check_estimator

from baselines.cnn1d import CNN1DVotes
from baselines.lenet import LeNetVotes
from baselines.resnet50 import ResNet50Votes
from pipeline.config.build import build_model
from pipeline.config.check import resolve
from pipeline.config.resolvers import register_resolvers
from scd.devices import one_torch_thread

CONF = Path(__file__).resolve().parents[3] / "conf"
BASELINES = {"lenet": LeNetVotes, "resnet50": ResNet50Votes, "cnn1d": CNN1DVotes}
FITTED = ["lenet", "cnn1d"]  # resnet50 is large: test_torch_resnet50.py
TINY = {"epochs": 1, "n_votes": 2, "random_state": 7, "device": "cpu"}


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::UserWarning")  # a check's own, of rows without feature names
@pytest.mark.parametrize(
    "model",
    [
        LeNetVotes(n_votes=1, epochs=2, batch_size=32, learning_rate=0.01),
        pytest.param(CNN1DVotes(n_votes=2, epochs=1, batch_size=32), marks=pytest.mark.slow),
        pytest.param(ResNet50Votes(n_votes=1, epochs=10, batch_size=32), marks=pytest.mark.slow),
    ],
    ids=lambda model: type(model).__name__,
)
def test_passes_the_checks_of_scikit_learn(model):
    with one_torch_thread():
        check_estimator(model, on_skip=None)  # skipped: the array API, which is off by default


@pytest.mark.parametrize("name", BASELINES)
def test_a_shape_the_networks_cannot_take_is_named(name):
    shapes = [(8, 8), (1, 8, 0), (1, 8, 8.0), (96,) if name != "cnn1d" else (3, 8, 8)]
    wanted = "images, (channels, height, width)" if name != "cnn1d" else "signals, (d,)"
    for shape in shapes:
        sentence = (
            f"The 'feature_shape' parameter of {BASELINES[name].__name__}, the shape of an input, must be that of "
        )
        sentence += f"{wanted} of ints >= 1, or None. Got {shape} instead."
        with pytest.raises(ValueError, match=re.escape(sentence)):
            BASELINES[name](feature_shape=shape).check_params()


def test_a_shape_of_another_size_than_the_rows_is_named(digits):
    sentence = r"must have as many values as the inputs, 64\. Got \(1, 8, 9\), which has 72"
    with pytest.raises(ValueError, match=sentence):
        LeNetVotes(feature_shape=(1, 8, 9), **TINY).fit(*digits[:2])


@pytest.mark.parametrize("name", FITTED)
def test_the_pipeline_refuses_data_of_another_kind_in_one_sentence(compose_config, name):
    """The digits, which are images, and as flat rows."""
    from dataclasses import replace

    from pipeline.config.build import build
    from pipeline.errors import UserError
    from pipeline.protocols import Job
    from pipeline.stages.fit import fit

    config = compose_config(f"model={name}", "scale=smoke", "model.n_votes=1", "model.epochs=1")
    dataset = build("dataset", config["dataset"])
    assert dataset.feature_shape == (1, 8, 8)
    if name == "lenet":
        signals = {part: getattr(dataset, part).reshape(-1, 64) for part in ("x_train", "x_test")}
        dataset = replace(dataset, **signals, feature_shape=(64,), checksum="")
    with pytest.raises(UserError, match=f"model={name} cannot be fitted: .* parameter .* must be .* Got .* instead"):
        fit(Job(config, dataset, build_model(config), None, Path(config["paths"]["outputs"])))


@pytest.mark.parametrize("name", FITTED)
def test_warm_start_grows_and_keeps_what_is_trained(digits, name):
    X, y = digits[0][:60], digits[1][:60]
    shape = {"lenet": (1, 8, 8), "cnn1d": (64,)}[name]
    grown = BASELINES[name](warm_start=True, feature_shape=shape, **{**TINY, "n_votes": 1}).fit(X, y)
    first = grown.votes_[0]
    grown.set_params(n_votes=2, votes_at_once=1, memory_budget="1GiB", feature_shape=list(shape)).fit(X, y)
    assert grown.votes_[0] is first
    whole = BASELINES[name](feature_shape=shape, **TINY).fit(X, y)
    np.testing.assert_array_equal(grown.vote_probabilities(X), whole.vote_probabilities(X))
    with pytest.raises(ValueError, match="warm_start adds votes trained in the same way: epochs was 1"):
        grown.set_params(epochs=2).fit(X, y)


@pytest.mark.parametrize("name", FITTED)
def test_a_file_keeps_the_shape(digits, tmp_path, name):
    X, y, X_test, _ = digits
    shape = {"lenet": (1, 8, 8), "cnn1d": (64,)}[name]
    model = BASELINES[name](feature_shape=shape, **TINY).fit(X[:60], y[:60])
    model.save(tmp_path / "votes.npz")
    with np.load(tmp_path / "votes.npz", allow_pickle=False) as file:
        assert all(file[array].dtype != object for array in file.files)
    loaded = BASELINES[name].load(tmp_path / "votes.npz").set_params(device="cpu")
    assert loaded.get_params() == model.get_params()
    np.testing.assert_array_equal(loaded.vote_probabilities(X_test), model.vote_probabilities(X_test))


def test_the_shape_matters_to_an_image(digits):
    X, y, X_test, y_test = digits
    settings = {**TINY, "epochs": 8, "learning_rate": 0.005, "n_votes": 1}
    image = LeNetVotes(feature_shape=(1, 8, 8), **settings).fit(X, y)
    line = LeNetVotes(**settings).fit(X, y)
    assert image.votes_[0]["fc1.weight"].shape == (120, 16 * 2 * 2)
    assert line.votes_[0]["fc1.weight"].shape == (120, 16 * 1 * 16)
    assert image.score(X_test, y_test) > 0.95


BAD = {
    "n_votes": 0,
    "epochs": 0,
    "batch_size": 1.5,
    "learning_rate": 0.0,
    "feature_shape": "image",
    "votes_at_once": "all",
    "precision": "float16",
    "device": None,
    "voting": "soft",
    "random_state": -1,
    "memory_budget": "a lot",
    "adversarial": -0.5,
    "mirrored": "left",
}


@pytest.mark.parametrize("key", BAD)
def test_a_bad_parameter_is_named_with_what_was_given(digits, key):
    sentence = f"The '{key}' parameter.* must be .* Got {re.escape(repr(BAD[key]))} instead"
    with pytest.raises(ValueError, match=sentence):
        LeNetVotes(**{key: BAD[key]}).fit(*digits[:2])


@pytest.mark.parametrize(("name", "votes"), [("lenet", 100), ("resnet50", 10), ("cnn1d", 10)])
def test_configs_are_the_papers_settings(name, votes):
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        paper = resolve(compose("config", overrides=[f"model={name}", "device=cpu"]))
        smoke = resolve(compose("config", overrides=[f"model={name}", "scale=smoke"]))
    expected = BASELINES[name](
        n_votes=votes, epochs=100, batch_size=64, learning_rate=1e-3, random_state=0, device="cpu"
    )
    assert build_model(paper).get_params() == expected.get_params()
    keys = set(paper["model"]) - {"_target_", "name", "use_votes"}
    set_by_the_pipeline = {"device", "random_state", "verbose", "warm_start", "memory_budget", "feature_shape"}
    left_out = {"adversarial", "mirrored"}  # not in the paper
    assert keys == set(expected.get_params()) - set_by_the_pipeline - left_out
    assert (build_model(smoke).n_votes, build_model(smoke).epochs) == (3, 2)
