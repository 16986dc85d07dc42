"""Checks of the Triton kernels, run in processes of their own: TensorFlow and Triton cannot share one.

``python triton_checks.py equal`` under ``TRITON_INTERPRET=1``; ``python triton_checks.py compile`` without it.
"""

import sys
import warnings
from typing import Any

import numpy as np
import torch

from scd.search import cuda, reference
from tests.scd.search.search_cases import KINDS, make_case, same


def equal_to_the_reference() -> None:
    """Candidate, threshold and gain on every kind of input; several blocks of rows, pairs and votes."""
    cuda._PAIRS, cuda._ROWS, cuda._REFINED = 128, 128, {"ROWS": 128}
    few = [(kind, n) for kind in ("random", "tied", "all_positive") for n in (1, 3)]
    for kind, n in [*((kind, 150) for kind in KINDS), *few]:
        case = make_case(kind, 5, n=n, votes=2, d=2)
        assert same(cuda.search(**case), reference.search(**case)), (kind, n)
    for bins, large in ((4, 1), (64, (1 << 40) + 1)):  # many rows in a bin; effects of which 32 bits hold no sum
        cuda._BINS = bins
        case = make_case("random", 2, n=200, votes=2, d=2)
        case["effects"] *= large
        assert same(cuda.search(**case), reference.search(**case)), (bins, large)
    case = make_case("random", 1, n=60, votes=3, d=2)
    cuda._HISTOGRAM_BYTES = 1  # a vote at a time
    assert same(cuda.search(**case), reference.search(**case))
    window = make_case("tied", 1, n=30, votes=2, d=2, window=3)
    assert same(cuda.search(**window), reference.search(**window))


def bytes_and_activations() -> None:
    """Bytes with a divisor, and inputs of each vote's own, as at the output node."""
    case, rng = make_case("tied", 3, n=150, votes=2, d=3), np.random.default_rng(0)
    for columns, divisor in (
        (rng.integers(0, 256, (3, 150), dtype=np.uint8), 255.0),
        (rng.integers(0, 2, (2, 3, 150), dtype=np.uint8), 1.0),
    ):
        given = {**case, "columns": torch.from_numpy(columns), "divisor": divisor}
        assert same(cuda.search(**given), reference.search(**given)), divisor


def cross_entropy() -> None:
    """The minimum loss, and the loss at the threshold that is returned."""
    from tests.scd.search.cpu.test_logistic import _case, _loss

    for spread, tied in ((1.0, False), (30.0, True)):
        case = _case(0, votes=2, h=2, spread=spread, tied=tied)
        fast, slow = cuda.search_logistic(*case), reference.search_logistic(*case)
        torch.testing.assert_close(fast[2], slow[2], rtol=1e-6, atol=1e-6)
        for v in range(2):
            at = [_loss(case, v, found[0][v], found[1][v]) for found in (fast, slow)]
            torch.testing.assert_close(at[0], at[1], rtol=1e-6, atol=1e-6)


def counted() -> None:
    """Sums of binary weights, which are counted: candidate, threshold and loss of the reference."""
    rng = np.random.default_rng(0)
    cuda._COUNTED = {"PART": 64, "ROWS": 32}
    for h, n in ((1, 30), (3, 150), (20, 150)):
        inputs, output = rng.integers(0, 2, (2, h, n), dtype=np.uint8), rng.choice([-1.0, 1.0], (2, h))
        sums = np.einsum("vhn,vh->vn", inputs, output)
        features = np.tile(np.r_[0, :h], (2, 1))
        steps = np.c_[np.zeros(2), -2 * output]
        labels = (rng.random(n) < 0.4).astype(np.int64)
        labels[:2] = 0, 1
        batch = rng.random((2, n)) < 0.75
        batch[:, :2] = True
        case = [torch.from_numpy(x) for x in (sums, inputs, features, steps, labels, batch)]
        fast, slow = cuda.search_logistic(*case, integral=True), reference.search_logistic(*case)
        assert torch.equal(fast[0], slow[0]), h
        torch.testing.assert_close(fast[1], slow[1], rtol=1e-9, atol=1e-6)
        torch.testing.assert_close(fast[2], slow[2], rtol=1e-9, atol=1e-9)


def training() -> None:
    """Training with these kernels gives the networks of the reference."""
    from tests.scd.engine.test_descent import descent_of

    rng = np.random.default_rng(0)
    rows = (rng.integers(0, 17, (40, 6)) / 16).astype(np.float32), np.arange(40) % 2
    for loss, weights, votes in (("01", "real", 2), ("01", "binary", 1), ("ce", "real", 2), ("ce", "binary", 1)):
        small = {"loss": loss, "weights": weights, "n_iter": 2}
        small |= {"hidden_nodes": 2, "features_per_step": 2, "votes": range(votes)}
        first, second = (descent_of(rows, kernel, **small).run() for kernel in ("cuda", "reference"))
        for name in ("hidden", "thresholds", "output", "output_threshold"):
            fast, slow = getattr(first, name), getattr(second, name)
            # where all sums are equal there is no midpoint, and the optimum has a rounding error
            assert torch.equal(fast, slow) or (loss == "ce" and torch.allclose(fast, slow, rtol=0, atol=1e-6)), name


def compile_for_a_gpu() -> None:
    """The kernels compile for compute capability 9.0, and float32 is never fused to multiply-add or divided roughly."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from scd.search.cuda import counts, histogram, logistic

    pointers = {"float32": "*fp32", "float64": "*fp64", "int32": "*i32", "int64": "*i64", "uint8": "*u8"}

    def kinds(case: type, **others: str) -> Any:
        """The types of a case's fields: int64 pointers, but for these."""
        return case(**{name: pointers.get(others.get(name, "int64"), others.get(name)) for name in case._fields})

    f4, f8, i4, u1 = "float32", "float64", "int32", "uint8"
    search = {"p": f4, "steps": f4, "lows": f4, "scales": f4, "rows": i4, "count": i4, "columns": u1, "divisor": "fp32"}
    search |= dict.fromkeys(("own_columns", "n", "candidates"), "i32")
    output = {"sums": f8, "inputs": u1, "labels": u1, "rows": u1, "steps": f8}
    output |= dict.fromkeys(("own_inputs", "n", "candidates"), "i32")
    counted = {"counts": f4, "h": "i32", "steps": f8, "candidates": "i32"}
    cases = {
        histogram: kinds(histogram.Case, **search),
        logistic: kinds(logistic.Case, **output),
        counts: kinds(counts.Case, **counted),
    }
    flat = {name: pointers[kind] for name, kind in {**output, "threshold": f8, "loss": f8}.items() if kind in pointers}
    flat |= {"candidate": "*i64", "counts": "*fp32", "h": "i32", "n": "i32"}
    screen = {"shifts": "*i64", "histogram": "*i32", "count": "*i32", "candidates": "i32"}
    screen |= {
        "screen": kinds(histogram.Bounds, size="i32"),
        "work": kinds(histogram.Work, projections=f4, size="i32"),
        "found": kinds(histogram.Found, threshold=f4),
    }
    sizes = {"BINS": cuda._BINS, "ROWS": cuda._ROWS, "PAIRS": cuda._PAIRS, "CANDIDATES": 512, "VALUES": 64, "NODES": 32}
    for module, names, types in (
        (histogram, ("fill", "bound", "refine"), screen),
        (logistic, ("solve", "to_midpoint"), flat),
        (counts, ("count", "solve", "to_midpoint"), flat),
    ):
        for kernel in (getattr(module, name) for name in names):
            refined = kernel is histogram.refine
            own = sizes | (cuda._REFINED if refined else {}) | (cuda._COUNTED if kernel is counts.count else {})
            constants = {name: own[name] for name in kernel.arg_names if name in own}
            given = {**types, "case": cases[module], **dict.fromkeys(constants, "constexpr")}
            signature = {name: given[name] for name in kernel.arg_names}
            source = ASTSource(kernel, signature=signature, constexprs=constants)
            options = {"enable_fp_fusion": False, "num_warps": 16 if refined else 4}
            ptx = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]
            if kernel is logistic.solve:
                continue  # float32 is where it starts from only
            assert "fma.rn.f32" not in ptx, kernel
            assert "div.full.f32" not in ptx, kernel
            assert "div.approx" not in ptx, kernel


if __name__ == "__main__":
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    if sys.argv[1] == "compile":
        compile_for_a_gpu()
    else:
        for check in (equal_to_the_reference, bytes_and_activations, cross_entropy, counted, training):
            check()
    print("passed")
