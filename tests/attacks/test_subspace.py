"""Probes in a subspace of low frequencies: where they are, what they find, what they work with, what is refused."""

import re

import numpy as np
import pytest

from attacks import CGBA, HopSkipJump, RayS, SmoothedBoundary
from scd.engine.samples.basis import basis
from tests.attacks.half_space import HalfSpace, same_result

SHAPE = (3, 16, 16)
D = 768
ATTACKS = {
    "smoothed": SmoothedBoundary,
    "cgba": CGBA,
    "hsj": lambda **settings: HopSkipJump(**{"restarts": 1, "delta": 0.1, **settings}),
}
each_attack = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


class OfBlockMeans(HalfSpace):
    """A half-space of images that sees the means of 8 x 8 blocks alone."""

    def __init__(self, distance, seed):
        super().__init__(D, distance, seed)
        coarse = np.random.default_rng(seed).standard_normal((3, 8, 8))
        normal = coarse.repeat(2, axis=1).repeat(2, axis=2).ravel()
        self.normal = normal / np.linalg.norm(normal)
        self.bound = float(self.x[0].astype(np.float64) @ self.normal) + distance


def excess(attack, models, **settings):
    """Mean excess of the distances that the attack finds over the true ones, as a fraction."""
    found = [attack(**settings)(m, m.x, [0], feature_shape=SHAPE).l2[0] / m.distance for m in models]
    assert min(found) >= 1 - 1e-6
    return np.mean(found) - 1


@pytest.mark.parametrize("kind", ["blocks", "dct"])
@each_attack
def test_probes_differ_by_directions_of_the_subspace_alone(attack, kind):
    calls = []
    model = HalfSpace(D, 0.5, seed=0)

    def labels(rows):
        calls.append(rows.astype(np.float64))
        return model(rows)

    attack(query_budget=600, subspace=kind, subspace_size=4)(labels, model.x, [0], feature_shape=SHAPE, clip=None)
    rows = basis(kind, 4, model.x, SHAPE).astype(np.float64)
    of_probes = [call[1:] - call[0] for call in calls if len(call) > 20]
    assert len(of_probes) > 3
    for moved in of_probes:
        np.testing.assert_allclose(moved @ rows.T @ rows, moved, atol=1e-5)


@pytest.mark.parametrize(("settings", "queries"), [({"query_budget": 3000}, 3000), ({"query_budget": None}, 2000)])
def test_after_some_queries_the_probes_are_of_all_directions(settings, queries):
    """A budget of 3,000 is 20 iterations of about 150 queries; without one they have the 100 that are set."""
    model, within, asked = HalfSpace(D, 0.5, seed=0), [], []
    rows = basis("dct", 4, model.x, SHAPE).astype(np.float64)

    def labels(inputs):
        if len(inputs) > 20:
            moved = (inputs[1:] - inputs[0]).astype(np.float64)
            within.append(np.allclose(moved @ rows.T @ rows, moved, atol=1e-5))
            asked.append(len(inputs))
        return model(inputs)

    attack = SmoothedBoundary(
        max_iter=20, probes=100, subspace="dct", subspace_size=4, subspace_queries=500, **settings
    )
    attack(labels, model.x, [0], feature_shape=SHAPE, clip=None)
    first = within.index(False)
    assert all(within[:first])
    assert not any(within[first:])
    assert 500 - max(asked) <= sum(asked[:first]) <= 500 + max(asked)
    assert sum(asked) > 0.8 * queries


def test_few_queries_in_the_subspace_do_not_cost_the_distance_of_a_half_space():
    models = [HalfSpace(D, 0.5, seed) for seed in range(2)]
    low = {"query_budget": 3000, "subspace": "dct", "subspace_size": 4}
    without = excess(SmoothedBoundary, models, query_budget=3000)
    assert excess(SmoothedBoundary, models, **low) > 2 * without
    assert excess(SmoothedBoundary, models, **low, subspace_queries=300) < 1.2 * without


@each_attack
def test_with_all_frequencies_the_distance_of_a_half_space_is_found_as_well_as_without(attack):
    models = [HalfSpace(D, 0.5, seed) for seed in range(3)]
    without = excess(attack, models, query_budget=2000)
    found = excess(attack, models, query_budget=2000, subspace="dct", subspace_size=16)
    assert found == pytest.approx(without, rel=0.2)


@pytest.mark.parametrize("kind", ["blocks", "dct"])
@each_attack
def test_a_model_of_low_frequencies_is_closer_with_few_queries(attack, kind):
    models = [OfBlockMeans(0.5, seed) for seed in range(3)]
    without = excess(attack, models, query_budget=1000)
    assert excess(attack, models, query_budget=1000, subspace=kind) < 0.8 * without


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("attack", [ATTACKS["smoothed"], ATTACKS["hsj"]])
def test_it_works_with_a_target_a_mask_and_whole_numbers(attack, norm):
    rng = np.random.default_rng(0)
    x = rng.integers(100, 150, (2, *SHAPE)).astype(np.float32)
    mask = rng.random(SHAPE) < 0.3
    weights = rng.standard_normal((D, 3))

    def labels(images):
        return ((images.reshape(len(images), -1).astype(np.float64) - 125) @ weights).argmax(axis=1)

    goal = (labels(x) + 1) % 3
    call = {"target": goal, "mask": mask, "integer": True, "clip": (0, 255)}
    result = attack(norm=norm, query_budget=1500, subspace="dct")(labels, x, labels(x), **call)
    assert result.success.all()
    assert (labels(result.adversarials) == goal).all()
    assert (result.adversarials[:, mask] == x[:, mask]).all()
    assert np.array_equal(result.adversarials, np.rint(result.adversarials))
    moved = (result.adversarials - x).reshape(2, -1).astype(np.float64)
    np.testing.assert_allclose(result.l2, np.linalg.norm(moved, axis=1))
    np.testing.assert_allclose(result.linf, np.abs(moved).max(axis=1))


def test_the_shape_of_the_samples_is_that_of_the_call():
    model = OfBlockMeans(0.5, 1)
    attack = SmoothedBoundary(query_budget=300, subspace="blocks")
    flat = attack(model, model.x, [0], feature_shape=SHAPE)

    def labels(images):
        return model(images.reshape(len(images), D))

    shaped = attack(labels, model.x.reshape(1, *SHAPE), [0])
    np.testing.assert_array_equal(shaped.adversarials.reshape(1, D), flat.adversarials)
    assert not same_result(flat, attack(model, model.x, [0], feature_shape=(D,)))
    assert same_result(
        RayS(query_budget=300)(model, model.x, [0]), RayS(query_budget=300)(model, model.x, [0], feature_shape=SHAPE)
    )


def test_a_state_file_of_another_subspace_or_shape_is_refused(tmp_path):
    model, state = OfBlockMeans(0.5, 1), tmp_path / "state.npz"

    def run(shape=SHAPE, **settings):
        attack = SmoothedBoundary(query_budget=200, **settings)
        return attack(model, model.x, [0], feature_shape=shape, state=state)

    run(subspace="blocks")
    for settings in ({}, {"subspace": "dct"}, {"subspace": "blocks", "subspace_size": 4}):
        with pytest.raises(ValueError, match="belongs to an attack with other parameters"):
            run(**settings)
    with pytest.raises(ValueError, match="belongs to an attack with other parameters"):
        run(subspace="blocks", shape=(3, 8, 32))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"subspace": "pca"}, "'subspace' parameter of NAME must be one of 'blocks', 'dct'. Got 'pca' instead."),
        ({"subspace_size": 0}, "'subspace_size' parameter of NAME must be 'auto' or an int >= 1. Got 0 instead."),
        ({"subspace_size": True}, "'subspace_size' parameter of NAME must be 'auto' or an int >= 1. Got True instead."),
        ({"subspace_size": "8"}, "'subspace_size' parameter of NAME must be 'auto' or an int >= 1. Got '8' instead."),
    ],
)
@pytest.mark.parametrize("attack", [SmoothedBoundary, CGBA, HopSkipJump])
def test_a_bad_parameter_is_refused_by_the_constructor(attack, settings, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence.replace("NAME", attack.__name__))):
        attack(**settings)


@pytest.mark.parametrize(
    ("size", "call", "sentence"),
    [
        ("auto", {}, "'feature_shape' parameter of CGBA must be (channels, height, width) or (d,) with subspace='dct'"),
        ("auto", {"feature_shape": (3, 16, 15)}, "with a product of 768, the number of features. Got (3, 16, 15)"),
        ("auto", {"feature_shape": (48, 16)}, "must be (channels, height, width) or (d,) with a product of 768"),
        (17, {"feature_shape": SHAPE}, "'subspace_size' parameter of CGBA must be at most 16, the shortest axis"),
    ],
    ids=str,
)
def test_a_shape_that_does_not_fit_is_refused_before_any_query(size, call, sentence):
    def never(rows):
        raise AssertionError("queried")

    with pytest.raises(ValueError, match=re.escape(sentence)):
        CGBA(subspace="dct", subspace_size=size)(never, np.full((1, D), 0.5), [0], **call)
