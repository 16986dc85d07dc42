"""Checks of Triton kernels run in processes of their own: TensorFlow and Triton cannot share one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is for Linux only")
needs_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def assert_passes(script: Path, what: str, cache: Path, **environment: str) -> None:
    """Run ``python script what`` with the repository's root on the path; it prints "passed"."""
    root = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "TRITON_CACHE_DIR": str(cache), **environment}
    done = subprocess.run([sys.executable, script, what], capture_output=True, text=True, env=environment, timeout=240)
    assert done.stdout == "passed\n", done.stderr[-3000:]
