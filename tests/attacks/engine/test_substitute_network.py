"""The substitute's network: its gradients point where they should, it learns, and it can be stored."""

import numpy as np
import pytest
import torch

from attacks.engine.substitute_network import OPTIMIZERS, SubstituteNetwork

D = 12


def labelled(n):
    """Samples labelled by their side of a plane."""
    rows = np.random.default_rng(1).uniform(0.3, 0.7, (n, D)).astype(np.float32)
    return rows, (rows.sum(axis=1) > D / 2).astype(np.int64)


@pytest.mark.parametrize("loss", [False, True])
def test_a_small_step_along_the_signs_raises_what_they_are_the_gradient_of(loss):
    network = SubstituteNetwork(D, 16, 0, "sgd", torch.device("cpu"))
    rng = np.random.default_rng(0)
    rows, labels = rng.uniform(0, 1, (50, D)).astype(np.float32), rng.integers(0, 2, 50)

    def value(x):
        with torch.no_grad():
            logits = network.network(torch.from_numpy(x))
        if loss:
            return torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels), reduction="none").numpy()
        return logits.numpy()[np.arange(50), labels]

    signs = (network.loss_signs if loss else network.logit_signs)(rows, labels)
    assert set(np.unique(signs)) <= {-1, 0, 1}
    assert (value(rows + np.float32(1e-3) * signs) > value(rows)).all()
    assert (value(rows - np.float32(1e-3) * signs) < value(rows)).all()


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_training_goes_on_from_the_weights_and_learns(optimizer):
    network = SubstituteNetwork(D, 64, 0, optimizer, torch.device("cpu"))
    rows, labels = labelled(200)

    def loss():
        with torch.no_grad():
            logits = network.network(torch.from_numpy(rows))
        return float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)))

    losses = [loss()]
    for turn in range(4):
        network.train(rows, labels, 20, turn)
        losses.append(loss())
    assert losses == sorted(losses, reverse=True)


def test_restored_weights_give_the_same_network():
    first, second = (SubstituteNetwork(D, 8, seed, "sgd", torch.device("cpu")) for seed in (0, 1))
    rows, labels = labelled(50)
    first.train(rows, labels, 3, 0)
    second.restore({**first.to_arrays(), "other": rows})
    np.testing.assert_array_equal(first.loss_signs(rows, labels), second.loss_signs(rows, labels))
    np.testing.assert_array_equal(first.labels(rows), second.labels(rows))
