"""What is compiled ahead of the first run is what an attack calls."""

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[4]
_CODE = """
import numpy as np
from attacks import HopSkipJump
from attacks.engine.kernels import ahead, numba_kernels, rng

used = [getattr(numba_kernels, name) for name in ("interpolate", "distances", "perturb", "add_probes", "step_rows")]
used.append(rng.fill_noise)
ahead.attack()
print(*(len(f.signatures) for f in used))
x = np.random.default_rng(0).random((3, 5), dtype=np.float32)
HopSkipJump(max_iter=2, restarts=2)(lambda x: (x.sum(1) > 2.5).astype(np.int64), x)
print(*(len(f.signatures) for f in used))
"""


@pytest.mark.thorough
def test_hopskipjump_needs_no_other_signature():
    run = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, check=True, cwd=_ROOT)
    assert run.stdout.splitlines() == ["1 1 1 1 1 1"] * 2


@pytest.mark.thorough
def test_the_command_compiles_an_attack():
    command = [sys.executable, "-m", "attacks.engine.kernels.ahead"]
    assert subprocess.run(command, capture_output=True, text=True, cwd=_ROOT).stderr == ""
