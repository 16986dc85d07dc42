"""The compiled draws are NumPy's own, and a vote's do not depend on what is drawn beside it or ahead."""

import numpy as np
import pytest
import torch

from scd import SCDClassifier
from scd.engine.sampling import Draws, leave_out, sample, states_of
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
