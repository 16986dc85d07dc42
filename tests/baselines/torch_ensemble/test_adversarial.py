"""Adversarial training of the torch baselines: batches moved against the network, within the radius and the box."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attacks import WhiteBox
from baselines.cnn1d import CNN1DVotes
from baselines.lenet import LeNetVotes
from baselines.mlp_adversarial import AdversarialMLPVotes, Perceptron
from baselines.resnet50 import ResNet50
from baselines.torch_ensemble import training
from baselines.torch_ensemble.training import Training, _Learner
from scd.engine.adversarial import uphill
from scd.seeds import generator_for, seed_for
from tests.baselines.torch_ensemble.test_training import assert_same_votes

SMALL = {"epochs": 3, "batch_size": 32, "random_state": 7, "device": "cpu"}
BASELINES = {
    "lenet": lambda **more: LeNetVotes(feature_shape=(1, 8, 8), **{**SMALL, **more}),
    "cnn1d": lambda **more: CNN1DVotes(**{**SMALL, "epochs": 1, **more}),
    "mlp": lambda **more: AdversarialMLPVotes(**{**SMALL, **more}),
}


def learner(network, X, y, radius):
    settings = Training(1, 32, 1e-3, None, "float32", "cpu", 1 << 30, False, radius)
    return _Learner(lambda votes: network, [0], 7, X, y, settings, training.Progressed())


@pytest.mark.parametrize("radius", [0.05, 0.5])
def test_the_samples_of_a_step_are_moved_uphill_within_the_radius_and_the_box(digits, radius, monkeypatch):
    X, y = (torch.from_numpy(part) for part in digits[:2])
    seen = []

    def recorded(x, *more):
        seen.append((x, uphill(x, *more)))
        return seen[-1][1]

    monkeypatch.setattr(training, "uphill", recorded)
    network = Perceptron(1, 64, 20)
    its = learner(network, X, y, radius)
    its.step(torch.arange(32))
    ((before, after),) = seen
    lengths = (after - before).norm(dim=-1)
    assert lengths.max() <= radius * (1 + 1e-5) + 1e-6
    assert lengths.median() > 0.5 * radius
    assert (after >= X.amin(0)).all()
    assert (after <= X.amax(0)).all()
    old, new = (F.cross_entropy(network(x)[:, 0], y[:32], reduction="none") for x in (before, after))
    assert (new > old).float().mean() > 0.9


def test_a_vote_is_adam_on_the_moved_samples(digits):
    """torch's textbook loop, from the same weights and in the same orders."""
    X, y = (torch.from_numpy(part) for part in digits[:2])
    vote = AdversarialMLPVotes(learning_rate=0.01, adversarial=0.3, **SMALL).fit_votes(*digits[:2], range(2, 3))[0]
    network = Perceptron(1, 64, 20)
    network.initialise(0, torch.Generator().manual_seed(seed_for(7, "weights", 2)))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01, fused=False)
    for epoch in range(3):
        order = torch.from_numpy(generator_for(7, "order", 2, epoch).permutation(250))
        for rows in order.split(32):
            change = torch.zeros(len(rows), 64)
            for _ in range(5):
                at = (X[rows] + change).requires_grad_()
                F.cross_entropy(network(at)[:, 0], y[rows], reduction="sum").backward()
                change = change + 0.4 * 0.3 * at.grad / at.grad.norm(dim=1, keepdim=True)
                change = change * (0.3 / change.norm(dim=1, keepdim=True)).clamp_max(1)
                change = torch.clamp(X[rows] + change, X.amin(0), X.amax(0)) - X[rows]
            optimizer.zero_grad()
            F.cross_entropy(network(X[rows] + change)[:, 0], y[rows]).backward()
            optimizer.step()
    for name, parameter in network.named_parameters():
        np.testing.assert_allclose(vote[name], parameter[0].detach(), atol=2e-3)


@pytest.mark.parametrize("name", BASELINES)
def test_a_radius_of_zero_changes_no_bit_and_another_does(digits, name):
    X, y = digits[0][:60], digits[1][:60]
    zero, same, moved = (
        BASELINES[name](n_votes=1, **more).fit(X, y).votes_
        for more in ({"adversarial": 0.0}, {"adversarial": 0}, {"adversarial": 0.3})
    )
    assert_same_votes(zero, same)
    assert any(not np.array_equal(zero[0][key], moved[0][key]) for key in zero[0])


@pytest.mark.parametrize("name", BASELINES)
def test_votes_are_the_same_to_the_bit_whatever_is_trained_beside_them(digits, name):
    X, y = digits[0][:60], digits[1][:60]
    votes = range(2, 4)
    whole = BASELINES[name](adversarial=0.3, votes_at_once=2).fit_votes(X, y, votes)
    assert_same_votes(whole, BASELINES[name](adversarial=0.3, votes_at_once=1).fit_votes(X, y, votes))
    assert_same_votes(whole[1:], BASELINES[name](adversarial=0.3).fit_votes(X, y, range(3, 4)))


def test_networks_side_by_side_are_those_alone_to_rounding(digits):
    """What CUDA does with a group, done on the CPU."""
    X, y = (torch.from_numpy(part[:64]) for part in digits[:2])
    settings = Training(1, 32, 1e-3, None, "float32", "cpu", 1 << 30, False, 0.3)

    def trained(votes):
        its = _Learner(lambda n: Perceptron(n, 64, 20), votes, 7, X, y, settings, training.Progressed())
        its.train(0)
        return its.trained()

    together = trained([0, 1, 2])
    for vote, arrays in together.items():
        for name, array in trained([vote])[vote].items():
            np.testing.assert_allclose(arrays[name], array, atol=1e-4)


def test_moving_samples_changes_no_statistics():
    x, y = torch.rand(4, 3 * 8 * 8), torch.tensor([0, 1, 0, 1])
    network = ResNet50(3, 8, 8)
    its = learner(network, x, y, 0.5)
    its.step(torch.arange(4))
    assert network.training
    assert network.net.bn1.num_batches_tracked == 1


@pytest.mark.thorough
def test_what_adversarial_training_is_for(digits):
    """The network of moved samples withstands a move that turns the plain one's labels."""
    X, y, X_test, y_test = digits
    kept = []
    for radius in (0.0, 0.6):
        model = AdversarialMLPVotes(n_votes=1, **{**SMALL, "epochs": 40}, learning_rate=0.01, adversarial=radius).fit(
            X, y
        )
        assert model.score(X_test, y_test) > 0.9
        x, labels = torch.from_numpy(X_test), torch.from_numpy(y_test)

        def loss(at, network=model._forward.networks[0], labels=labels):
            return F.cross_entropy(network(at)[:, 0], labels, reduction="sum")

        away = uphill(x, loss, 0.6, (x.amin(0), x.amax(0)))
        kept.append(model.score(away.numpy(), y_test))
    assert kept[1] > kept[0] + 0.02


def test_a_file_of_the_perceptron_predicts_the_same(digits, tmp_path):
    X, y, X_test, _ = digits
    model = AdversarialMLPVotes(n_votes=2, hidden_nodes=5, **SMALL).fit(X, y)
    model.save(tmp_path / "votes.npz")
    loaded = AdversarialMLPVotes.load(tmp_path / "votes.npz").set_params(device="cpu")
    assert loaded.get_params() == model.get_params()
    np.testing.assert_array_equal(loaded.vote_probabilities(X_test), model.vote_probabilities(X_test))
    assert model.votes_[0]["hidden.weight"].shape == (5, 64)


def test_the_radii_of_perceptrons_are_below_what_the_white_box_attack_finds(digits):
    X, y, X_test, _ = digits
    model = AdversarialMLPVotes(n_votes=3, **{**SMALL, "epochs": 10}).fit(X, y)
    x, labels = X_test[:10], model.predict(X_test[:10])
    found = WhiteBox(max_iter=40, refinements=1, restarts=1)(model.predict, x, labels, smooth=model.smooth)
    lower = model.certified_radius(x, labels)
    assert (lower <= found.l2).all()
    assert (lower > 0.2 * found.l2).all()
