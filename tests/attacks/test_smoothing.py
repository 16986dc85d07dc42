"""Radii of randomised smoothing against those known exactly."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, norm

from attacks import RandomizedSmoothing
from attacks.smoothing import lower_bound
from pipeline.experiment import run
from tests.attacks.half_space import HalfSpace


@pytest.mark.parametrize(("distance", "sigma"), [(0.1, 0.25), (0.5, 0.25), (0.5, 1.0)])
def test_the_smoothed_half_space_is_the_half_space_and_its_radius_the_distance(distance, sigma):
    model = HalfSpace(30, distance, seed=1)
    result = RandomizedSmoothing(sigma=sigma, samples=20_000)(model, model.x, [0])
    radius = result.extra["l2_lower"][0]
    assert 0.9 * distance - 0.02 * sigma < radius <= distance
    assert result.extra["linf_lower"][0] == pytest.approx(radius / np.sqrt(30))
    assert result.queries[0] == 20_100
    assert not result.success.any()


def test_a_constant_model_has_the_largest_radius():
    result = RandomizedSmoothing(sigma=0.5, samples=1000, alpha=0.01)(
        lambda x: np.ones(len(x), int), np.zeros((2, 3)), [1, 0]
    )
    assert result.extra["l2_lower"][0] == pytest.approx(0.5 * norm.ppf(0.01 ** (1 / 1000)))
    assert result.extra["l2_lower"][1] == 0
    assert result.reason.tolist() == ["certified, not attacked", "already misclassified"]
    assert result.queries.tolist() == [1100, 100]


@pytest.mark.parametrize("successes", [0, 1, 500, 999, 1000])
def test_the_bound_is_that_of_clopper_and_pearson(successes):
    interval = binomtest(successes, 1000, alternative="greater").proportion_ci(0.999, method="exact")
    assert lower_bound(successes, 1000, 0.001) == pytest.approx(interval.low)


def test_a_label_with_less_than_half_of_the_copies_is_undecided():
    """Three classes of a third each, by the remainder of a random number."""
    result = RandomizedSmoothing(sigma=1.0, samples=500)(
        lambda x: (x[:, 0] * 1e3).astype(int) % 3, np.zeros((4, 2)), [0, 1, 2, 0]
    )
    assert (result.extra["l2_lower"] == 0).all()
    assert set(result.reason) <= {"undecided under noise", "already misclassified"}


def test_a_radius_depends_on_the_seed_and_neither_on_company_nor_on_memory():
    model = HalfSpace(30, 0.3, seed=2)
    x = np.repeat(model.x, 3, axis=0)
    settings = {"sigma": 0.3, "samples": 300}
    whole = RandomizedSmoothing(**settings)(model, x, [0, 0, 0]).extra["p_lower"]
    assert len(set(whole)) > 1
    alone = RandomizedSmoothing(**settings)(model, x[:1], [0], index=[2]).extra["p_lower"]
    assert alone[0] == whole[2]
    small = RandomizedSmoothing(**settings, memory_budget=2000)(model, x, [0, 0, 0]).extra["p_lower"]
    assert (small == whole).all()
    assert (RandomizedSmoothing(**settings, seed=1)(model, x, [0, 0, 0]).extra["p_lower"] != whole).any()


@pytest.mark.parametrize(("name", "value"), [("sigma", 0.0), ("samples", 0), ("guesses", 0), ("alpha", 1.0)])
def test_a_bad_parameter_is_refused(name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of RandomizedSmoothing must be"):
        RandomizedSmoothing(**{name: value})


def test_a_run_records_its_radii_and_says_what_they_are_of(compose_config, capsys):
    config = compose_config("model=rf", "model.n_votes=5", "attack=smoothing", "attack.samples=200", "points.count=4")
    record = run(config)
    said = capsys.readouterr().out
    assert "mean certified L2" in said
    assert "another classifier" in said
    folder = Path(config["paths"]["outputs"]) / "attacks" / record["attack"]
    examples = pd.read_csv(folder / "examples.csv")
    assert (examples["l2_lower"] <= 0.25 * norm.ppf(0.001 ** (1 / 200)) + 1e-9).all()
    assert (examples["l2_lower"] > 0).any()
