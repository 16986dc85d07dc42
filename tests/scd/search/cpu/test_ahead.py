"""What is compiled ahead of the first run is what training calls."""

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[4]
_CODE = """
import numpy as np
from scd import SCDClassifier
from scd.engine.forward import _sign_labels
from scd.engine.sampling import draw_vote
from scd.search.cpu import ahead

ahead.hidden()
ahead.output()
X = np.random.default_rng(0).integers(0, 256, (40, 5)).astype(np.float32) / 255
SCDClassifier(n_votes=1, hidden_nodes=2, n_iter=2).fit(X, np.arange(40) % 2).predict(X)
kernels = ahead.search_thresholds, ahead.search_activations, draw_vote, _sign_labels
print(*(len(f.signatures) for f in kernels))
"""


def test_training_on_images_needs_no_other_signature():
    run = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, check=True, cwd=_ROOT)
    assert run.stdout.split() == ["1", "1", "1", "1"]


def test_the_command_compiles_one_part():
    command = [sys.executable, "-m", "scd.search.cpu.ahead", "output"]
    assert subprocess.run(command, capture_output=True, text=True, cwd=_ROOT).stderr == ""
