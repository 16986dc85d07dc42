"""Adversarial training: moves stay within their radius and the box, and a vote depends on its group alone."""

from __future__ import annotations

import numpy as np
import pytest

from scd import SCDClassifier
from scd.engine.adversarial import groups_of, moved
from scd.engine.samples.feature_columns import as_columns
from tests.scd.engine.samples.test_basis import SHAPE, images

SETTINGS = {"n_iter": 250, "hidden_nodes": 6, "device": "cpu", "random_state": 4}
ADVERSARIAL = {**SETTINGS, "adversarial": 0.5}
BLOCKS = {"basis": "blocks", "basis_size": 3, "feature_shape": SHAPE, "noise": (0.1,)}


def same(first, second):
    """Whether votes have the same bits."""
    return len(first) == len(second) and all(
        np.array_equal(a[name], b[name]) for a, b in zip(first, second, strict=True) for name in a
    )


@pytest.fixture(autouse=True)
def groups_of_four(monkeypatch):
    monkeypatch.setattr(SCDClassifier, "shard_votes", 4)


@pytest.mark.parametrize("radius", [1e-3, 0.3, 5.0])
def test_moves_stay_within_the_radius_and_the_box_and_turn_votes(radius):
    x, y = images()
    model = SCDClassifier(n_votes=4, **SETTINGS).fit(x, y)
    radii = np.linspace(0, radius, len(x), dtype=np.float32)
    away = moved(model._forward, x, y, radii, 8 / radius)
    assert away.dtype == np.float32
    lengths = np.linalg.norm(away.astype(np.float64) - x, axis=1)
    assert (lengths <= radii * (1 + 1e-4) + 1e-6).all()
    assert lengths.max() > 0.9 * radius or radius > 1  # the box is smaller
    assert (away >= x.min(axis=0)).all()
    assert (away <= x.max(axis=0)).all()
    correct = [(model.votes(some) == y[:, None]).mean() for some in (x, away)]
    assert correct[1] < correct[0] - 0.1 or radius < 0.1  # too short


def test_a_random_move_of_the_same_length_turns_fewer_votes():
    x, y = images()
    model = SCDClassifier(n_votes=4, **SETTINGS).fit(x, y)
    away = moved(model._forward, x, y, np.full(len(x), 0.3, dtype=np.float32), 8 / 0.3)
    noise = np.random.default_rng(0).standard_normal(x.shape)
    noise *= np.linalg.norm(away - x, axis=1, keepdims=True) / np.linalg.norm(noise, axis=1, keepdims=True)
    turned = [(model.votes(some) != y[:, None]).mean() for some in (x + noise, away)]
    assert turned[1] > 2 * turned[0]


def test_a_distance_of_zero_changes_no_bit():
    x, y = images()
    for more in ({}, BLOCKS):
        plain = SCDClassifier(n_votes=3, **SETTINGS, **more).fit(x, y)
        zero = SCDClassifier(n_votes=3, **SETTINGS, **more, adversarial=0).fit(x, y)
        assert same(plain.votes_, zero.votes_)
        other = SCDClassifier(n_votes=3, **SETTINGS, **more, adversarial=0.5).fit(x, y)
        assert not same(plain.votes_, other.votes_)


@pytest.mark.parametrize("loss", ["01", pytest.param("ce", marks=pytest.mark.thorough)])
@pytest.mark.parametrize("more", [{}, BLOCKS], ids=["pixels", "blocks"])
def test_a_vote_does_not_depend_on_threads_memory_or_the_votes_asked_for(loss, more):
    x, y = images()
    whole = SCDClassifier(loss, n_votes=7, **ADVERSARIAL, **more, n_jobs=1).fit(x, y)
    other = SCDClassifier(loss, n_votes=7, **ADVERSARIAL, **more, n_jobs=3, memory_budget="20KB").fit(x, y)
    assert same(whole.votes_, other.votes_)
    parts = [whole.fit_votes(x, y, votes) for votes in (range(1), range(1, 6), range(6, 7))]
    assert same([vote for part in parts for vote in part], whole.votes_)
    grown = SCDClassifier(loss, n_votes=2, **ADVERSARIAL, **more, warm_start=True).fit(x, y)
    assert same(grown.votes_, whole.votes_[:2])
    assert same(grown.set_params(n_votes=7).fit(x, y).votes_, whole.votes_)
    assert [len(history["iteration"]) for history in grown.history_] == [10] * 7


def test_votes_are_trained_against_their_group():
    x, y = images()
    of_four = SCDClassifier(n_votes=4, **ADVERSARIAL).fit(x, y)
    SCDClassifier.shard_votes = 2
    of_two = SCDClassifier(n_votes=4, **ADVERSARIAL).fit(x, y)
    assert not same(of_four.votes_[:1], of_two.votes_[:1])


@pytest.mark.parametrize("loss", ["01", pytest.param("ce", marks=pytest.mark.thorough)])
def test_the_reference_trains_the_same_votes_up_to_rounding(loss):
    x, y = images()
    settings = {**ADVERSARIAL, "n_iter": 125}  # the samples are moved after a hundred
    fast, slow = (
        SCDClassifier(loss, n_votes=4, **settings, backend=backend).fit(x, y) for backend in ("cpu", "reference")
    )
    assert (fast.votes(x) == slow.votes(x)).mean() > 0.95


@pytest.mark.parametrize(("n_iter", "expected"), [(10, [10]), (100, [100]), (250, [100, 200, 250])])
def test_samples_are_moved_after_every_hundred_iterations(monkeypatch, n_iter, expected):
    from scd.search.cpu.descent import CpuDescent

    ends, run = [], CpuDescent.run

    def counted(self, progress=None, stop=None, until=None):
        ends.append(until)
        return run(self, progress, stop, until)

    monkeypatch.setattr(CpuDescent, "run", counted)
    x, y = images(40)
    SCDClassifier(n_votes=1, **{**ADVERSARIAL, "n_iter": n_iter}).fit(x, y)
    assert ends == expected


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_descent_continues_on_the_samples_it_is_given(backend):
    """Replaced samples are those that the rest of the training sees: its best networks are the best on them."""
    from scd.engine.training import training_with
    from scd.search import backend as named

    x, y = images(60)
    y = np.sort(y)
    kernel, settings = named(backend), SCDClassifier(**SETTINGS)._settings(x.shape[1])
    columns = as_columns(x, bytes_if_exact=False)[0]
    descent = training_with(kernel)(columns, 1.0, int((y == 0).sum()), settings, range(3), 0, kernel)
    descent.run(until=50)
    other = images(30, seed=9)[0]
    descent.replace(np.arange(10, 40), other)
    now = x.copy()
    now[10:40] = other
    for until in (50, 75, 100):
        descent.run(until=until)
        model = SCDClassifier(n_votes=3, device="cpu").use_votes([descent.network(v) for v in range(3)], (0, 1), 162)
        right = model.votes(now) == y[:, None]
        expected = np.stack([right[y == label].sum(axis=0) for label in (0, 1)], axis=1)
        np.testing.assert_array_equal(descent.best_correct, expected)


def test_columns_of_bytes_are_floats_where_they_will_change():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert as_columns(x)[0].dtype == np.uint8
    columns, divisor = as_columns(x, bytes_if_exact=False)
    assert (columns.dtype, divisor) == (np.float32, 1.0)
    np.testing.assert_array_equal(columns, x.T)


def test_groups_hold_all_votes_asked_for():
    assert groups_of(range(3), 4) == [range(4)]
    assert groups_of(range(3, 9), 4) == [range(4), range(4, 8), range(8, 12)]
    assert groups_of(range(4, 8), 4) == [range(4, 8)]


def test_a_saved_ensemble_keeps_its_distance(tmp_path):
    x, y = images(60)
    model = SCDClassifier(n_votes=1, **ADVERSARIAL).fit(x, y)
    model.save(tmp_path / "model.npz")
    assert SCDClassifier.load(tmp_path / "model.npz").adversarial == 0.5
    with pytest.raises(ValueError, match=r"warm_start .* adversarial was 0\.5"):
        model.set_params(warm_start=True, n_votes=2, adversarial=0.25).fit(x, y)


@pytest.mark.parametrize("bad", [-0.1, np.inf, np.nan, "1", None])
def test_a_bad_distance_is_refused(bad):
    with pytest.raises(ValueError, match=r"The 'adversarial' parameter of SCDClassifier must be a float in"):
        SCDClassifier(adversarial=bad).fit(*images(20))


def test_early_stopping_is_refused():
    with pytest.raises(ValueError, match=r"'adversarial' .* must be 0 where n_iter_no_change is given.* Got 0\.5"):
        SCDClassifier(**ADVERSARIAL, n_iter_no_change=50).fit(*images(20))
