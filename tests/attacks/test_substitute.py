"""Laws of the substitute attack: its queries, the growth of its training set, and its success on a half-space."""

import math
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from attacks.engine.substitute_network import SubstituteNetwork
from attacks.substitute import Substitute
from tests.attacks.half_space import same_result

QUICK = {"rounds": 2, "epochs": 2, "first_rows": 20, "most_rows": 40, "hidden_nodes": 8, "noise_draws": 2}
D = 12


class HalfSpace:
    """Label 1 beyond a hyperplane through the middle of the box; records its inputs."""

    def __init__(self, d=D, seed=0):
        normal = np.random.default_rng(seed).standard_normal(d)
        self.normal = normal / np.linalg.norm(normal)
        self.queried = []

    def depth(self, rows):
        return (rows.astype(np.float64) - 0.5) @ self.normal

    def __call__(self, rows):
        self.queried.append(rows.copy())
        return (self.depth(rows) > 0).astype(np.int64)


def points(model, n=100, wrong=0, seed=1):
    """Points off the walls of the box with the model's labels, the first `wrong` of them flipped."""
    x = np.random.default_rng(seed).uniform(0.3, 0.7, (n, len(model.normal))).astype(np.float32)
    y = (model.depth(x) > 0).astype(np.int64)
    y[:wrong] = 1 - y[:wrong]
    return x, y


def curve(result):
    return pd.DataFrame(result.tables["curve"])


def test_a_linear_target_falls_to_the_gradient_and_not_to_noise():
    """A step of epsilon times the true sign moves a point by epsilon |w|_1 towards the boundary."""
    model = HalfSpace()
    x, y = points(model, 600, wrong=60)
    attack = Substitute(rounds=4, epochs=30, first_rows=200, most_rows=400, hidden_nodes=50)
    result = attack(model, x, y)
    last = curve(result).query("round == 4").set_index("epsilon")
    rest = result.reason != "used to train the substitute"
    right = model(x[rest]) == y[rest]
    assert right.mean() < 0.95
    assert last.loc[0.0, "accuracy"] == last.loc[0.0, "noise_accuracy"] == right.mean()
    assert last["agreement"].iloc[0] > 0.7
    # no step of this size does more than the true gradient's, and the substitute's comes near it
    depth = np.abs(model.depth(x[rest]))[right]
    for epsilon in (1 / 32, 1 / 16, 1 / 8):
        least = (depth > epsilon * np.abs(model.normal).sum()).sum() / rest.sum()
        assert least <= last.loc[epsilon, "accuracy"] < least + 0.15
        assert last.loc[epsilon, "noise_accuracy"] > last.loc[epsilon, "accuracy"] + 0.3
    assert last.loc[0.25, "accuracy"] == 0


def test_the_noise_control_is_that_of_a_half_space():
    """Noise of deviation s keeps a point at depth t on its side with probability Phi(t / s)."""
    model = HalfSpace(d=40)
    x, y = points(model, 400)
    result = Substitute(**{**QUICK, "rounds": 1, "noise_draws": 40})(model, x, y)
    rest = result.reason != "used to train the substitute"
    depth = np.abs(model.depth(x[rest]))
    table = curve(result).set_index("epsilon")
    for deviation in (1 / 64, 1 / 32, 1 / 16):  # nearly five deviations from the walls: no clipping
        expected = np.mean([0.5 * (1 + math.erf(t / deviation / 2**0.5)) for t in depth])
        assert table.loc[deviation, "noise_accuracy"] == pytest.approx(expected, abs=0.01)


def test_the_training_set_doubles_to_6400_rows_and_is_then_replaced():
    model = HalfSpace(d=3)
    x, y = points(model, 450)
    result = Substitute(rounds=9, epochs=1, hidden_nodes=2, noise_draws=1, epsilons=[0.0, 0.1], epsilon=0.1)(
        model, x, y
    )
    table = curve(result).drop_duplicates("round")
    assert table["rows"].tolist() == [200, 400, 800, 1600, 3200, 6400, 6400, 6400, 6400]
    # half of a doubled set is new, all of a replaced one
    assert table["queries"].tolist() == [200, 400, 800, 1600, 3200, 6400, 12800, 19200, 25600]
    trained = result.reason == "used to train the substitute"
    assert trained.sum() == 200
    assert (result.queries[trained] == 25600 / 200).all()
    assert (result.queries[~trained] == 1 + 9 + 1).all()  # its own, the grid without 0 in every round, the noise
    assert result.queries.sum() + result.success.sum() == sum(map(len, model.queried))  # each success is confirmed


@pytest.mark.parametrize(("n", "first"), [(2, 1), (7, 3), (41, 20), (42, 20)])
def test_at_most_half_of_the_points_train_the_substitute(n, first):
    model = HalfSpace()
    x, y = points(model, n)
    result = Substitute(**QUICK)(model, x, y)
    assert (result.reason == "used to train the substitute").sum() == first
    assert curve(result)["rows"].iloc[0] == first


@pytest.mark.parametrize("coin", ["sample", "round"])
def test_the_rows_added_are_moved_by_lambda_times_the_sign_and_not_clipped(monkeypatch, coin):
    """With a gradient of ones every row of D is its parent plus or minus lambda in all features."""
    monkeypatch.setattr(SubstituteNetwork, "logit_signs", lambda self, rows, labels: np.ones_like(rows))
    model = HalfSpace()
    x, y = points(model, 100)
    attack = Substitute(**{**QUICK, "rounds": 9, "most_rows": 20, "epochs": 1}, step=0.4, coin=coin, epsilons=[1 / 16])
    result = attack(model, x, y)
    start = x[result.reason == "used to train the substitute"]
    rounds = [rows for rows in model.queried if rows.shape == start.shape]
    np.testing.assert_array_equal(rounds[0], start)
    assert len(rounds) == 9
    assert not all(0 <= rows.min() <= rows.max() <= 1 for rows in rounds)
    coins = []
    for before, after in pairwise(rounds):
        moves = (after.astype(np.float64) - before) / 0.4
        np.testing.assert_allclose(np.abs(moves), 1, atol=1e-5)
        coins.append(np.sign(moves)[:, 0])
        assert (np.sign(moves) == coins[-1][:, None]).all()  # one coin for all features of a row
    shares = np.mean(np.array(coins) > 0, axis=1)
    if coin == "round":
        assert set(shares) == {0.0, 1.0}
    else:
        assert np.all((shares > 0) & (shares < 1))
        assert np.mean(shares) == pytest.approx(0.5, abs=0.15)


def test_the_adversarials_are_one_step_in_the_box_and_a_fresh_label_confirms_them():
    model = HalfSpace()
    x, y = points(model, 200, wrong=15)
    x[::2] = np.clip(x[::2] * 3 - 1, 0, 1)  # some at the walls, where the step is cut
    y[15:] = model.depth(x[15:]) > 0
    result = Substitute(**{**QUICK, "epochs": 20}, epsilon=0.125)(model, x, y)
    found, trained = result.success, result.reason == "used to train the substitute"
    assert 20 < found.sum() < 180
    assert 0 <= result.adversarials[found].min() <= result.adversarials[found].max() <= 1
    assert (model(result.adversarials[found]) != y[found]).all()
    assert (model(x[found]) == y[found]).all()
    np.testing.assert_allclose(result.linf[found], np.abs(result.adversarials - x)[found].max(axis=1), rtol=1e-6)
    np.testing.assert_allclose(result.l2[found], np.linalg.norm((result.adversarials - x)[found], axis=1), rtol=1e-6)
    assert result.linf[found].max() <= 0.125 + 1e-6
    assert np.isnan(result.l2[~found]).all()
    assert np.isnan(result.adversarials[~found]).all()
    wrong = (model(x) != y) & ~trained
    assert set(result.reason[found]) == {""}
    assert set(result.reason[wrong]) == {"already misclassified"}
    assert set(result.reason[~found & ~wrong & ~trained]) == {"still classified correctly"}
    last = curve(result).query("round == 2 and epsilon == 0.125")["accuracy"].item()
    came_right = (~trained).sum() * last - (result.reason == "still classified correctly").sum()
    assert 0 <= round(came_right) <= wrong.sum()  # accuracy includes the points already misclassified


def test_the_same_seed_gives_the_same_numbers_and_touches_no_global_generator():
    model = HalfSpace()
    x, y = points(model, 60)
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = Substitute(**QUICK)(model, x, y)
    again = Substitute(memory_budget=16 * D * 9, **QUICK)(model, x, y)
    other = Substitute(seed=1, **QUICK)(model, x, y)
    assert torch.equal(torch_before, torch.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])
    assert same_result(first, again)
    assert not np.array_equal(first.reason, other.reason)  # other points begin D
    assert max(map(len, model.queried)) > 9


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.5, 0.6, 0.8, 0.99])
def test_resumed_after_an_interrupt_equals_uninterrupted(tmp_path, share):
    model = HalfSpace()
    x, y = points(model, 80)
    options = {**QUICK, "rounds": 4, "memory_budget": 16 * D * 10}
    whole = Substitute(**options)(model, x, y)
    after = int(share * len(model.queried))

    class Interrupting(HalfSpace):
        def __call__(self, rows):
            if len(self.queried) == after:
                raise KeyboardInterrupt
            return super().__call__(rows)

    first, rest = Interrupting(), HalfSpace()
    with pytest.raises(KeyboardInterrupt):
        Substitute(**options)(first, x, y, state=tmp_path / "state.npz")
    assert same_result(whole, Substitute(**options)(rest, x, y, state=tmp_path / "state.npz"))
    # no query is repeated, and the inputs are the same
    looks = 80 + 7 * 64  # each call first looks whether it is the model of the state
    seen = [np.concatenate([np.zeros((0, D)), *each.queried])[looks:] for each in (first, rest)]
    np.testing.assert_array_equal(np.concatenate(seen), np.concatenate(model.queried))
    none = HalfSpace()
    assert same_result(whole, Substitute(**options)(none, x, y, state=tmp_path / "state.npz"))
    assert sum(map(len, none.queried)) == looks


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("rounds", 0, "an int >= 1"),
        ("epochs", 0, "an int >= 1"),
        ("step", 0.0, "a number > 0"),
        ("coin", "heads", "one of 'sample', 'round'"),
        ("first_rows", 0, "an int >= 1"),
        ("most_rows", 1.5, "an int >= 1"),
        ("hidden_nodes", 0, "an int >= 1"),
        ("optimizer", "lbfgs", "one of 'sgd', 'adam'"),
        ("epsilons", [-0.1, 0.0625], "a list of distinct numbers >= 0, at least one"),
        ("epsilon", 0.1, "one of epsilons, [0.0, 0.015625, 0.03125, 0.0625, 0.09375, 0.125, 0.1875, 0.25]"),
        ("epsilon", 0, "a number > 0"),
        ("noise_draws", 0, "an int >= 1"),
        ("seed", "a", "an int"),
        ("memory_budget", "lots", "a positive number of bytes, as an int or a text such as '256MiB'"),
        ("verbose", 1, "True or False"),
    ],
)
def test_a_bad_parameter_is_refused_by_the_constructor(name, value, allowed):
    sentence = f"The '{name}' parameter of Substitute must be {allowed}. Got {value!r} instead."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Substitute(**{name: value})


@pytest.mark.parametrize("device", ["tpu", 0, None])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(ValueError, match=r"^The 'device' parameter of Substitute must be .*'auto'.*'cpu'.* Got"):
        Substitute(device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there")
def test_cuda_is_refused_where_it_is_absent():
    with pytest.raises(ValueError, match=r"'auto' or 'cpu', for torch finds no CUDA device\. Got 'cuda' instead"):
        Substitute(device="cuda")


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (np.full((1, 3), 0.5), [0], "'x' .* at least 2 points, one to train on and one to attack. Got 1 point"),
        (np.full((3, 3), 0.5), [0, 1, -2], r"'y' .* an array of 0 and 1. Got labels \[-2, 0, 1\]"),
        (np.full((2, 3), 1.5), [0, 1], r"'x' .* within the clip bounds \[0, 1\]"),
    ],
)
def test_bad_points_are_refused_before_any_query(x, y, sentence):
    def never(rows):
        raise AssertionError("queried")

    with pytest.raises(ValueError, match=sentence):
        Substitute(**QUICK)(never, x, y)


def test_a_target_of_other_labels_is_refused():
    with pytest.raises(ValueError, match=r"must return labels 0 and 1\. Got \[2 2"):
        Substitute(**QUICK)(lambda rows: np.full(len(rows), 2), np.full((6, 3), 0.5), [0, 1] * 3)


def test_in_the_pipeline_the_points_it_trained_on_are_not_attacked_points(compose_config):
    from pipeline.experiment import run

    shorter = ("attack.rounds=2", "attack.epochs=1", "attack.noise_draws=2", "points.count=30")
    config = compose_config("model.n_votes=3", "model.n_iter=5", "attack=substitute", *shorter)
    folder = Path(config["paths"]["outputs"]) / "attacks" / run(config)["attack"]
    examples, summary = pd.read_csv(folder / "examples.csv"), pd.read_csv(folder / "summary.csv").iloc[0]
    assert len(examples) == 30
    assert summary["points"] == 15
    table = pd.read_csv(folder / "curve.csv")
    clean = table.query("epsilon == 0")["accuracy"]
    assert (1 - clean).tolist() == pytest.approx([summary["already_wrong"] / 15] * 2)
    assert "curve.csv" in pd.read_json(folder / "done.json").index
