"""Logistic regression: scikit-learn's labels, and distances that are those to its hyperplane."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import check_estimator

from attacks.certificate import Certificate
from baselines.logistic import LogisticVotes


@pytest.fixture
def plane():
    """Samples on both sides of ``3 x0 + 4 x1 = 1``, and their signed distances."""
    x = np.random.default_rng(0).uniform(-1, 1, (300, 2)).astype(np.float32)
    return x, (x @ np.array([0.6, 0.8]) > 0.2).astype(int)


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_passes_the_checks_of_scikit_learn():
    check_estimator(LogisticVotes(), on_skip=None)


def test_its_labels_and_probabilities_are_those_of_scikit_learn(digits):
    X, y, X_test, _ = digits
    ours, theirs = LogisticVotes(C=0.1, device="cpu").fit(X, y), LogisticRegression(C=0.1, max_iter=1000).fit(X, y)
    np.testing.assert_array_equal(ours.predict(X_test), theirs.predict(X_test))
    ours.set_params(voting="mean")
    np.testing.assert_allclose(ours.predict_proba(X_test), theirs.predict_proba(X_test), atol=1e-5)


@pytest.mark.parametrize(("norm", "size"), [("l2", 2), ("linf", 1)])
def test_a_radius_is_the_distance_to_the_hyperplane(plane, norm, size):
    x, y = plane
    model = LogisticVotes(C=100.0, device="cpu").fit(x, y)
    w, t = model.votes_[0]["hidden"][0].astype(np.float64), float(model.votes_[0]["thresholds"][0])
    radius = model.certified_radius(x, y, norm)
    correct = model.predict(x) == y
    assert (radius[~correct] == 0).all()
    dual = np.linalg.norm(w) if norm == "l2" else np.abs(w).sum()
    np.testing.assert_allclose(radius[correct], (np.abs(x @ w - t) / dual)[correct], atol=1e-9)
    direction = -np.sign(x @ w - t)[:, None] * (w / np.linalg.norm(w) if norm == "l2" else np.sign(w))
    beyond, before = (x + (radius * f)[:, None] * direction for f in (1.001, 0.999))
    near = correct & (radius > 1e-3)
    assert (model.predict(beyond.astype(np.float32)) != y)[near].all()
    assert (model.predict(before.astype(np.float32)) == y)[near].all()


def test_the_certificate_attack_takes_it(plane):
    x, y = plane
    model = LogisticVotes(device="cpu").fit(x, y)
    found = Certificate()(model.predict, x[:9], y[:9], certified_radius=model.certified_radius, clip=(-1, 1))
    np.testing.assert_array_equal(found.extra["l2_lower"], model.certified_radius(x[:9], y[:9]))


def test_its_gradient_points_along_the_weights(plane):
    x, y = plane
    model = LogisticVotes(device="cpu").fit(x, y)
    inputs = torch.from_numpy(x[:5]).requires_grad_()
    model.smooth(inputs, 20.0, 10.0).sum().backward()
    cosine = torch.nn.functional.cosine_similarity(inputs.grad, torch.from_numpy(model.votes_[0]["hidden"]))
    np.testing.assert_allclose(cosine.numpy(), 1, atol=1e-5)


def test_a_stronger_penalty_moves_the_samples_farther_away(digits):
    X, y, *_ = digits
    means = [LogisticVotes(C=c, device="cpu").fit(X, y).certified_radius(X, y).mean() for c in (1.0, 1e-2, 1e-4)]
    assert means[0] < means[1] < means[2]


@pytest.mark.parametrize(
    ("params", "key"), [({"n_votes": 2}, "n_votes"), ({"C": 0.0}, "C"), ({"max_iter": 0}, "max_iter")]
)
def test_a_bad_parameter_is_named(plane, params, key):
    with pytest.raises(
        ValueError, match=f"The '{key}' parameter of LogisticVotes must be .* Got {params[key]!r} instead"
    ):
        LogisticVotes(**params).fit(*plane)
