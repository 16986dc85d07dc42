"""Checks of inputs generated on a device, run in their own process: TensorFlow and Triton cannot share one.

``python cuda_checks.py equal`` with ``TRITON_INTERPRET=1``; ``python cuda_checks.py compile`` without it.
"""

import sys
import warnings

import numpy as np
import torch

from attacks import HopSkipJump
from attacks.engine.checkpoint import Journal
from attacks.engine.inputs import HostInputs
from attacks.engine.kernels import cuda
from attacks.engine.run_state import RunState
from attacks.engine.validation import Task
from attacks.oracle import LabelOracle


class Model:
    """Three sign units; accepts arrays in memory and tensors "on the device"."""

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


def inputs_are_those_of_the_cpu() -> None:
    """To the last bit: a few features, a whole tile, several, and one over; L2 and L-infinity."""
    for d, low, high in ((1, 0.0, 1.0), (3, -3.0, 3.0), (128, 0.0, 1.0), (129, -3.0, 3.0), (300, 0.0, 1.0)):
        assert cuda.difference_from_host(cuda.Device("cpu", low, high, d), d) == "", d


def a_device_with_other_arithmetic_is_not_used() -> None:
    task = Task(np.zeros((1, 100), dtype=np.float32), np.array([0]), np.array([0]), 0.0, 1.0)
    journal = Journal(LabelOracle(Model(100), 1, 100), task.y, None, "")
    host = HostInputs(task, journal, RunState.of(task, np.array([""]), 1, np.array([9])), False)
    assert cuda.cuda_inputs("cpu", host) is not None
    correct, cuda.TILE = cuda.TILE, 32
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert cuda.cuda_inputs("cpu", host) is None
        assert cuda.cuda_inputs("no such device", host) is None
    cuda.TILE = correct
    assert "random probes" in str(seen[0].message)
    assert "RuntimeError" in str(seen[1].message)


def attacks_have_the_same_result_as_on_the_cpu() -> None:
    """Same queries, so the same result; also if the probes of a run are cut into blocks."""
    d = 20
    x = np.random.default_rng(1).uniform(0.4, 0.6, (2, d)).astype(np.float32)
    for norm, block in (("l2", cuda._MAX_ROWS), ("l2", 7), ("linf", 7)):
        model = Model(d)
        y = model(x)
        attack = HopSkipJump(norm=norm, max_iter=2, restarts=2, init_eval=12)
        on_cpu = attack(model.__call__, x, y)  # a bound method, without the attribute `device`
        before, cuda._MAX_ROWS = cuda._MAX_ROWS, block
        model.tensors = model.arrays = 0
        on_device = attack(model, x, y)
        cuda._MAX_ROWS = before
        assert model.tensors > model.arrays, (norm, block)
        assert (on_device.queries == on_cpu.queries).all(), (norm, block)
        assert np.allclose(on_device.adversarials, on_cpu.adversarials, rtol=0, atol=1e-6), (norm, block)


def compile_for_a_gpu() -> None:
    """The kernels compile for compute capability 9.0, and float32 is never fused to multiply-add."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from attacks.engine.kernels import triton_kernels

    types = dict.fromkeys(("keys", "run", "number", "begins"), "*i64") | dict.fromkeys(("radius", "sums"), "*fp64")
    types |= dict.fromkeys(("centres", "out", "probes"), "*fp32") | {"crossed": "*u8", "d": "i32"}
    types |= {"low": "fp32", "high": "fp32"}
    sizes = {"NORMAL": True, "LANES": cuda.TILE, **cuda._ADD_BLOCK}
    for kernel, warps in ((triton_kernels.perturb, 2), (triton_kernels.add_probes, 4)):
        constants = {name: sizes[name] for name in kernel.arg_names if name in sizes}
        signature = {name: "constexpr" if name in constants else types[name] for name in kernel.arg_names}
        source = ASTSource(kernel, signature=signature, constexprs=constants)
        options = {"enable_fp_fusion": False, "num_warps": warps}
        ptx = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]
        for inexact in ("fma.rn.f32", "sqrt.approx", "div.full"):
            assert inexact not in ptx, (kernel, inexact)


if __name__ == "__main__":
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    if sys.argv[1] == "compile":
        compile_for_a_gpu()
    else:
        inputs_are_those_of_the_cpu()
        a_device_with_other_arithmetic_is_not_used()
        attacks_have_the_same_result_as_on_the_cpu()
    print("passed")
