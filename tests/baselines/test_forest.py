"""The forest: scikit-learn's trees, label by label."""

import numpy as np
import pytest
from sklearn.datasets import make_classification

from baselines.forest import ForestVotes, StackedTrees, fit_tree

SETTINGS = [
    {},
    {"min_samples_leaf": 10, "max_features": None},
    {"bootstrap": False, "max_depth": 3},
    {"max_features": 0.5, "min_samples_leaf": 0.05},
    {"max_features": 2, "max_depth": 1},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("rows", ["digits", "random"])
def test_labels_equal_those_of_scikit_learn_on_every_sample(digits, settings, rows):
    X, y, X_test, _ = digits
    if rows == "random":
        X, y = make_classification(2000, 15, flip_y=0.2, random_state=0)
        X, y, X_test = X[:300].astype(np.float32), y[:300], X[300:].astype(np.float32)
    model = ForestVotes(n_votes=8, n_jobs=1, random_state=5, **settings).fit(X, y)
    forests = [fit_tree(model._tree(), X, y, 5, tree) for tree in range(8)]
    labels = model.votes(X_test)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, np.stack([f.predict(X_test) for f in forests], axis=1))
    own = [f.estimators_[0].predict(X_test) for f in forests]  # the trees themselves, without their forest
    np.testing.assert_array_equal(labels, np.stack(own, axis=1))


def test_a_sample_on_the_threshold_goes_left():
    """scikit-learn compares the float32 value with the float64 threshold: 0.1 in float32 is above 0.1 in float64."""
    stump = {
        "left": np.array([1, -1, -1], dtype=np.int32),
        "right": np.array([2, -1, -1], dtype=np.int32),
        "feature": np.array([0, -2, -2], dtype=np.int32),
        "threshold": np.array([0.5, -2.0, -2.0]),
        "share": np.array([0.0, 0.0, 1.0]),
    }
    X = np.array([[0.5], [np.nextafter(np.float32(0.5), np.float32(1))], [0.1]], dtype=np.float32)
    assert StackedTrees([stump]).labels(X)[:, 0].tolist() == [0, 1, 0]
    tenth = {**stump, "threshold": np.array([0.1, -2.0, -2.0])}
    assert StackedTrees([stump, tenth]).labels(X)[2].tolist() == [0, 1]


def test_a_leaf_with_a_tie_is_the_first_class():
    X, y = np.zeros((6, 2), dtype=np.float32), np.array([0, 1, 0, 1, 0, 1])
    assert ForestVotes(n_votes=3, bootstrap=False, n_jobs=1).fit(X, y).predict(X).tolist() == [0] * 6


def test_a_tree_that_drew_one_class_only_predicts_it():
    """Four rows drawn with replacement: one tree in eight sees one class."""
    X, y = np.arange(4, dtype=np.float32)[:, None], np.array([0, 0, 1, 1])
    model = ForestVotes(n_votes=60, n_jobs=1, random_state=0).fit(X, y)
    single = [len(vote["share"]) == 1 for vote in model.votes_]
    assert any(single)
    assert (np.ptp(model.votes(X)[:, single], axis=0) == 0).all()


def test_digits_are_learned_by_the_majority(digits):
    X, y, X_test, y_test = digits
    assert ForestVotes(n_votes=30, n_jobs=1, random_state=0).fit(X, y).score(X_test, y_test) > 0.9


def test_more_features_than_there_are_is_one_sentence(digits):
    with pytest.raises(ValueError, match=r"'max_features' parameter of ForestVotes .* number of features, 64. Got 65"):
        ForestVotes(n_votes=1, max_features=65).fit(*digits[:2])


def test_mean_voting_is_scikit_learns_own_forest(digits):
    X, y, X_test, _ = digits
    model = ForestVotes(n_votes=8, min_samples_leaf=10, voting="mean", n_jobs=1, random_state=5).fit(X, y)
    theirs = np.mean([fit_tree(model._tree(), X, y, 5, t).predict_proba(X_test)[:, 1] for t in range(8)], axis=0)
    np.testing.assert_allclose(model.predict_proba(X_test)[:, 1], theirs, atol=1e-12)


TREE_DAMAGES = {
    "a cycle": ("left", 0, 0),
    "a child outside": ("right", 0, 10**6),
    "half a leaf": ("right", 0, -1),
    "a feature outside": ("feature", 0, 64),
    "a negative feature": ("feature", 0, -2),
    "no fraction": ("share", 0, 1.5),
    "NaN": ("threshold", 0, np.nan),
}


@pytest.mark.parametrize("damage", TREE_DAMAGES)
def test_a_damaged_tree_is_refused(digits, damage):
    name, node, value = TREE_DAMAGES[damage]
    model = ForestVotes(n_votes=2, n_jobs=1, random_state=0).fit(*digits[:2])
    damaged = {key: array.copy() for key, array in model.votes_[1].items()}
    damaged[name][node] = value
    with pytest.raises(ValueError, match=rf"Vote 1 of ForestVotes cannot be used: its array '{name}'"):
        ForestVotes().use_votes([model.votes_[0], damaged], (0, 1), 64)


@pytest.mark.parametrize("name", ["left", "right", "feature", "threshold", "share"])
def test_a_tree_with_a_short_array_is_refused(digits, name):
    vote = ForestVotes(n_votes=1, n_jobs=1, random_state=0).fit(*digits[:2]).votes_[0]
    with pytest.raises(ValueError, match=r"Vote 0 of ForestVotes cannot be used: its array"):
        ForestVotes().use_votes([{**vote, name: vote[name][:-1]}], (0, 1), 64)
