"""The output node's search under cross-entropy has the loss of the reference and of a fine grid."""

import numpy as np
import pytest
import torch

from scd.search import reference
from tests.scd.search import cpu_kernel as cpu
from tests.scd.search.search_cases import form_of


def _case(seed, votes=3, n=60, h=5, spread=1.0, tied=False):
    rng = np.random.default_rng(seed)
    sums = rng.integers(-2, 3, (votes, n)) * 0.5 if tied else rng.standard_normal((votes, n)) * spread
    labels = torch.from_numpy((np.arange(n) >= n // 3).astype(np.int64))
    rows = torch.from_numpy(rng.random((votes, n)) < 0.75)
    rows[:, [0, n - 1]] = True  # at least one row of each class
    return (
        torch.from_numpy(sums.astype(np.float64)),
        torch.from_numpy(rng.integers(0, 2, (votes, h, n)).astype(np.uint8)),
        torch.from_numpy(np.tile(np.r_[0, np.repeat(np.arange(h), 2)], (votes, 1))),
        torch.from_numpy(np.tile(np.r_[0.0, np.tile([0.2, -0.2], h)], (votes, 1))),
        labels,
        rows,
    )


def _search(kernel, case):
    return kernel.search_logistic(case[0], form_of(kernel, case[1]), *case[2:])


def _loss(case, v, candidate, threshold):
    sums, inputs, features, steps, labels, rows = case
    q = sums[v] + steps[v, candidate] * inputs[v, features[v, candidate]]
    return reference.logistic_loss(q[rows[v]], torch.as_tensor(threshold), labels[rows[v]].double())


@pytest.mark.parametrize("spread", [1e-3, 1.0, 30.0, 200.0])
@pytest.mark.parametrize("tied", [False, True])
def test_cross_entropy_search_equal_to_the_reference(spread, tied):
    for seed in range(10):
        case = _case(seed, spread=spread, tied=tied)
        fast, slow = _search(cpu, case), _search(reference, case)
        torch.testing.assert_close(fast[2], slow[2], rtol=1e-6, atol=1e-6)
        for v in range(3):
            at_fast, at_slow = _loss(case, v, fast[0][v], fast[1][v]), _loss(case, v, slow[0][v], slow[1][v])
            torch.testing.assert_close(at_fast, at_slow, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("step", [0.2, 4.0, 30.0])  # of the last, nothing is ruled out
def test_cross_entropy_search_of_many_rows_and_more_nodes_than_a_word_has_bits(step):
    for seed in range(3):
        sums, inputs, features, steps, labels, rows = _case(seed, n=1500, h=40)
        case = (sums, inputs, features, steps / 0.2 * step, labels, rows)
        fast, slow = _search(cpu, case), _search(reference, case)
        assert torch.equal(fast[0], slow[0])
        torch.testing.assert_close(fast[1], slow[1], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(fast[2], slow[2], rtol=1e-9, atol=1e-9)


def test_a_step_that_the_threshold_undoes_is_no_better_than_none():
    """On an input that is off in all rows of the batch, or on: the first of these candidates is the unchanged one."""
    for seed in range(30):
        sums, inputs, features, steps, labels, rows = _case(seed, n=200, h=2)
        inputs[:, 0], inputs[:, 1] = 0, 1
        inputs[:, 0][~rows] = 1
        assert _search(cpu, (sums, inputs, features, steps, labels, rows))[0].tolist() == [0, 0, 0]


def test_cross_entropy_search_of_integer_sums_equal_to_the_reference():
    """Sums and steps of binary weights are integers, which the kernel counts instead of listing."""
    for seed in range(20):
        sums, inputs, features, steps, labels, rows = _case(seed, n=80)
        case = ((sums * 4).round(), inputs, features, (steps * 10).round(), labels, rows)
        fast, slow = _search(cpu, case), _search(reference, case)
        torch.testing.assert_close(fast[2], slow[2], rtol=1e-6, atol=1e-6)
        for v in range(3):
            at_fast, at_slow = _loss(case, v, fast[0][v], fast[1][v]), _loss(case, v, slow[0][v], slow[1][v])
            assert at_fast <= at_slow + 1e-6  # the best of all midpoints, not only of the two around the optimum


@pytest.mark.parametrize("tied", [False, True])
def test_cross_entropy_search_over_a_batch_of_all_rows(tied):
    """Rows of label 0 first, as in training, and nothing left out."""
    for seed in range(10):
        case = (*_case(seed, n=90, tied=tied)[:5], torch.ones(3, 90, dtype=torch.bool))
        fast, slow = _search(cpu, case), _search(reference, case)
        torch.testing.assert_close(fast[2], slow[2], rtol=1e-6, atol=1e-6)
        for v in range(3):
            at_fast, at_slow = _loss(case, v, fast[0][v], fast[1][v]), _loss(case, v, slow[0][v], slow[1][v])
            torch.testing.assert_close(at_fast, at_slow, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("extreme", [200.0, 320.0, 1500.0])
def test_cross_entropy_search_of_extreme_sums(extreme):
    """Large sums of correct and of misclassified rows: no overflow, the loss of the reference."""
    sums = torch.tensor([[-extreme, extreme, -extreme, extreme, 0.0, extreme]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1, 1, 1])
    inputs = torch.tensor([[[0, 1, 0, 1, 0, 1]]], dtype=torch.uint8)
    features, steps = torch.zeros(1, 3, dtype=torch.int64), torch.tensor([[0.0, 0.2, -0.2]], dtype=torch.float64)
    case = (sums, inputs, features, steps, labels, torch.ones(1, 6, dtype=torch.bool))
    fast, slow = _search(cpu, case), _search(reference, case)
    assert torch.isfinite(fast[2]).all()
    torch.testing.assert_close(fast[2], slow[2], rtol=1e-6, atol=1e-6)
    assert fast[0] == slow[0]


@pytest.mark.parametrize("kernel", [cpu, reference])
def test_cross_entropy_search_beats_every_threshold_of_a_fine_grid(kernel):
    case = _case(0)
    candidate, _, loss = _search(kernel, case)
    grid = torch.linspace(-8, 8, 1601, dtype=torch.float64)
    for v in range(3):
        tried = [min(_loss(case, v, c, t) for t in grid[::8]) for c in range(case[3].shape[1])]
        assert loss[v] <= min(tried) + 1e-9
        assert loss[v] == pytest.approx(min(_loss(case, v, candidate[v], t) for t in grid).item(), abs=1e-3)


@pytest.mark.parametrize("kernel", [cpu, reference])
def test_the_threshold_of_equal_sums_has_the_log_odds_of_the_labels(kernel):
    """All sums are 1: the optimum of the cross-entropy is sigmoid(1 - T) = fraction of label 1 = 3/4."""
    sums, inputs = torch.ones(1, 8, dtype=torch.float64), torch.zeros(1, 1, 8, dtype=torch.uint8)
    features, steps = torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, 1, dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1, 1, 1, 1, 1])
    found = _search(kernel, (sums, inputs, features, steps, labels, torch.ones(1, 8, dtype=torch.bool)))
    assert found[1].item() == pytest.approx(1 - np.log(3), abs=1e-6)
