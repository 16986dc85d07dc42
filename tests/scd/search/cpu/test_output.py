"""The output node's search under the 0-1 loss returns what the reference returns."""

import numpy as np
import pytest
import torch

from scd.search import reference
from scd.search.cpu import output
from tests.scd.search import cpu_kernel as cpu
from tests.scd.search.search_cases import CASES, form_of, make_case, same


def _output_case(kind, seed, n, inputs, on_grid, window=None):
    """Arguments of a search at the output node, but for the form of the activations."""
    case, rng = make_case(kind, seed, n=n, d=inputs, window=window), np.random.default_rng(seed)
    case["columns"] = torch.from_numpy(rng.integers(0, 2, (3, inputs, n), dtype=np.uint8))
    case["steps"] *= rng.choice([1, 8]) if seed % 3 else 0.7  # the projections of tied rows move to those of others
    case["projections"] = case["projections"].double()
    if on_grid:  # as in training: sums and steps without roundings
        case["projections"] = (case["projections"] * 1024).round() / 1024
        case["steps"] = (case["steps"] * 1024).round() / 1024
    if seed % 4 == 3:  # as of binary weights: a step of its own for each input
        signs = torch.from_numpy(rng.choice([-1.0, 0.0, 1.0 if on_grid else 2.0], case["steps"].shape))
        case["steps"] = (case["steps"].abs() * signs).float()
        case["steps"][:, 0] = 0
    return {"sums": case.pop("projections"), "active": case.pop("columns"), **case}


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("inputs", [1, 5, 33])  # the search over activations takes 32 of them at a time
@pytest.mark.parametrize("on_grid", [True, False])
def test_activations_as_inputs_equal_to_the_reference(kind, inputs, on_grid):
    for n in (1, 2, 40, 700):
        for seed in range(8 if n < 700 else 4):
            case = _output_case(kind, seed, n, inputs, on_grid)
            packed = {**case, "active": form_of(cpu, case["active"])}
            expected = reference.search_output(**case)
            assert same(cpu.search_output(**packed), expected), (n, seed)
            if case["effects"].abs().sum(1).max() < 2**31:
                packed["effects"] = packed["effects"].int()
                assert same(cpu.search_output(**packed), expected), (n, seed)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["random", "tied", "outlier"])
def test_a_window_at_the_output_node_equal_to_the_reference(kind):
    for seed in range(6):
        case = _output_case(kind, seed, 150, 5, True, window=3)
        packed = {**case, "active": form_of(cpu, case["active"])}
        assert same(cpu.search_output(**packed), reference.search_output(**case)), seed


@pytest.mark.parametrize("on_grid", [True, False])
def test_steps_on_the_grid_move_sums_by_an_integer_number_of_bins(on_grid):
    """So that bins are shifted in training, and the test above also has cases where they cannot be."""
    moved = []
    for seed in range(12):
        case = _output_case("random", seed, 700, 20, on_grid)
        q, sizes = case["sums"][0].float().numpy(), np.unique(case["steps"][0].numpy())
        low, scale, _ = output._grid(q, sizes)
        place = ((q - low) * scale).astype(np.uint32)
        shifts = np.rint(sizes * scale).astype(np.int64)
        moved += [output._moves_by(q, place, low, scale, *step) for step in zip(sizes, shifts, strict=True)]
    assert all(moved) if on_grid else not all(moved)
