"""Directions of low frequency: those of the dense basis that training has, of any free features, row by row."""

import numpy as np
import pytest

from attacks.engine.subspace import Subspace
from scd.engine.samples.basis import basis

SHAPE = (2, 9, 6)
D = 108


def expanded(space, coefficients, cuts=(0,)):
    out = np.full((len(coefficients), len(space.kept)), np.nan, dtype=np.float32)
    norm = np.full(len(coefficients), np.nan)
    for begin, end in zip(cuts, [*cuts[1:], len(coefficients)], strict=True):
        space.expand(coefficients, begin, end, out, norm)
    return out, norm


@pytest.mark.parametrize("kind", ["blocks", "dct"])
@pytest.mark.parametrize(("shape", "size"), [(SHAPE, 4), (SHAPE, "auto"), ((D,), 7), ((D,), D)])
def test_a_direction_is_the_combination_of_the_rows_of_the_basis(kind, shape, size):
    space = Subspace("A", kind, size, shape, D)
    rows = basis(kind, size, np.zeros((2, D), dtype=np.float32), shape)
    assert space.n_coefficients == len(rows)
    coefficients = np.random.default_rng(0).standard_normal((5, len(rows))).astype(np.float32)
    out, norm = expanded(space, coefficients)
    np.testing.assert_allclose(out, coefficients @ rows, atol=1e-5)
    np.testing.assert_allclose(norm, np.linalg.norm(coefficients, axis=1), rtol=1e-5)


def test_of_fixed_features_a_direction_has_only_the_part_in_the_others():
    free = np.arange(D) % 3 > 0
    coefficients = np.random.default_rng(0).standard_normal((3, 2 * 16)).astype(np.float32)
    whole, _ = expanded(Subspace("A", "dct", 4, SHAPE, D), coefficients)
    out, norm = expanded(Subspace("A", "dct", 4, SHAPE, D, free), coefficients)
    np.testing.assert_array_equal(out, whole[:, free])
    np.testing.assert_allclose(norm, np.linalg.norm(out, axis=1), rtol=1e-6)


def test_a_direction_does_not_depend_on_those_beside_it():
    space = Subspace("A", "dct", 4, SHAPE, D)
    coefficients = np.random.default_rng(0).standard_normal((9, 32)).astype(np.float32)
    for one, two in zip(expanded(space, coefficients), expanded(space, coefficients, (0, 1, 5)), strict=True):
        np.testing.assert_array_equal(one, two)
