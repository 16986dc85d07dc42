"""The baselines' configs compose to their documented settings."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from baselines.forest import ForestVotes
from baselines.mlp import MLPVotes
from pipeline.config.build import build_model
from pipeline.config.check import resolve
from pipeline.config.resolvers import register_resolvers

CONF = Path(__file__).resolve().parents[2] / "conf"


def built(*overrides):
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return build_model(resolve(compose("config", overrides=list(overrides))))


def test_mlp_is_the_authors_program():
    model = built("model=mlp", "dataset=cifar10", "device=cpu")
    expected = MLPVotes(n_votes=100, hidden_nodes=20, learning_rate=0.01, max_iter=1000, random_state=0, device="cpu")
    assert model.get_params() == expected.get_params()


def test_rf_is_the_papers_text_and_rf_authors_the_program():
    assert built("model=rf").get_params() == ForestVotes(random_state=0).get_params()
    expected = ForestVotes(min_samples_leaf=10, max_features=None, random_state=0)
    assert built("model=rf_authors").get_params() == expected.get_params()


def test_xgboost_is_one_sum_of_trees_with_the_packages_own_depth_and_rate(digits):
    xgboost = pytest.importorskip("xgboost")
    X, y = digits[:2]
    model = built("model=xgboost", "dataset=cifar10").fit(X, y)
    assert (model.n_votes, len(model.trees())) == (1, 100)
    expected = xgboost.XGBClassifier(max_depth=6, learning_rate=0.3, random_state=0).fit(X, y)
    assert (model.predict(X) == expected.predict(X)).all()


@pytest.mark.parametrize("name", ["mlp", "rf", "rf_authors"])
def test_every_constructor_parameter_is_a_key_or_set_by_the_pipeline(name):
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        node = compose("config", overrides=[f"model={name}"]).model
    cls = MLPVotes if name == "mlp" else ForestVotes
    assert node.name == name
    keys = set(node) - {"_target_", "name", "use_votes"}
    assert keys == set(cls().get_params()) - {"device", "random_state", "verbose", "warm_start"}


@pytest.mark.parametrize("name", ["mlp", "rf", "rf_authors"])
def test_votes_are_overridden_and_capped_by_the_scale(name):
    assert built(f"model={name}", "model.n_votes=7").n_votes == 7
    assert built(f"model={name}", "scale=smoke").n_votes == 3
