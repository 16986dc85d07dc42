"""Laws of HopSkipJump that hold for every model."""

import numpy as np
import pytest

import tests.attacks.attack_laws as laws
from attacks import HopSkipJump
from tests.attacks.attack_laws import outside_ball, points
from tests.attacks.half_space import HalfSpace, same_result

QUICK = {"max_iter": 4, "restarts": 2, "init_eval": 20}


def test_a_failed_start_spares_the_other_examples():
    x = points(3)
    x[1] = 0.2

    def constant_near_02(rows):
        return np.where(rows.mean(axis=1) < 0.3, 1, outside_ball(rows))

    y = np.array([0, 1, 0])
    starts = np.stack([np.zeros(12), np.full(12, 0.21), np.ones(12)])
    starts[0, :6] = 1.0
    attack = HopSkipJump(start="given", **QUICK)
    result = attack(constant_near_02, x, y, starts=starts)
    assert result.success.tolist() == [True, False, True]
    assert result.reason[1] == "no adversarial start"


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_restarts_are_the_minimum_over_single_runs_with_the_same_streams(norm):
    settings = {"norm": norm, "max_iter": 4, "init_eval": 20}
    trace = HopSkipJump(restarts=5, **settings)(outside_ball, points(1), [0])
    fewer = [HopSkipJump(restarts=k, **settings)(outside_ball, points(1), [0]) for k in range(1, 6)]
    last = [trace.trace[norm][trace.trace["restart"] == r][-1] for r in range(5)]
    for k, result in enumerate(fewer, start=1):
        assert getattr(result, norm)[0] == min(last[:k])
        assert result.restart[0] == int(np.argmin(last[:k]))


@pytest.mark.parametrize("budget", [1, 2, 3, 5, 17, 40, 64, 100, 333, 1000])
def test_the_query_budget_is_never_exceeded_with_starts_from_a_pool(budget):
    pool = np.random.default_rng(5).uniform(0, 1, (50, 12))
    attack = HopSkipJump(query_budget=budget, start="nearest", **QUICK)
    laws.never_exceeds_its_budget(attack, pool=pool, pool_labels=outside_ball(pool))


def test_a_larger_budget_finds_a_smaller_distance():
    model = HalfSpace(50, 0.2, seed=3)
    found = [HopSkipJump(query_budget=b, restarts=1)(model, model.x, [0]).l2[0] for b in (50, 500, 5000)]
    assert found[0] > found[1] > found[2]


def test_the_nearest_start_is_the_nearest_sample_that_the_model_labels_differently():
    x = np.full((1, 12), 0.5, dtype=np.float32)
    pool = np.full((4, 12), 0.5, dtype=np.float32) + np.array([[0.4], [0.01], [0.2], [-0.3]], dtype=np.float32)
    # row 1 is on the point's own side although its label says otherwise: queried first, then row 2
    result = HopSkipJump(start="nearest", max_iter=0, restarts=1)(
        outside_ball, x, [0], pool=pool, pool_labels=[1, 1, 1, 1]
    )
    direction = (result.adversarials - x)[0]
    assert result.success[0]
    assert (direction > 0).all()
    np.testing.assert_allclose(direction, direction[0], rtol=1e-4)
    far = HopSkipJump(start="nearest", max_iter=0, restarts=1)(
        outside_ball, x, [0], pool=pool, pool_labels=[0, 0, 0, 1]
    )
    assert (far.adversarials < x).all()


def test_given_starts_by_label_equal_the_same_starts_by_point():
    x = points(3)
    image = np.ones(12)
    attack = HopSkipJump(start="given", **QUICK)
    assert same_result(
        attack(outside_ball, x, [0, 0, 0], starts={0: image, 1: np.zeros(12)}),
        attack(outside_ball, x, [0, 0, 0], starts=np.tile(image, (3, 1))),
    )


def test_a_larger_probe_radius_crosses_the_cells_of_a_sign_network():
    """A half-space cut into stairs: probes shorter than a stair are all on one side, and carry no signal."""

    def stairs(rows):
        steps = np.round(rows.astype(np.float64) * 8) / 8  # piecewise constant, in cells of 1/8
        return (steps.sum(axis=1) > 0.62 * rows.shape[1]).astype(np.int64)

    x = points(6, d=30)
    settings = {"max_iter": 12, "restarts": 1, "init_eval": 40}
    narrow, wide = (HopSkipJump(delta=delta, **settings)(stairs, x, np.zeros(6, int)) for delta in (0.01, 0.2))
    assert wide.l2.mean() < 0.9 * narrow.l2.mean()
    with pytest.raises(ValueError, match=r"The 'delta' parameter of HopSkipJump must be a number > 0\. Got 0"):
        HopSkipJump(delta=0)
