"""CGBA: distances known analytically, its schedule of queries, and its parameters."""

import math
import re

import numpy as np
import pytest

import tests.attacks.attack_laws as laws
from attacks import HopSkipJump
from attacks.cgba import CGBA
from attacks.engine.bisection import FINAL_TOLERANCE
from tests.attacks.half_space import HalfSpace, best_of_each_run
from tests.attacks.sign_network_2d import SignNetwork2D, points_in

QUICK = {"max_iter": 4, "restarts": 2, "init_eval": 20}


@pytest.mark.parametrize(("d", "queries", "max_excess"), [(20, 1000, 0.03), (200, 5000, 0.05)])
def test_distance_to_a_half_space(d, queries, max_excess):
    model = HalfSpace(d, 0.3, seed=1)
    result = CGBA(query_budget=4 * queries, restarts=4)(model, model.x, [0])
    assert (best_of_each_run(result) >= 0.3).all()
    assert best_of_each_run(result).mean() <= 0.3 * (1 + max_excess)
    assert 0 < model.beyond(result.adversarials)[0] <= FINAL_TOLERANCE * result.l2[0]


def off_centre(d):
    """A point in the ball at 0.2 from its centre, towards a corner of the box; the surface is at this distance."""
    return np.full((1, d), 0.5) + 0.2 / math.sqrt(d), math.sqrt(0.3) - 0.2


def test_distance_to_a_ball_from_off_its_centre():
    x, true = off_centre(50)
    result = CGBA(query_budget=16000, restarts=4)(laws.outside_ball, x, [0])
    assert (best_of_each_run(result) >= true * (1 - 1e-6)).all()
    assert best_of_each_run(result).mean() <= 1.10 * true


def test_distance_if_the_nearest_point_is_outside_the_box():
    x = np.full((1, 50), 0.5) + 0.2 * np.eye(1, 50)
    true = math.sqrt(0.3**2 + 0.3 - 0.5**2)  # 0.3 to the wall, then along it
    result = CGBA(query_budget=16000, restarts=4)(laws.outside_ball, x, [0])
    assert true * (1 - 1e-6) <= result.l2[0] <= 1.10 * true


def test_distance_to_the_nearer_of_two_planes():
    def outside(rows):
        return ((rows[:, 0] < 0.4) | (rows[:, 0] > 0.75)).astype(int)

    result = CGBA(query_budget=12000, restarts=6)(outside, np.full((1, 30), 0.5), [0])
    assert 0.1 <= result.l2[0] <= 0.102


@pytest.mark.parametrize("seed", range(4))
def test_distance_to_the_cells_of_a_sign_network(seed):
    network = SignNetwork2D(7, seed)
    x, y = points_in(network, 5, seed)
    result = CGBA(max_iter=12, restarts=20, query_budget=None)(network, x, y)
    true = np.array([network.distance(row) for row in x])
    assert result.success.all()
    assert (result.l2 >= true).all()
    # a thin cell at the nearest corner may escape all restarts
    assert np.median(result.l2 / true) <= 1.02


@pytest.mark.parametrize("model", [HalfSpace(100, 0.3, seed=2), laws.outside_ball], ids=["half-space", "ball"])
def test_distance_is_not_larger_than_that_of_hopskipjump_at_the_same_queries(model):
    x = model.x if isinstance(model, HalfSpace) else off_centre(100)[0]
    settings = {"query_budget": 4 * 2000, "restarts": 4}
    cgba, hopskipjump = (best_of_each_run(a(**settings)(model, x, [0])).mean() for a in (CGBA, HopSkipJump))
    # designed for boundaries of low curvature, slightly worse on a sphere
    assert cgba <= (1.0 if isinstance(model, HalfSpace) else 1.1) * hopskipjump


def test_an_iteration_finds_the_nearest_point_of_a_plane_in_the_plane_of_its_normal():
    """With the whole budget on one estimate the normal is nearly right, and one search is enough."""
    model = HalfSpace(30, 0.2, seed=3)
    result = CGBA(max_iter=1, init_eval=100_000, max_eval=100_000, query_budget=None)(model, model.x, [0])
    assert result.trace["l2"][0] > 0.3
    assert 0.2 <= result.l2[0] <= 0.201


def test_queries_of_an_estimate_grow_with_the_root_of_the_iteration():
    sizes = []
    model = HalfSpace(10, 0.2, seed=1)

    def labels(rows):
        sizes.append(len(rows))
        return model(rows)

    CGBA(max_iter=5, max_eval=60)(labels, model.x, [0])
    assert [size for size in sizes if size > 1] == [30, 42, 51, 60, 60]


def test_probes_have_the_radius_delta():
    estimates = []
    model = HalfSpace(500, 0.2, seed=1)

    def labels(rows):
        if len(rows) > 1:
            estimates.append(rows.astype(np.float64))
        return model(rows)

    trace = CGBA(max_iter=3, delta=0.03)(labels, model.x, [0]).trace
    for rows, distance in zip(estimates, trace["l2"], strict=False):
        # two probes of one point in independent directions are sqrt(2) times the radius apart
        apart = np.linalg.norm(rows[:15] - rows[15:30], axis=1).mean()
        assert apart == pytest.approx(math.sqrt(2) * 0.03 * distance, rel=0.05)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_few_dimensions_are_no_special_case(d):
    model = HalfSpace(d, 0.2, seed=d)
    result = CGBA(max_iter=15, restarts=3)(model, model.x, [0])
    assert 0.2 * (1 - 1e-6) <= result.l2[0] <= 0.205


def test_best_so_far_never_rises_and_every_iteration_has_its_trace_row():
    model = HalfSpace(40, 0.2, seed=2)
    trace = CGBA(max_iter=12, restarts=3)(model, model.x, [0]).trace
    for restart in range(3):
        of_run = trace["restart"] == restart
        assert (np.diff(trace["queries"][of_run]) > 0).all()
        assert (np.diff(trace["l2"][of_run]) <= 0).all()
        assert trace["iteration"][of_run].tolist() == [*range(13), 12]


@pytest.mark.parametrize("start", ["nearest", "given"])
def test_starts_from_a_pool_or_given_reach_the_distance(start):
    model = HalfSpace(20, 0.2, seed=4)
    pool = np.random.default_rng(0).uniform(0, 1, (50, 20))
    far = pool[np.argmax(model.beyond(pool))]
    result = CGBA(start=start, query_budget=2000)(
        model, model.x, [0], pool=pool, pool_labels=model(pool), starts={0: far}
    )
    assert 0.2 <= result.l2[0] <= 0.21


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("max_iter", -1, "an int >= 0"),
        ("restarts", 0, "an int >= 1"),
        ("max_eval", 0, "an int >= 1"),
        ("init_eval", 1.5, "an int >= 1"),
        ("delta", 0, "a number > 0 and < 1"),
        ("delta", "x", "a number > 0 and < 1"),
        ("init_size", True, "an int >= 1"),
        ("start", "zero", "one of 'noise', 'nearest', 'given'"),
        ("query_budget", 0, "an int >= 1"),
        ("seed", None, "an int"),
        ("memory_budget", -5, "a positive number of bytes, as an int or a text such as '256MiB'"),
        ("verbose", "yes", "True or False"),
    ],
)
def test_a_bad_parameter_is_refused_by_the_constructor(name, value, allowed):
    sentence = f"The '{name}' parameter of CGBA must be {allowed}. Got {value!r} instead."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        CGBA(**{name: value})
