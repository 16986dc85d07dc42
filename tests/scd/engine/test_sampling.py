"""The compiled draws are NumPy's own, and a vote's do not depend on what is drawn beside it or ahead."""

import numpy as np
import pytest
import torch

from scd import SCDClassifier
from scd.engine.sampling import Draws, draw_vote, leave_out, sample, sizes_of, states_of
from scd.seeds import generator_for


@pytest.mark.parametrize(
    ("n", "size"),
    [(1, 1), (2, 1), (3, 3), (20, 1), (5000, 1250), (3072, 128), (10_001, 250), (20_001, 401), (20_001, 1001)],
)
@pytest.mark.parametrize("seed", range(3))
def test_samples_are_those_of_numpy(n, size, seed):
    """One after the other from one generator, the half of 64 bits left over included."""
    generator = generator_for(seed, "vote", n)
    generator.integers(5, dtype=np.int32)
    state = states_of([generator])[0]
    taken = np.zeros(n, dtype=bool)
    for _ in range(3):
        kept, expected = np.ones(n, dtype=bool), np.ones(n, dtype=bool)
        leave_out(state, kept, size)
        expected[generator.choice(n, size, replace=False, shuffle=False)] = False
        np.testing.assert_array_equal(kept, expected)
        out = np.empty(size, dtype=np.int64)
        sample(state, out, taken)
        np.testing.assert_array_equal(out, generator.choice(n, size, replace=False))
        assert not taken.any()


def test_other_generators_are_refused():
    with pytest.raises(TypeError, match=r"Only PCG64 generators can be compiled\. Got MT19937\."):
        states_of([np.random.Generator(np.random.MT19937(0))])


def _draws(votes, block):
    settings = SCDClassifier(features_per_step=5, nodes_per_iter=2)._settings(30)
    draws = Draws([generator_for(0, "vote", v) for v in votes], (30, 40), 15, settings, torch.device("cpu"))
    draws.block = block
    return [draws.next() for _ in range(7)]


def test_a_vote_draws_the_same_alone_and_in_blocks():
    together, alone = _draws([0, 1, 2], block=1), _draws([1], block=4)
    for a, b in zip(together, alone, strict=True):
        assert torch.equal(a.batch[1], b.batch[0])
        assert torch.equal(a.nodes[:, 1], b.nodes[:, 0])
        assert torch.equal(a.features[:, 1], b.features[:, 0])
        assert a.batch.sum(1).tolist() == [round(0.75 * 15) + round(0.75 * 25)] * 3


def _batches(n, negatives, size, count):
    """(count, n) batches of `size` samples, one after the other."""
    sizes, run = sizes_of(SCDClassifier(batch_size=size, features_per_step=3)._settings(3), 3, n, negatives)
    state, batch = states_of([generator_for(0, "vote", 0)])[0], np.empty((count, n), dtype=bool)
    nodes, features = np.empty(1, dtype=np.int64), np.empty((1, 3), dtype=np.int64)
    for i in range(count):
        draw_vote(state, sizes, run, batch[i], nodes, features)
    return batch


@pytest.mark.parametrize(
    ("n", "negatives", "size", "expected"),
    [
        (1000, 300, 100, (30, 70)),
        (1000, 300, 2, (1, 1)),  # one of each class at least
        (1000, 300, 1000, (300, 700)),
        (1000, 300, 5000, (300, 700)),
        (2003, 1001, 600, (16 * 18, 16 * 18)),  # runs of 16 samples
        (2003, 1001, 500, (250, 250)),
    ],
)
def test_a_batch_of_a_given_size_has_the_classes_in_proportion(n, negatives, size, expected):
    batch = _batches(n, negatives, size, 20)
    assert (batch[:, :negatives].sum(1) == expected[0]).all()
    assert (batch[:, negatives:].sum(1) == expected[1]).all()


@pytest.mark.parametrize("size", [100, 700])
def test_every_sample_is_drawn_equally_often(size):
    count = 4000
    batch = _batches(1403, 701, size, count)
    drawn, p = batch.sum(0), batch.mean()
    assert abs(drawn - count * p).max() < 5 * np.sqrt(count * p * (1 - p))


def test_large_batches_are_runs_that_begin_anywhere():
    batch = _batches(1403, 701, 700, 300)[:, :701]
    begins = batch & ~np.roll(batch, 1, axis=1)  # on a circle
    lengths = batch.sum(1) / np.maximum(begins.sum(1), 1)
    assert (lengths >= 16).all()
    assert len(np.unique(np.nonzero(begins)[1])) > 650
