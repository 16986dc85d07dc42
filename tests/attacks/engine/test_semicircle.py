"""The semicircles: the positions of their points, and what their tangents are orthogonal to."""

import math

import numpy as np
import pytest

from attacks.engine.bisection import BoundarySearch
from attacks.engine.checkpoint import Journal
from attacks.engine.run_state import RunState
from attacks.engine.semicircle import Arcs
from attacks.engine.validation import read_task
from attacks.oracle import LabelOracle


def arcs_of(d, runs=3, seed=0, labels=None, clip=(0.0, 1.0)):
    """Runs on one original near the middle of the box, at random points, with random tangents."""
    rng = np.random.default_rng(seed)
    task = read_task("test", rng.uniform(0.45, 0.55, (1, d)), [0], clip, None)
    journal = Journal(LabelOracle(labels or (lambda rows: np.ones(len(rows), int)), 1, d), task.y, None, "")
    state = RunState.of(task, np.array([""]), runs, np.array([10**6]))
    state.point[:] = rng.uniform(0.3, 0.7, (runs, d))
    tangent = rng.standard_normal((runs, d)).astype(np.float32)
    return Arcs(BoundarySearch(task, journal, state, False), tangent)


def moved(arcs, run, angle):
    """The point that a run lands on, less the original."""
    arcs.land(np.array([run]), np.array([angle]))
    return arcs.search.runs.point[run].astype(np.float64) - arcs.search.task.x[0]


@pytest.mark.parametrize("d", [2, 3, 50, 1000])
def test_points_of_an_arc_see_original_and_point_at_a_right_angle(d):
    for degrees in (-85, -30, 0, 10, 45, 80):
        arcs = arcs_of(d)
        arcs.turn(np.arange(3))
        radius = arcs.search.runs.point[1].astype(np.float64) - arcs.search.task.x[0]
        there = moved(arcs, 1, math.radians(degrees))
        r = np.linalg.norm(radius)
        assert np.linalg.norm(there) == pytest.approx(r * math.cos(math.radians(degrees)), rel=1e-5)
        assert there @ (there - radius) == pytest.approx(0, abs=1e-6 * r**2)
        aside = there @ arcs.tangent[1].astype(np.float64)
        assert aside == pytest.approx(r * math.sin(math.radians(2 * degrees)) / 2, abs=1e-6 * r)


@pytest.mark.parametrize(("d", "m"), [(4, 2), (20, 9), (300, 100)])
def test_tangents_are_orthonormal_to_the_line_and_to_the_past_over_many_turns(d, m):
    arcs, rng, run_ids = arcs_of(d, runs=2), np.random.default_rng(1), np.arange(2)
    past = np.zeros((2, m, d), dtype=np.float32)
    for turn in range(5 * m + 3):
        arcs.search.runs.point[:] = rng.uniform(0.3, 0.7, (2, d))
        arcs.tangent[:] = rng.standard_normal((2, d))
        arcs.turn(run_ids, past, np.full(2, min(turn, m)))
        past[:, turn % m] = arcs.tangent
    for r in run_ids:
        basis = past[r].astype(np.float64)
        np.testing.assert_allclose(basis @ basis.T, np.eye(m), atol=1e-6)
        line = arcs.search.runs.point[r].astype(np.float64) - arcs.search.task.x[0]
        assert abs(line @ arcs.tangent[r]) < 1e-6 * np.linalg.norm(line)


def test_a_tangent_along_the_line_becomes_zero():
    arcs = arcs_of(5)
    arcs.tangent[:] = 3 * (arcs.search.runs.point - arcs.search.task.x)
    arcs.turn(np.array([0, 2]))
    assert (arcs.tangent[[0, 2]] == 0).all()
    assert (arcs.tangent[1] != 0).all()
    one = arcs_of(1)
    one.turn(np.arange(3))
    assert (one.tangent == 0).all()


def test_bisection_ends_within_its_tolerance_of_the_angle_at_which_the_label_changes():
    d, edge = 30, 0.52
    arcs = arcs_of(d, labels=lambda rows: (rows[:, 0] > edge).astype(int))
    arcs.search.runs.point[:, 0] = 0.7
    arcs.search.task.x[0, 0] = 0.5
    run_ids = np.arange(3)
    arcs.turn(run_ids)
    angle = arcs.bisect(run_ids, np.array([1e-1, 1e-3, 1e-6]), reserve=0)
    for r, tolerance in zip(run_ids, (1e-1, 1e-3, 1e-6), strict=True):
        before = arcs.search.runs.point[r].copy()
        assert moved(arcs, r, angle[r])[0] + 0.5 > edge
        arcs.search.runs.point[r] = before
        assert moved(arcs, r, angle[r] + tolerance)[0] + 0.5 <= edge
    assert arcs.search.runs.spent[0] < arcs.search.runs.spent[1] < arcs.search.runs.spent[2] <= 21


def test_a_bisection_leaves_its_reserve_unspent():
    arcs = arcs_of(10)
    arcs.search.runs.share[:] = [30, 20, 5]
    arcs.turn(np.arange(3))
    arcs.bisect(np.arange(3), np.full(3, 1e-4), reserve=16)
    assert arcs.search.left(np.arange(3)).tolist() == [16, 16, 5]


def test_points_of_an_arc_stay_in_the_box():
    arcs = arcs_of(40, clip=(0.25, 0.75))
    arcs.tangent *= 1000
    assert np.ptp(arcs.search.runs.point) < 0.5
    for angle in np.radians([-60.0, 5.0, 44.0]):
        there = moved(arcs, 0, angle) + arcs.search.task.x[0]
        assert there.min() >= 0.25 - 1e-7
        assert there.max() <= 0.75 + 1e-7
        assert float(arcs.search.runs.point[0].min()) >= 0.25
        assert float(arcs.search.runs.point[0].max()) <= 0.75
