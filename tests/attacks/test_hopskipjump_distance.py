"""HopSkipJump against distances known analytically."""

import numpy as np
import pytest

from attacks import HopSkipJump
from attacks.engine.bisection import FINAL_TOLERANCE
from tests.attacks.half_space import HalfSpace, best_of_each_run


def excess(d, distance, iterations, starts, seed=0):
    """Mean of (distance found / true distance - 1) over independent runs."""
    model = HalfSpace(d, distance, seed)
    result = HopSkipJump(max_iter=iterations, restarts=starts, seed=seed)(model, model.x, [0])
    best = best_of_each_run(result)
    assert len(best) == starts
    return best.mean() / distance - 1.0


@pytest.mark.parametrize(("d", "distance", "max_excess"), [(3, 0.2, 0.005), (187, 0.3, 0.02)])
def test_mean_distance_is_close_to_the_truth(d, distance, max_excess):
    assert 0.0 <= excess(d, distance, iterations=40, starts=20) <= max_excess


def test_distance_in_3072_dimensions_at_40_iterations():
    # what the method gives at these query counts, measured by its authors' schedule: about 14 % above the truth
    assert 0.0 <= excess(3072, 0.5, iterations=40, starts=2) <= 0.16


@pytest.mark.slow
@pytest.mark.parametrize(("iterations", "max_excess"), [(40, 0.16), (100, 0.065)])
def test_distance_in_3072_dimensions_over_20_starts(iterations, max_excess):
    assert 0.0 <= excess(3072, 0.5, iterations, starts=20) <= max_excess


@pytest.mark.parametrize("d", [2, 3, 50, 500])
def test_returned_point_is_adversarial_and_within_the_final_tolerance_of_the_boundary(d):
    model = HalfSpace(d, 0.2, seed=d)
    result = HopSkipJump(max_iter=5, restarts=3)(model, model.x, [0])
    beyond = model.beyond(result.adversarials)
    assert result.success.all()
    assert (beyond > 0).all()
    assert (beyond <= FINAL_TOLERANCE * result.l2).all()


def test_linf_reaches_the_analytic_linf_distance():
    # the L-infinity distance to a hyperplane is the L2 distance over the L1 norm of its unit normal
    model = HalfSpace(20, 0.2, seed=5)
    result = HopSkipJump(norm="linf", max_iter=40, restarts=4)(model, model.x, [0])
    true = model.distance / np.abs(model.normal).sum()
    assert true <= result.linf[0] <= 1.05 * true


def test_recorded_distances_are_those_of_the_recorded_points():
    model = HalfSpace(30, 0.2, seed=1)
    result = HopSkipJump(max_iter=3, restarts=2)(model, model.x, [0])
    difference = result.adversarials.astype(np.float64) - model.x.astype(np.float64)
    np.testing.assert_allclose(result.l2, np.linalg.norm(difference, axis=1), rtol=1e-12)
    np.testing.assert_allclose(result.linf, np.abs(difference).max(axis=1), rtol=1e-12)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_best_so_far_never_rises_with_queries(norm):
    model = HalfSpace(40, 0.2, seed=2)
    trace = HopSkipJump(norm=norm, max_iter=12, restarts=3)(model, model.x, [0]).trace
    for restart in range(3):
        of_run = trace["restart"] == restart
        assert (np.diff(trace["queries"][of_run]) > 0).all()
        assert (np.diff(trace[norm][of_run]) <= 0).all()
        assert trace["iteration"][of_run].tolist() == [*range(13), 12]
