"""The smoothed boundary attack: distances known analytically, piecewise-constant models, restarts, parameters."""

import math
import re

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

import tests.attacks.attack_laws as laws
from attacks import HopSkipJump, SmoothedBoundary
from attacks.engine.bisection import FINAL_TOLERANCE
from tests.attacks.half_space import HalfSpace, best_of_each_run, same_result
from tests.attacks.sign_network_2d import SignNetwork2D, points_in


class Staircase(HalfSpace):
    """A half-space that sees the middle of the cell of an input in a grid: a piecewise-constant decision."""

    cell = 0.02

    def __call__(self, rows):
        return super().__call__((np.floor(rows.astype(np.float64) / self.cell) + 0.5) * self.cell)


def linf_distance(model):
    """Return the L-infinity distance of the original of a half-space to it."""
    return model.distance / np.abs(model.normal).sum()


@pytest.mark.parametrize(
    ("d", "queries", "max_excess"),
    # averaging N labels in d features leaves a cosine of sqrt(N c / (N c + d)) to the normal, where c is about 0.5 at a
    # fifth of adversarial probes: an excess of 2, 3 and 6 % if all of them went into one estimate
    [(20, 1000, 0.04), (200, 6000, 0.06), (1000, 15000, 0.12)],
)
def test_distance_to_a_half_space(d, queries, max_excess):
    model = HalfSpace(d, 0.3, seed=1)
    found = [SmoothedBoundary(query_budget=queries, seed=s)(model, model.x, [0]) for s in range(2)]
    for result in found:
        assert 0.3 * (1 - 1e-6) <= result.l2[0] <= 0.3 * (1 + max_excess)
        assert 0 < model.beyond(result.adversarials)[0] <= FINAL_TOLERANCE * result.l2[0]


def test_linf_distance_to_a_half_space():
    model = HalfSpace(200, 0.3, seed=1)
    result = SmoothedBoundary(query_budget=6000, norm="linf")(model, model.x, [0])
    assert linf_distance(model) * (1 - 1e-6) <= result.linf[0] <= 1.1 * linf_distance(model)


def off_centre(d):
    """A point in the ball at 0.2 from its centre, towards a corner of the box; the surface is at this distance."""
    return np.full((1, d), 0.5) + 0.2 / math.sqrt(d), math.sqrt(0.3) - 0.2


def test_distance_to_a_ball_from_off_its_centre():
    x, true = off_centre(50)
    result = SmoothedBoundary(query_budget=4000)(laws.outside_ball, x, [0])
    assert true * (1 - 1e-6) <= result.l2[0] <= 1.05 * true


def test_distance_to_the_cells_of_sign_networks():
    excess = []
    for seed in range(4):
        network = SignNetwork2D(7, seed)
        x, y = points_in(network, 5, seed)
        result = SmoothedBoundary(query_budget=2000)(network, x, y)
        assert result.success.all()
        excess.append(result.l2 / [network.distance(row) for row in x])
        assert (excess[-1] >= 1).all()
    # a cell that is thin beside the noise may escape
    assert np.median(excess) <= 1.02


@pytest.mark.parametrize("seed", range(3))
def test_on_a_staircase_it_finds_the_distance_of_the_half_space_and_hopskipjump_does_not(seed):
    model = Staircase(50, 0.3, seed)
    mine, hopskipjump = (
        attack(query_budget=4000, restarts=1)(model, model.x, [0]).l2[0] for attack in (SmoothedBoundary, HopSkipJump)
    )
    assert mine <= 1.05 * 0.3
    assert hopskipjump > 1.05 * 0.3


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize(
    "model", [LogisticRegression(C=0.1), MLPClassifier(20, random_state=0, tol=1e-3, max_iter=2000)]
)
def test_on_smooth_models_it_is_not_farther_than_hopskipjump(model, norm):
    X, y = load_digits(return_X_y=True)
    X, y = (X[(y == 3) | (y == 8)] / 16).astype(np.float32), y[(y == 3) | (y == 8)]
    model.fit(X[100:], y[100:])
    points = np.flatnonzero(model.predict(X[:100]) == y[:100])[:8]
    mine, hopskipjump = (
        getattr(attack(query_budget=5000, restarts=1, norm=norm)(model.predict, X[points], y[points]), norm).mean()
        for attack in (SmoothedBoundary, HopSkipJump)
    )
    assert mine <= 1.02 * hopskipjump


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_few_dimensions_are_no_special_case(d):
    model = HalfSpace(d, 0.2, seed=d)
    result = SmoothedBoundary(query_budget=2000, restarts=3)(model, model.x, [0])
    assert 0.2 * (1 - 1e-6) <= result.l2[0] <= 0.205


@pytest.mark.parametrize("start", ["nearest", "given"])
def test_starts_from_a_pool_or_given_reach_the_distance(start):
    model = HalfSpace(20, 0.2, seed=4)
    pool = np.random.default_rng(0).uniform(0, 1, (50, 20))
    far = pool[np.argmax(model.beyond(pool))]
    result = SmoothedBoundary(start=start, query_budget=1000)(
        model, model.x, [0], pool=pool, pool_labels=model(pool), starts={0: far}
    )
    assert 0.2 <= result.l2[0] <= 0.21


FEW = {"start": "rays", "radius": (1.0, 0.3), "target": 0.3, "step": 0.2, "memory": 1.0}
"""conf/attack/smoothed_few.yaml"""


@pytest.mark.parametrize("kind", [HalfSpace, Staircase])
def test_the_settings_for_few_queries_are_closer_than_the_others(kind):
    """Averaging over all probes instead of the last half has less noise, which decides in many dimensions."""
    excess = []
    for settings in ({}, FEW):
        models = [kind(2000, 0.3, seed) for seed in range(3)]
        found = [SmoothedBoundary(query_budget=2000, **settings)(m, m.x, [0]) for m in models]
        assert all(result.queries[0] <= 2000 for result in found)
        excess.append(np.mean([result.l2[0] / 0.3 - 1 for result in found]))
    assert excess[1] < 0.95 * excess[0]


def test_a_start_on_a_ray_is_closer_than_one_towards_noise():
    """The normal has signs by blocks, so that RayS finds it within its first candidates."""
    model = HalfSpace(400, 0.5, seed=3)
    model.normal = np.repeat([-1.0, 1.0], 200) / 20
    model.bound = float(model.x[0].astype(np.float64) @ model.normal) + 0.5
    for start, low, high in (("rays", 0.5, 0.51), ("noise", 2.0, 20.0)):
        result = SmoothedBoundary(start=start, max_iter=0, query_budget=500)(model, model.x, [0])
        assert low <= result.l2[0] <= high, start
    assert result.queries[0] <= 500


def test_where_no_ray_is_adversarial_a_run_starts_from_noise():
    """Adversarial is what is off the corners of the box, which all rays lead to."""

    def off_corners(rows):
        return (np.abs(rows - 0.5).max(axis=1) < 0.499).astype(int) * (np.abs(rows - 0.5).max(axis=1) > 0.2)

    x = np.full((1, 6), 0.5, dtype=np.float32)
    result = SmoothedBoundary(start="rays", query_budget=600)(off_corners, x, [0])
    assert result.success[0]
    assert result.linf[0] == pytest.approx(0.2, abs=0.02)


def test_more_queries_are_planned_as_more_and_larger_iterations():
    model = HalfSpace(100, 0.2, seed=1)
    found = [SmoothedBoundary(query_budget=b)(model, model.x, [0]) for b in (300, 1000, 3000, 10000)]
    for result in found:
        assert 0.9 * b_of(result) <= result.queries[0] <= b_of(result)
    assert (np.diff([result.l2[0] for result in found]) < 0).all()
    assert (np.diff([result.trace["iteration"].max() for result in found]) >= 0).all()


def b_of(result):
    """Return the budget of 300, 1000, 3000 or 10000 that a record belongs to."""
    return next(b for b in (300, 1000, 3000, 10000) if result.queries[0] <= b)


def test_successive_halving_gives_the_queries_of_the_ended_runs_to_the_others():
    model = HalfSpace(30, 0.2, seed=2)
    result = SmoothedBoundary(restarts=4, query_budget=4000)(model, model.x, [0])
    queries = [result.trace["queries"][result.trace["restart"] == r].max() for r in range(4)]
    first, second, third, last = sorted(queries)
    # three rungs with 4, 2 and 1 runs: a third of the budget each
    assert first == pytest.approx(4000 / 12, rel=0.15)
    assert second == pytest.approx(4000 / 12, rel=0.15)
    assert third == pytest.approx(4000 / 4, rel=0.15)
    assert last == pytest.approx(4000 * 7 / 12, rel=0.15)
    assert result.queries[0] <= 4000
    assert int(np.argmax(queries)) == result.restart[0]
    assert best_of_each_run(result).min() == result.l2[0]


def test_without_a_budget_every_iteration_has_the_number_of_probes_set():
    model = HalfSpace(30, 0.2, seed=2)
    trace = SmoothedBoundary(query_budget=None, max_iter=10, probes=200)(model, model.x, [0]).trace
    spent = np.diff(trace["queries"][:11])
    assert (spent >= 200).all()
    assert (spent <= 200 + 12).all()


def test_the_result_does_not_depend_on_the_form_of_radius():
    model = HalfSpace(30, 0.2, seed=2)
    first, again = (
        SmoothedBoundary(radius=radius, query_budget=500)(model, model.x, [0])
        for radius in ((2.0, 0.3), np.array([2.0, 0.3]))
    )
    assert same_result(first, again)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("norm", "l1", "one of 'l2', 'linf'"),
        ("max_iter", -1, "an int >= 0"),
        ("restarts", 0, "an int >= 1"),
        ("probes", 0, "an int >= 1"),
        ("radius", 0.5, "two numbers > 0, the first and the last"),
        ("radius", [1.0], "two numbers > 0, the first and the last"),
        ("target", 1.0, "a number > 0 and < 1"),
        ("step", 0.0, "a number > 0"),
        ("memory", 0.0, "a number > 0"),
        ("init_size", True, "an int >= 1"),
        ("start", "zero", "one of 'noise', 'nearest', 'given', 'rays'"),
        ("query_budget", 0, "an int >= 1"),
        ("seed", None, "an int"),
        ("memory_budget", -5, "a positive number of bytes, as an int or a text such as '256MiB'"),
        ("verbose", "yes", "True or False"),
    ],
)
def test_a_bad_parameter_is_refused_by_the_constructor(name, value, allowed):
    sentence = f"The '{name}' parameter of SmoothedBoundary must be {allowed}. Got {value!r} instead."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        SmoothedBoundary(**{name: value})
