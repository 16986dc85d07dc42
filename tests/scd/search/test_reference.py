"""The reference search against every threshold tried by hand, on tiny inputs."""

import numpy as np
import pytest
import torch

from scd.search import reference
from tests.scd.search import cpu_kernel as cpu
from tests.scd.search.search_cases import KINDS, make_case, same


def _projections(case, v, c):
    """(n,) projections of candidate `c`, in the float32 arithmetic that the signature states."""
    x = case["columns"][case["features"][v, c]]
    return (case["projections"][v] + case["steps"][v, c] * x).numpy()


def _by_hand(case, v):
    """The first candidate of maximum gain, that gain, and the rows that its lowest threshold turns on."""
    effects, window = case["effects"][v].numpy(), case.get("window")
    counted = effects != 0 if window is None else window.rows[v].numpy()
    best = (None, -(2**63), None)
    for c in range(case["steps"].shape[1]):
        q = _projections(case, v, c)
        for t in [-np.inf, *np.unique(q[counted])]:  # every way to cut the counted rows, the lowest threshold first
            if window is not None:
                current = window.current[v].item()
                if abs((q[counted] <= t).sum() - (q[counted] <= current).sum()) > window.radius:
                    continue
            gain = int(effects[q > t].sum())
            if gain > best[1]:
                best = (c, gain, (q > t) & counted)
    return best


@pytest.mark.parametrize("window", [None, 1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_finds_what_trying_everything_finds(kind, window):
    for n in (1, 2, 3, 7):
        for seed in range(8):
            case = make_case(kind, seed, votes=2, n=n, d=3, window=window)
            found = reference.search(**case)
            for v in range(2):
                if not case["effects"][v].any():
                    assert (found.candidate[v], found.gain[v]) == (0, 0)
                    assert found.threshold[v].isnan()
                    continue
                candidate, gain, on = _by_hand(case, v)
                assert (int(found.candidate[v]), int(found.gain[v])) == (candidate, gain)
                q = _projections(case, v, candidate)
                counted = case["effects"][v].numpy() != 0 if window is None else case["window"].rows[v].numpy()
                np.testing.assert_array_equal((q > found.threshold[v].item()) & counted, on)


@pytest.mark.parametrize("kernel", [cpu, reference])
def test_the_returned_gain_is_the_effect_of_the_rows_above_the_returned_threshold(kernel):
    for seed in range(20):
        case = make_case("random", seed, n=300)
        found = kernel.search(**case)
        for v in range(3):
            above = _projections(case, v, int(found.candidate[v])) > found.threshold[v].item()
            assert case["effects"][v].numpy()[above].sum() == found.gain[v]


def test_a_threshold_is_midway_between_neighbouring_projections():
    q = torch.tensor([0.0, 1.0, 4.0, 4.0])
    assert reference.threshold_at(q, 1) == 0.5
    assert reference.threshold_at(q, 2) == 2.5
    assert reference.threshold_at(q, 0) == -0.5  # half the mean gap: range 4 over 2 * 4 rows
    assert reference.threshold_at(q, 4) == 4.5


def test_a_threshold_separates_neighbouring_float32_numbers():
    below = torch.tensor(1.0)
    q = torch.stack([below, torch.nextafter(below, torch.tensor(2.0))])
    assert (q > reference.threshold_at(q, 1)).tolist() == [False, True]
    assert (q > reference.threshold_at(q, 0)).tolist() == [True, True]
    assert (q > reference.threshold_at(q, 2)).tolist() == [False, False]


def test_the_reference_does_not_depend_on_its_chunks(monkeypatch):
    case = make_case("tied", 2, n=60)
    whole = reference.search(**case)
    monkeypatch.setattr(reference, "_CHUNK_BYTES", 1)  # one candidate at a time
    assert same(reference.search(**case), whole)
