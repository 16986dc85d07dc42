"""Products of few inputs: the numbers of BLAS, whoever computes them."""

import pickle

import numpy as np
import pytest

from scd.engine import few_inputs
from scd.engine.few_inputs import UnitProducts

SHAPES = ((401, 700), (100, 3072), (3000, 90))  # units, features


def warm(units, features):
    """Products past the point where copying the weights pays, and 260 inputs."""
    rng = np.random.default_rng(units)
    products = UnitProducts(rng.standard_normal((units, features)).astype(np.float32))
    x = rng.random((260, features)).astype(np.float32)
    for _ in range(few_inputs._PATIENCE):
        products.write(x[:3], np.empty((3, units), dtype=np.float32))
    return products, x


def written(products, x):
    out = np.full((len(x), len(products.weights)), np.nan, dtype=np.float32)
    products.write(x, out)
    return out


@pytest.mark.parametrize("shape", SHAPES)
def test_every_number_of_inputs_has_the_bits_of_blas(shape):
    products, x = warm(*shape)
    for n in (1, 2, 3, 5, 6, 10, 14, 15, 29, 47, 48, 100, 256, 260):
        wanted = np.empty((n, shape[0]), dtype=np.float32)
        products._write_by_blas(x[:n], wanted)
        assert np.array_equal(written(products, x[:n]), wanted), n


def test_packed_products_are_exact_for_whole_numbers():
    rng = np.random.default_rng(1)
    products, _ = warm(401, 700)
    products.weights[:] = rng.integers(-7, 8, products.weights.shape)
    panels, ends = few_inputs._packed(products.weights), np.array([0, 1, 300, 699, 700])
    for n in range(1, 2 * few_inputs._TILE + 2):
        x = rng.integers(0, 8, (n, 700)).astype(np.float32)
        out = np.full((n, 401), np.nan, dtype=np.float32)
        products._write_packed(x, panels, ends, out)
        assert np.array_equal(out, x.astype(np.int64) @ products.weights.T.astype(np.int64)), n


def test_a_product_that_rounds_otherwise_is_left_to_blas():
    products, x = warm(401, 700)

    def by_float64(x, out):
        out[:] = x.astype(np.float64) @ products.weights.T.astype(np.float64)

    products._write_by_blas = by_float64
    wanted = np.empty((10, 401), dtype=np.float32)
    by_float64(x[:10], wanted)
    assert not np.array_equal(np.matmul(x[:10], products.weights.T), wanted)
    assert np.array_equal(written(products, x[:10]), wanted)


@pytest.mark.parametrize("features", [1, 90, 320, 321, 333, 700, 784, 3072])
def test_blocks_cover_all_features_once(features):
    for ends in few_inputs._block_ends(features):
        assert ends[0] == 0
        assert ends[-1] == features
        assert (np.diff(ends) > 0).all()


def test_a_pickle_holds_the_weights_once():
    products, x = warm(401, 700)
    before = written(products, x[:10])
    stored = pickle.dumps(products)
    assert len(stored) < 1.1 * products.weights.nbytes
    assert np.array_equal(written(pickle.loads(stored), x[:10]), before)
