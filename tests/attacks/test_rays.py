"""RayS: equality with a plain version of the algorithm, distances known analytically, and its parameters."""

import math
import re

import numpy as np
import pytest

import tests.attacks.attack_laws as laws
from attacks.engine.bisection import FINAL_TOLERANCE
from attacks.rays import RayS
from tests.attacks.half_space import HalfSpace
from tests.attacks.sign_network_2d import SignNetwork2D, points_in


def one_after_the_other(labels, x, y, max_queries, tolerance=1e-3):
    """RayS for one point in the box [0, 1], a candidate at a time; returns at most `max_queries` inputs."""
    d, queried = len(x), []

    def adversarial(direction, radius):
        queried.append(np.clip(x.astype(np.float64) + radius * direction, 0, 1).astype(np.float32))
        return len(queried) <= max_queries and labels(queried[-1][None])[0] != y

    def boundary(direction, upper):
        lower, upper = 0.0, min(upper, 1.0)
        while True:
            middle = (lower + upper) / 2
            if adversarial(direction, middle):
                upper = middle
            else:
                lower = middle
            if (upper - lower) * math.sqrt(d) <= tolerance:
                return upper

    best, least, level, since = np.ones(d), np.inf, 0, 0
    while len(queried) < max_queries and since < d:
        size = math.ceil(d / 2**level)
        for start in range(0, d, size):
            attempt = best.copy()
            attempt[start : start + size] *= -1
            upper = boundary(attempt, least) if adversarial(attempt, least) else least
            since = since + 1 if min(size, d - start) == 1 else 0
            if upper < least:
                best, least, since = attempt, upper, 0
            if since >= d:
                break
        level += 1
        if since >= d and least == np.inf and adversarial(best, np.inf):  # the corner of all +1, before giving up
            least, since = boundary(best, np.inf), 0
    return np.array(queried[:max_queries])


@pytest.mark.parametrize(("d", "max_queries"), [(1, 50), (2, 60), (3, 90), (5, 300), (13, 700), (64, 900)])
@pytest.mark.parametrize("kind", ["half-space", "ball", "corner"])
def test_the_inputs_queried_are_those_of_the_plain_algorithm(d, max_queries, kind):
    model = {
        "half-space": HalfSpace(d, 0.1, seed=d),
        "ball": lambda rows: (((rows.astype(np.float64) - 0.4) ** 2).sum(axis=1) > 0.05 * d).astype(int),
        # in many directions the corner of the box is not adversarial: the radius stays infinite for a while
        "corner": lambda rows: ((rows[:, : d // 2 + 1] > 0.9).all(axis=1) & (rows[:, -1] < 0.95)).astype(int),
    }[kind]
    x = np.random.default_rng(d).uniform(0.3, 0.7, (1, d)).astype(np.float32)
    label = int(model(x)[0])
    seen = []

    def labels(rows):
        seen.append(rows.copy())
        return model(rows)

    result = RayS(query_budget=max_queries + 100)(labels, x, [label])
    seen = np.concatenate(seen)
    plain = one_after_the_other(model, x[0], label, max_queries)
    assert len(seen) == result.queries[0] + result.success[0]  # the last one confirms the adversarial
    seen = seen[: result.queries[0]]
    common = min(len(plain), len(seen) - 1)
    # the queries after the search are those of the final projection
    assert common == len(plain) or len(seen) > max_queries
    np.testing.assert_array_equal(seen[1 : 1 + common], plain[:common])
    assert 0 <= len(seen) - 1 - len(plain) <= 100


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_the_corner_of_all_plus_one_is_queried_before_giving_up(d):
    def labels(rows):
        return (rows.min(axis=1) > 0.5).astype(int)  # adversarial near this corner only

    result = RayS(query_budget=3000)(labels, np.full((1, d), 0.2, np.float32), [0])
    assert result.success.tolist() == [True]
    assert result.linf[0] == pytest.approx(0.3, rel=1e-3)


@pytest.mark.parametrize("d", [20, 64, 200])
def test_linf_distance_to_a_half_space(d):
    # along the best signs, those of the normal, the hyperplane is at its L2 distance over the L1 norm of the normal
    model = HalfSpace(d, 0.2, seed=1)
    result = RayS()(model, model.x, [0])
    true = 0.2 / np.abs(model.normal).sum()
    assert true <= result.linf[0] <= 1.01 * true
    assert result.queries[0] < 4000  # the search ended by itself
    assert result.l2[0] == pytest.approx(result.linf[0] * np.sqrt(d), rel=1e-4)


def test_linf_distance_to_the_nearer_of_two_planes():
    def outside(rows):
        return ((rows.sum(axis=1) < 0.4 * rows.shape[1]) | (rows.sum(axis=1) > 0.75 * rows.shape[1])).astype(int)

    result = RayS()(outside, np.full((1, 48), 0.5), [0])
    assert 0.1 <= result.linf[0] <= 0.1001


def test_linf_distance_to_a_ball_around_the_original():
    result = RayS()(laws.outside_ball, np.full((1, 50), 0.5), [0])
    assert result.linf[0] == pytest.approx(np.sqrt(0.3 / 50), rel=2e-4)


@pytest.mark.parametrize("seed", range(6))
def test_distance_to_the_cells_of_a_sign_network(seed):
    network = SignNetwork2D(7, seed)
    x, y = points_in(network, 8, seed)
    result = RayS()(network, x, y)
    found = result.success
    assert set(result.reason[~found]) <= {"no adversarial start"}
    true = np.array([network.distance(row, "linf") for row in x])
    assert (result.linf[found] >= true[found]).all()
    # the four diagonals, clipped at the sides of the box, are all that it searches
    moved = np.abs(result.adversarials[found] - x[found])
    at_a_side = (result.adversarials[found] == 0) | (result.adversarials[found] == 1)
    assert (np.isclose(moved, result.linf[found, None], rtol=1e-4) | at_a_side).all()


def test_the_returned_point_is_adversarial_and_close_to_the_boundary_on_its_ray():
    model = HalfSpace(100, 0.2, seed=3)
    result = RayS(query_budget=500)(model, model.x, [0])
    difference = (result.adversarials - model.x)[0]
    np.testing.assert_allclose(np.abs(difference), result.linf[0], rtol=1e-4)
    inside = model.x.astype(np.float64) + difference * (1 - 2 * FINAL_TOLERANCE)
    assert model.beyond(result.adversarials)[0] > 0 > model.beyond(inside)[0]


def test_a_point_in_a_corner_of_the_box_can_be_attacked():
    x = np.array([[0.0, 1.0, 0.0, 1.0]])
    result = RayS()(lambda rows: (np.abs(rows - x).sum(axis=1) > 1.0).astype(int), x, [0])
    assert result.linf[0] == pytest.approx(0.25, rel=1e-3)
    np.testing.assert_allclose(np.abs(result.adversarials - x), 0.25, rtol=1e-3)


def test_more_queries_find_a_smaller_distance():
    model = HalfSpace(200, 0.2, seed=3)
    linf = [RayS(query_budget=b)(model, model.x, [0]).linf[0] for b in (20, 100, 500, 2000)]
    assert linf == sorted(set(linf), reverse=True)


def test_the_trace_counts_candidates_and_queries():
    model = HalfSpace(200, 0.2, seed=3)
    trace = RayS(query_budget=1000)(model, model.x, [0]).trace
    assert trace["queries"][:4].tolist() == [200, 400, 600, 800]
    assert (np.diff(trace["iteration"]) > 0).all()
    assert (np.diff(trace["linf"]) <= 0).all()


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("query_budget", 0, "an int >= 1"),
        ("query_budget", "many", "an int >= 1"),
        ("tolerance", 0.0, "a number > 0"),
        ("tolerance", None, "a number > 0"),
        ("memory_budget", "lots", "a positive number of bytes, as an int or a text such as '256MiB'"),
        ("verbose", 1, "True or False"),
    ],
)
def test_a_bad_parameter_is_refused_by_the_constructor(name, value, allowed):
    sentence = f"The '{name}' parameter of RayS must be {allowed}. Got {value!r} instead."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        RayS(**{name: value})
