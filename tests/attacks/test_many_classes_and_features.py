"""Attacks without bounds, with features that stay whole numbers, and on models of more than two classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attacks import (
    CGBA,
    BoundaryAttack,
    Certificate,
    HopSkipJump,
    NoiseSearch,
    RayS,
    SignOPT,
    SmoothedBoundary,
    Substitute,
    SurFree,
    Transfer,
    WhiteBox,
)
from attacks.boundary_art import BoundaryAttackART
from tests.attacks.attack_laws import Counting
from tests.attacks.half_space import HalfSpace, same_result

D = 8
ATTACKS = {
    "hsj": HopSkipJump(max_iter=12, restarts=1, seed=1),
    "hsj linf": HopSkipJump(max_iter=12, restarts=1, norm="linf", seed=1),
    "boundary": BoundaryAttack(max_iter=150, restarts=1, seed=1),
    "smoothed": SmoothedBoundary(query_budget=4000, seed=1),
    "surfree": SurFree(query_budget=3000, seed=1),
    "cgba": CGBA(query_budget=3000, seed=1),
    "signopt": SignOPT(query_budget=3000, seed=1),
    "arsopt": SignOPT(accelerated=True, query_budget=3000, seed=1),
    "rays": RayS(query_budget=2000),
    "noise": NoiseSearch(levels=12, draws=100, query_budget=None, seed=1),
}
NEAR_OPTIMAL = {"hsj", "boundary", "smoothed", "surfree", "cgba", "signopt", "arsopt"}


class Linear:
    """Label: the class of the largest of k linear scores, in float64."""

    def __init__(self, k, seed, d=D):
        rng = np.random.default_rng(seed)
        self.w, self.b = rng.standard_normal((k, d)), rng.normal(0, 0.1, k)

    def __call__(self, rows):
        return (rows.astype(np.float64) @ self.w.T + self.b).argmax(axis=1)

    def distances(self, x):
        """Exact L2 distance of each x to another class: the nearest of its pairs of hyperplanes."""
        scores, y = x.astype(np.float64) @ self.w.T + self.b, self(x)
        gaps = scores[np.arange(len(x)), y][:, None] - scores
        lengths = np.linalg.norm(self.w[y][:, None] - self.w[None], axis=2)
        gaps[np.arange(len(x)), y] = np.inf
        return (gaps / np.where(lengths > 0, lengths, 1.0)).min(axis=1)


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("unit", [1.0, 300.0])
def test_without_bounds_the_boundary_of_a_half_space_is_found_wherever_it_is(name, unit):
    """The boundary is far outside of the range of the data, and the units are arbitrary."""
    model = HalfSpace(D, 6.0, 3)
    pool = np.concatenate([model.x - 4, model.x + 4]) * unit if name == "noise" else None  # it only draws at one scale
    result = ATTACKS[name](lambda rows: model(rows / unit), model.x * unit, [0], clip=None, pool=pool)
    assert result.success.all()
    assert np.isfinite(result.adversarials).all()
    assert (model(result.adversarials / unit) == 1).all()
    least = 6.0 / np.abs(model.normal).sum() if ATTACKS[name].norm == "linf" else 6.0
    found = (result.linf if ATTACKS[name].norm == "linf" else result.l2)[0] / unit
    assert found >= least * (1 - 1e-5)
    if name in NEAR_OPTIMAL:
        assert found <= 1.15 * least


def test_bounds_that_are_far_away_and_none_give_the_same_optimum():
    model = Linear(4, 0)
    x = np.random.default_rng(1).random((3, D)).astype(np.float32)
    for clip in (None, (-50.0, 50.0)):
        found = HopSkipJump(max_iter=25, restarts=3)(
            model, x, model(x), clip=clip, pool=x + 3 if clip is None else None
        )
        np.testing.assert_allclose(found.l2, model.distances(x), rtol=0.05)


def test_the_pool_gives_noise_its_scale_and_belongs_to_the_state_file(tmp_path):
    model = HalfSpace(D, 200.0, 3)
    seen = []

    def labels(rows):
        seen.append(float(np.abs(rows).max()))
        return model(rows)

    pool = np.concatenate([model.x - 300, model.x + 300]).astype(np.float32)
    attack = HopSkipJump(max_iter=1, restarts=1)
    state = tmp_path / "state.npz"
    result = attack(labels, model.x, [0], clip=None, pool=pool, state=state)
    assert result.success.all()
    assert max(seen[:3]) > 100
    with pytest.raises(ValueError, match="other parameters, points or labels"):
        attack(labels, model.x, [0], clip=None, pool=pool / 2, state=state)


def test_attacks_that_need_bounds_say_so_before_any_query():
    def never(rows):
        raise AssertionError("queried")

    x = np.full((1, D), 0.5)
    with pytest.raises(ValueError, match="'clip' parameter of BoundaryAttackART must be two bounds"):
        BoundaryAttackART()(never, x, clip=None)


@pytest.mark.parametrize("name", ["hsj", "rays", "smoothed"])
def test_whole_numbers_stay_whole_and_distances_are_those_of_the_rounded_points(name):
    whole = np.arange(D) < 5
    rng = np.random.default_rng(2)
    x = np.where(whole, rng.integers(0, 20, (6, D)), rng.uniform(0, 20, (6, D))).astype(np.float32)
    model = Linear(3, 5)
    result = ATTACKS[name](model, x, model(x), clip=(0.0, 20.0), integer=whole)
    assert result.success.sum() >= 5
    found = result.adversarials[result.success]
    assert np.array_equal(found[:, whole], np.rint(found[:, whole]))
    assert (model(found) != model(x[result.success])).all()
    assert (result.adversarial_label[result.success] == model(found)).all()
    difference = found.astype(np.float64) - x[result.success]
    np.testing.assert_allclose(result.l2[result.success], np.linalg.norm(difference, axis=1), rtol=1e-6)
    np.testing.assert_allclose(result.linf[result.success], np.abs(difference).max(axis=1), rtol=1e-6)
    assert (result.l2[result.success] >= model.distances(x)[result.success] * (1 - 1e-5)).all()
    assert (found >= 0).all()
    assert (found <= 20).all()


def test_a_rounded_point_that_is_none_moves_outward_and_one_that_cannot_is_a_failure():
    """Above 2.2 of feature 0: the adversarial 2.2 rounds to 2, which is none, and 3 is the next."""

    def above(bound):
        return lambda rows: (rows[:, 0] > bound).astype(int)

    x = np.zeros((1, 2), dtype=np.float32)
    attack = HopSkipJump(max_iter=5, restarts=1, query_budget=500)
    result = attack(above(2.2), x, [0], clip=(0.0, 9.0), integer=True)
    assert result.adversarials[0, 0] == 3
    assert result.linf[0] >= 3
    assert result.queries[0] <= 500
    lost = attack(above(2.2), x, [0], clip=(0.0, 2.9), integer=True)
    assert not lost.success.any()
    assert lost.reason.tolist() == ["no adversarial of whole numbers"]
    assert np.isnan(lost.l2).all()
    with pytest.raises(ValueError, match=r"'x' parameter of HopSkipJump must be whole numbers .* Got 0\.5 in row 0"):
        attack(above(2.2), x + 0.5, [0], clip=(0.0, 9.0), integer=True)
    with pytest.raises(ValueError, match=r"'integer' parameter of HopSkipJump must be True, False or bools of shape"):
        attack(above(2.2), x, [0], clip=(0.0, 9.0), integer=np.ones(3, dtype=bool))


def test_whole_numbers_go_with_a_mask_shapes_and_texts(tmp_path):
    names = np.array(["low", "high"])
    x = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    fixed = np.zeros((3, 4), dtype=bool)
    fixed[0] = True
    call = {"mask": fixed, "integer": True, "clip": (0, 40), "state": tmp_path / "state.npz"}

    def model(rows):
        return names[(rows.reshape(len(rows), -1)[:, 6:].sum(axis=1) > 70.5).astype(int)]

    attack = HopSkipJump(max_iter=4, restarts=1)
    result = attack(model, x, ["low"], **call)
    found = result.adversarials
    assert result.success.all()
    assert np.array_equal(found, np.rint(found))
    assert np.array_equal(found[:, 0], x[:, 0])
    assert result.adversarial_label.tolist() == ["high"]
    assert "adversarial_label" in result.to_frame()
    assert same_result(attack(model, x, ["low"], **call), result)


def test_the_white_box_attack_finds_the_exact_distance_of_many_classes():
    model = Linear(5, 7)
    x = np.random.default_rng(3).uniform(-1, 1, (4, D)).astype(np.float32)
    w, b = torch.from_numpy(model.w).float(), torch.from_numpy(model.b).float()

    def smooth(inputs, beta, gamma):
        return torch.softmax(inputs @ w.T + b, dim=1)

    attack = WhiteBox(max_iter=120, restarts=2)
    result = attack(model, x, model(x), smooth=smooth, clip=(-30.0, 30.0))
    np.testing.assert_allclose(result.l2, model.distances(x), rtol=0.01)
    np.testing.assert_array_equal(attack(model, x, smooth=smooth, clip=(-30.0, 30.0)).l2, result.l2)
    with pytest.raises(ValueError, match=r"labels 0 to 4, as `smooth` has 5 classes\. Got labels \[5\]"):
        attack(model, x[:1], [5], smooth=smooth, clip=(-30.0, 30.0))


def test_the_white_box_attack_keeps_fixed_features_and_reaches_a_target():
    model = Linear(5, 7)
    x = np.random.default_rng(3).uniform(-1, 1, (4, D)).astype(np.float32)
    w, b = torch.from_numpy(model.w).float(), torch.from_numpy(model.b).float()
    call = {"smooth": lambda rows, beta, gamma: torch.softmax(rows @ w.T + b, dim=1), "clip": (-30.0, 30.0)}
    fixed = np.arange(D) < 3
    attack = WhiteBox(max_iter=120, restarts=2)
    result = attack(model, x, model(x), mask=fixed, **call)
    assert np.array_equal(result.adversarials[:, fixed], x[:, fixed])
    free = Linear(5, 7)
    free.b, free.w = model.w[:, fixed] @ x[0, fixed].astype(float) + model.b, model.w[:, ~fixed]
    assert result.l2[0] == pytest.approx(free.distances(x[:1, ~fixed])[0], rel=0.01)
    there = attack(model, x, model(x), target=2, **call)
    other = model(x) != 2
    assert (there.success == other).all()
    assert (there.reason[~other] == "already of the target class").all()
    assert (model(there.adversarials[other]) == 2).all()
    assert (there.adversarial_label == np.where(other, 2, -1)).all()
    assert (there.label == model(x)).all()
    assert (there.l2[other] >= model.distances(x)[other] * (1 - 1e-5)).all()
    near = WhiteBox(max_iter=60, starts=["nearest"], restarts=1)
    pool = np.random.default_rng(5).uniform(-3, 3, (60, D)).astype(np.float32)
    from_it = near(model, x, model(x), target=2, pool=pool, pool_labels=model(pool), **call)
    np.testing.assert_allclose(from_it.l2[other], there.l2[other], rtol=0.05)
    with pytest.raises(ValueError, match=r"'mask' parameter of WhiteBox must be bools of shape \(8,\), not all True"):
        attack(model, x, model(x), mask=fixed[:2], **call)
    with pytest.raises(ValueError, match=r"'target' parameter of WhiteBox must be labels 0 to 4"):
        attack(model, x, model(x), target=5, **call)


def test_the_substitute_of_many_classes_learns_the_target_and_its_steps_fool_it(tmp_path):
    model = Linear(4, 2)
    x = np.random.default_rng(1).uniform(0, 1, (200, D)).astype(np.float32)
    model.b -= (x @ model.w.T).mean(axis=0)  # all classes occur
    attack = Substitute(rounds=4, first_rows=60, epsilons=[0.0, 0.25], epsilon=0.25, noise_draws=2, device="cpu")
    result = attack(model, x, n_classes=4, state=tmp_path / "state.npz")
    curve = result.tables["curve"]
    assert curve["agreement"][-1] > 0.7
    assert curve["accuracy"][-1] < curve["noise_accuracy"][-1] - 0.15
    found = result.success
    assert (model(result.adversarials[found]) != model(x[found])).all()
    assert same_result(attack(model, x, n_classes=4, state=tmp_path / "state.npz"), result)
    with pytest.raises(ValueError, match="must return labels 0 to 2"):
        attack(model, x, np.zeros(200, int), n_classes=3)


def test_an_interrupted_substitute_attack_on_many_classes_is_resumed(tmp_path):
    model = Linear(4, 2)
    x = np.random.default_rng(1).uniform(0, 1, (60, D)).astype(np.float32)
    attack = Substitute(rounds=3, epochs=2, epsilons=[0.0, 0.25], epsilon=0.25, noise_draws=1, device="cpu")
    whole = attack(model, x, n_classes=4)
    counting = Counting(model)
    attack(counting, x, n_classes=4, state=tmp_path / "counted.npz")
    for after in range(2, counting.calls, 3):
        state = tmp_path / f"{after}.npz"
        with pytest.raises(KeyboardInterrupt):
            attack(Counting(model, after), x, model(x), n_classes=4, state=state)
        assert same_result(attack(model, x, model(x), n_classes=4, state=state), whole)


@pytest.mark.parametrize("option", [{"mask": np.zeros(D, dtype=bool)}, {"target": 1}, {"integer": True}])
def test_attacks_without_these_options_say_so_by_name(option):
    def never(*args):
        raise AssertionError("queried")

    x, y, (name,) = np.full((2, D), 0.5), [0, 0], option
    without = [(Certificate(), {"certified_radius": never})]
    if name == "integer":
        without += [(Transfer(), {"n_members": 2}), (Substitute(device="cpu"), {})]
    for attack, more in without:
        with pytest.raises(ValueError, match=f"{type(attack).__name__} has no '{name}': it is for decision-based"):
            attack(never, x, y, **more, **option)
        with pytest.raises(TypeError, match="unexpected argument 'maks'"):
            attack(never, x, y, **more, maks=1)


@pytest.mark.parametrize("name", ["hsj", "boundary", "surfree", "cgba", "signopt", "arsopt", "smoothed"])
def test_the_distance_to_the_nearest_of_many_classes_is_found(name):
    model = Linear(5, 7)
    x = np.random.default_rng(3).uniform(-1, 1, (4, D)).astype(np.float32)
    result = ATTACKS[name](model, x, clip=(-30.0, 30.0))
    exact = model.distances(x)
    assert (result.l2 >= exact * (1 - 1e-5)).all()
    # a run ends at the class that its start leads to, which need not be the nearest
    assert np.median(result.l2 / exact) < 1.6
    assert (result.adversarial_label != model(x)).all()
