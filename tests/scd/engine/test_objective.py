"""Scores are proportional to what they stand for; effects equal the change they predict."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from scd.engine.objective import correct_rows, cross_entropy_effects, zero_one_effects, zero_one_output_effects
from scd.engine.parameters import FIXED_POINT
from scd.engine.selection import SelectionScore

SIZES = [(1, 1), (5, 5), (2, 97), (640, 10), (5000, 5000)]


@pytest.mark.parametrize(("negatives", "positives"), SIZES)
@pytest.mark.parametrize("combined", [False, True])
def test_score_is_proportional_to_the_accuracies(negatives, positives, combined):
    """Exactly: score / (balanced accuracy [+ accuracy]) is one constant, over random confusion counts."""
    rng = np.random.default_rng(0)
    score = SelectionScore(negatives, positives)
    correct = np.stack([rng.integers(0, negatives + 1, 50), rng.integers(0, positives + 1, 50)], 1)
    correct[0] = negatives, positives
    scores = score.score(correct, combined)
    ratios = set()
    for (r0, r1), s in zip(correct.tolist(), scores.tolist(), strict=True):
        balanced = (Fraction(r0, negatives) + Fraction(r1, positives)) / 2
        stands_for = balanced + (Fraction(r0 + r1, negatives + positives) if combined else 0)
        if stands_for:
            ratios.add(Fraction(s) / stands_for)
        else:
            assert s == 0
    assert len(ratios) == 1


def test_the_fraction_that_is_shown_is_the_balanced_accuracy():
    assert SelectionScore(4, 10).as_fraction(np.array([[4, 10], [2, 5], [4, 0]])).tolist() == [1.0, 0.5, 0.5]


def test_correct_rows_are_counted_for_each_class():
    on = torch.tensor([[False, True, True, True, False]])
    assert correct_rows(on, 2).tolist() == [[1, 2]]


@pytest.mark.parametrize("weights", [(1, 1), (97, 2)])
def test_zero_one_effects_are_the_change_of_the_weighted_correct_count(weights):
    rng = np.random.default_rng(0)
    negatives, n = 30, 100
    off = torch.from_numpy(rng.integers(-3, 4, (2, n)) * 0.5)  # zeros too: a logit of 0 predicts label 0
    on = off + torch.tensor([[1.0], [-1.5]])
    batch = torch.from_numpy(rng.random((2, n)) < 0.75)
    effects = zero_one_effects(off, on, batch, negatives, weights)
    for _ in range(10):
        chosen = torch.from_numpy(rng.random((2, n)) < 0.5)  # the rows on which the node turns on
        before = _weighted_right(off, batch, negatives, weights)
        after = _weighted_right(torch.where(chosen, on, off), batch, negatives, weights)
        assert torch.equal((effects * chosen).sum(1), after - before)


def test_zero_one_output_effects_are_the_change_of_the_weighted_correct_count():
    rng = np.random.default_rng(1)
    batch = torch.from_numpy(rng.random((2, 50)) < 0.75)
    effects = zero_one_output_effects(batch, 20, (3, 7))
    nothing, chosen = torch.full((2, 50), -1.0), torch.from_numpy(rng.standard_normal((2, 50)))
    before, after = (_weighted_right(x, batch, 20, (3, 7)) for x in (nothing, chosen))
    assert torch.equal((effects * (chosen > 0)).sum(1), after - before)


@pytest.mark.parametrize("spread", [1.0, 40.0])
def test_cross_entropy_effects_are_the_decrease_of_the_loss(spread):
    """Up to the rounding to 1 / FIXED_POINT, half a unit a row."""
    rng = np.random.default_rng(2)
    negatives, n = 30, 100
    off = torch.from_numpy(rng.standard_normal((2, n)) * spread)
    on = off + torch.tensor([[0.7], [-1.3]], dtype=torch.float64)
    batch = torch.from_numpy(rng.random((2, n)) < 0.75)
    effects = cross_entropy_effects(off, on, batch, negatives)
    y = (torch.arange(n) >= negatives).double()
    chosen = torch.from_numpy(rng.random((2, n)) < 0.5)
    losses = [
        (torch.nn.functional.binary_cross_entropy_with_logits(s, y.expand(2, n), reduction="none") * batch).sum(1)
        for s in (off, torch.where(chosen, on, off))
    ]
    fall = (effects * chosen).sum(1).double() / FIXED_POINT
    torch.testing.assert_close(fall, losses[0] - losses[1], rtol=0, atol=n / 2 / FIXED_POINT)


def _weighted_right(logit, batch, negatives, weights):
    labels = torch.arange(logit.shape[1]) >= negatives
    correct = ((logit > 0) == labels) & batch
    return weights[0] * correct[:, :negatives].sum(1) + weights[1] * correct[:, negatives:].sum(1)
