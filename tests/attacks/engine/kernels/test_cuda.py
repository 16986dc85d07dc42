"""Inputs generated on a device are those of the CPU; the kernels run in processes without TensorFlow."""

from pathlib import Path

import numpy as np
import pytest
import torch

from attacks import HopSkipJump
from pipeline.stages.timer import ResumableTimer
from scd import SCDClassifier
from scd.engine.forward import DeviceLabels
from tests.triton_processes import assert_passes, needs_card, needs_triton

SCRIPT = Path(__file__).parent / "cuda_checks.py"


@pytest.mark.thorough
@needs_triton
def test_inputs_and_results_are_those_of_the_cpu_in_the_interpreter(tmp_path):
    assert_passes(SCRIPT, "equal", tmp_path, TRITON_INTERPRET="1")


@needs_triton
@pytest.mark.slow
def test_kernels_compile_for_a_gpu_without_fusing_float32(tmp_path):
    assert_passes(SCRIPT, "compile", tmp_path)


def made_up(n=200, d=150):
    rows = np.random.default_rng(0).random((n, d), dtype=np.float32)
    return rows, (rows[:, :10].sum(axis=1) > 5).astype(np.int64)


@pytest.fixture(scope="module")
def fitted():
    return SCDClassifier(n_votes=5, n_iter=30, random_state=0).fit(*made_up())


def test_labels_of_tensors_are_those_of_arrays(fitted):
    """The device's arithmetic, here with tensors in memory; majority and classes included."""
    labels = DeviceLabels(fitted.predict, fitted._forward, np.array([3, 8]))
    rows = made_up()[0]
    expected = np.array([3, 8])[fitted.predict(rows)]
    assert (labels(torch.from_numpy(rows)) == expected).all()
    assert (labels(rows) == fitted.predict(rows)).all()
    assert labels(torch.zeros(0, rows.shape[1])).shape == (0,)


def test_only_a_majority_of_sign_networks_on_a_device_takes_tensors(fitted, monkeypatch, tmp_path):
    assert fitted.device_labels() is None
    monkeypatch.setattr(fitted._forward, "device", "cuda:0")
    labels = fitted.device_labels()
    assert labels.device == "cuda:0"
    assert ResumableTimer(tmp_path / "elapsed.json").timing(labels, labels.device).device == "cuda:0"
    monkeypatch.setattr(fitted, "voting", "mean")
    assert fitted.device_labels() is None
    monkeypatch.setattr(fitted, "voting", "hard")
    monkeypatch.setattr(fitted._forward, "activation", "sigmoid")
    assert fitted.device_labels() is None


@needs_triton
@needs_card
def test_an_attack_with_inputs_from_the_gpu_has_the_same_result_as_from_the_cpu():
    model = SCDClassifier(n_votes=5, n_iter=200, random_state=0, device="cuda").fit(*made_up())
    x, attack = made_up()[0][:5], HopSkipJump(max_iter=5, restarts=2)
    y = model.predict(x)
    on_gpu, on_cpu = attack(model.device_labels(), x, y), attack(model.predict, x, y)
    assert (on_gpu.queries == on_cpu.queries).all()
    assert np.allclose(on_gpu.l2, on_cpu.l2, rtol=1e-3)
