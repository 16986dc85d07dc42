"""Inputs of the search kernels: random, tied, degenerate."""

import numpy as np
import pytest
import torch

from scd.search import Window


def _random(rng, votes, n, d):
    return rng.standard_normal((votes, n)), rng.random((d, n)), rng.integers(-9, 10, (votes, n))


def _tied(rng, votes, n, d):
    return rng.integers(-2, 3, (votes, n)), rng.integers(0, 2, (d, n)), rng.integers(-1, 2, (votes, n))


def _all_equal(rng, votes, n, d):
    return np.full((votes, n), 0.3), rng.integers(0, 2, (d, n)), rng.integers(-3, 4, (votes, n))


def _constant_columns(rng, votes, n, d):
    return rng.standard_normal((votes, n)), np.full((d, n), 0.5), rng.integers(-3, 4, (votes, n))


def _nothing_active(rng, votes, n, d):
    return rng.standard_normal((votes, n)), rng.random((d, n)), np.zeros((votes, n))


def _one_active(rng, votes, n, d):
    effects = np.zeros((votes, n))
    effects[np.arange(votes), rng.integers(0, n, votes)] = rng.choice([-2, 2], votes)
    return rng.standard_normal((votes, n)), rng.random((d, n)), effects


def _all_negative(rng, votes, n, d):
    return rng.standard_normal((votes, n)), rng.random((d, n)), -rng.integers(1, 5, (votes, n))


def _all_positive(rng, votes, n, d):
    return rng.standard_normal((votes, n)), rng.random((d, n)), rng.integers(1, 5, (votes, n))


def _large_effects(rng, votes, n, d):
    return rng.standard_normal((votes, n)), rng.random((d, n)), rng.integers(-(2**40), 2**40, (votes, n))


def _just_beyond_int32(rng, votes, n, d):
    return (
        rng.standard_normal((votes, n)),
        rng.random((d, n)),
        rng.choice([-(2**31) // n - 1, 2**31 // n + 1], (votes, n)),
    )


def _just_within_int32(rng, votes, n, d):
    signs = rng.choice([-1, 1], (votes, n), p=[0.1, 0.9] if n % 2 else [0.9, 0.1])
    return rng.standard_normal((votes, n)), rng.random((d, n)), signs * (2**31 // n - 1)


def _outlier(rng, votes, n, d):
    p = rng.standard_normal((votes, n)) * 1e-3
    p[:, 0] = 1e6  # nearly all rows in one bin of a histogram
    return p, rng.random((d, n)), rng.integers(-9, 10, (votes, n))


KINDS = {
    "random": _random,
    "tied": _tied,
    "all_equal": _all_equal,
    "constant_columns": _constant_columns,
    "nothing_active": _nothing_active,
    "one_active": _one_active,
    "all_negative": _all_negative,
    "all_positive": _all_positive,
    "large_effects": _large_effects,
    "just_beyond_int32": _just_beyond_int32,
    "just_within_int32": _just_within_int32,
    "outlier": _outlier,
}
SUMS_IN_INT64 = ("large_effects", "just_beyond_int32")
CASES = [pytest.param(kind, marks=[pytest.mark.thorough] * (kind in SUMS_IN_INT64)) for kind in KINDS]
"""The kinds, for kernels that are compiled for sums in int64 apart."""


def make_case(kind, seed, votes=3, n=40, d=6, window=None):
    """Arguments of a search; `window` is a radius, ranks then being counted among three quarters of the rows."""
    rng = np.random.default_rng(seed)
    p, columns, effects = KINDS[kind](rng, votes, n, d)
    features = np.stack([np.repeat(rng.permutation(d), 2) for _ in range(votes)])
    steps = np.tile([0.25, -0.25], (votes, d))
    steps[:, 0] = 0.0  # the unchanged weights
    case = {
        "projections": torch.from_numpy(np.asarray(p, dtype=np.float32)),
        "columns": torch.from_numpy(np.asarray(columns, dtype=np.float32)),
        "features": torch.from_numpy(features.astype(np.int64)),
        "steps": torch.from_numpy(steps.astype(np.float32)),
        "effects": torch.from_numpy(np.asarray(effects, dtype=np.int64)),
    }
    if window is not None:
        rows = torch.from_numpy(rng.random((votes, n)) < 0.75)
        rows[:, 0] = True
        case["effects"] *= rows
        current = rng.choice(case["projections"].numpy().ravel(), votes) + rng.choice([0.0, 0.01, -50.0, 50.0], votes)
        case["window"] = Window(rows, torch.from_numpy(current.astype(np.float32)), window)
    return case


def form_of(kernel, active):
    """Activations (V, h, n) uint8 in the form in which this kernel takes them."""
    return kernel.activations(active.float(), torch.full(active.shape[:2], 0.5))


def same(first, second):
    """Whether two results agree in candidate, threshold (NaN equals NaN) and gain."""
    return (
        torch.equal(first.candidate, second.candidate)
        and np.array_equal(first.threshold.numpy(), second.threshold.numpy(), equal_nan=True)
        and torch.equal(first.gain, second.gain)
    )
