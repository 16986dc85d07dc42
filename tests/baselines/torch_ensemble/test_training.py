"""The training loop of torch: plain Adam, votes that depend on nothing but their number, kills that lose little."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from baselines.cnn1d import CNN1DVotes
from baselines.lenet import LeNet, LeNetVotes
from baselines.resnet50 import ResNet50, ResNet50Votes
from baselines.torch_ensemble import checkpoint
from baselines.torch_ensemble.checkpoint import Progressed
from baselines.torch_ensemble.training import Training, _Learner, batches
from scd.devices import one_torch_thread
from scd.seeds import generator_for, seed_for

SMALL = {"feature_shape": (1, 8, 8), "epochs": 3, "batch_size": 32, "random_state": 7, "device": "cpu"}


def assert_same_votes(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        assert all(a[k].dtype == b[k].dtype and a[k].tobytes() == b[k].tobytes() for k in a)


@pytest.mark.parametrize(("rows", "size"), [(10, 4), (8, 4), (9, 4), (3, 64), (1, 64), (5, 1), (65, 64), (129, 64)])
def test_batches_take_every_row_once_and_leave_no_row_alone(rows, size):
    found = batches(rows, size)
    assert [row for start, stop in found for row in range(start, stop)] == list(range(rows))
    sizes = [stop - start for start, stop in found]
    assert sizes[:-1] == [size] * (len(sizes) - 1)
    assert sizes[-1] <= size + 1
    if size > 1 and rows > 1:
        assert min(sizes) > 1


def test_a_vote_is_plain_adam_on_cross_entropy(digits):
    """torch's textbook loop, from the same weights and in the same orders."""
    X, y = (torch.from_numpy(part) for part in digits[:2])
    vote = LeNetVotes(n_votes=3, learning_rate=0.01, **SMALL).fit_votes(*digits[:2], range(2, 3))[0]
    network = LeNet(1, 1, 8, 8)
    network.initialise(0, torch.Generator().manual_seed(seed_for(7, "weights", 2)))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01, fused=False)
    with one_torch_thread():
        for epoch in range(3):
            order = torch.from_numpy(generator_for(7, "order", 2, epoch).permutation(250))
            for rows in order.split(32):
                optimizer.zero_grad()
                F.cross_entropy(network(X[rows])[:, 0], y[rows]).backward()
                optimizer.step()
    for name, parameter in network.named_parameters():
        np.testing.assert_allclose(vote[name], parameter[0].detach(), atol=2e-4)


@pytest.mark.parametrize("cls", [LeNetVotes, CNN1DVotes])
def test_votes_are_the_same_to_the_bit_whatever_is_trained_beside_them(digits, cls):
    X, y = digits[0][:40], digits[1][:40]
    settings = {**SMALL, "epochs": 2, "feature_shape": None}
    votes = range(2, 5)
    whole = cls(votes_at_once=3, **settings).fit_votes(X, y, votes)
    assert_same_votes(whole, cls(votes_at_once=2, memory_budget=1, **settings).fit_votes(X, y, votes))
    assert_same_votes(whole, cls(memory_budget=1, **settings).fit_votes(X, y, votes))
    assert_same_votes(whole, [cls(**settings).fit_votes(X, y, range(v, v + 1))[0] for v in votes])
    threads = torch.get_num_threads()
    try:
        for other in (1, 2, 3):
            torch.set_num_threads(other)
            assert_same_votes(whole[:1], cls(**settings).fit_votes(X, y, range(2, 3)))
            assert torch.get_num_threads() == other
    finally:
        torch.set_num_threads(threads)
    assert len({vote["conv1.weight"].tobytes() for vote in whole}) == 3


def test_votes_side_by_side_are_those_alone_to_rounding(digits):
    """What CUDA does with a group, done on the CPU."""
    X, y = (torch.from_numpy(part[:100]) for part in digits[:2])
    training = Training(2, 32, 1e-3, None, "float32", "cpu", 1 << 30, False)
    groups = [[4], [5], [6], [4, 5, 6]]
    learners = [_Learner(lambda v: LeNet(v, 1, 8, 8), group, 3, X, y, training, Progressed()) for group in groups]
    with one_torch_thread():
        for learner in learners:
            for epoch in range(2):
                learner.train(epoch)
    *alone, together = learners
    for learner in alone:
        (vote,) = learner.votes
        for name, array in learner.trained()[vote].items():
            np.testing.assert_allclose(together.trained()[vote][name], array, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_votes_that_step_at_the_same_time_learn_what_they_learn_alone(digits):
    """ResNet50 on a GPU, over enough steps to be recorded; its gradients are summed in no fixed order."""
    X, y = digits[0][:70], digits[1][:70]
    small = {"epochs": 2, "batch_size": 35, "feature_shape": (1, 8, 8), "device": "cuda", "random_state": 0}
    together = ResNet50Votes(n_votes=3, votes_at_once=3, **small).fit(X, y)
    alone = ResNet50Votes(n_votes=3, votes_at_once=1, **small).fit(X, y)
    for number, (one, other) in enumerate(zip(together.votes_, alone.votes_, strict=True)):
        start = ResNet50(1, 8, 8)
        start.initialise(0, torch.Generator().manual_seed(seed_for(together.root_seed_, "weights", number)))
        before = start.arrays()["net.conv1.weight"][0].detach().numpy()
        learned = [(vote["net.conv1.weight"] - before).ravel() for vote in (one, other)]
        assert min(np.abs(change).max() for change in learned) > 1e-3
        assert np.corrcoef(*learned)[0, 1] > 0.6


def test_global_generators_are_neither_used_nor_moved(digits):
    model = LeNetVotes(n_votes=1, **SMALL)
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        np.random.seed(seed)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        found.append(model.fit(*digits[:2]).votes_)
        assert torch.equal(torch.get_rng_state(), before[0])
        np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    assert_same_votes(*found)


def test_progress_counts_the_epochs_of_all_votes(digits):
    calls = []
    LeNetVotes(votes_at_once=2, **SMALL).fit_votes(*digits[:2], range(3, 6), lambda *call: calls.append(call))
    assert [call[:2] for call in calls] == [(2, 9), (4, 9), (6, 9), (7, 9), (8, 9), (9, 9)]
    assert all(math.isnan(call[2]) for call in calls)


class Killed(Exception):
    """Stands for a kill."""


def killed_at(epochs):
    def progress(done, total, score):
        if done >= epochs:
            raise Killed

    return progress


@pytest.fixture
def always_due(monkeypatch):
    monkeypatch.setattr(checkpoint, "_MIN_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "_MIN_MULTIPLE", 0.0)


@pytest.mark.usefixtures("always_due")
@pytest.mark.parametrize("epochs", [2, 6, 8])  # in the first group, at its end, in the second
def test_a_killed_fit_goes_on_to_the_same_votes(digits, tmp_path, epochs):
    X, y = digits[0][:100], digits[1][:100]
    model, path = LeNetVotes(votes_at_once=2, **SMALL), tmp_path / "state.npz"
    whole = model.fit_votes(X, y, range(1, 4))
    with pytest.raises(Killed):
        model.fit_votes(X, y, range(1, 4), killed_at(epochs), path)
    assert path.exists()
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
    calls = []
    assert_same_votes(whole, model.fit_votes(X, y, range(1, 4), lambda *call: calls.append(call[0]), path))
    assert all(call > epochs for call in calls), "nothing is trained twice"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("always_due")
def test_a_kill_may_be_followed_by_another(digits, tmp_path):
    X, y = digits[:2]
    model, path = CNN1DVotes(votes_at_once=1, **{**SMALL, "feature_shape": (64,), "epochs": 2}), tmp_path / "state.npz"
    for epochs in (1, 2, 3):
        with pytest.raises(Killed):
            model.fit_votes(X[:40], y[:40], range(2), killed_at(epochs), path)
    assert_same_votes(model.fit_votes(X[:40], y[:40], range(2)), model.fit_votes(X[:40], y[:40], range(2), None, path))


@pytest.mark.usefixtures("always_due")
@pytest.mark.parametrize("change", ["data", "labels", "votes", "seed", "settings", "damage"])
def test_the_state_of_another_training_is_not_used(digits, tmp_path, change):
    X, y = digits[:2]
    model, path, votes = LeNetVotes(**{**SMALL, "epochs": 1}), tmp_path / "state.npz", range(1)
    with pytest.raises(Killed):
        model.fit_votes(X, y, votes, killed_at(1), path)
    if change == "data":
        X = X[::-1].copy()
    elif change == "labels":
        y = 1 - y
    elif change == "votes":
        votes = range(1, 2)
    elif change == "seed":
        model.set_params(random_state=8)
    elif change == "settings":
        model.set_params(learning_rate=0.01)
    else:
        path.write_bytes(path.read_bytes()[:-100])
    whole = model.fit_votes(X, y, votes)
    with pytest.warns(UserWarning, match=r"The state of training in .*state\.npz is not used: "):
        assert_same_votes(whole, model.fit_votes(X, y, votes, None, path))


def test_the_state_is_saved_seldom(digits, tmp_path, monkeypatch):
    """Ten seconds apart, and twenty times as long apart as the last save took."""
    now, times = [0.0], []
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])

    def save(*_):
        times.append(now[0])
        now[0] += 0.9  # seconds a save takes

    monkeypatch.setattr(checkpoint, "save_votes", save)

    def later(*_):
        now[0] += 4.0  # seconds an epoch takes

    now[0] = 0.0
    model = LeNetVotes(**{**SMALL, "epochs": 14})
    model.fit_votes(digits[0][:40], digits[1][:40], range(1), later, tmp_path / "state.npz")
    assert times[0] == 12.0, "the third epoch's end"
    assert np.diff(times).min() >= 18.0
