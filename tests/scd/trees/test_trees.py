"""Sums of trees: the labels of the models that they are read from, and boxes that partition the space."""

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

from baselines.estimator import EstimatorVotes
from scd.trees import as_trees, joined_trees
from scd.trees.boxes import float32_at_most
from tests.scd.trees.small_forests import random_forest, random_points

MODELS = [
    DecisionTreeClassifier(random_state=0),
    ExtraTreeClassifier(random_state=0),
    RandomForestClassifier(7, random_state=0),
    ExtraTreesClassifier(6, max_depth=4, random_state=0),
    HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=3),
]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = np.round(rng.random((300, 5)), 1).astype(np.float32)
    return X, ((X.sum(axis=1) + rng.normal(0, 0.3, 300)) > 2.5).astype(int)


def agree(trees, model, X):
    score = trees.score(X)
    sure = np.abs(score) > trees.rounding
    assert sure.mean() > 0.8
    np.testing.assert_array_equal((score > 0)[sure], model.predict(X)[sure] == 1)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_the_sum_of_trees_has_the_labels_of_scikit_learn(model, data):
    X, y = data
    agree(as_trees(model.fit(X[:150], y[:150])), model, X)


def test_the_sum_of_trees_has_the_labels_of_xgboost(data):
    xgboost = pytest.importorskip("xgboost")
    X, y = data
    model = xgboost.XGBClassifier(n_estimators=5, max_depth=3, base_score=0.7).fit(X[:150], y[:150])
    agree(as_trees(model), model, X)
    with pytest.raises(ValueError, match="must be those of objective='binary:logistic' and booster='gbtree'"):
        as_trees(xgboost.XGBClassifier(n_estimators=2, booster="dart").fit(X, y))


def test_after_early_stopping_only_the_trees_count_by_which_xgboost_predicts(data):
    xgboost = pytest.importorskip("xgboost")
    X, y = data
    noisy = np.where(np.arange(len(y)) % 3, y, 1 - y)
    model = xgboost.XGBClassifier(n_estimators=40, max_depth=4, learning_rate=1.0, early_stopping_rounds=3)
    model.fit(X[:150], noisy[:150], eval_set=[(X[150:], noisy[150:])], verbose=False)
    assert model.get_booster().num_boosted_rounds() > model.best_iteration + 1
    agree(as_trees(model), model, X)
    assert len(as_trees(model.get_booster())) == model.get_booster().num_boosted_rounds()  # a Booster predicts by all


def test_the_sum_of_trees_has_the_labels_of_lightgbm(data):
    lightgbm = pytest.importorskip("lightgbm")
    X, y = data
    model = lightgbm.LGBMClassifier(n_estimators=5, min_child_samples=3, verbose=-1).fit(X[:150], y[:150])
    agree(as_trees(model), model, X)


@pytest.mark.parametrize("voting", ["hard", "mean"])
@pytest.mark.parametrize("trees", [1, 4, 5])
def test_the_sum_of_trees_has_the_labels_of_the_forest_and_needs_what_a_majority_needs(voting, trees):
    for seed in range(5):
        model = random_forest(seed, trees, features=3, voting=voting)
        X = random_points(seed, 3, 200)
        found = model.trees()
        score, label = found.score(X), model.predict(X)
        if voting == "hard":
            np.testing.assert_array_equal(label == 1, score >= found.needed(1))
            np.testing.assert_array_equal(label == 0, -score >= found.needed(0))
        else:
            sure = np.abs(score) > found.rounding
            np.testing.assert_array_equal((score > 0)[sure], label[sure] == 1)


def test_every_input_is_in_one_leaf_of_each_tree_and_it_is_its_own():
    model = random_forest(1, 4, features=3, depth=5)
    trees = model.trees()
    leaves = trees.leaves()
    for x in random_points(2, 3, 100):
        inside = np.flatnonzero(leaves.distances(leaves.gaps(x), np.inf) == 0)
        np.testing.assert_array_equal(leaves.tree[inside], np.arange(4))
        assert leaves.value[inside].sum() == trees.score(x[None])[0]


def test_leaves_beyond_the_bounds_are_left_out_and_the_others_keep_within_them():
    trees = random_forest(3, 4, features=2, depth=5).trees()
    inner = trees.leaves(0.25, np.array([0.5, 0.75]))
    assert 0 < len(inner.tree) < len(trees.leaves().tree)
    assert (inner.low >= 0.25).all()
    assert (inner.high <= np.array([0.5, 0.75])[inner.feature]).all()


def test_a_float32_input_is_below_a_threshold_and_below_its_rounding_or_neither():
    exact = np.array([0.1, 0.5, -0.3, 1e300, -1e300, 16777217.0])
    rounded = float32_at_most(exact)
    for threshold, given in zip(exact, rounded, strict=True):
        with np.errstate(over="ignore"):
            near = np.float32(threshold)
        for x in (near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf))):
            if np.isfinite(x):
                assert (float(x) <= threshold) == (x <= given)


def test_joined_forests_are_a_sum_only_where_they_are_one(data):
    X, y = data
    single = [DecisionTreeClassifier(max_depth=d).fit(X, y) for d in (2, 3, 4)]
    forests = [RandomForestClassifier(n, max_depth=3, random_state=n).fit(X, y) for n in (2, 3)]
    assert joined_trees(single, "hard").rounding == 0
    mean = joined_trees(forests, "mean").score(X)
    expected = np.mean([f.predict_proba(X)[:, 1] for f in forests], axis=0) - 0.5
    np.testing.assert_allclose(mean / 2, expected, atol=1e-12)
    with pytest.raises(ValueError, match="are a sum of trees only if each is one tree"):
        joined_trees(forests, "hard")


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (LogisticRegression(), "The trees must be those of a decision tree, .* Got LogisticRegression instead."),
        (DecisionTreeClassifier(), "A tree ensemble must have two classes. Got 3 instead."),
    ],
)
def test_another_model_is_refused_in_one_sentence(model, sentence, data):
    X, y = data
    labels = y if isinstance(model, LogisticRegression) else np.arange(len(y)) % 3
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        as_trees(model.fit(X, labels))


@pytest.mark.thorough
def test_an_estimator_gives_the_trees_of_its_votes(data):
    X, y = data
    model = EstimatorVotes(RandomForestClassifier(3, max_depth=3), random_state=0, trust_pickle=True).fit(X, y)
    agree(model.trees(), model, X)
    radius = model.certified_radius(X[:5], model.predict(X[:5]))
    assert (radius > 0).all()
    assert (model.certified_radius(X[:5], 1 - model.predict(X[:5])) == 0).all()
