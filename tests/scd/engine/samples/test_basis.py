"""Training on coefficients: the directions are orthonormal, and the weights fold back into weights of the features."""

from __future__ import annotations

import numpy as np
import pytest

from scd import SCDClassifier
from scd.engine.forward import StackedVotes
from scd.engine.samples.basis import basis, coefficients, folded

SHAPE = (3, 9, 6)
KINDS = ("blocks", "dct", "pca")
SETTINGS = {"n_votes": 3, "n_iter": 60, "hidden_nodes": 6, "device": "cpu", "random_state": 4}


def images(n=200, shape=SHAPE, seed=0):
    """Smooth random images, of which the mean of the left half decides the class."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(n, *shape)) * 0.3
    y = rng.integers(0, 2, n)
    x[..., : shape[-1] // 2] += 0.3 * y[(slice(None),) + (None,) * len(shape)]
    return x.reshape(n, -1).astype(np.float32), y


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("shape", "size"), [(SHAPE, 4), ((162,), 7)])
def test_the_directions_are_orthonormal(kind, shape, size):
    x, _ = images()
    rows = basis(kind, size, x, shape)
    k = size if kind == "pca" or len(shape) == 1 else 3 * size**2
    assert rows.shape == (k, 162)
    np.testing.assert_allclose(rows @ rows.T, np.eye(k), atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_distances_of_coefficients_are_those_of_the_inputs_projections(kind):
    x, _ = images()
    rows = basis(kind, 5, x, SHAPE)
    z = coefficients(x, rows)
    inside = x @ rows.T @ rows
    gaps = np.linalg.norm(inside[:50] - inside[50:100], axis=1)
    np.testing.assert_allclose(np.linalg.norm(z[:50] - z[50:100], axis=1), gaps, rtol=1e-4)
    assert (gaps <= np.linalg.norm(x[:50] - x[50:100], axis=1) + 1e-5).all()


def test_a_block_coefficient_is_the_mean_times_the_root_of_the_number_of_pixels():
    x, _ = images(1, (1, 4, 6))
    z = coefficients(x, basis("blocks", 2, x, (1, 4, 6)))
    means = x.reshape(2, 2, 2, 3).mean(axis=(1, 3)).ravel()
    np.testing.assert_allclose(z[0], means * np.sqrt(6), rtol=1e-5)


def test_all_frequencies_are_a_rotation():
    x, _ = images(20, (1, 5, 5))
    z = coefficients(x, basis("dct", 5, x, (1, 5, 5)))
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), np.linalg.norm(x, axis=1), rtol=1e-5)
    np.testing.assert_allclose(z[:, 0], x.sum(1) / 5, rtol=1e-5)  # the lowest frequency is the mean


@pytest.mark.parametrize(
    ("kind", "shape", "k"),
    [("blocks", SHAPE, 3 * 6 * 6), ("dct", (1, 9, 18), 64), ("dct", (162,), 32), ("pca", None, 100)],
)
def test_the_automatic_size_is_at_most_what_the_samples_have(kind, shape, k):
    assert basis(kind, "auto", images()[0], shape).shape == (k, 162)
    assert basis("pca", "auto", images(9)[0]).shape == (8, 162)


@pytest.mark.parametrize("few", [True, False])
def test_principal_components_are_those_of_the_covariance(few):
    x, _ = images(40 if few else 200)
    rows = basis("pca", 3, x).astype(np.float64)
    values = np.linalg.eigvalsh(np.cov(x.T.astype(np.float64)))[::-1]
    np.testing.assert_allclose(np.cov(rows @ x.T.astype(np.float64)), np.diag(values[:3]), atol=1e-4 * values[0])


@pytest.mark.parametrize(("loss", "weights"), [("01", "real"), ("ce", "real"), ("ce", "binary"), ("01", "binary")])
def test_a_folded_vote_predicts_as_on_the_coefficients(loss, weights):
    x, y = images()
    rows = basis("blocks", 3, x, SHAPE)
    z = coefficients(x, rows)
    inner = SCDClassifier(loss, weights, **SETTINGS).fit(z, y)
    votes = [folded(vote, rows) for vote in inner.votes_]
    stacked = {name: np.stack([vote[name] for vote in votes]) for name in votes[0] if name != "train_right"}
    np.testing.assert_array_equal(StackedVotes(**stacked).labels(x), inner.votes(z))
    norms = [np.linalg.norm(vote["hidden"], axis=1) for vote in votes]
    np.testing.assert_allclose(norms, [np.linalg.norm(vote["hidden"], axis=1) for vote in inner.votes_], rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_trained_weights_are_weights_of_the_features(kind, tmp_path):
    x, y = images()
    model = SCDClassifier(basis=kind, basis_size=3, feature_shape=SHAPE, noise=(0, 0.1), **SETTINGS).fit(x, y)
    rows = basis(kind, 3, x, SHAPE)
    assert model.score(x, y) > 0.85  # the better half of a coin is 0.5
    for vote in model.votes_:
        assert vote["hidden"].shape == (6, 162)
        np.testing.assert_allclose(vote["hidden"] @ rows.T @ rows, vote["hidden"], atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(vote["hidden"], axis=1), 1, rtol=1e-5)  # loss="01"
        labels = StackedVotes(**{k: v[None] for k, v in vote.items() if k != "train_right"}).labels(x)[:, 0]
        np.testing.assert_array_equal(vote["train_right"], [(labels[y == c] == c).sum() for c in (0, 1)])
    model.save(tmp_path / "model.npz")
    loaded = SCDClassifier.load(tmp_path / "model.npz")
    assert loaded.set_params(device="cpu").get_params() == model.get_params()
    np.testing.assert_array_equal(loaded.votes(x), model.votes(x))
    assert loaded.certified_radius(x[:3], y[:3]).max() > 0
    grown = loaded.set_params(warm_start=True, n_votes=4, noise=[0, 0.1]).fit(x, y)  # a list is the same
    whole = SCDClassifier(
        basis=kind, basis_size=3, feature_shape=SHAPE, noise=(0, 0.1), **{**SETTINGS, "n_votes": 4}
    ).fit(x, y)
    np.testing.assert_array_equal(grown.votes(x), whole.votes(x))


def test_the_default_trains_on_the_features_as_they_are():
    x, y = images()
    plain = SCDClassifier(**SETTINGS).fit(x, y)
    same = SCDClassifier(basis="pixels", basis_size=999, feature_shape=(5,), noise=[0], **SETTINGS).fit(x, y)
    for a, b in zip(plain.votes_, same.votes_, strict=True):
        assert all(np.array_equal(a[name], b[name]) for name in a)


def test_noise_comes_from_the_seed_and_is_the_same_for_every_shard():
    x, y = images()
    model = SCDClassifier(noise=(0.2, 0.2), **SETTINGS)
    whole, part = model.fit_votes(x, y, range(3)), model.fit_votes(x, y, range(1, 3))
    np.testing.assert_array_equal(whole[1]["hidden"], part[0]["hidden"])
    other = SCDClassifier(noise=(0.2, 0.4), **SETTINGS).fit_votes(x, y, range(1))
    assert not np.array_equal(whole[0]["hidden"], other[0]["hidden"])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"basis": "fourier"}, "The 'basis' parameter of SCDClassifier must be a str among"),
        ({"basis": "dct", "basis_size": 0}, "The 'basis_size' parameter of SCDClassifier must be an int"),
        ({"basis": "dct", "feature_shape": SHAPE, "basis_size": 7}, "must be at most 6, the shortest axis"),
        ({"basis": "blocks", "feature_shape": (3, 9, 7)}, "with a product of 162, the number of features"),
        ({"basis": "blocks", "feature_shape": (27, 6)}, "must be .channels, height, width. or .d,. with a product"),
        ({"basis": "pca", "basis_size": 163}, "must be at most 162 for 200 samples of 162 features"),
        ({"noise": ()}, "The 'noise' parameter of SCDClassifier must be a sequence of standard deviations"),
        ({"noise": (-0.1,)}, "The 'noise' parameter of SCDClassifier must be a sequence of standard deviations"),
        ({"noise": ("a",)}, "The 'noise' parameter of SCDClassifier must be a sequence of standard deviations"),
        ({"noise": 0.4}, "The 'noise' parameter of SCDClassifier must be an instance of"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(params, message):
    with pytest.raises(ValueError, match=message):
        SCDClassifier(**params, **SETTINGS).fit(*images())
