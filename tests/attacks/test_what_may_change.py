"""Fixed features, a class to reach and whole numbers, for attacks that are not decision-based."""

import re

import numpy as np
import pandas as pd
import pytest
import torch

from attacks import Substitute, Transfer, WhiteBox
from tests.attacks.half_space import HalfSpace, same_result

SUBSTITUTE = {"rounds": 3, "epochs": 20, "first_rows": 60, "most_rows": 240, "hidden_nodes": 30, "noise_draws": 2}
D, K = 10, 3
MASK = np.arange(D) < 4


class Linear:
    """The largest of three linear scores; records its inputs."""

    def __init__(self, seed=0):
        self.weights = np.random.default_rng(seed).standard_normal((D, K))
        self.queried = []

    def __call__(self, rows):
        self.queried.append(rows.copy())
        return ((rows.astype(np.float64) - 0.5) @ self.weights).argmax(axis=1)


class Members(Linear):
    """Five such models that have much in common."""

    def __init__(self):
        super().__init__()
        self.weights = self.weights + 0.4 * np.random.default_rng(1).standard_normal((5, D, K))

    def __call__(self, rows, members):
        self.queried.append(rows.copy())
        return np.einsum("nd,ndk->nk", rows.astype(np.float64) - 0.5, self.weights[members]).argmax(axis=1)


def points(n=160, seed=2):
    return np.random.default_rng(seed).uniform(0.35, 0.65, (n, D)).astype(np.float32)


def transferred(model, x, y, **call):
    return Transfer(max_iter=6, init_eval=30)(model, x, y, n_members=5, **call)


# ---- the substitute attack


def test_a_substitute_queries_and_changes_only_features_that_may_change():
    model, x = Linear(), points()
    result = Substitute(**SUBSTITUTE, epsilon=0.25)(model, x, model(x), mask=MASK)
    fixed = {tuple(row) for row in x[:, MASK].tolist()}
    assert all(tuple(row) in fixed for rows in model.queried for row in rows[:, MASK].tolist())
    found = result.success
    assert found.sum() > 20
    assert (result.adversarials[found][:, MASK] == x[found][:, MASK]).all()
    np.testing.assert_allclose(result.linf[found], 0.25, rtol=1e-6)


def test_of_two_classes_the_other_one_as_the_class_to_reach_changes_nothing():
    """The gradient of the cross-entropy at one label is that at the other with the opposite sign."""
    model = HalfSpace(D, 0.0, seed=3)
    x = points()
    y = model(x)
    plain = Substitute(**SUBSTITUTE)(model, x, y)
    reaching = Substitute(**SUBSTITUTE)(model, x, y, target=1 - y)
    np.testing.assert_array_equal(plain.adversarials, reaching.adversarials)
    np.testing.assert_array_equal(plain.adversarial_label, reaching.adversarial_label)
    one, two = pd.DataFrame(plain.tables["curve"]), pd.DataFrame(reaching.tables["curve"])
    assert 0.1 < two["reached"].max() < 1
    np.testing.assert_allclose(two["reached"], 1 - one["accuracy"])
    np.testing.assert_allclose(two["noise_reached"], 1 - one["noise_accuracy"])


def test_a_substitute_reaches_a_class_of_three():
    model, x = Linear(), points(300)
    y = model(x)
    trained_longer = {"epochs": 100, "first_rows": 150, "most_rows": 600, "hidden_nodes": 50}
    result = Substitute(**{**SUBSTITUTE, **trained_longer}, epsilon=0.25)(model, x, y, target=2)
    found = result.success
    assert (model(result.adversarials[found]) == 2).all()
    assert (result.adversarial_label == np.where(found, 2, -1)).all()
    assert result.label.tolist() == y.tolist()
    trained = result.reason == "used to train the substitute"
    assert (result.reason[~trained & (y == 2)] == "already of the target class").all()
    others = ~trained & (y != 2)
    assert found[others].mean() > 0.9
    assert set(result.reason[others & ~found]) <= {"not of the target class"}
    last = pd.DataFrame(result.tables["curve"]).query("round == 3").set_index("epsilon")["reached"]
    assert last[0.0] == pytest.approx((y[~trained] == 2).mean())
    assert last[0.25] == pytest.approx((found[~trained] | (y[~trained] == 2)).mean(), abs=0.1)


def test_a_substitute_with_a_class_to_reach_is_resumed(tmp_path):
    x, calls = points(), []
    call = {"mask": MASK, "target": 2}
    whole = Substitute(**SUBSTITUTE)(Linear(), x, Linear()(x), **call)

    def interrupted(rows):
        calls.append(len(rows))
        if len(calls) == 25:
            raise KeyboardInterrupt
        return Linear()(rows)

    state = tmp_path / "state.npz"
    with pytest.raises(KeyboardInterrupt):
        Substitute(**SUBSTITUTE)(interrupted, x, Linear()(x), **call, state=state)
    assert same_result(Substitute(**SUBSTITUTE)(Linear(), x, Linear()(x), **call, state=state), whole)
    for other in ({"target": 1}, {"mask": ~MASK}):
        with pytest.raises(ValueError, match="belongs to an attack with other parameters"):
            Substitute(**SUBSTITUTE)(Linear(), x, Linear()(x), **{**call, **other}, state=state)


# ---- the transfer attack


def test_members_are_fooled_by_what_reaches_the_class_and_counted_so():
    """Brute force: every member is queried at every adversarial of the members."""
    model, x = Members(), points(4)
    y = np.array([model(x, np.full(4, j)) for j in range(5)])[0]
    goal = (y + 1) % K
    result = transferred(model, x, y, target=goal)
    pairs = pd.DataFrame(result.tables["pairs"])
    own = np.array([model(x, np.full(4, j)) for j in range(5)]).T  # (point, member)
    at_goal = own == goal[:, None]
    assert result.extra["members_right"].tolist() == (~at_goal).sum(axis=1).tolist()
    assert pairs["success"].tolist() == (~at_goal).reshape(-1).astype(int).tolist()
    assert set(pairs.loc[pairs["success"] == 0, "reason"]) <= {"already of the target class"}
    assert result.success.all()
    assert (model(result.adversarials, result.restart) == goal).all()
    assert result.label.tolist() == y.tolist()
    assert result.adversarial_label.tolist() == goal.tolist()
    for i in range(4):  # the returned adversarial of point i: the others that it fools, at 0 overshoot
        row = pairs[(pairs["index"] == i) & (pairs["member"] == result.restart[i])].iloc[0]
        fooled = model(np.tile(result.adversarials[i], (5, 1)), np.arange(5)) == goal[i]
        fooled[result.restart[i]] = False
        assert row["others_fooled_0.0"] == (fooled & ~at_goal[i]).sum()
        assert row["others_wrong_0.0"] == fooled.sum()
    assert 0 < result.tables["transfer"]["p_main"][-1] < 1


def test_of_two_classes_the_other_one_as_the_class_to_reach_counts_the_same_members():
    model, x = Members(), points(3)

    def two(rows, members):
        return (model(rows, members) > 0).astype(np.int64)

    y = two(x, np.zeros(3, dtype=int))
    plain, reaching = transferred(two, x, y), transferred(two, x, y, target=1 - y)
    np.testing.assert_array_equal(plain.adversarials, reaching.adversarials)
    for name, column in plain.tables["transfer"].items():
        np.testing.assert_array_equal(column, reaching.tables["transfer"][name])


def test_members_are_attacked_in_the_features_that_may_change(tmp_path):
    model, x = Members(), points(3)
    y = model(x, np.zeros(3, dtype=int))
    low, high = np.linspace(0, 0.1, D), np.linspace(0.9, 1, D)
    call = {"mask": MASK, "clip": (low, high), "target": None}
    model.queried.clear()
    result = transferred(model, x, y, **call, state=tmp_path / "state.npz")
    fixed = {tuple(row) for row in x[:, MASK].tolist()}
    at_points = [rows for rows in model.queried if tuple(rows[0, MASK].tolist()) in fixed]
    assert len(at_points) >= len(model.queried) - 1  # probes of the model are at no point
    for rows in at_points:
        assert (rows >= low.astype("f4")).all()
        assert (rows <= high.astype("f4")).all()
    assert result.success.any()
    assert (result.adversarials[result.success][:, MASK] == x[result.success][:, MASK]).all()
    assert (model(result.adversarials, result.restart) != y)[result.success].all()
    assert same_result(transferred(model, x, y, **call, state=tmp_path / "state.npz"), result)
    with pytest.raises(ValueError, match="belongs to an attack with other parameters"):
        transferred(model, x, y, **{**call, "mask": ~MASK}, state=tmp_path / "state.npz")


# ---- the white-box attack


def white_box(model, y, norm="l2", **call):
    normal, bound = torch.from_numpy(model.normal).float(), model.bound
    attack = WhiteBox(max_iter=60, refinements=1, restarts=2, norm=norm)
    return attack(model, model.x, y, smooth=lambda x, b, g: torch.sigmoid(g * (x @ normal - bound)), **call)


def of_whole_numbers(d=D, distance=6.0):
    """A half-space in units of whole numbers."""
    model = HalfSpace(d, distance, seed=7)
    model.x = np.random.default_rng(8).integers(10, 20, (1, d)).astype(np.float32)
    model.bound = float(model.x[0].astype(np.float64) @ model.normal) + distance
    return model


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("whole", [True, np.arange(D) % 2 == 0], ids=["all", "half"])
@pytest.mark.parametrize("call", [{}, {"mask": MASK}, {"target": 1}], ids=str)
def test_white_box_adversarials_stay_whole_numbers(norm, whole, call):
    model = of_whole_numbers()
    result = white_box(model, [0], norm, clip=(0.5, 40.2), integer=whole, **call)
    assert result.success.all()
    of_whole = result.adversarials[:, whole] if whole is not True else result.adversarials
    assert np.array_equal(of_whole, np.rint(of_whole))
    assert model(result.adversarials).tolist() == [1]
    assert ((result.adversarials >= 0.5) & (result.adversarials <= 40.2)).all()
    if "mask" in call:
        assert (result.adversarials[:, MASK] == model.x[:, MASK]).all()
    move = result.adversarials.astype(np.float64) - model.x
    assert result.l2[0] == pytest.approx(np.linalg.norm(move))
    assert result.linf[0] == pytest.approx(np.abs(move).max())
    free = model.normal[~MASK] if "mask" in call else model.normal
    if norm == "l2":  # rounding moves each feature by at most half a unit, the way outward some more
        assert model.distance / np.linalg.norm(free) <= result.l2[0] < 1.5 * model.distance / np.linalg.norm(free)
    else:
        assert model.distance / np.abs(free).sum() <= result.linf[0] < model.distance / np.abs(free).sum() + 2


def test_queries_of_rounded_points_count_and_an_attack_of_them_is_resumed(tmp_path):
    model, state = of_whole_numbers(), tmp_path / "state.npz"
    whole = white_box(model, [0], clip=(0, 40), integer=True)
    plain = white_box(of_whole_numbers(), [0], clip=(0, 40))
    assert whole.queries[0] > plain.queries[0]
    assert model.queried == whole.queries[0] + 1  # the confirmation
    for after in (40, int(plain.queries[0])):  # in the search, and among the rounded points
        left = after

        class Interrupted(HalfSpace):
            def __call__(self, rows):
                nonlocal left
                left -= len(rows)
                if left < 0:
                    raise KeyboardInterrupt
                return super().__call__(rows)

        stopped = of_whole_numbers()
        stopped.__class__ = Interrupted
        with pytest.raises(KeyboardInterrupt):
            white_box(stopped, [0], clip=(0, 40), integer=True, state=state)
        again = white_box(of_whole_numbers(), [0], clip=(0, 40), integer=True, state=state)
        assert same_result(again, whole)
        state.unlink()


def test_a_point_that_no_whole_number_helps_is_a_failure():
    """Half a unit to the boundary in a box that has no whole number beyond it."""
    model = HalfSpace(1, 0.5, seed=0)
    model.normal = np.ones(1)
    model.x, model.bound = np.full((1, 1), 3, dtype=np.float32), 3.5
    result = white_box(model, [0], clip=(0, 3.9), integer=True)
    assert result.reason.tolist() == ["no adversarial of whole numbers"]
    assert np.isnan(result.l2).all()


# ---- what is refused


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ({"mask": [True] * D}, f"'mask' parameter of NAME must be bools of shape ({D},), not all True"),
        ({"mask": [0] * D}, f"Got int64 of shape ({D},) instead"),
        ({"target": [1, 2]}, "'target' parameter of NAME must be an array of 5 integers"),
        ({"target": 0.5}, "'target' parameter of NAME must be an array of 5 integers"),
        ({"integer": True}, "NAME has no 'integer': it is for decision-based attacks, such as HopSkipJump."),
    ],
    ids=str,
)
@pytest.mark.parametrize("attack", [Substitute(**SUBSTITUTE), Transfer()], ids=["Substitute", "Transfer"])
def test_bad_arguments_are_refused_before_any_query(attack, call, sentence):
    def never(*given):
        raise AssertionError("queried")

    more = {"n_members": 3} if isinstance(attack, Transfer) else {}
    with pytest.raises(ValueError, match=re.escape(sentence.replace("NAME", type(attack).__name__))):
        attack(never, points(5), [0, 1, 0, 1, 0], **more, **call)


def test_a_target_that_the_substitute_does_not_know_is_refused():
    with pytest.raises(ValueError, match=r"'target' .* an array of 0 and 1\. Got labels \[2\]"):
        Substitute(**SUBSTITUTE)(lambda rows: 1 / 0, points(5), [0, 1, 0, 1, 0], target=2, n_classes=2)


def test_white_box_refuses_originals_that_are_no_whole_numbers():
    with pytest.raises(ValueError, match=r"'x' .* whole numbers in the features of 'integer'\. Got .* in row 0"):
        white_box(HalfSpace(D, 0.2, seed=1), [0], integer=True)
