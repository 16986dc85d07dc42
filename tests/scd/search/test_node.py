"""What the compiled steps around a hidden node's search compute: the reference's numbers."""

import numpy as np
import pytest
import torch
from numba import njit, types

from scd.search import cpu, reference
from scd.search.cpu import llvm
from tests.scd.search.search_cases import form_of


@njit
def _taken(columns, divisor, active, out):
    planned = llvm.plan(columns, divisor, active)
    for j in range(len(columns)):
        llvm.take(columns[j], planned, out[j])


def _columns(kind, n, rng):
    return rng.integers(0, 256, (4, n), dtype=np.uint8) if kind == "u1" else rng.standard_normal((4, n)).astype("f4")


def _active(n, share, rng):
    """As the search orders them: rows of positive effect, then those of negative."""
    order = rng.permutation(n)[: max(1, round(share * n))]
    cut = rng.integers(0, len(order) + 1)
    return np.r_[np.sort(order[:cut]), np.sort(order[cut:])].astype(np.uint32)


@pytest.mark.parametrize("divisor", [1, 16, 255, 7, 49])
@pytest.mark.parametrize("kind", ["u1", "f4"])
def test_features_of_chosen_rows(kind, divisor):
    rng = np.random.default_rng(divisor)
    for n in (1, 7, 15, 16, 17, 31, 32, 33, 100, 1000):
        for share in (0, 0.03, 0.5, 0.75, 1):
            columns, active = _columns(kind, n, rng), _active(n, share, rng)
            out = np.full((4, len(active)), np.nan, dtype=np.float32)
            _taken(columns, np.float32(divisor), active, out)
            assert np.array_equal(out, columns[:, active].astype(np.float32) / np.float32(divisor)), (n, share)


def test_two_products_are_a_division_by_what_pixels_are_divided_by():
    assert all(llvm.inverse(np.float32(d))[2] for d in (1, 16, 255))


def test_features_without_the_instruction_that_moves_bytes(monkeypatch):
    monkeypatch.setattr(llvm, "_SHUFFLES", False)
    rng = np.random.default_rng(0)
    columns, active = _columns("u1", 50, rng), _active(50, 0.5, rng)
    matrix, row, rows = (
        types.Array(kind, d, "C") for kind, d in ((types.uint8, 2), (types.uint8, 1), (types.uint32, 1))
    )
    planned = llvm._plan(matrix, types.float32, rows)(columns, np.float32(255), active)
    out = np.empty(len(active), dtype=np.float32)
    llvm._take(row, types.Tuple((rows, types.float32)), types.Array(types.float32, 1, "C"))(columns[2], planned, out)
    assert np.array_equal(out, columns[2, active].astype(np.float32) / np.float32(255))


def _node(n, spread, votes=3, hidden=4, seed=0):
    g = torch.Generator().manual_seed(seed)

    def on_grid(*shape):
        return (torch.randn(*shape, dtype=torch.float64, generator=g) * spread * 2**20).round() / 2**20

    return {
        "sums": on_grid(votes, n),
        "active": (torch.rand(votes, hidden, n, generator=g) < 0.5).to(torch.uint8),
        "nodes": torch.randint(0, hidden, (votes,), generator=g),
        "unit": on_grid(votes),
    }, g


@pytest.mark.parametrize("spread", [0.3, 3, 900])  # of the last, exponentials have no float64
@pytest.mark.parametrize("weights", [None, (3, 5)])
def test_effects_equal_to_the_reference(weights, spread):
    for n, negatives in ((1, 0), (1, 1), (5, 2), (256, 100), (257, 256), (1000, 300), (1000, 1000)):
        node, g = _node(n, spread)
        threshold = torch.randn(3, dtype=torch.float64, generator=g)
        batch = torch.rand(3, n, generator=g) < 0.75
        ours = {**node, "active": form_of(cpu, node["active"])}
        found = cpu.hidden_effects(**ours, threshold=threshold, batch=batch, negatives=negatives, weights=weights)
        expected = reference.hidden_effects(
            **node, threshold=threshold, batch=batch, negatives=negatives, weights=weights
        )
        assert torch.equal(found.long(), expected), (n, negatives)


@pytest.mark.parametrize("weights", [(3, 5), (2**30, 7), (2**40, 2**41)])
def test_output_effects_equal_to_the_reference(weights):
    for n, negatives in ((1, 0), (1, 1), (300, 100), (300, 300)):
        batch = torch.rand(3, n, generator=torch.Generator().manual_seed(n)) < 0.75
        found = cpu.output_effects(batch, negatives, weights)
        assert torch.equal(found.long(), reference.output_effects(batch, negatives, weights)), (n, negatives)
        assert found.dtype == torch.int64 or found.long().abs().sum(1).max() < 2**31


def test_a_logit_of_zero_predicts_label_0():
    node = {"sums": torch.tensor([[0.0, 0.5]]).double(), "active": torch.tensor([[[0, 1]]]).to(torch.uint8)}
    node |= {"nodes": torch.tensor([0]), "unit": torch.tensor([0.5]).double(), "threshold": torch.zeros(1).double()}
    batch = torch.ones(1, 2, dtype=torch.bool)
    for kernel in (cpu, reference):  # off: 0, not above the threshold; on: 0.5
        ours = {**node, "active": form_of(kernel, node["active"])}
        assert kernel.hidden_effects(**ours, batch=batch, negatives=1, weights=(2, 7)).tolist() == [[-2, 7]]


@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("kind", ["u1", "f4"])
def test_a_step_equal_to_the_reference(kind, normed):
    rng = np.random.default_rng(1)
    for n in (1, 5, 300):
        node, g = _node(n, 1.0)
        state = {"projections": torch.randn(3, 4, n, generator=g), "active": node["active"], "sums": node["sums"]}
        step = {
            "nodes": node["nodes"], "unit": node["unit"],
            "columns": torch.from_numpy(_columns(kind, n, rng)), "divisor": 255.0 if kind == "u1" else 1.0,
            "features": torch.tensor([3, 0, 3]), "steps": torch.tensor([0.3, 0.0, -0.3]),
            "norms": torch.rand(3, generator=g) + 0.5 if normed else None,
            "thresholds": torch.randn(3, generator=g) / 3,
        }  # fmt: skip
        ours, expected = ({k: x.clone() for k, x in state.items()} for _ in range(2))
        ours["active"] = form_of(cpu, ours["active"])
        cpu.take_step(**ours, **step)
        reference.take_step(**expected, **step)
        assert all(torch.equal(ours[k], expected[k]) for k in ("projections", "sums")), n
        assert torch.equal(ours["active"], form_of(cpu, expected["active"])), n
        votes = torch.arange(3)
        assert not torch.equal(ours["projections"][votes, step["nodes"]], state["projections"][votes, step["nodes"]])
        now, before = (x["active"][votes, step["nodes"]].double() for x in (expected, state))
        assert torch.equal(ours["sums"], state["sums"] + step["unit"][:, None] * (now - before))
