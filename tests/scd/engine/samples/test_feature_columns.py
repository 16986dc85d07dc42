"""Samples as columns lose nothing, in memory or on disk."""

import errno

import numpy as np
import pytest

from scd import SCDClassifier
from scd.engine.samples.feature_columns import as_columns


def test_samples_become_bytes_only_where_nothing_is_lost():
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (50, 7)).astype(np.float32)
    levels[0, 0] = 255
    for divisor in (255.0, 1.0):
        columns, found = as_columns(levels / np.float32(divisor))
        assert (columns.dtype, found) == (np.uint8, divisor)
        np.testing.assert_array_equal(columns.astype(np.float32) / np.float32(found), (levels / np.float32(divisor)).T)
    spoiled = levels / np.float32(255)
    spoiled[-1, -1] = np.nextafter(spoiled[-1, -1], np.float32(2))
    columns, found = as_columns(spoiled)
    assert (columns.dtype, found) == (np.float32, 1.0)
    np.testing.assert_array_equal(columns, spoiled.T)
    assert as_columns(-levels)[0].dtype == np.float32


@pytest.mark.parametrize("memory", [None, 1])
@pytest.mark.parametrize("scale", [1, 0.3])
def test_columns_have_the_given_order_also_from_and_to_a_memory_map(tmp_path, scale, memory):
    rng = np.random.default_rng(0)
    rows = (rng.integers(0, 256, (2500, 7)) * scale / 255).astype(np.float32)
    mapped = np.memmap(tmp_path / "rows", dtype=np.float32, mode="w+", shape=rows.shape)
    mapped[:] = rows
    order = rng.permutation(len(rows))
    columns, divisor = as_columns(mapped, order, memory)
    assert isinstance(columns, np.memmap) == (memory == 1)
    assert columns.dtype == (np.uint8 if scale == 1 else np.float32)
    np.testing.assert_array_equal(columns.astype(np.float32) / np.float32(divisor), rows[order].T)


def test_a_fit_with_columns_on_disk_is_the_same_and_a_full_disk_is_reported(digits, monkeypatch):
    X, y = digits[:2]
    small = {"n_votes": 2, "n_iter": 20, "random_state": 0}
    first, second = SCDClassifier(**small).fit(X, y), SCDClassifier(**small, memory_budget=1000).fit(X, y)
    for one, other in zip(first.votes_, second.votes_, strict=True):
        np.testing.assert_array_equal(one["hidden"], other["hidden"])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match=r"columns take .* bytes, more than memory_budget, .*No space left.*move TMPDIR"):
        SCDClassifier(**small, memory_budget=1000).fit(X, y)


@pytest.mark.parametrize("value", [3e38, -3e38])
def test_features_near_the_end_of_float32_are_refused_in_one_sentence(digits, value):
    X = digits[0].copy()
    X[5, 3] = value
    with pytest.raises(ValueError, match=r"features must be numbers between -1e\+30 and 1e\+30.*Got -?3e\+38"):
        SCDClassifier(n_votes=1, n_iter=2).fit(X, digits[1])
