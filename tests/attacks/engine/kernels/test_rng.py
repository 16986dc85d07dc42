"""The noise has the distributions it claims, and a row is a function of its key and number alone."""

import math

import numpy as np
import pytest

from attacks.engine.kernels.rng import NORMAL, UNIFORM, UNIT, fill_noise
from scd.seeds import stream_key


def draw(kind, rows, d, key=("test",), first=0):
    out, norm = np.empty((rows, d), np.float32), np.empty(rows)
    keys = stream_key(*key)[None]
    fill_noise(keys, np.zeros(rows, np.int64), np.arange(first, first + rows), kind, 0, rows, out, norm)
    return out, norm


def kolmogorov(sample, cdf):
    """Kolmogorov-Smirnov statistic times sqrt(n); above 1.95 with probability 0.001 under the law."""
    values = cdf(np.sort(sample.astype(np.float64).ravel()))
    n = len(values)
    grid = np.arange(n + 1) / n
    return math.sqrt(n) * max(np.max(grid[1:] - values), np.max(values - grid[:-1]))


@pytest.mark.parametrize(
    ("kind", "cdf"),
    [
        (UNIT, lambda v: v),
        (UNIFORM, lambda v: (v + 1) / 2),
        (NORMAL, lambda v: 0.5 * (1 + np.vectorize(math.erf)(v / math.sqrt(2)))),
    ],
    ids=["uniform", "symmetric", "normal"],
)
@pytest.mark.parametrize("d", [1, 3, 300])
def test_noise_has_the_distribution_of_its_kind(kind, cdf, d):
    assert kolmogorov(draw(kind, 300_000 // d, d)[0], cdf) < 1.95


def test_normal_moments_and_tail():
    sample = draw(NORMAL, 2000, 1000)[0].astype(np.float64)
    n = sample.size
    # standard errors of the moments of n standard normal numbers: sqrt(1/n), sqrt(2/n), sqrt(15/n), sqrt(96/n)
    for power, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((sample**power).mean() - expected) < 4 * math.sqrt(variance / n)
    tail = (np.abs(sample) > 4).mean()
    assert 0.5 < tail / math.erfc(4 / math.sqrt(2)) < 1.5


def test_columns_and_rows_are_uncorrelated():
    sample = draw(NORMAL, 4000, 129)[0].astype(np.float64)  # 129: one column beyond a whole tile
    columns = np.corrcoef(sample.T) - np.eye(129)
    assert np.abs(columns).max() < 5.5 / math.sqrt(4000)
    rows = (sample[1:] * sample[:-1]).mean()
    assert abs(rows) < 4 / math.sqrt(sample.size)


def test_a_row_depends_on_its_key_and_number_only():
    whole, norm = draw(NORMAL, 50, 200)
    part, part_norm = draw(NORMAL, 10, 200, first=20)
    assert part.tobytes() == whole[20:30].tobytes()
    np.testing.assert_array_equal(part_norm, norm[20:30])
    np.testing.assert_allclose(norm, np.linalg.norm(whole.astype(np.float64), axis=1), rtol=1e-6)
    assert draw(NORMAL, 1, 200, key=("other",))[0].tobytes() != whole[0].tobytes()


def test_different_names_have_different_keys():
    names = [(0, 1), (1, 0), (-1, 0), (0,), (0, 0), (2**64, 1), ("0", 1), (0, 1, "a"), (0, 1, "b")]
    assert len({stream_key(*name).tobytes() for name in names}) == len(names)
    assert stream_key(np.int64(3), "a").tobytes() == stream_key(3, "a").tobytes()
