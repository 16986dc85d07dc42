"""Exact distances, certified radii and the pattern attack against the optimum of a mixed-integer solver."""

import numpy as np
import pytest
from mixed_integer import solved_distance
from plane import fitted_votes, labels, random_votes

from attacks import SignPattern
from scd.certificates import certify, exact_distance

REACH = 4.0


def on_the_grid(votes):
    """The votes with output weights and limits that are multiples of 1/4."""
    for vote in votes:
        vote["output"], vote["output_threshold"] = (np.round(4 * vote[k]) / 4 for k in ("output", "output_threshold"))
    return votes


def pattern_attack(votes, x, label, norm):
    found = SignPattern(norm=norm, restarts=3)(
        lambda rows: labels(votes, rows.astype(float)), x[None], [label], votes=votes, clip=(-REACH, REACH + 1)
    )
    return (found.l2 if norm == "l2" else found.linf)[0] if found.success[0] else np.inf


@pytest.mark.thorough
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_small_ensembles_with_ties_and_duplicates(norm):
    closed, met = 0, []
    for seed in range(1, 16):
        rng = np.random.default_rng(seed)
        votes = on_the_grid(random_votes(seed, int(rng.integers(1, 6)), int(rng.integers(1, 5)), features=3))
        x = rng.uniform(0, 1, 3).astype(np.float32)
        (label,) = labels(votes, x[None].astype(np.float64))
        optimum = solved_distance(votes, x, label, norm, REACH)
        radius = certify(votes, x[None], np.array([label]), norm, steps=60, n_jobs=1).radius[0]
        if np.isfinite(optimum):
            closed += 1
            assert radius <= optimum * (1 + 1e-4) + 1e-6
            attacked = pattern_attack(votes, x, label, norm)
            assert attacked >= optimum * (1 - 1e-4) - 1e-6
            met.append(attacked <= optimum * 1.02 + 1e-4)
        if norm == "l2" and optimum < REACH:  # the ball is inside the solver's cube
            exact = exact_distance(votes, x, label)
            assert exact.lower == exact.upper == pytest.approx(optimum, rel=1e-3, abs=1e-5)
    assert closed > 7
    assert np.mean(met) > 0.7


@pytest.mark.thorough
@pytest.mark.parametrize(("count", "units"), [(5, 2), pytest.param(8, 3, marks=pytest.mark.slow)])
def test_votes_on_digits_are_closed_at_the_solvers_optimum(digits, count, units):
    X, y, T, t = digits
    votes = on_the_grid(fitted_votes(X, y, count, units))
    correct = np.flatnonzero(labels(votes, T.astype(np.float64)) == t)[:3]
    assert len(correct) == 3
    for x, label in zip(T[correct], t[correct], strict=True):
        exact = exact_distance(votes, x, label)
        assert exact.lower == exact.upper
        assert solved_distance(votes, x, label, "l2", 2 * exact.upper) == pytest.approx(exact.upper, rel=1e-3)
