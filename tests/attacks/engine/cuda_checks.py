"""Checks of rows made on a card, run in a process of its own: TensorFlow and Triton cannot share one.

``python card_checks.py equal`` under ``TRITON_INTERPRET=1``; ``python card_checks.py compile`` without it.
"""

import sys
import warnings

import numpy as np
import torch

from attacks import HopSkipJump
from attacks.engine import cuda
from attacks.engine.validation import Task


class Model:
    """Three sign units; takes rows in memory and tensors "on the device"."""

    device = "cpu"

    def __init__(self, d):
        rng = np.random.default_rng(0)
        self.weights = rng.standard_normal((d, 3))
        self.bounds = 0.5 * self.weights.sum(axis=0)
        self.tensors = self.arrays = 0

    def __call__(self, rows):
        self.tensors += isinstance(rows, torch.Tensor)
        self.arrays += isinstance(rows, np.ndarray)
        on = np.asarray(rows).astype(np.float64) @ self.weights > self.bounds
        return (on.sum(axis=1) > 1).astype(np.int64)


def rows_are_those_of_the_host() -> None:
    """To the last bit: a few features, a whole tile, several, and one over; L2 and L-infinity."""
    for d in (1, 3, 128, 129, 300):
        for low, high in ((0.0, 1.0), (-3.0, 3.0)):
            assert cuda._difference(cuda.Card("cpu", low, high, d), d) == "", d


def a_wrong_card_is_not_used() -> None:
    task = Task(np.zeros((1, 100), dtype=np.float32), np.array([0]), np.array([0]), 0.0, 1.0)
    assert cuda.card_for("cpu", task) is not None
    right, cuda._TILE = cuda._TILE, 32
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert cuda.card_for("cpu", task) is None
        assert cuda.card_for("no such device", task) is None
    cuda._TILE = right
    assert "random moves" in str(seen[0].message)
    assert "RuntimeError" in str(seen[1].message)


def attacks_find_what_they_find_on_the_host() -> None:
    """Same questions, so the same result; also where a run is cut among blocks, and from a state file."""
    d = 20
    x = np.random.default_rng(1).uniform(0.4, 0.6, (2, d)).astype(np.float32)
    for norm in ("l2", "linf"):
        model = Model(d)
        y = model(x)
        attack = HopSkipJump(norm=norm, max_iter=3, restarts=2, init_eval=12)
        on_host = attack(model.__call__, x, y)  # which has no device
        for block in (cuda._MOST_ROWS, 7):
            before, cuda._MOST_ROWS = cuda._MOST_ROWS, block
            model.tensors = model.arrays = 0
            on_card = attack(model, x, y)
            cuda._MOST_ROWS = before
            assert model.tensors > model.arrays, (norm, block)
            assert (on_card.queries == on_host.queries).all(), (norm, block)
            assert np.allclose(on_card.adversarials, on_host.adversarials, rtol=0, atol=1e-6), (norm, block)


def compile_for_a_card() -> None:
    """The kernels compile for compute capability 9.0, and float32 is never fused to multiply-add."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from attacks.engine import triton_kernels

    types = dict.fromkeys(("keys", "run", "number", "begins"), "*i64") | dict.fromkeys(("length", "sums"), "*fp64")
    types |= dict.fromkeys(("centres", "out", "rows"), "*fp32") | {"crossed": "*u8", "d": "i32"}
    types |= {"low": "fp32", "high": "fp32"}
    sizes = {"NORMAL": True, "LANES": cuda._TILE, **cuda._ADDED}
    for kernel, warps in ((triton_kernels.moves, 2), (triton_kernels.add, 4)):
        constants = {name: sizes[name] for name in kernel.arg_names if name in sizes}
        signature = {name: "constexpr" if name in constants else types[name] for name in kernel.arg_names}
        source = ASTSource(kernel, signature=signature, constexprs=constants)
        options = {"enable_fp_fusion": False, "num_warps": warps}
        ptx = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]
        for rough in ("fma.rn.f32", "sqrt.approx", "div.full"):
            assert rough not in ptx, (kernel, rough)


if __name__ == "__main__":
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    if sys.argv[1] == "compile":
        compile_for_a_card()
    else:
        for check in (rows_are_those_of_the_host, a_wrong_card_is_not_used, attacks_find_what_they_find_on_the_host):
            check()
    print("passed")
