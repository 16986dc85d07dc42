"""Projections are those of the reference, and a vote's depend on nothing but the vote."""

import numpy as np
import pytest
import torch

from scd.search import reference
from tests.scd.search import cpu_kernel as cpu


@pytest.mark.parametrize("divisor", [1.0, 255.0])
@pytest.mark.parametrize("hidden", [1, 2, 3, 4, 7, 20])
def test_projections_close_to_the_reference(divisor, hidden):
    rng = np.random.default_rng(hidden)
    columns = torch.from_numpy(rng.integers(0, 256, (30, 700)).astype(np.uint8 if divisor > 1 else np.float32))
    weights = torch.from_numpy(rng.standard_normal((2, hidden, 30)).astype(np.float32))
    fast, slow = cpu.project(columns, weights, divisor), reference.project(columns, weights, divisor)
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-5 * 255 / divisor)


@pytest.mark.parametrize("hidden", [1, 3, 4, 6, 20])
def test_projections_of_a_vote_depend_on_nothing_else(hidden):
    """Bit for bit the same whatever the number of votes in the call."""
    rng = np.random.default_rng(1)
    columns = torch.from_numpy(rng.random((64, 1100)).astype(np.float32))
    weights = torch.from_numpy(rng.standard_normal((5, hidden, 64)).astype(np.float32))
    together = cpu.project(columns, weights)
    for v in range(5):
        assert torch.equal(cpu.project(columns, weights[v : v + 1]), together[v : v + 1])
