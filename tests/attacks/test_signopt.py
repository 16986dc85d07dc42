"""Sign-OPT and ARS-OPT: distances known analytically, their queries, what a finite step is for, their parameters."""

import math
import re

import numpy as np
import pytest

import tests.attacks.attack_laws as laws
from attacks.engine.bisection import FINAL_TOLERANCE
from attacks.signopt import SignOPT
from tests.attacks.half_space import HalfSpace, best_of_each_run
from tests.attacks.sign_network_2d import SignNetwork2D, points_in

SIGN = {"accelerated": False}
ARS = {"accelerated": True, "step": 1.0}
both = pytest.mark.parametrize("settings", [SIGN, ARS], ids=["signopt", "arsopt"])


@pytest.mark.parametrize(
    ("settings", "d", "queries", "max_excess"),
    [(SIGN, 20, 2000, 0.02), (SIGN, 200, 5000, 0.05), (ARS, 20, 2000, 0.02), (ARS, 200, 5000, 0.08)],
)
def test_distance_to_a_half_space(settings, d, queries, max_excess):
    model = HalfSpace(d, 0.3, seed=1)
    result = SignOPT(**settings, query_budget=4 * queries, restarts=4)(model, model.x, [0])
    assert (best_of_each_run(result) >= 0.3).all()
    assert best_of_each_run(result).mean() <= 0.3 * (1 + max_excess)
    assert 0 < model.beyond(result.adversarials)[0] <= FINAL_TOLERANCE * result.l2[0]


@both
def test_distance_to_a_ball_from_off_its_centre(settings):
    x, true = np.full((1, 50), 0.5) + 0.2 / math.sqrt(50), math.sqrt(0.3) - 0.2
    result = SignOPT(**settings, query_budget=16000, restarts=4)(laws.outside_ball, x, [0])
    assert (best_of_each_run(result) >= true * (1 - 1e-6)).all()
    assert best_of_each_run(result).mean() <= 1.05 * true


@both
def test_distance_if_the_nearest_point_is_outside_the_box(settings):
    x = np.full((1, 50), 0.5) + 0.2 * np.eye(1, 50)
    true = math.sqrt(0.3**2 + 0.3 - 0.5**2)  # 0.3 to the wall, then along it
    result = SignOPT(**settings, query_budget=16000, restarts=4)(laws.outside_ball, x, [0])
    assert true * (1 - 1e-6) <= result.l2[0] <= 1.05 * true


@both
@pytest.mark.parametrize("seed", range(2))
def test_distance_to_the_cells_of_a_sign_network(settings, seed):
    network = SignNetwork2D(7, seed)
    x, y = points_in(network, 5, seed)
    small = {**settings, "probes": 20, "max_iter": 20, "restarts": 20, "query_budget": None}
    result = SignOPT(**small)(network, x, y)
    true = np.array([network.distance(row) for row in x])
    assert result.success.all()
    assert (result.l2 >= true).all()
    # a thin cell at the nearest corner may escape all restarts
    assert np.median(result.l2 / true) <= 1.02


def staircase(model, width):
    """The model at the middle of the cell of the given width that an input is in."""
    return lambda rows: model((np.floor(rows / width) + 0.5) * width)


def test_a_finite_step_sees_what_the_tiny_one_of_the_paper_does_not():
    """In cells as wide as 0.1 hardly a probe of the tiny step leaves the cell of its centre."""
    model = HalfSpace(100, 0.5, seed=3)
    settings = {"query_budget": 4 * 2000, "restarts": 4}
    tiny, finite = (
        best_of_each_run(SignOPT(epsilon=e, **settings)(staircase(model, 0.1), model.x, [0])).mean()
        for e in (0.001, 0.2)
    )
    assert finite < 0.9 * tiny


def test_probes_have_the_length_epsilon_and_there_are_as_many_as_set():
    estimates = []
    model = HalfSpace(500, 0.2, seed=1)

    def labels(rows):
        if len(rows) > 1:
            estimates.append(rows.astype(np.float64))
        return model(rows)

    trace = SignOPT(max_iter=3, probes=40, epsilon=0.03)(labels, model.x, [0]).trace
    assert [len(rows) for rows in estimates] == [40, 40, 40]
    for rows, distance in zip(estimates, trace["l2"], strict=False):
        # two probes of one point in independent directions are sqrt(2) times the length apart
        apart = np.linalg.norm(rows[:20] - rows[20:], axis=1).mean()
        assert apart == pytest.approx(math.sqrt(2) * 0.03 * distance, rel=0.05)


def test_momentum_changes_the_search_path_after_the_first_iteration():
    """It starts at the best direction, so that the first estimate is made there."""
    model = HalfSpace(60, 0.2, seed=2)
    plain, fast = (SignOPT(accelerated=a, probes=50, query_budget=3000)(model, model.x, [0]) for a in (False, True))
    assert plain.trace["l2"][0] == fast.trace["l2"][0]
    assert (plain.trace["l2"][2:8] != fast.trace["l2"][2:8]).all()
    assert fast.l2[0] <= 1.05 * plain.l2[0]


@both
@pytest.mark.parametrize("d", [1, 2, 3])
def test_few_dimensions_are_no_special_case(settings, d):
    model = HalfSpace(d, 0.2, seed=d)
    result = SignOPT(**{**settings, "probes": 20}, max_iter=15, restarts=3)(model, model.x, [0])
    assert 0.2 * (1 - 1e-6) <= result.l2[0] <= 0.205


@both
def test_best_so_far_never_rises_and_every_iteration_has_its_trace_row(settings):
    model = HalfSpace(40, 0.2, seed=2)
    trace = SignOPT(**{**settings, "probes": 30}, max_iter=12, restarts=3)(model, model.x, [0]).trace
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
    result = SignOPT(start=start, query_budget=3000)(
        model, model.x, [0], pool=pool, pool_labels=model(pool), starts={0: far}
    )
    assert 0.2 <= result.l2[0] <= 0.21


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("accelerated", 1, "True or False"),
        ("max_iter", -1, "an int >= 0"),
        ("probes", 0, "an int >= 1"),
        ("epsilon", 0, "a number > 0"),
        ("step", -1.0, "a number > 0"),
        ("restarts", 0, "an int >= 1"),
        ("start", "zero", "one of 'noise', 'nearest', 'given'"),
        ("query_budget", 0, "an int >= 1"),
    ],
)
def test_a_bad_parameter_is_refused_by_the_constructor(name, value, allowed):
    sentence = f"The '{name}' parameter of SignOPT must be {allowed}. Got {value!r} instead."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        SignOPT(**{name: value})
