"""The noise search: known counts and distances, and its parameters."""

import re

import numpy as np
import pytest

from attacks.engine.bisection import FINAL_TOLERANCE
from attacks.noise_search import NoiseSearch
from tests.attacks.half_space import HalfSpace
from tests.attacks.sign_network_2d import SignNetwork2D, points_in

QUICK = {"levels": 8, "draws": 20}
CENTRE = np.full((1, 12), 0.5)


def outside_small_ball(rows):
    """Label 1 farther than 0.3 from the middle of the box: noise of a smaller norm than 0.5 is never clipped there."""
    return (np.linalg.norm(rows.astype(np.float64) - 0.5, axis=1) > 0.3).astype(int)


@pytest.mark.parametrize("kind", ["gaussian", "uniform"])
def test_all_draws_of_a_norm_are_counted_on_their_side(kind):
    result = NoiseSearch(kind=kind, levels=40, draws=10)(outside_small_ball, CENTRE, [0])
    levels = result.tables["levels"]
    assert levels["index"].tolist() == [0] * 40
    assert levels["draws"].tolist() == [10] * 40
    np.testing.assert_allclose(levels["norm"], np.sqrt(12) * 0.001 ** (1 - np.arange(40) / 39))
    unclipped = levels["norm"] < 0.5
    expected = np.where(levels["norm"] > 0.3, 10, 0)
    np.testing.assert_array_equal(levels["adversarial"][unclipped], expected[unclipped])
    assert result.extra["norm_first_hit"][0] == levels["norm"][levels["norm"] > 0.3][0]
    assert result.l2[0] == pytest.approx(0.3, rel=FINAL_TOLERANCE)


def test_without_refinement_the_draw_is_returned():
    result = NoiseSearch(refine=False, levels=40, draws=10)(outside_small_ball, CENTRE, [0])
    assert result.l2[0] == pytest.approx(result.extra["norm_first_hit"][0], rel=1e-6)
    assert result.queries[0] == 1 + 40 * 10


def test_refinement_only_moves_along_the_ray_to_the_boundary():
    model = HalfSpace(30, 0.2, seed=1)
    drawn, refined = (NoiseSearch(refine=r)(model, model.x, [0]) for r in (False, True))
    far, near = (r.adversarials[0].astype(np.float64) - model.x[0] for r in (drawn, refined))
    assert far @ near / np.linalg.norm(far) / np.linalg.norm(near) == pytest.approx(1, abs=1e-6)
    assert 0.2 <= refined.l2[0] <= drawn.l2[0]
    assert 0 < model.beyond(refined.adversarials)[0] <= FINAL_TOLERANCE * refined.l2[0]


def test_distance_is_that_of_the_clipped_draw():
    """From a corner nearly half of the features of any noise are clipped away."""
    x = np.zeros((1, 200))
    result = NoiseSearch(refine=False, draws=50)(lambda rows: (rows.sum(axis=1) > 10).astype(int), x, [0])
    assert result.l2[0] == pytest.approx(np.linalg.norm(result.adversarials[0].astype(np.float64)), rel=1e-12)
    assert 0.6 < result.l2[0] / result.extra["norm_first_hit"][0] < 0.8


def test_half_of_large_noise_is_beyond_a_near_plane_through_the_box():
    model = HalfSpace(500, 1e-3, seed=1)
    levels = NoiseSearch(smallest=0.05, levels=3, draws=1000)(model, model.x, [0]).tables["levels"]
    # standard deviation of the fraction of 1000 fair coins: 1.6 %
    assert (np.abs(levels["adversarial"] / 1000 - 0.5) < 0.06).all()


def test_kinds_have_the_features_of_their_distributions():
    queried = {}
    for kind in ("gaussian", "uniform"):

        def labels(rows, kind=kind):
            queried.setdefault(kind, []).append(rows.astype(np.float64) - 0.5)
            return np.zeros(len(rows), int)

        NoiseSearch(kind=kind, levels=1, draws=200, smallest=0.01)(labels, np.full((1, 400), 0.5), [0])
    for kind, fourth in (("gaussian", 3.0), ("uniform", 1.8)):
        rows = queried[kind][1] / 0.01
        assert len(rows) == 200
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), np.sqrt(400), rtol=1e-5)
        assert (rows**4).mean() == pytest.approx(fourth, rel=0.05)
        assert abs(rows.mean()) < 4 / np.sqrt(rows.size)


def test_more_draws_keep_those_of_fewer():
    model = HalfSpace(100, 0.2, seed=1)
    few, many = (NoiseSearch(draws=d, refine=False)(model, model.x, [0]) for d in (20, 60))
    assert (few.tables["levels"]["adversarial"] <= many.tables["levels"]["adversarial"]).all()
    assert many.extra["norm_first_hit"][0] <= few.extra["norm_first_hit"][0]


@pytest.mark.parametrize("seed", range(4))
def test_distance_to_the_cells_of_a_sign_network(seed):
    network = SignNetwork2D(7, seed)
    x, y = points_in(network, 5, seed)
    result = NoiseSearch(levels=60)(network, x, y)
    true = np.array([network.distance(row) for row in x])
    assert result.success.all()
    assert (result.l2 >= true).all()
    assert np.median(result.l2 / true) <= 1.05  # in two dimensions chance is a good search


def test_trace_begins_at_the_first_hit_and_never_rises():
    model = HalfSpace(40, 0.2, seed=2)
    result = NoiseSearch(levels=20)(model, model.x, [0])
    levels, trace = result.tables["levels"], result.trace
    first = int(np.argmax(levels["adversarial"] > 0))
    assert first > 0
    assert trace["iteration"].tolist() == list(range(first + 1, 21))
    assert (np.diff(trace["queries"]) > 0).all()
    assert (np.diff(trace["l2"]) <= 0).all()


def test_a_short_budget_leaves_every_level_the_same_draws():
    model = HalfSpace(40, 0.2, seed=2)
    draws = NoiseSearch(levels=20, query_budget=1 + 24 + 20 * 7)(model, model.x, [0]).tables["levels"]["draws"]
    assert draws.min() == 7
    assert draws.max() <= 9  # what the projection did not need


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("kind", "normal", "one of 'uniform', 'gaussian'"),
        ("levels", 0, "an int >= 1"),
        ("draws", 2.5, "an int >= 1"),
        ("smallest", 1.0, "a number > 0 and < 1"),
        ("refine", 1, "True or False"),
        ("query_budget", 0, "an int >= 1"),
        ("seed", None, "an int"),
        ("memory_budget", -5, "a positive number of bytes, as an int or a text such as '256MiB'"),
        ("verbose", "yes", "True or False"),
    ],
)
def test_a_bad_parameter_is_refused_by_the_constructor(name, value, allowed):
    sentence = f"The '{name}' parameter of NoiseSearch must be {allowed}. Got {value!r} instead."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        NoiseSearch(**{name: value})
