"""Weights of samples and classes: what they mean, what they leave as it is, and which are refused."""

import re

import numpy as np
import pytest

from scd import SCDClassifier
from scd.engine.early_stopping import held_out_rows
from scd.engine.samples.sample_weights import drawn_rows, weights_of

SETTINGS = {"n_votes": 3, "n_iter": 40, "hidden_nodes": 5, "random_state": 0, "device": "cpu"}
KINDS = [
    {},
    {"loss": "ce"},
    {"n_iter_no_change": 50},
    {"basis": "pca", "basis_size": 10, "noise": (0.0, 0.3)},
    {"adversarial": 0.2},
]
by_kind = pytest.mark.parametrize("kind", KINDS, ids=str)


@by_kind
def test_equal_weights_change_no_vote(digits, kind):
    X, y, X_test, _ = digits
    plain = SCDClassifier(**SETTINGS, **kind).fit(X, y)
    for weight in (1, 0.3):
        weighted = SCDClassifier(**SETTINGS, **kind).fit(X, y, sample_weight=np.full(len(y), weight))
        for one, other in zip(plain.votes_, weighted.votes_, strict=True):
            assert all(np.array_equal(one[name], other[name]) for name in one)
    np.testing.assert_array_equal(plain.predict_proba(X_test), weighted.predict_proba(X_test))


@by_kind
def test_a_sample_without_weight_is_as_if_it_were_not_there(digits, kind):
    X, y, _, _ = digits
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 3, len(y)).astype(float)
    spoilt = np.where(weight[:, None] > 0, X, 1e6 * rng.normal(size=X.shape)).astype(np.float32)
    labels = np.where(weight > 0, y, 1 - y)
    kept = weight > 0
    there = SCDClassifier(**SETTINGS, **kind).fit(spoilt, labels, sample_weight=weight)
    left_out = SCDClassifier(**SETTINGS, **kind).fit(X[kept], y[kept], sample_weight=weight[kept])
    for one, other in zip(there.votes_, left_out.votes_, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)


@by_kind
def test_whole_numbers_of_copies_are_the_copies(digits, kind):
    """Weights 1 and 2: the same votes as with each sample once or twice in the data; held out are other ones then."""
    if "n_iter_no_change" in kind:
        kind = {"loss": "ce", "weights": "binary"}
    X, y, X_test, _ = digits
    weight = np.random.default_rng(1).integers(1, 3, len(y))
    weighted = SCDClassifier(**SETTINGS, **kind).fit(X, y, sample_weight=weight / 7)
    repeated = SCDClassifier(**SETTINGS, **kind).fit(X.repeat(weight, axis=0), y.repeat(weight))
    np.testing.assert_array_equal(weighted.votes(X_test), repeated.votes(X_test))


def test_the_mean_number_of_copies_is_in_proportion_to_the_weight():
    """Of 2,000 draws: each count is one of two whole numbers, so its mean has a standard error of at most 0.0112."""
    rng = np.random.default_rng(2)
    y = rng.integers(0, 2, 50)
    weights = rng.exponential(size=50)
    weights /= weights.max()
    counts = np.array([np.bincount(drawn_rows(weights, y, seed), minlength=50) for seed in range(2000)])
    expected = weights / weights.sum() * 100  # twice as many as samples: the smallest weight is less than a copy
    assert expected.min() < 1
    np.testing.assert_allclose(counts.mean(axis=0), expected, atol=5 * 0.0112)
    assert (np.abs(counts - expected) < 1).all()
    assert np.ptp(counts[:, y == 1].sum(axis=1)) <= 1


def test_a_class_of_little_weight_keeps_two_samples():
    y = np.repeat([0, 1], 20)
    weights = weights_of(None, {1: 1e-9}, np.array([0, 1]), y)
    for seed in range(20):
        assert np.bincount(y[drawn_rows(weights, y, seed)]).tolist()[1] == 2


def test_balanced_classes_have_the_same_number_of_copies():
    y = np.repeat([0, 1], [10, 30])
    weights = weights_of(None, "balanced", np.array([0, 1]), y)
    assert np.bincount(y[drawn_rows(weights, y, 0)]).tolist() == [30, 30]
    weighted = weights_of(np.where(np.arange(40) % 2, 2, 0), "balanced", np.array([0, 1]), y)
    assert weighted[y == 0].sum() == pytest.approx(weighted[y == 1].sum())


def test_a_class_with_more_weight_is_predicted_more_often():
    """Two overlapping clusters; without balance in the first iterations, so that the weights matter most."""
    rng = np.random.default_rng(3)
    X = np.concatenate([rng.normal(0, 1, (150, 2)), rng.normal(1, 1, (150, 2))]).astype(np.float32)
    y = np.repeat(["a", "b"], 150)
    for loss in ("01", "ce"):
        settings = {"loss": loss, "n_votes": 5, "n_iter": 100, "balanced_fraction": 0.0, "random_state": 0}
        found = [
            (SCDClassifier(**settings, class_weight=weights).fit(X, y).predict(X) == "b").mean()
            for weights in ({"a": 10}, None, {"b": 10})
        ]
        assert found[0] < found[1] - 0.1
        assert found[1] < found[2] - 0.1


def test_weights_of_classes_multiply_those_of_samples(digits):
    X, y, X_test, _ = digits
    rng = np.random.default_rng(4)
    weight = rng.uniform(0.5, 1, len(y))
    both = SCDClassifier(**SETTINGS, class_weight={0: 2, 1: 1}).fit(X, y, sample_weight=weight)
    at_once = SCDClassifier(**SETTINGS).fit(X, y, sample_weight=weight * np.where(y == 0, 2, 1))
    np.testing.assert_array_equal(both.votes(X_test), at_once.votes(X_test))


@by_kind
def test_weighted_votes_do_not_depend_on_threads_or_the_others(digits, kind):
    X, y, X_test, _ = digits
    weight = np.random.default_rng(5).exponential(size=len(y))
    settings = {**SETTINGS, **kind, "class_weight": "balanced"}
    expected = SCDClassifier(**settings, n_jobs=1).fit(X, y, sample_weight=weight).votes(X_test)
    grown = SCDClassifier(**{**settings, "n_votes": 1}, n_jobs=2, warm_start=True).fit(X, y, sample_weight=weight)
    grown.set_params(n_votes=3).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(grown.votes(X_test), expected)


def test_held_out_samples_count_by_their_weight(digits):
    """The score that ends a vote is the weighted balanced accuracy of its network on the samples held out."""
    X, y, _, _ = digits
    weight = np.random.default_rng(6).exponential(size=len(y))
    model = SCDClassifier(**{**SETTINGS, "n_votes": 1}, n_iter_no_change=1000, validation_fraction=0.5)
    model.fit(X, y, sample_weight=weight)
    out = held_out_rows(y, 0.5, 0)
    correct = model.predict(X[out]) == y[out]
    each = [np.average(correct[y[out] == c], weights=weight[out][y[out] == c]) for c in (0, 1)]
    assert model.history_[0]["validation"].max() == pytest.approx(np.mean(each))


@pytest.mark.parametrize("weights", ["balanced", {0: 1, 1: 2.5}])
def test_weights_of_classes_are_stored(digits, tmp_path, weights):
    X, y, X_test, _ = digits
    if weights != "balanced":
        weights = {np.int64(0): 1, np.int64(1): np.float64(2.5)}
    model = SCDClassifier(**SETTINGS, class_weight=weights).fit(X, y)
    model.save(tmp_path / "votes.npz")
    loaded = SCDClassifier.load(tmp_path / "votes.npz")
    assert loaded.class_weight == weights
    grown = loaded.set_params(n_votes=4, warm_start=True).fit(X, y)
    np.testing.assert_array_equal(grown.votes(X_test)[:, :3], model.votes(X_test))


def test_a_warm_start_refuses_other_weights_of_classes(digits):
    X, y, _, _ = digits
    weights = {0: 1, 1: 2}
    model = SCDClassifier(**SETTINGS, class_weight=weights, warm_start=True).fit(X, y)
    weights[1] = 3
    with pytest.raises(ValueError, match=re.escape("class_weight was {0: 1, 1: 2}. Got {0: 1, 1: 3} instead")):
        model.fit(X, y)


@pytest.mark.parametrize(
    ("weight", "sentence"),
    [
        (lambda y: -np.ones(len(y)), "of at least 0 for each of the 250 samples, and above 0 for some. Got -1.0"),
        (lambda y: np.zeros(len(y)), "above 0 for some. Got zeros only instead."),
        (lambda y: np.ones(3), "for each of the 250 samples, and above 0 for some. Got the shape (3,) instead."),
        (lambda y: np.ones((len(y), 1)), "Got the shape (250, 1) instead."),
        (lambda y: np.where(y, np.nan, 1), "Input sample_weight contains NaN."),
        (lambda y: np.where(y, np.inf, 1), "Input sample_weight contains infinity"),
        (lambda y: 1 - y, "at least 2 samples of each class with a weight above 0. Got 0 of class 1."),
    ],
)
def test_weights_that_mean_nothing_are_refused(digits, weight, sentence):
    X, y, _, _ = digits
    X, y = X[:250], y[:250]
    with pytest.raises(ValueError, match=re.escape(sentence)):
        SCDClassifier(**SETTINGS).fit(X, y, sample_weight=weight(y))


@pytest.mark.parametrize("weights", [{2: 1}, {0: 1, "a": 1}, {0: -1}, {0: np.nan}, {0: "much"}, "even", 3])
def test_bad_weights_of_classes_are_refused(digits, weights):
    X, y, _, _ = digits
    with pytest.raises(ValueError, match="The 'class_weight' parameter of SCDClassifier must be"):
        SCDClassifier(**SETTINGS, class_weight=weights).fit(X, y)
