"""Features of chosen rows are the divided bytes, whatever instruction moves them."""

import numpy as np
import pytest
from numba import njit, types

from scd.search.cpu import llvm


@njit
def _taken(columns, divisor, active, out):
    planned = llvm.plan(columns, divisor, active)
    for j in range(len(columns)):
        llvm.take(columns[j], planned, out[j])


def _columns(kind, n, rng):
    return rng.integers(0, 256, (4, n), dtype=np.uint8) if kind == "u1" else rng.standard_normal((4, n)).astype("f4")


def _active(n, fraction, rng):
    """As the search orders them: rows of positive effect, then those of negative."""
    order = rng.permutation(n)[: max(1, round(fraction * n))]
    cut = rng.integers(0, len(order) + 1)
    return np.r_[np.sort(order[:cut]), np.sort(order[cut:])].astype(np.uint32)


@pytest.mark.parametrize("divisor", [1, 16, 255, 7, 49])
@pytest.mark.parametrize("kind", ["u1", "f4"])
def test_features_of_chosen_rows_are_the_divided_columns(kind, divisor):
    rng = np.random.default_rng(divisor)
    for n in (1, 7, 15, 16, 17, 31, 32, 33, 100, 1000):
        for fraction in (0, 0.03, 0.5, 0.75, 1):
            columns, active = _columns(kind, n, rng), _active(n, fraction, rng)
            out = np.full((4, len(active)), np.nan, dtype=np.float32)
            _taken(columns, np.float32(divisor), active, out)
            assert np.array_equal(out, columns[:, active].astype(np.float32) / np.float32(divisor)), (n, fraction)


def test_two_products_are_a_division_by_what_pixels_are_divided_by():
    assert all(llvm.inverse(np.float32(d))[2] for d in (1, 16, 255))


def test_features_without_the_instruction_that_moves_bytes(monkeypatch):
    monkeypatch.setattr(llvm, "_SHUFFLES", False)
    rng = np.random.default_rng(0)
    columns, active = _columns("u1", 50, rng), _active(50, 0.5, rng)
    matrix, row, rows = (
        types.Array(kind, d, "C") for kind, d in ((types.uint8, 2), (types.uint8, 1), (types.uint32, 1))
    )
    planned = llvm._plan(matrix, types.float32, rows)(columns, np.float32(255), active)
    out = np.empty(len(active), dtype=np.float32)
    llvm._take(row, types.Tuple((rows, types.float32)), types.Array(types.float32, 1, "C"))(columns[2], planned, out)
    assert np.array_equal(out, columns[2, active].astype(np.float32) / np.float32(255))
