"""The leaf-tuple attack: between the exact distance and every black-box attack, for trees of any library."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from attacks import HopSkipJump, LeafTuple
from pipeline.config.check import check_access
from pipeline.errors import UserError
from scd.certificates import certify_trees
from scd.trees import as_trees
from tests.attacks import attack_laws as laws
from tests.pipeline.small_runs import attack_folder, go
from tests.scd.trees.small_forests import exact_by_cells, random_forest, random_points


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    trees=st.integers(1, 6),
    features=st.integers(1, 3),
    voting=st.sampled_from(["hard", "mean"]),
    norm=st.sampled_from(["l2", "linf"]),
    nodes=st.sampled_from([0, 10_000]),
)
@example(seed=240, trees=5, features=2, voting="hard", norm="linf", nodes=10_000)  # a round has a larger maximum
@pytest.mark.thorough
def test_its_distance_is_at_least_the_exact_one_and_equal_where_it_says_so(seed, trees, features, voting, norm, nodes):
    model = random_forest(seed, trees, features, 4, voting)
    X = random_points(seed, features)
    y = model.predict(X)
    result = LeafTuple(norm=norm, rounds=3, nodes=nodes)(model.predict, X, y, trees=model)
    exact = np.array([exact_by_cells(model, x, label)[norm == "linf"] for x, label in zip(X, y, strict=True)])
    found = getattr(result, norm)
    lower = certify_trees(model.trees(), X, y, norm, steps=20).radius
    assert (found >= exact * (1 - 1e-12))[result.success].all()
    assert (found >= lower)[result.success].all()
    fooled = model.predict(np.where(result.success[:, None], result.adversarials, X)) != y
    np.testing.assert_array_equal(fooled, result.success)
    done = result.extra["exact"] == 1
    if voting == "hard":
        assert (done == (nodes > 0)).all()
    np.testing.assert_allclose(np.where(result.success, found, np.inf)[done], exact[done], rtol=1e-12)


@pytest.mark.parametrize(("trees", "leaf"), [(2, 1), (4, 1), (1, 4), (2, 4)])
def test_ties_of_a_forest_that_averages_are_of_label_0_and_counted_as_such(trees, leaf):
    """Trees of pure leaves tie exactly. For others a rounding decides: `exact` only where the model confirms."""
    rng = np.random.default_rng(5)
    X = rng.random((24, 2)).astype(np.float32)
    y = (X.sum(axis=1) + rng.normal(0, 0.3, 24) > 1).astype(int)
    model = RandomForestClassifier(trees, min_samples_leaf=leaf, random_state=0).fit(X, y)
    nodes = as_trees(model).nodes
    cells = [np.unique(np.concatenate([X[:, f], np.nextafter(t, np.float32(9)), t, [0, 1]])).astype(np.float32)
             for f in (0, 1) for t in [nodes.threshold[(nodes.left >= 0) & (nodes.feature == f)]]]  # fmt: skip
    everywhere = np.array([(a, b) for a in cells[0] for b in cells[1]], dtype=np.float32)
    labels, predicted = model.predict(everywhere), model.predict(X)
    result = LeafTuple(rounds=1)(model.predict, X, predicted, trees=model)
    exact = result.extra["exact"] == 1
    assert exact.all() if leaf == 1 else exact.any()
    for e, label in zip(np.flatnonzero(exact), predicted[exact], strict=True):
        move = everywhere[labels != label].astype(np.float64) - X[e]
        assert result.l2[e] == pytest.approx(np.linalg.norm(move, axis=1).min(), rel=1e-12)


@pytest.fixture(scope="module")
def forest():
    rng = np.random.default_rng(3)
    X = rng.random((400, 12)).astype(np.float32)
    y = (X[:, :6].sum(axis=1) > X[:, 6:].sum(axis=1)).astype(int)
    model = RandomForestClassifier(25, max_depth=6, n_jobs=1, random_state=0).fit(X[:300], y[:300])
    points = np.flatnonzero(model.predict(X[300:]) == y[300:])[:6] + 300
    return model, X[points], y[points], X[:300], y[:300]


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_it_is_closer_than_a_black_box_attack_and_may_start_there(forest, norm):
    model, x, y, _, _ = forest
    black_box = HopSkipJump(max_iter=5, restarts=1, norm=norm)(model.predict, x, y)
    assert black_box.success.all()
    for attack, starts in (
        (LeafTuple(norm=norm, restarts=1, rounds=3, starts=["original"]), {}),
        (LeafTuple(norm=norm, restarts=1, rounds=3, starts=["given"]), {"starts": black_box.adversarials}),
    ):
        result = attack(model.predict, x, y, trees=model, **starts)
        assert result.success.all()
        assert (getattr(result, norm) <= getattr(black_box, norm)).all()
        assert getattr(result, norm).mean() < 0.8 * getattr(black_box, norm).mean()


def test_it_starts_at_samples_of_the_other_class_and_at_noise(forest):
    model, x, y, pool, pool_labels = forest
    attack = LeafTuple(starts=["nearest", "noise"], restarts=4, rounds=1, nodes=0)
    result = attack(model.predict, x, y, trees=model, pool=pool, pool_labels=pool_labels)
    assert attack.starts_from() == {"nearest"}
    assert result.success.all()
    assert set(result.trace["restart"]) == {0, 1, 2, 3}


def test_killed_it_continues_with_the_next_example(forest, tmp_path, monkeypatch):
    model, x, y, pool, pool_labels = forest
    state, more = tmp_path / "state.npz", {"trees": model, "pool": pool, "pool_labels": pool_labels}
    attack = LeafTuple(rounds=1, starts=["nearest", "original"], restarts=2)
    laws.continues_with_the_next_example(attack, model.predict, x, y, state, monkeypatch, 6, **more)
    with pytest.raises(ValueError, match="other parameters, points or labels"):
        attack(model.predict, x, y, state=state, **{**more, "pool": 1 - pool})


def test_it_attacks_boosted_trees(forest):
    _, x, y, pool, pool_labels = forest
    model = HistGradientBoostingClassifier(max_iter=8, min_samples_leaf=5).fit(pool, pool_labels)
    kept = model.predict(x) == y
    result = LeafTuple(rounds=2)(model.predict, x, y, trees=model)
    assert result.success.tolist() == kept.tolist()
    assert (result.l2 >= certify_trees(as_trees(model), x, y).radius)[kept].all()


def test_the_record_is_that_of_what_it_returns_and_no_point_leaves_the_box(forest):
    model, x, y, _, _ = forest
    low, high = np.maximum(x.min(axis=0) - 0.1, 0), np.minimum(x.max(axis=0) + 0.1, 1)
    result = LeafTuple(rounds=3)(model.predict, x, y, trees=model, clip=(low, high), index=np.arange(6) + 50)
    difference = result.adversarials.astype(np.float64) - x
    np.testing.assert_allclose(result.l2, np.linalg.norm(difference, axis=1), rtol=1e-12)
    assert (result.adversarials >= low.astype(np.float32)).all()
    assert (result.adversarials <= high.astype(np.float32)).all()
    for e, index in enumerate(result.index):
        rows = result.trace["index"] == index
        assert result.trace["l2"][rows].min() == result.l2[e]


def test_a_point_does_not_depend_on_the_others(forest):
    model, x, y, _, _ = forest
    whole = LeafTuple(rounds=3)(model.predict, x, y, trees=model)
    part = LeafTuple(rounds=3)(model.predict, x[[4, 1]], y[[4, 1]], trees=model, index=[4, 1])
    np.testing.assert_array_equal(part.adversarials, whole.adversarials[[4, 1]])


def test_a_misclassified_point_is_left_alone_and_a_constant_forest_has_no_start():
    model = random_forest(2, 3, 2, 0)
    X = random_points(0, 2)
    y = model.predict(X)
    y[0] = 1 - y[0]
    result = LeafTuple()(model.predict, X, y, trees=model)
    assert result.reason.tolist() == ["already misclassified"] + 5 * ["no adversarial start"]
    assert np.isnan(result.l2).all()
    assert result.queries.tolist() == 6 * [1]


def test_trees_of_another_model_are_refused(forest):
    model, x, y, _, _ = forest
    with pytest.raises(ValueError, match="'trees' parameter of LeafTuple must be those of the model behind `labels`"):
        LeafTuple()(lambda rows: 1 - model.predict(rows), x, 1 - y, trees=model)
    with pytest.raises(ValueError, match="must be trees of 3 features"):
        LeafTuple()(lambda rows: np.zeros(len(rows), int), x[:, :3], y, trees=model)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("rounds", -1, "an int >= 0"),
        ("nodes", 1.5, "an int >= 0"),
        ("norm", "l1", "one of 'l2', 'linf'"),
        ("starts", ["far"], "a list of 'original', 'noise', 'nearest', 'given'"),
    ],
)
def test_a_bad_parameter_is_refused(name, value, allowed):
    with pytest.raises(ValueError, match=re.escape(f"The '{name}' parameter of LeafTuple must be {allowed}. Got")):
        LeafTuple(**{name: value})


def test_a_model_without_trees_is_refused_in_one_sentence_before_any_work():
    from baselines.mlp import MLPVotes

    sentence = "attack=leaf_tuple needs a model of decision trees (rf, or model=estimator with a tree ensemble); "
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}MLPVotes has none.$"):
        check_access(LeafTuple(), MLPVotes(), "leaf_tuple")


def test_a_run_attacks_the_forest(compose_config):
    words = ["points.rule=correct", "points.count=3", "attack.rounds=2", "attack=leaf_tuple"]
    config = compose_config("model=rf", "model.n_votes=5", "model.max_depth=4", "model.n_jobs=1", *words)
    examples = pd.read_csv(attack_folder(config, go(config)) / "examples.csv")
    assert (examples["success"] == 1).all()
    assert set(examples["exact"]) <= {0, 1}
