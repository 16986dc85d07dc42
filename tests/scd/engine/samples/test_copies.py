"""Copies of the samples: noise of the given size, mirror images of half of them, drawn again before each move."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from scd import SCDClassifier
from scd.engine.samples.copies import Copies, mirrored
from tests.scd.engine.samples.test_basis import KINDS, SHAPE, images

SETTINGS = {"n_iter": 60, "hidden_nodes": 6, "device": "cpu", "random_state": 4, "feature_shape": SHAPE}
ADVERSARIAL = {**SETTINGS, "n_iter": 250, "adversarial": 0.5}


def same(first, second):
    """Whether votes have the same bits."""
    return all(np.array_equal(a[name], b[name]) for a, b in zip(first, second, strict=True) for name in a)


def test_a_mirror_image_has_its_columns_reversed():
    x, _ = images(5)
    turned = mirrored(x, SHAPE)
    np.testing.assert_array_equal(turned.reshape(5, *SHAPE)[:, 1, 2, 0], x.reshape(5, *SHAPE)[:, 1, 2, -1])
    np.testing.assert_array_equal(mirrored(turned, SHAPE), x)


def test_each_sample_of_a_copy_is_itself_or_its_mirror_image():
    x, _ = images(400)
    turned = mirrored(x, SHAPE)
    drawn = Copies(x, turned, (0.0, 0.0)).draw(np.random.default_rng(0))
    of_images = [(copy == turned).all(axis=1) for copy in (drawn[:400], drawn[400:])]
    for copy, which in zip((drawn[:400], drawn[400:]), of_images, strict=True):
        np.testing.assert_array_equal(copy, np.where(which[:, None], turned, x))
        assert 150 < which.sum() < 250  # 200 +- 5 standard deviations of 10
    assert 150 < (of_images[0] != of_images[1]).sum() < 250


def test_the_noise_of_a_copy_has_its_standard_deviation():
    x, _ = images(400)
    drawn = Copies(x, None, (0.1, 0.4)).draw(np.random.default_rng(0))
    assert [np.std(copy - x) for copy in (drawn[:400], drawn[400:])] == pytest.approx([0.1, 0.4], rel=0.02)


@pytest.mark.parametrize("kind", ["pixels", *KINDS])
def test_votes_learn_what_is_on_one_side_only_of_all_samples(kind):
    """The class is the mean of the left half: a vote that also sees mirror images is right on both sides."""
    x, y = images()
    model = SCDClassifier(n_votes=3, basis=kind, basis_size=4, noise=(0.0, 0.0), **SETTINGS)
    plain = model.set_params(mirrored=False).fit(x, y).score(mirrored(x, SHAPE), y)
    turned = model.set_params(mirrored=True).fit(x, y).score(mirrored(x, SHAPE), y)
    assert turned > max(plain, 0.85)


def test_copies_are_drawn_again_before_each_move(monkeypatch):
    draws, draw = [], Copies.draw

    def kept(self, generator):
        draws.append(draw(self, generator))
        return draws[-1]

    monkeypatch.setattr(Copies, "draw", kept)
    x, y = images()
    SCDClassifier(n_votes=1, mirrored=True, **ADVERSARIAL).fit(x, y)
    assert len(draws) == 3  # of 250 iterations: before the first, the 101st and the 201st
    assert not any(np.array_equal(a, b) for a, b in pairwise(draws))
    SCDClassifier(n_votes=1, **ADVERSARIAL).fit(x, y)
    assert len(draws) == 4


@pytest.mark.parametrize("settings", [SETTINGS, ADVERSARIAL], ids=["still", "moved"])
def test_a_vote_does_not_depend_on_the_votes_asked_for(monkeypatch, settings):
    monkeypatch.setattr(SCDClassifier, "shard_votes", 2)
    x, y = images()
    model = SCDClassifier(n_votes=4, mirrored=True, basis="blocks", basis_size=3, noise=(0.1,), **settings)
    whole = model.fit(x, y).votes_
    parts = [model.fit_votes(x, y, votes) for votes in (range(1), range(1, 3), range(3, 4))]
    assert same([vote for part in parts for vote in part], whole)
    assert not same(model.set_params(mirrored=False).fit(x, y).votes_, whole)


def test_a_loaded_ensemble_grows_with_mirror_images(tmp_path):
    x, y = images(60)
    model = SCDClassifier(n_votes=1, mirrored=True, **SETTINGS).fit(x, y)
    model.save(tmp_path / "model.npz")
    loaded = SCDClassifier.load(tmp_path / "model.npz")
    assert loaded.mirrored is True
    with pytest.raises(ValueError, match=r"warm_start .* mirrored was True"):
        loaded.set_params(warm_start=True, n_votes=2, mirrored=False).fit(x, y)


@pytest.mark.parametrize("shape", [None, (162,), (3, 9, 7)])
def test_samples_that_are_no_images_are_refused(shape):
    with pytest.raises(
        ValueError, match=r"The 'mirrored' parameter of SCDClassifier must be False unless feature_shape"
    ):
        SCDClassifier(n_votes=1, mirrored=True, **{**SETTINGS, "feature_shape": shape}).fit(*images(20))
