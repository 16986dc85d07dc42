"""Forward pass and start-up."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import Any

import numpy as np

from scripts.bench.measure import Section, seconds_of


def forward(model: Any, x: np.ndarray) -> Section:
    """Rows a second of the 100-vote forward pass and of the matrix product in it, at the best block size."""
    weights = model._forward.weights
    best = {"predict": 0.0, "matrix product": 0.0}
    for rows in (512, 1024, 2048):
        block = np.ascontiguousarray(x[:rows])
        for _ in range(2):  # in turns, so that what else runs slows both
            best["predict"] = max(best["predict"], rows / seconds_of(partial(model.predict, block), 3))
            best["matrix product"] = max(
                best["matrix product"], rows / seconds_of(partial(np.matmul, block, weights.T), 3)
            )
    return Section(
        "Forward pass of 100 votes",
        {f"{name}, rows/s": rate for name, rate in best.items()},
        {"predict / matrix product": best["predict"] / best["matrix product"]},
    )


def start_up() -> Section:
    """Seconds until ``python run.py --help`` has answered, as a multiple of the interpreter's import of NumPy."""
    help_ = seconds_of(lambda: _run("run.py", "--help"), 3)
    numpy = seconds_of(lambda: _run("-c", "import numpy"), 3)
    return Section("Start-up", {"run.py --help, s": help_, "import numpy, s": numpy}, {"numpy / help": numpy / help_})


def _run(*words: str) -> None:
    subprocess.run([sys.executable, *words], capture_output=True, check=True)
