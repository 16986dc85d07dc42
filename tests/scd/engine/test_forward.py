"""The stacked forward pass: the same labels on every path."""

import numpy as np
import pytest

from scd.engine.forward import StackedVotes

RNG = np.random.default_rng(0)
SHAPE = (7, 5, 12)  # votes, hidden nodes, features
ARRAYS = (RNG.normal(size=SHAPE), RNG.normal(size=SHAPE[:2]), RNG.normal(size=SHAPE[:2]), RNG.normal(size=7))
X = RNG.random((300, 12)).astype(np.float32)


def by_hand(x, activation):
    """The definition, in float64, vote by vote."""
    hidden, thresholds, output, output_threshold = ARRAYS
    labels = []
    for w, t, u, c in zip(hidden, thresholds, output, output_threshold, strict=True):
        z = x.astype(np.float64) @ w.T - t
        a = z > 0 if activation == "sign" else 1 / (1 + np.exp(-z))
        labels.append(a @ u > c)
    return np.stack(labels, axis=1).astype(np.uint8)


@pytest.mark.parametrize("activation", ["sign", "sigmoid"])
def test_labels_follow_the_definition(activation):
    assert np.array_equal(StackedVotes(*ARRAYS, activation=activation).labels(X), by_hand(X, activation))


@pytest.mark.parametrize("activation", ["sign", "sigmoid"])
def test_the_path_of_other_devices_gives_the_same_labels(activation):
    """Run on torch's CPU, for want of another device: the code is the one a CUDA device takes."""
    stacked = StackedVotes(*ARRAYS, activation=activation)
    assert np.array_equal(stacked._device_sums(X) > 0, by_hand(X, activation))


@pytest.mark.parametrize("activation", ["sign", "sigmoid"])
def test_few_rows_have_the_labels_they_have_among_many(activation):
    stacked = StackedVotes(*ARRAYS, activation=activation)
    for rows in (0, 1, 2, 10, 47, 48):
        assert np.array_equal(stacked.labels(X[:rows]), stacked.labels(X)[:rows])


def test_labels_do_not_depend_on_the_rows_beside(monkeypatch):
    stacked = StackedVotes(*ARRAYS)
    whole = stacked.labels(X)
    monkeypatch.setattr("scd.engine.forward._CHUNK_BYTES", 4 * 35 * 11)  # eleven rows at a time
    assert np.array_equal(stacked.labels(X), whole)
    assert np.array_equal(np.concatenate([stacked.labels(row[None]) for row in X]), whole)


@pytest.mark.parametrize("activation", ["sign", "sigmoid"])
def test_a_votes_probability_is_the_sigmoid_of_its_output(activation):
    X = np.random.default_rng(5).standard_normal((50, ARRAYS[0].shape[2])).astype(np.float32)
    hidden, thresholds, output, output_threshold = (np.asarray(a, dtype=np.float64) for a in ARRAYS)
    z = np.einsum("nd,vhd->nvh", X.astype(np.float64), hidden) - thresholds
    a = z > 0 if activation == "sign" else 1 / (1 + np.exp(-z))
    s = (a * output).sum(axis=2) - output_threshold
    stacked = StackedVotes(*ARRAYS, activation=activation)
    np.testing.assert_allclose(stacked.probabilities(X), 1 / (1 + np.exp(-s)), atol=1e-5)
    clear = np.abs(s) > 1e-5
    np.testing.assert_array_equal((stacked.probabilities(X) > 0.5)[clear], stacked.labels(X)[clear])


def test_float32_labels_differ_from_float64_only_within_rounding_of_a_threshold():
    """The bound of a dot product's rounding (Higham 2002, section 3.1): d u / (1 - d u) times sum(abs(x) * abs(W)).

    Thresholds are put on projections of the rows themselves, so that many units are that close to theirs.
    """
    rng, d = np.random.default_rng(1), 400
    x = rng.random((500, d)).astype(np.float32)
    hidden = rng.standard_normal((20, 8, d)).astype(np.float32)
    exact = np.einsum("nd,vhd->nvh", x.astype(np.float64), hidden.astype(np.float64))
    thresholds = exact[rng.integers(0, 500, 20), np.arange(20)].astype(np.float32)  # (20, 8), one row a vote
    output, output_threshold = rng.standard_normal((20, 8)), rng.standard_normal(20)
    labels = StackedVotes(hidden, thresholds, output, output_threshold).labels(x)
    on = exact > thresholds.astype(np.float64)
    wanted = ((on * output).sum(2) > output_threshold).astype(np.uint8)
    rounding = d * 2.0**-24 / (1 - d * 2.0**-24)
    bound = rounding * np.einsum("nd,vhd->nvh", np.abs(x).astype(np.float64), np.abs(hidden).astype(np.float64))
    near = (np.abs(exact - thresholds) <= bound).any(2)
    np.testing.assert_array_equal(labels[~near], wanted[~near])
    assert 20 <= near.sum() < 0.05 * near.size  # the chosen rows, and few others
