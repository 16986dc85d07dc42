"""The smooth surrogate tends to the fraction of votes, and its gradient is that of finite differences."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from scd import SCDClassifier
from scd.engine.forward import StackedVotes
from scd.engine.smooth import share_of_logits, smooth_share

RNG = np.random.default_rng(0)
SHAPE = (7, 5, 12)  # votes, hidden nodes, features
ARRAYS = [RNG.normal(size=SHAPE), RNG.normal(size=SHAPE[:2]), RNG.normal(size=SHAPE[:2]), RNG.normal(size=7)]
X = torch.from_numpy(RNG.random((200, 12)).astype(np.float32))


@pytest.mark.parametrize("activation", ["sign", "sigmoid"])
def test_it_tends_to_the_fraction_of_votes(activation):
    votes = StackedVotes(*ARRAYS, activation=activation)
    fraction = votes.labels(X.numpy()).mean(axis=1)
    apart = [np.abs(smooth_share(votes, X, 10.0**k, 10.0**k).numpy() - fraction).mean() for k in (0, 1, 2, 6)]
    assert (np.diff(apart) < 0).all()
    assert apart[-1] < 1e-3


@pytest.mark.parametrize("voting", ["hard", "mean"])
@pytest.mark.parametrize("activation", ["sign", "sigmoid"])
def test_the_gradient_is_that_of_finite_differences(activation, voting):
    votes = StackedVotes(*ARRAYS, activation=activation)
    x = X[:3].clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(smooth_share(votes, x, 3.0, 2.0, voting).sum(), x)
    width = 5e-3
    moves = width * torch.eye(12)
    for row, found in zip(X[:3], gradient, strict=True):
        up, down = (smooth_share(votes, row + sign * moves, 3.0, 2.0, voting) for sign in (1, -1))
        # of order width ** 2, and the rounding of float32 over the width
        np.testing.assert_allclose(found, (up - down) / (2 * width), atol=2e-4)


def test_a_hidden_unit_is_the_sigmoid_of_the_distance_to_its_hyperplane():
    normal = RNG.normal(size=12)
    unit = normal / np.linalg.norm(normal)
    votes = StackedVotes(normal[None, None], np.array([[0.7]]), np.array([[2.0]]), np.array([0.5]))
    on_plane = 0.7 / np.linalg.norm(normal) * unit
    for distance in (-0.3, 0.0, 0.1):
        x = torch.from_numpy((on_plane + distance * unit).astype(np.float32))[None]
        hidden = 1 / (1 + np.exp(-20 * distance))
        expected = 1 / (1 + np.exp(-5 * (2 * hidden - 0.5) / 2))
        assert float(smooth_share(votes, x, 20.0, 5.0)) == pytest.approx(expected, abs=1e-5)


def test_longer_weights_with_their_thresholds_change_nothing():
    hidden, thresholds, output, output_threshold = ARRAYS
    by = RNG.uniform(0.1, 100, SHAPE[:2])
    longer = StackedVotes(hidden * by[..., None], thresholds * by, 7 * output, 7 * output_threshold)
    np.testing.assert_allclose(
        smooth_share(longer, X, 10.0, 5.0), smooth_share(StackedVotes(*ARRAYS), X, 10.0, 5.0), atol=1e-5
    )


def test_beta_is_ignored_by_units_that_are_smooth_and_gamma_by_mean_voting():
    votes = StackedVotes(*ARRAYS, activation="sigmoid")
    assert torch.equal(smooth_share(votes, X, 1.0, 3.0), smooth_share(votes, X, 50.0, 3.0))
    mean = smooth_share(votes, X, 1.0, 3.0, "mean")
    np.testing.assert_allclose(mean, votes.probabilities(X.numpy()).mean(axis=1), atol=1e-6)
    signs = StackedVotes(*ARRAYS)
    close = smooth_share(signs, X, 1e7, 3.0, "mean")
    np.testing.assert_allclose(close, signs.probabilities(X.numpy()).mean(axis=1), atol=1e-5)


def test_units_and_votes_without_weights_are_constants():
    hidden, thresholds, output, output_threshold = (a.copy() for a in ARRAYS)
    hidden[0, 0], output[1] = 0, 0
    x = X[:5].clone().requires_grad_(True)
    fraction = smooth_share(StackedVotes(hidden, thresholds, output, output_threshold), x, 10.0, 5.0)
    (gradient,) = torch.autograd.grad(fraction.sum(), x)
    assert fraction.isfinite().all()
    assert gradient.isfinite().all()


def test_a_fraction_of_logits_is_relative_to_their_size_and_half_of_a_tie():
    logits = torch.tensor([[-1.0, 2.0, 0.0]])
    assert float(share_of_logits(logits, 1e6)) == pytest.approx(0.5)  # no, yes, and half of a tie
    assert torch.equal(share_of_logits(logits, 3.0), share_of_logits(7 * logits, 3.0, scale=7.0))
    assert float(share_of_logits(logits, 9.0, "mean", 7.0)) == pytest.approx(float(torch.sigmoid(logits).mean()))


def test_the_estimator_smooths_the_votes_it_has(digits):
    x, y, rows, _ = digits
    model = SCDClassifier(n_votes=4, n_iter=30, random_state=0, device="cpu")
    with pytest.raises(NotFittedError):
        model.smooth(torch.zeros(1, 64), 1.0, 1.0)
    model.fit(x, y)
    for ensemble in (model, model.subset(2), model.set_params(voting="mean")):
        sharp = ensemble.smooth(torch.from_numpy(rows), 1e7, 1e7)
        np.testing.assert_allclose(sharp, ensemble.predict_proba(rows)[:, 1], atol=1e-3)


def test_the_multilayer_perceptron_smooths_its_logits():
    from baselines.mlp import MLPVotes

    names = ("hidden", "thresholds", "output", "output_threshold")
    votes = [dict(zip(names, arrays, strict=True)) for arrays in zip(*ARRAYS, strict=True)]
    for voting in ("hard", "mean"):
        model = MLPVotes(n_votes=7, voting=voting, device="cpu").use_votes(votes, (0, 1), 12)
        np.testing.assert_allclose(model.smooth(X, 1.0, 1e7), model.predict_proba(X.numpy())[:, 1], atol=1e-6)
