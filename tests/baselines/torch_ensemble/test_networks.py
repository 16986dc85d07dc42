"""The networks of torch: what torch's own layers compute, vote by vote, and their starting weights."""

import math
from collections import OrderedDict
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from baselines.cnn1d import CNN1D
from baselines.lenet import LeNet
from baselines.torch_ensemble.forward import StackedNetworks
from baselines.torch_ensemble.layers import saved_bytes

CASES = [
    *((LeNet, shape) for shape in [(3, 32, 32), (1, 8, 8), (2, 7, 5), (1, 1, 9), (1, 1, 1)]),
    *((CNN1D, shape) for shape in [(187,), (96,), (8,), (1,)]),
]


def lenet_of_torch(channels, height, width):
    layers = OrderedDict(images=nn.Unflatten(1, (channels, height, width)))
    for i, (into, out) in enumerate([(channels, 6), (6, 16)], start=1):
        layers |= {f"conv{i}": nn.Conv2d(into, out, 5, padding=2), f"relu{i}": nn.ReLU()}
        layers[f"pool{i}"] = nn.MaxPool2d(2, ceil_mode=True)
        height, width = math.ceil(height / 2), math.ceil(width / 2)
    layers |= {"flat": nn.Flatten(), "fc1": nn.Linear(16 * height * width, 120), "relu3": nn.ReLU()}
    return nn.Sequential(layers | {"fc2": nn.Linear(120, 84), "relu4": nn.ReLU(), "fc3": nn.Linear(84, 2)})


def cnn1d_of_torch(length):
    layers = OrderedDict(signals=nn.Unflatten(1, (1, length)))
    for i, (into, out, pool) in enumerate([(1, 64, 4), (64, 128, 4), (128, 256, 2)], start=1):
        layers |= {f"pad{i}": nn.ConstantPad1d((7, 8), 0.0), f"conv{i}": nn.Conv1d(into, out, 16)}
        layers |= {f"relu{i}": nn.ReLU(), f"pool{i}": nn.MaxPool1d(pool, ceil_mode=True)}
        length = math.ceil(length / pool)
    return nn.Sequential(layers | {"flat": nn.Flatten(), "fc": nn.Linear(256 * length, 2)})


def drawn(kind, shape, votes):
    """A network of n votes with its own biases, and each vote's arrays."""
    network = kind(votes, *shape)
    for vote in range(votes):
        network.initialise(vote, torch.Generator().manual_seed(vote))
    generator = torch.Generator().manual_seed(99)
    for name, tensor in network.arrays().items():
        if name.endswith("bias"):
            tensor.uniform_(-0.3, 0.3, generator=generator)
    arrays = [{name: t[v].numpy() for name, t in network.arrays().items()} for v in range(votes)]
    return network, arrays


def rows_of(shape, n, seed=0):
    return torch.rand(n, math.prod(shape), generator=torch.Generator().manual_seed(seed))


def of_torch(kind, shape, arrays):
    """The same network of torch's own layers."""
    with torch.random.fork_rng():
        network = {LeNet: lenet_of_torch, CNN1D: cnn1d_of_torch}[kind](*shape)
    own = network.state_dict()
    network.load_state_dict({name: torch.from_numpy(a).reshape(own[name].shape) for name, a in arrays.items()})
    return network


@pytest.mark.parametrize(("kind", "shape"), CASES, ids=str)
def test_every_vote_is_the_network_of_torchs_own_layers(kind, shape):
    network, votes = drawn(kind, shape, 3)
    shared, own = rows_of(shape, 5), rows_of(shape, 15, seed=1).unflatten(0, (5, 3))
    with torch.no_grad():
        of_shared, of_own = network(shared), network(own)
        assert of_shared.shape == of_own.shape == (5, 3, 2)
        for v, arrays in enumerate(votes):
            expected = of_torch(kind, shape, arrays)
            torch.testing.assert_close(of_shared[:, v], expected(shared), rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(of_own[:, v], expected(own[:, v]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "shape"), [(LeNet, (2, 7, 5)), (CNN1D, (24,))])
def test_gradients_by_rows_and_weights_are_those_of_torchs_own_layers(kind, shape):
    network, votes = drawn(kind, shape, 2)
    rows = rows_of(shape, 4).requires_grad_()
    network(rows).square().sum().backward()
    found, rows.grad = rows.grad, None
    for v, arrays in enumerate(votes):
        expected = of_torch(kind, shape, arrays)
        expected(rows).square().sum().backward()
        for name, parameter in expected.named_parameters():
            grad = network.get_parameter(name).grad[v].reshape(parameter.shape)
            torch.testing.assert_close(grad, parameter.grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found, rows.grad, rtol=1e-3, atol=1e-4)


def test_starting_weights_have_the_published_spread():
    """Kaiming-normal by fan-out: sqrt(2 / (outputs * kernel)); Xavier-normal: sqrt(2 / (inputs + outputs))."""
    network = LeNet(40, 3, 32, 32)
    for vote in range(40):
        network.initialise(vote, torch.Generator().manual_seed(vote))
    spread = {
        "conv1": math.sqrt(2 / (6 * 25)),
        "conv2": math.sqrt(2 / (16 * 25)),
        "fc1": math.sqrt(2 / (1024 + 120)),
        "fc2": math.sqrt(2 / (120 + 84)),
        "fc3": math.sqrt(2 / (84 + 2)),
    }
    for name, expected in spread.items():
        weights = network.get_parameter(f"{name}.weight").detach()
        assert weights.std().item() == pytest.approx(expected, rel=0.05)
        assert abs(weights.mean().item()) < 0.05 * expected
        assert (network.get_parameter(f"{name}.bias") == 0).all()
    assert len({w.sum().item() for w in network.fc3.weight}) == 40, "votes start apart"


@pytest.mark.parametrize(("kind", "shape"), [(LeNet, (1, 8, 8)), (CNN1D, (8,))])
def test_prediction_is_the_softmax_of_the_logits_whatever_the_memory_and_threads(kind, shape):
    network, votes = drawn(kind, shape, 3)
    X = rows_of(shape, 20).numpy() - 0.5
    with torch.no_grad():
        expected = torch.softmax(network(torch.from_numpy(X)).double(), dim=2)[..., 1].numpy()
    threads = torch.get_num_threads()
    try:
        for torch_threads in (1, 2):
            torch.set_num_threads(torch_threads)
            for memory in (1, 1 << 30):
                forward = StackedNetworks(partial(_make, kind, shape), votes, X.shape[1], "cpu", memory)
                found = forward.probabilities(X)
                np.testing.assert_allclose(found, expected, atol=1e-6)
                np.testing.assert_array_equal(forward.labels(X), found > 0.5)
                assert torch.get_num_threads() == torch_threads
    finally:
        torch.set_num_threads(threads)


def _make(kind, shape, votes):
    return kind(votes, *shape)


def test_a_tie_of_the_logits_is_the_first_class():
    _, votes = drawn(LeNet, (1, 4, 4), 2)
    votes[1] = {name: np.zeros_like(array) for name, array in votes[1].items()}
    forward = StackedNetworks(lambda n: LeNet(n, 1, 4, 4), votes, 16, "cpu", 1 << 20)
    X = rows_of((1, 4, 4), 6).numpy()
    assert (forward.labels(X)[:, 1] == 0).all()
    assert (forward.probabilities(X)[:, 1] == 0.5).all()


def test_logits_are_differentiable_by_the_rows():
    """The derivative along a direction equals the difference quotient, in float64."""
    _, votes = drawn(LeNet, (1, 6, 6), 2)
    forward = StackedNetworks(lambda n: LeNet(n, 1, 6, 6), votes, 36, "cpu", 1 << 20)
    forward.networks[0].double()
    x, step = rows_of((1, 6, 6), 3).double().requires_grad_(), 1e-6 * rows_of((1, 6, 6), 3, seed=1).double()
    assert forward.logits(x).shape == (3, 2)
    forward.logits(x).sum().backward()
    quotient = (forward.logits(x + step) - forward.logits(x - step)).sum() / 2
    assert (x.grad * step).sum().item() == pytest.approx(quotient.item(), rel=1e-5)


def test_saved_bytes_count_activations_and_not_weights():
    """A linear layer on d inputs keeps its d float32 inputs for a row; ReLU keeps its outputs."""

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(10, 7), nn.ReLU(), nn.Linear(7, 2))

        def forward(self, x):
            return self.layers(x)

    with torch.device("meta"):
        network = Two()
    # inputs of both layers and the outputs of ReLU, which are the second's inputs
    assert saved_bytes(network, torch.empty(3, 10)) == 4 * (10 + 7 + 7)
