"""The Triton kernels return what the reference returns, and compile; in processes without TensorFlow."""

from pathlib import Path

import pytest
import torch

from scd import SCDClassifier
from scd.engine.training import REFRESH
from tests.triton_processes import assert_passes, needs_card, needs_triton

SCRIPT = Path(__file__).parent / "triton_checks.py"


@pytest.mark.thorough
@needs_triton
def test_kernels_equal_the_reference_in_the_interpreter(tmp_path):
    assert_passes(SCRIPT, "equal", tmp_path, TRITON_INTERPRET="1")


@needs_triton
@pytest.mark.slow
def test_kernels_compile_for_a_gpu_without_fusing_float32(tmp_path):
    assert_passes(SCRIPT, "compile", tmp_path)


@needs_triton
@needs_card
def test_a_fit_on_a_gpu_equals_the_reference_there(digits):
    fits = [
        SCDClassifier(n_votes=4, n_iter=50, device="cuda", backend=name, random_state=0).fit(*digits[:2])
        for name in ("cuda", "reference")
    ]
    assert (fits[0].votes(digits[2]) == fits[1].votes(digits[2])).all()


@needs_triton
@needs_card
@pytest.mark.parametrize("weights", ["real", "binary"])
@pytest.mark.parametrize("loss", ["01", "ce"])
def test_recorded_iterations_are_the_iterations(digits, loss, weights):
    """Before and after the change of the score, and over a refresh of the projections."""
    from tests.scd.engine.test_descent import descent_of

    small = {"loss": loss, "weights": weights, "n_iter": REFRESH + 9, "nodes_per_iter": 2, "votes": range(3)}
    recorded, eager = (descent_of(digits, kernel="cuda", device="cuda", **small) for _ in range(2))
    assert recorded.recorded is not None
    eager.recorded = None
    first, second = recorded.run(), eager.run()
    for name in ("hidden", "thresholds", "output", "output_threshold"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name
