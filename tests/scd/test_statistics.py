"""The bootstrap interval is that of the normal approximation where it should be, and deterministic."""

from __future__ import annotations

import numpy as np
import pytest

from scd.statistics import bootstrap


def test_interval_of_a_mean_is_about_the_normal_one():
    values = np.random.default_rng(0).normal(3, 1, 400)
    mean, low, high = bootstrap(values, "mean")
    error = values.std() / 20
    assert mean == values.mean()
    assert (low, high) == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), abs=0.25 * error)


def test_an_interval_is_deterministic_and_contains_its_value():
    values = np.array([1.0, 2.0, 10.0])
    assert bootstrap(values, "median") == bootstrap(values, "median")
    value, low, high = bootstrap(values, "median")
    assert low <= value == 2.0 <= high


def test_too_few_points_have_no_interval():
    assert np.isnan(bootstrap(np.array([]), "mean")).all()
    value, low, high = bootstrap(np.array([2.5]), "mean")
    assert value == 2.5
    assert np.isnan([low, high]).all()


def test_the_resamples_are_the_generators():
    values = np.random.default_rng(3).normal(size=40)
    one, other, same = (bootstrap(values, "mean", np.random.default_rng(seed)) for seed in (1, 2, 1))
    assert one == same
    assert one[0] == other[0]
    assert one[1:] != other[1:]
