"""SurFree: distances known analytically, the order of its queries, and its parameters."""

import math
import re

import numpy as np
import pytest

import tests.attacks.attack_laws as laws
from attacks import HopSkipJump
from attacks.engine.bisection import FINAL_TOLERANCE
from attacks.surfree import SurFree
from tests.attacks.half_space import HalfSpace, best_of_each_run
from tests.attacks.sign_network_2d import SignNetwork2D, points_in

QUICK = {"max_iter": 12, "restarts": 2}


@pytest.mark.parametrize(("d", "queries", "max_excess"), [(20, 1000, 0.01), (200, 3000, 0.10)])
def test_distance_to_a_half_space(d, queries, max_excess):
    model = HalfSpace(d, 0.3, seed=1)
    result = SurFree(query_budget=4 * queries, restarts=4)(model, model.x, [0])
    assert (best_of_each_run(result) >= 0.3).all()
    assert best_of_each_run(result).mean() <= 0.3 * (1 + max_excess)
    assert 0 < model.beyond(result.adversarials)[0] <= FINAL_TOLERANCE * result.l2[0]


def off_centre(d):
    """A point in the ball at 0.2 from its centre, towards a corner of the box; the surface is at this distance."""
    return np.full((1, d), 0.5) + 0.2 / math.sqrt(d), math.sqrt(0.3) - 0.2


def test_distance_to_a_ball_from_off_its_centre():
    x, true = off_centre(50)
    result = SurFree(query_budget=8000, restarts=4)(laws.outside_ball, x, [0])
    assert (best_of_each_run(result) >= true * (1 - 1e-6)).all()
    assert best_of_each_run(result).mean() <= 1.05 * true


def test_distance_if_the_nearest_point_is_outside_the_box():
    x = np.full((1, 50), 0.5) + 0.2 * np.eye(1, 50)
    result = SurFree(query_budget=8000, restarts=4)(laws.outside_ball, x, [0])
    assert result.l2[0] == pytest.approx(math.sqrt(0.3**2 + 0.3 - 0.5**2), rel=1e-3)  # 0.3 to the wall, then along it


def test_distance_to_the_nearer_of_two_planes():
    def outside(rows):
        return ((rows[:, 0] < 0.4) | (rows[:, 0] > 0.75)).astype(int)

    result = SurFree(query_budget=6000, restarts=6)(outside, np.full((1, 30), 0.5), [0])
    assert 0.1 <= result.l2[0] <= 0.102


@pytest.mark.parametrize("seed", range(4))
def test_distance_to_the_cells_of_a_sign_network(seed):
    network = SignNetwork2D(7, seed)
    x, y = points_in(network, 5, seed)
    result = SurFree(max_iter=60, restarts=20, query_budget=None)(network, x, y)
    true = np.array([network.distance(row) for row in x])
    assert result.success.all()
    assert (result.l2 >= true).all()
    # a thin cell at the nearest corner may escape all restarts
    assert np.median(result.l2 / true) <= 1.02


@pytest.mark.parametrize("model", [HalfSpace(100, 0.3, seed=2), laws.outside_ball], ids=["half-space", "ball"])
def test_distance_is_not_larger_than_that_of_hopskipjump_at_the_same_queries(model):
    x = model.x if isinstance(model, HalfSpace) else off_centre(100)[0]
    settings = {"query_budget": 4 * 2000, "restarts": 4}
    surfree, hopskipjump = (best_of_each_run(a(**settings)(model, x, [0])).mean() for a in (SurFree, HopSkipJump))
    assert surfree <= 1.02 * hopskipjump


class OnlyTheStart:
    """Only one point is adversarial, so every sign search fails; records its inputs."""

    def __init__(self, d=40):
        self.x = np.full((1, d), 0.5, dtype=np.float32)
        self.start = self.x + np.float32(0.3) * np.eye(1, d, dtype=np.float32)
        self.rows = []

    def __call__(self, rows):
        self.rows.append(rows.astype(np.float64))
        return (rows == self.start).all(axis=1).astype(int)

    def queried_on_arcs(self, attack):
        """Return the angles in degrees and the moves of the inputs queried by the iterations."""
        result = attack(self, self.x, [0], starts=self.start)
        np.testing.assert_array_equal(result.adversarials, self.start)
        moves = np.concatenate(self.rows) - self.x
        moves = moves[np.linalg.norm(moves[:, 1:], axis=1) > 1e-6]  # not of the straight line
        return np.degrees(np.arccos(np.linalg.norm(moves, axis=1) / 0.3)), moves


def test_a_sign_search_queries_both_signs_of_decreasing_angles_and_its_reach_shrinks():
    model = OnlyTheStart()
    angles, moves = model.queried_on_arcs(SurFree(max_iter=3, start="given", theta_max=30, tries=3, rho=0.9))
    one = np.array([30, 30, 20, 20, 10, 10])
    np.testing.assert_allclose(angles, np.concatenate([one, 0.9 * one, 0.81 * one]), rtol=1e-4)
    aside = moves[:, 1:]
    cosines = (aside[0::2] * aside[1::2]).sum(axis=1) / (aside[0::2] ** 2).sum(axis=1)
    np.testing.assert_allclose(cosines, -1, atol=1e-5)


def test_directions_are_orthogonal_to_the_line_and_to_the_last_ones():
    model = OnlyTheStart()
    _, moves = model.queried_on_arcs(SurFree(max_iter=15, start="given", n_ortho=10))
    aside = moves[::6]
    np.testing.assert_allclose(aside[:, 0] / 0.3, np.cos(np.radians(30 * 0.98 ** np.arange(15))) ** 2, rtol=1e-5)
    v = aside[:, 1:] / np.linalg.norm(aside[:, 1:], axis=1, keepdims=True)
    products = np.abs(v @ v.T)
    for i in range(15):
        assert (products[i, max(0, i - 10) : i] < 1e-5).all()
    assert products[12, 0] > 1e-5


def test_the_reach_grows_after_a_successful_iteration():
    model, rows = HalfSpace(40, 0.2, seed=1), []

    def labels(queried):
        rows.append(queried.astype(np.float64))
        return model(queried)

    trace = SurFree(max_iter=30, theta_max=20, rho=0.9)(labels, model.x, [0]).trace
    first_of_each = np.concatenate(rows)[1:][trace["queries"][:30]]  # the first row is the point itself
    angles = np.arccos(np.linalg.norm(first_of_each - model.x, axis=1) / trace["l2"][:30])
    found = np.diff(trace["l2"][:30]) < 0
    assert 5 < found.sum() < 25
    np.testing.assert_allclose(np.diff(np.log(angles)), np.where(found, 1, -1) * -np.log(0.9), atol=1e-4)
    assert angles[0] == pytest.approx(np.radians(20), rel=1e-5)


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_few_dimensions_are_no_special_case(d):
    model = HalfSpace(d, 0.2, seed=d)
    result = SurFree(max_iter=60, restarts=3)(model, model.x, [0])
    assert 0.2 * (1 - 1e-6) <= result.l2[0] <= 0.205


def test_best_so_far_never_rises_and_every_iteration_has_its_trace_row():
    model = HalfSpace(40, 0.2, seed=2)
    trace = SurFree(max_iter=30, restarts=3)(model, model.x, [0]).trace
    for restart in range(3):
        of_run = trace["restart"] == restart
        assert (np.diff(trace["queries"][of_run]) > 0).all()
        assert (np.diff(trace["l2"][of_run]) <= 0).all()
        assert trace["iteration"][of_run].tolist() == [*range(31), 30]


@pytest.mark.parametrize("start", ["nearest", "given"])
def test_starts_from_a_pool_or_given_reach_the_distance(start):
    model = HalfSpace(20, 0.2, seed=4)
    pool = np.random.default_rng(0).uniform(0, 1, (50, 20))
    far = pool[np.argmax(model.beyond(pool))]
    result = SurFree(start=start, query_budget=1000)(
        model, model.x, [0], pool=pool, pool_labels=model(pool), starts={0: far}
    )
    assert 0.2 <= result.l2[0] <= 0.21


def test_a_run_cut_short_on_its_arc_keeps_its_best_angle():
    model = HalfSpace(60, 0.2, seed=3)
    found = [SurFree(query_budget=b)(model, model.x, [0]) for b in range(60, 120)]
    assert all(result.l2[0] >= 0.2 for result in found)
    distance = np.array([result.l2[0] for result in found])
    assert (np.diff(distance) <= FINAL_TOLERANCE * distance[1:]).all()


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("max_iter", -1, "an int >= 0"),
        ("restarts", 0, "an int >= 1"),
        ("theta_max", 90, "a number > 0 and < 90"),
        ("tries", 0, "an int >= 1"),
        ("rho", 1.0, "a number > 0 and < 1"),
        ("n_ortho", -1, "an int >= 0"),
        ("gamma", -0.1, "a number >= 0"),
        ("max_bisections", 1.5, "an int >= 0"),
        ("init_size", True, "an int >= 1"),
        ("start", "zero", "one of 'noise', 'nearest', 'given'"),
        ("query_budget", 0, "an int >= 1"),
        ("seed", None, "an int"),
        ("memory_budget", -5, "a positive number of bytes, as an int or a text such as '256MiB'"),
        ("verbose", "yes", "True or False"),
    ],
)
def test_a_bad_parameter_is_refused_by_the_constructor(name, value, allowed):
    sentence = f"The '{name}' parameter of SurFree must be {allowed}. Got {value!r} instead."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        SurFree(**{name: value})
