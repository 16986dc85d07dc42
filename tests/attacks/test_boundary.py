"""The Boundary Attack: distances known analytically, the geometry of its moves, and its parameters."""

import re

import numpy as np
import pytest

import tests.attacks.attack_laws as laws
from attacks.boundary import BoundaryAttack, Mover, Moves
from attacks.engine.bisection import FINAL_TOLERANCE
from tests.attacks.half_space import HalfSpace, best_of_each_run
from tests.attacks.sign_network_2d import SignNetwork2D, points_in

QUICK = {"max_iter": 4, "restarts": 2, "sample_size": 5, "num_trial": 3}


@pytest.mark.parametrize(("d", "iterations", "max_excess"), [(20, 150, 0.01), (200, 600, 0.05)])
def test_converged_distance_to_a_half_space(d, iterations, max_excess):
    model = HalfSpace(d, 0.2, seed=1)
    result = BoundaryAttack(max_iter=iterations, restarts=4)(model, model.x, [0])
    assert (best_of_each_run(result) >= 0.2).all()
    assert best_of_each_run(result).mean() <= 0.2 * (1 + max_excess)
    beyond = model.beyond(result.adversarials)
    assert 0 < beyond[0] <= FINAL_TOLERANCE * result.l2[0]


def test_a_hundred_iterations_are_not_converged_in_many_dimensions():
    model = HalfSpace(1000, 0.2, seed=1)
    short, longer = (BoundaryAttack(max_iter=t, restarts=2)(model, model.x, [0]).l2[0] for t in (100, 300))
    assert short > 1.1 * longer > 0.22


@pytest.mark.parametrize("seed", range(4))
def test_distance_to_the_cells_of_a_sign_network(seed):
    network = SignNetwork2D(7, seed)
    x, y = points_in(network, 5, seed)
    result = BoundaryAttack(max_iter=60, restarts=20)(network, x, y)
    true = np.array([network.distance(row) for row in x])
    assert result.success.all()
    assert (result.l2 >= true).all()
    # a thin cell at the nearest corner may escape all restarts
    assert np.median(result.l2 / true) <= 1.01


def test_distance_to_the_nearer_of_two_planes():
    def outside(rows):
        return ((rows[:, 0] < 0.4) | (rows[:, 0] > 0.75)).astype(int)

    x = np.full((1, 30), 0.5)
    result = BoundaryAttack(max_iter=150, restarts=4)(outside, x, [0])
    assert 0.1 <= result.l2[0] <= 0.101


def test_distance_to_a_ball_is_its_radius():
    x = np.full((1, 50), 0.5)
    result = BoundaryAttack(max_iter=50, restarts=2)(laws.outside_ball, x, [0])
    assert result.l2[0] == pytest.approx(np.sqrt(0.3), rel=1e-4)


class Watched(BoundaryAttack):
    """Stores the search of its last iteration."""

    def _iterate(self, search, delta, epsilon):
        super()._iterate(search, delta, epsilon)
        self.search = search


def test_moves_keep_the_distance_and_steps_shorten_it_by_their_fraction():
    model = HalfSpace(2000, 0.2, seed=1, spread=0.01)
    attack = Watched(max_iter=3, restarts=1)
    attack(model, model.x, [0])
    mover = Mover(attack.search, np.array([[1, 2]], dtype=np.uint64))
    moves = Moves.of(np.array([0]), np.array([50]), 0, np.array([0.02]))
    rows = np.empty((50, 2000), dtype=np.float32)
    mover.generate(moves, None, rows)
    x, point = (a.astype(np.float64) for a in (model.x[0], attack.search.runs.point[0]))
    u, moved = point - x, rows.astype(np.float64) - x
    distance = np.linalg.norm(u)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), distance, rtol=1e-4)
    # contracted by 1 / sqrt(1 + delta^2), the plane of the noise is this far from the original
    np.testing.assert_allclose(moved @ u / distance, distance / np.sqrt(1 + 0.02**2), rtol=5e-5)
    aside = np.linalg.norm(moved - np.outer(moved @ u, u) / distance**2, axis=1)
    np.testing.assert_allclose(aside, 0.02 * distance, rtol=5e-3)
    nearer = np.empty_like(rows)
    mover.generate(moves, np.array([0.3]), nearer)
    np.testing.assert_allclose(nearer - x, 0.7 * moved, atol=2e-7)


def test_the_extra_column_is_the_distance_before_the_projection():
    model = HalfSpace(100, 0.2, seed=1)
    result = BoundaryAttack(max_iter=10, restarts=3)(model, model.x, [0])
    of_run = result.trace["restart"] == result.restart[0]
    assert result.trace["iteration"][of_run].tolist() == [*range(11), 10]
    assert result.extra["l2_returned"][0] == result.trace["l2"][of_run][-2]
    assert result.l2[0] <= result.extra["l2_returned"][0]


def test_a_run_ends_when_epsilon_is_below_its_minimum():
    model = HalfSpace(100, 0.2, seed=1)
    settings = {"max_iter": 200, "restarts": 2}
    ended = BoundaryAttack(min_epsilon=5e-3, **settings)(model, model.x, [0])
    whole = BoundaryAttack(**settings)(model, model.x, [0])
    assert ended.trace["iteration"].max() < 200
    assert ended.queries[0] < whole.queries[0]
    assert whole.trace["iteration"].max() == 200


def test_an_iteration_without_an_adversarial_move_ends_the_run():
    """Only the start itself is adversarial: every move fails, and the start is what remains."""
    start = np.full((1, 8), 0.9, dtype=np.float32)
    queried = []

    def labels(rows):
        queried.append(len(rows))
        return (rows == start).all(axis=1).astype(int)

    attack = BoundaryAttack(max_iter=5, restarts=1, sample_size=4, num_trial=3, start="given")
    result = attack(labels, np.full((1, 8), 0.5), [0], starts=start)
    np.testing.assert_array_equal(result.adversarials, start)
    assert queried[:5] == [1, 1, 4, 4, 4]
    assert result.trace["iteration"].max() == 1


def test_steps_stay_finite_where_everything_but_the_original_is_adversarial():
    x = np.full((1, 3), 0.5)

    def labels(rows):
        assert np.isfinite(rows).all()
        return (rows != np.float32(0.5)).any(axis=1).astype(int)

    result = BoundaryAttack(max_iter=250, restarts=1, sample_size=1, epsilon=0.3, step_adapt=0.01)(labels, x, [0])
    assert result.success[0]


def test_restarts_are_the_minimum_over_single_runs_with_the_same_streams():
    settings = {**QUICK, "max_iter": 6}
    fewer = [BoundaryAttack(**{**settings, "restarts": k})(laws.outside_ball, laws.points(1), [0]) for k in range(1, 5)]
    last = [fewer[-1].trace["l2"][fewer[-1].trace["restart"] == r][-1] for r in range(4)]
    for k, result in enumerate(fewer, start=1):
        assert result.l2[0] == min(last[:k])
        assert result.restart[0] == int(np.argmin(last[:k]))


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("max_iter", -1, "an int >= 0"),
        ("restarts", 0, "an int >= 1"),
        ("delta", 0, "a number > 0"),
        ("epsilon", "x", "a number > 0"),
        ("epsilon", float("nan"), "a number > 0"),
        ("step_adapt", 1.0, "a number > 0 and < 1"),
        ("num_trial", 0, "an int >= 1"),
        ("sample_size", 2.5, "an int >= 1"),
        ("min_epsilon", -0.1, "a number >= 0"),
        ("init_size", True, "an int >= 1"),
        ("start", "zero", "one of 'noise', 'nearest', 'given'"),
        ("query_budget", 0, "an int >= 1"),
        ("seed", None, "an int"),
        ("memory_budget", -5, "a positive number of bytes, as an int or a text such as '256MiB'"),
        ("verbose", "yes", "True or False"),
    ],
)
def test_a_bad_parameter_is_refused_by_the_constructor(name, value, allowed):
    sentence = f"The '{name}' parameter of BoundaryAttack must be {allowed}. Got {value!r} instead."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        BoundaryAttack(**{name: value})
