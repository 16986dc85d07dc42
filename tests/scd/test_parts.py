"""Votes that read different features: which they are, and what is exact about them."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from scd import SCDClassifier
from scd.certificates import certify, exact, exact_distance, fewest_features

SMALL = {"n_iter": 60, "hidden_nodes": 3, "random_state": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(n_class=2, return_X_y=True)
    return (X / 16).astype(np.float32), y


@pytest.fixture(scope="module")
def model(digits):
    X, y = digits
    return SCDClassifier(n_votes=5, parts=5, **SMALL).fit(X[:250], y[:250])


def test_votes_of_different_parts_read_different_features_and_all_are_read(digits):
    X, y = digits
    model = SCDClassifier(n_votes=7, parts=5, **SMALL).fit(X, y)
    given = [set(np.flatnonzero(vote["hidden"].any(axis=0))) for vote in model.votes_]
    assert given[0] == given[5]
    assert given[1] == given[6]
    assert sum(map(len, given[:5])) == len(set.union(*given)) == 64
    assert (model.predict(X) == y).mean() > 0.9


@pytest.mark.parametrize("more", [{}, {"n_iter_no_change": 25}, {"basis": "pca", "basis_size": 20, "noise": (0.1,)}])
def test_votes_are_the_same_whichever_are_asked_for(digits, more):
    X, y = digits
    at_once = SCDClassifier(n_votes=7, parts=3, **SMALL, **more).fit(X, y)
    later = (
        SCDClassifier(n_votes=2, parts=3, warm_start=True, **SMALL, **more).fit(X, y).set_params(n_votes=7).fit(X, y)
    )
    for one, other in zip(at_once.votes_, later.votes_, strict=True):
        np.testing.assert_array_equal(one["hidden"], other["hidden"])
    assert len(later.history_) == 7


def test_distances_of_orthogonal_votes_are_those_of_the_whole_search(digits, model, monkeypatch):
    X, y = digits
    correct = np.flatnonzero(model.predict(X) == y)[250:256]
    found = [exact_distance(model.votes_, X[i], y[i]) for i in correct]
    radius = certify(model.votes_, X[correct], y[correct], n_jobs=1).radius
    monkeypatch.setattr(exact, "_orthogonal", lambda units: False)
    for i, one, certified in zip(correct, found, radius, strict=True):
        whole = exact_distance(model.votes_, X[i], y[i])
        assert one.lower == one.upper == pytest.approx(whole.upper, rel=1e-6)
        assert 0.9 * one.lower < certified <= one.lower
        moved = X[i] + one.move * 1.001
        assert model.predict(moved[None].astype(np.float32))[0] != y[i]


def test_a_vote_that_is_wrong_already_needs_no_move(model, digits):
    X, y = digits
    votes = [*model.votes_[:4], {**model.votes_[4], "output_threshold": np.float64(100.0)}]  # always 0
    point = next(x for x, label in zip(X, y, strict=True) if label == 1 and exact_distance(votes, x, 1).lower > 0)
    whole, part = exact_distance(model.votes_, point, 1), exact_distance(votes, point, 1)
    assert 0 < part.lower == part.upper <= whole.upper


def test_a_search_that_ends_early_brackets_the_distance(model, digits):
    X, y = digits
    i = np.flatnonzero(model.predict(X) == y)[250]
    whole, part = exact_distance(model.votes_, X[i], y[i]), exact_distance(model.votes_, X[i], y[i], nodes=1)
    assert part.lower <= whole.lower == whole.upper <= part.upper
    assert exact_distance(model.votes_, X[i], y[i], budget_seconds=0.0).lower == 0


def test_as_many_features_must_change_as_votes(model, digits):
    """Three of five votes, each with features of its own; two votes on the same features change together."""
    X, y = digits
    correct = np.flatnonzero((model.votes(X) == y[:, None]).all(axis=1))[:4]
    assert fewest_features(model.votes_, X[correct], y[correct]).tolist() == [3.0] * 4
    assert fewest_features(model.votes_, X[correct], 1 - y[correct]).tolist() == [0.0] * 4
    twice = [model.votes_[k] for k in (0, 0, 1, 1, 2)]
    assert fewest_features(twice, X[correct], y[correct]).tolist() == [2.0] * 4
    constant = [{**vote, "hidden": np.zeros_like(vote["hidden"])} for vote in model.votes_]
    sure = fewest_features(constant, X[correct], y[correct])
    assert set(sure) <= {0.0, np.inf}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"parts": 0}, "'parts' parameter of SCDClassifier must be an int in the range"),
        ({"parts": 65}, "'parts' parameter of SCDClassifier must be at most 64, the number of features or of coeff"),
        ({"parts": 2, "adversarial": 0.5}, "must be 0 where parts is more than 1"),
    ],
)
def test_bad_parts_are_refused_in_one_sentence(digits, given, sentence):
    X, y = digits
    with pytest.raises(ValueError, match=sentence):
        SCDClassifier(n_votes=2, **SMALL, **given).fit(X, y)
