"""The CPU search of a hidden node returns what the reference returns: candidate, threshold and gain."""

from functools import partial

import numpy as np
import pytest
import torch

from scd.search import reference
from scd.search.cpu.hidden import narrowed, unmoved
from tests.scd.search import cpu_kernel as cpu
from tests.scd.search.search_cases import CASES, make_case, same

rare = partial(pytest.param, marks=pytest.mark.thorough)  # windows are compiled for themselves


@pytest.mark.parametrize("n", [1, 2, 3, 40, 700])
@pytest.mark.parametrize("kind", CASES)
def test_search_equal_to_the_reference(kind, n):
    for seed in range(3 if n == 700 else 12):
        case = make_case(kind, seed, n=n)
        assert same(cpu.search(**case), reference.search(**case)), seed


@pytest.mark.thorough
@pytest.mark.parametrize("radius", [1, 3, 20, 1000])
@pytest.mark.parametrize("kind", CASES)
def test_windowed_search_equal_to_the_reference(kind, radius):
    for n in (1, 2, 40, 150):
        for seed in range(6):
            case = make_case(kind, seed, n=n, window=radius)
            assert same(cpu.search(**case), reference.search(**case)), (n, seed)


@pytest.mark.thorough
@pytest.mark.parametrize("kernel", [cpu, reference])
@pytest.mark.parametrize("kind", CASES)
def test_a_window_wider_than_the_data_gives_the_unrestricted_gain(kernel, kind):
    case = make_case(kind, 1, window=1000)
    wide, free = kernel.search(**case), kernel.search(**{**case, "window": None})
    assert torch.equal(wide.gain, free.gain)
    assert torch.equal(wide.candidate, free.candidate)


def _one_step_per_feature(kind, seed, n, scale, divisor=255.0):
    """As of binary weights: bytes, a step on each feature that is `scale` times as long as the projections are wide."""
    case = make_case(kind, seed, n=n, d=9)
    rng = np.random.default_rng(seed)
    p = case["projections"]
    if seed % 3 == 1:
        p = (4 * p).round() / 4  # tied
    if seed % 3 == 2:
        p = p + 1000 * rng.choice([-1.0, 1.0])  # far from 0
    width = float(p.max() - p.min()) or 1.0
    features = np.stack([np.r_[order[:1], order] for order in (rng.permutation(9) for _ in range(3))])
    steps = scale * width * rng.choice([-1.0, 1.0], (3, 10)) * (1 if seed % 2 else rng.random((3, 10)))
    steps[:, 0] = 0.0
    levels = rng.choice([0, 1, int(divisor)] if seed % 4 == 3 else int(divisor) + 1, (9, n)).astype(np.uint8)
    return {
        **case, "projections": p.float(), "columns": torch.from_numpy(levels), "divisor": divisor,
        "features": torch.from_numpy(features), "steps": torch.from_numpy(steps.astype(np.float32)),
    }  # fmt: skip


@pytest.mark.parametrize("scale", [rare(0.0003), 0.02, 0.3, rare(4.0)])
@pytest.mark.parametrize("kind", CASES)
def test_one_step_per_feature_equal_to_the_reference(kind, scale):
    for n in (1, 2, 3, 40, 700, 2500):
        for seed in range(12 if n < 700 else 6):
            case = _one_step_per_feature(kind, seed, n, scale)
            assert same(cpu.search(**case), reference.search(**case)), (n, seed)


@pytest.mark.parametrize("sign", [1, -1])
def test_rows_that_no_step_carries_across_a_threshold_that_matters_are_left_out(sign):
    # effects that reward the threshold 0.5 far more than any other
    p = np.linspace(0, 1, 2000, dtype=np.float32)
    effects = np.where(p > 0.5, 1, -1)
    before = unmoved(p, effects, p[0], p[-1], 256)
    up, down = (0.01, 0.0) if sign > 0 else (0.0, 0.01)
    kept, fixed, spans = narrowed(before, up, down, 990)
    first, last = spans[0 if sign > 0 else 1]
    assert 0.45 < first < 0.5 < last < 0.55
    assert np.isnan(spans[1 if sign > 0 else 0]).all()
    assert 0.4 < p[kept].min() < 0.5 < p[kept].max() < 0.6
    assert fixed == effects[p > p[kept].max()].sum()
    both, _, spans = narrowed(before, 0.01, 0.01, 990)
    assert set(kept) <= set(both)
    assert len(both) < 1.2 * len(kept)
    assert (spans[0] > spans[1]).all()
    assert not len(narrowed(before, up, down, 1100)[0])


def _two_steps_per_feature(*case):
    case = _one_step_per_feature(*case)
    features, steps = case["features"][:, 1:].repeat_interleave(2, 1), case["steps"][:, 1:].repeat_interleave(2, 1)
    steps[:, 1::2] *= -1
    case["features"] = torch.cat([case["features"][:, :1], features], 1)
    case["steps"] = torch.cat([case["steps"][:, :1], steps], 1)
    return case


@pytest.mark.parametrize("scale", [rare(0.0003), 0.02, 0.3, rare(4.0)])
@pytest.mark.parametrize("kind", CASES)
def test_steps_up_and_down_equal_to_the_reference(kind, scale):
    for n in (1, 2, 3, 40, 700, 2500):
        for seed in range(8 if n < 700 else 3):
            case = _two_steps_per_feature(kind, seed, n, scale)
            assert same(cpu.search(**case), reference.search(**case)), (n, seed)


@pytest.mark.parametrize("kernel", [cpu, reference])
@pytest.mark.parametrize("divisor", [255.0, 16.0])
@pytest.mark.parametrize("window", [None, rare(3)])
def test_bytes_with_a_divisor_equal_the_float_features(kernel, divisor, window):
    for seed in range(5):
        case = make_case("random", seed, n=300, window=window)
        levels = np.random.default_rng(seed).integers(0, int(divisor) + 1, case["columns"].shape, dtype=np.uint8)
        as_bytes = {**case, "columns": torch.from_numpy(levels), "divisor": divisor}
        as_floats = {**case, "columns": torch.from_numpy(levels.astype(np.float32) / np.float32(divisor))}
        assert same(kernel.search(**as_bytes), kernel.search(**as_floats))


@pytest.mark.parametrize("kernel", [cpu, reference])
@pytest.mark.parametrize("window", [None, rare(3)])
def test_votes_with_columns_of_their_own_are_searched_independently(kernel, window):
    case = make_case("random", 5, n=100, window=window)
    own = torch.rand(3, 6, 100, generator=torch.Generator().manual_seed(0))
    together = kernel.search(**{**case, "columns": own})
    for v in range(3):
        assert same(_vote(together, v), _alone(kernel, {**case, "columns": own[v]}, v))


@pytest.mark.parametrize("kernel", [cpu, reference])
@pytest.mark.parametrize("window", [None, rare(3)])
@pytest.mark.parametrize("kind", [case for case in CASES if case.values[0] in ("random", "tied", "large_effects")])
def test_a_vote_does_not_depend_on_the_others(kernel, window, kind):
    case = make_case(kind, 7, votes=5, n=200, window=window)
    together = kernel.search(**case)
    for v in range(5):
        assert same(_vote(together, v), _alone(kernel, case, v))


def _alone(kernel, case, v):
    one = {k: x if k == "columns" else x[v : v + 1] for k, x in case.items() if k != "window"}
    if "window" in case:
        w = case["window"]
        one["window"] = w._replace(rows=w.rows[v : v + 1], current=w.current[v : v + 1])
    return kernel.search(**one)


def _vote(best, v):
    return type(best)(*(x[v : v + 1] for x in best))
