"""Mirror images in the training of the torch baselines: which samples a vote sees, and what is refused."""

import numpy as np
import pytest

from baselines.cnn1d import CNN1DVotes
from baselines.lenet import LeNetVotes
from baselines.mlp_adversarial import AdversarialMLPVotes
from scd.engine.samples.basis import basis, coefficients
from scd.seeds import generator_for
from tests.baselines.torch_ensemble.test_training import assert_same_votes

SMALL = {"feature_shape": (1, 8, 8), "batch_size": 32, "random_state": 7, "device": "cpu"}
NETWORKS = {"lenet": LeNetVotes, "mlp": AdversarialMLPVotes}


def seen(X, root_seed, vote, epoch):
    """The samples that a vote sees in an epoch."""
    turned = generator_for(root_seed, "mirror", vote, epoch).random(len(X)) < 0.5
    images = X.reshape(-1, 8, 8).copy()
    images[turned] = images[turned][:, :, ::-1]
    return images.reshape(len(X), -1)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_epoch_is_one_on_the_images_of_which_half_are_mirrored(digits, name):
    X, y, votes = digits[0][:60], digits[1][:60], range(2, 3)
    fit = {**SMALL, "epochs": 1, "adversarial": 0.0}
    mirrored = NETWORKS[name](mirrored=True, **fit).fit_votes(X, y, votes)
    root_seed = NETWORKS[name](mirrored=True, **fit).fit(X, y).root_seed_
    by_hand = NETWORKS[name](**fit).fit_votes(seen(X, root_seed, 2, 0), y, votes)
    assert_same_votes(mirrored, by_hand)
    with pytest.raises(AssertionError):
        assert_same_votes(mirrored, NETWORKS[name](**fit).fit_votes(X, y, votes))


@pytest.mark.parametrize("name", NETWORKS)
def test_other_images_are_mirrored_for_another_vote_and_in_another_epoch(digits, name):
    X, y, votes = digits[0][:60], digits[1][:60], range(2, 4)
    fit = {**SMALL, "epochs": 2, "adversarial": 0.3, "mirrored": True}
    whole = NETWORKS[name](votes_at_once=2, **fit).fit_votes(X, y, votes)
    assert_same_votes(whole, NETWORKS[name](votes_at_once=1, **fit).fit_votes(X, y, votes))
    assert_same_votes(whole[1:], NETWORKS[name](**fit).fit_votes(X, y, range(3, 4)))
    draws = {seen(X, 7, vote, epoch).tobytes() for vote in votes for epoch in range(2)}
    assert len(draws) == 4


@pytest.mark.parametrize("turned", [False, True])
def test_an_mlp_of_coefficients_has_the_votes_of_a_fit_on_them(digits, turned):
    X, y = digits[0][:60], digits[1][:60]
    fit = {**SMALL, "n_votes": 2, "epochs": 2, "adversarial": 0.3}
    model = AdversarialMLPVotes(basis="dct", basis_size=4, mirrored=turned, **fit).fit(X, y)
    rows = basis("dct", 4, X, (1, 8, 8))
    images = [X, X.reshape(-1, 8, 8)[:, :, ::-1].reshape(len(X), -1)] if turned else [X]
    inputs = np.concatenate([coefficients(each, rows) for each in images])
    plain = AdversarialMLPVotes(**{**fit, "feature_shape": None}).fit(inputs, np.tile(y, len(images)))
    for vote, on_inputs in zip(model.votes_, plain.votes_, strict=True):
        np.testing.assert_allclose(vote["hidden.weight"], on_inputs["hidden.weight"] @ rows, atol=1e-3)
    np.testing.assert_array_equal(model.votes(X), plain.votes(coefficients(X, rows)))
    grown = AdversarialMLPVotes(basis="dct", basis_size=4, mirrored=turned, **fit).fit_votes(X, y, range(1, 2))
    assert_same_votes(model.votes_[1:], grown)


def test_a_basis_larger_than_the_samples_is_refused(digits):
    with pytest.raises(ValueError, match=r"'basis_size' parameter of AdversarialMLPVotes must be at most 59"):
        AdversarialMLPVotes(basis="pca", basis_size=100, epochs=1).fit(digits[0][:60], digits[1][:60])


def test_signals_and_flat_samples_have_no_mirror_images(digits):
    X, y = digits[0][:60], digits[1][:60]
    for model in (
        AdversarialMLPVotes(mirrored=True, epochs=1),
        AdversarialMLPVotes(mirrored=True, epochs=1, basis="pca", basis_size=4),
        CNN1DVotes(mirrored=True, epochs=1, feature_shape=(64,)),
        LeNetVotes(mirrored=True, epochs=1),
    ):
        with pytest.raises(ValueError, match=rf"'mirrored' parameter of {type(model).__name__} must be False"):
            model.fit(X, y)


def test_the_order_of_features_is_of_no_effect_on_an_mlp_that_sees_no_mirror_images(digits):
    X, y = digits[0][:60], digits[1][:60]
    fit = {**SMALL, "epochs": 1}
    flat = AdversarialMLPVotes(**{**fit, "feature_shape": None}).fit(X, y)
    assert_same_votes(AdversarialMLPVotes(**fit).fit(X, y).votes_, flat.votes_)
    assert (flat.predict(X) == AdversarialMLPVotes(**fit).fit(X, y).predict(X)).all()
    assert np.isfinite(flat.certified_radius(X[:2], flat.predict(X[:2]))).all()
