"""What the compiled steps around a hidden node's search compute: the reference's numbers."""

import numpy as np
import pytest
import torch

from scd.search import reference
from tests.scd.search import cpu_kernel as cpu
from tests.scd.search.search_cases import form_of


def _columns(kind, n, rng):
    return rng.integers(0, 256, (4, n), dtype=np.uint8) if kind == "u1" else rng.standard_normal((4, n)).astype("f4")


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
        packed = {**node, "active": form_of(cpu, node["active"])}
        found = cpu.hidden_effects(**packed, threshold=threshold, batch=batch, negatives=negatives, weights=weights)
        expected = reference.hidden_effects(
            **node, threshold=threshold, batch=batch, negatives=negatives, weights=weights
        )
        assert torch.equal(found.long(), expected), (n, negatives)


def test_a_logit_of_zero_predicts_label_0():
    node = {"sums": torch.tensor([[0.0, 0.5]]).double(), "active": torch.tensor([[[0, 1]]]).to(torch.uint8)}
    node |= {"nodes": torch.tensor([0]), "unit": torch.tensor([0.5]).double(), "threshold": torch.zeros(1).double()}
    batch = torch.ones(1, 2, dtype=torch.bool)
    for kernel in (cpu, reference):  # off: 0, not above the threshold; on: 0.5
        packed = {**node, "active": form_of(kernel, node["active"])}
        assert kernel.hidden_effects(**packed, batch=batch, negatives=1, weights=(2, 7)).tolist() == [[-2, 7]]


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
        packed, expected = ({k: x.clone() for k, x in state.items()} for _ in range(2))
        packed["active"] = form_of(cpu, packed["active"])
        cpu.take_step(**packed, **step)
        reference.take_step(**expected, **step)
        assert all(torch.equal(packed[k], expected[k]) for k in ("projections", "sums")), n
        assert torch.equal(packed["active"], form_of(cpu, expected["active"])), n
        votes = torch.arange(3)
        assert not torch.equal(packed["projections"][votes, step["nodes"]], state["projections"][votes, step["nodes"]])
        now, before = (x["active"][votes, step["nodes"]].double() for x in (expected, state))
        assert torch.equal(packed["sums"], state["sums"] + step["unit"][:, None] * (now - before))


@pytest.mark.parametrize(("hidden", "size"), [(1, 1.0), (20, 1.0), (40, 1.0), (20, 1e4)])  # the last: not in 32 bits
def test_output_sums_equal_the_reference_and_the_product(hidden, size):
    rng = np.random.default_rng(0)
    active = torch.from_numpy(rng.integers(0, 2, (4, hidden, 333)).astype(np.uint8))
    output = torch.from_numpy(np.round(size * rng.standard_normal((4, hidden)) * 2**20) / 2**20)
    fast = cpu.output_sums(form_of(cpu, active), output)
    assert torch.equal(fast, reference.output_sums(active, output))
    assert torch.equal(fast, torch.einsum("vhn,vh->vn", active.double(), output))  # exact in any order
