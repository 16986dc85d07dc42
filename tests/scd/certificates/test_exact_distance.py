"""Branch and bound against enumeration in the plane, and around certificates in more features."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plane import exact_l2, fitted_votes, labels, random_votes

from scd.certificates import certify, exact_distance


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.tuples(st.integers(0, 10**9), st.integers(1, 6), st.integers(1, 4)))
def test_the_interval_closes_at_the_distance_found_by_enumeration(ensemble):
    seed, count, units = ensemble
    votes = random_votes(seed, count, units)
    x = np.random.default_rng(seed).uniform(0, 1, 2).astype(np.float32)
    (label,) = labels(votes, x[None].astype(np.float64))
    found, exact = exact_distance(votes, x, label), exact_l2(votes, x.astype(np.float64), label)
    assert found.lower == found.upper
    assert found.upper == pytest.approx(exact, rel=1e-5, abs=1e-6)
    assert exact_distance(votes, x, 1 - label).upper == 0  # misclassified


def test_certificate_below_exact_below_any_adversarial(digits):
    X, y, T, t = digits
    votes = fitted_votes(X, y, 3, 8)
    compared = 0
    for x, label in zip(T[:8], t[:8], strict=True):
        radius = certify(votes, x[None], np.array([label]), steps=60, n_jobs=1).radius[0]
        found = exact_distance(votes, x, label)
        assert found.lower == found.upper
        assert radius <= found.upper
        if found.upper > 0:
            compared += 1
            assert radius >= 0.8 * found.upper
            step = found.move * (1 + 1e-5)
            beyond = x.astype(np.float64) + step
            assert labels(votes, beyond[None])[0] != label
    assert compared >= 3


def test_a_search_that_ends_early_brackets_the_distance(digits):
    X, y, T, t = digits
    votes = fitted_votes(X, y, 5, 8)
    searched = 0
    for i in np.flatnonzero(labels(votes, T.astype(np.float64)) == t)[:4]:
        whole, part = exact_distance(votes, T[i], t[i]), exact_distance(votes, T[i], t[i], nodes=1)
        assert part.lower <= whole.lower == whole.upper <= part.upper
        assert part.nodes == 1
        searched += part.lower < whole.lower
        none = exact_distance(votes, T[i], t[i], budget_seconds=0.0)
        assert (none.lower, none.nodes) == (0.0, 0)
    assert searched
