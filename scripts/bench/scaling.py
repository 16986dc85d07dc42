"""How the cost of training grows: time and memory against rows, features, votes and hidden nodes."""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.bench.measure import Section, timed


@dataclass(frozen=True)
class Case:
    """The size of one fit."""

    rows: int = 10_000
    features: int = 3072
    votes: int = 8
    hidden: int = 20
    words: bool = False
    """Rows of real numbers, as mean word vectors are, instead of pixels."""


AXES: dict[str, list[Case]] = {
    "rows": [Case(rows=n, features=200, words=True) for n in (10_000, 35_000, 140_000, 560_000)],
    "features": [Case(rows=2_580, features=d) for d in (200, 3_072, 27_648, 150_528)],
    "votes": [Case(votes=v) for v in (8, 32, 128)],
    "hidden": [Case(hidden=h) for h in (4, 16, 64)],
}
"""Up to the paper's largest sets, Yelp (560,000 x 200) and ImageNet (2,580 x 150,528)."""

_ITERATIONS = 12


def scaling() -> Section:
    """scd01 at growing sizes, each in a process of its own; a slope of 1 is growth in proportion."""
    section = Section("Growth of the cost of training (scd01, all cores, wall time)")
    for axis, cases in AXES.items():
        found = [_in_a_process(case) for case in cases]
        for case, cost in zip(cases, found, strict=True):
            name = f"{axis} {getattr(case, axis):,}"
            section.figures[f"{name}: until the first iteration, s"] = cost["start"]
            section.figures[f"{name}: ms of an iteration, all votes"] = cost["iteration"]
            section.figures[f"{name}: peak beyond the float32 rows, MiB"] = cost["peak"]
        sizes = [getattr(case, axis) for case in cases]
        for what in ("start", "iteration"):  # peaks below what compiling had taken are 0
            section.figures[f"slope of {what} against {axis}"] = slope(sizes, [cost[what] for cost in found])
    return section


def slope(sizes: list[int], costs: list[float]) -> float:
    """Least-squares exponent b of ``cost ~ size ** b``."""
    return float(np.polyfit([math.log(s) for s in sizes], [math.log(cost) for cost in costs], 1)[0])


def _in_a_process(case: Case) -> dict[str, float]:
    words = [f"--{name}={value:d}" for name, value in vars(case).items()]
    done = subprocess.run([sys.executable, "-m", __name__, *words], capture_output=True, text=True, check=True)
    cost: dict[str, float] = json.loads(done.stdout)
    return cost


def measure(case: Case) -> dict[str, float]:
    """Fit a few iterations and say what they took; the process must be new, for its peak memory to be theirs."""
    from scd import SCDClassifier

    rng = np.random.default_rng(0)
    y = np.arange(case.rows) % 2
    x = np.empty((case.rows, case.features), dtype=np.float32)
    for start in range(0, case.rows, 1024):  # so that the rows themselves are the peak before the fit
        block = x[start : start + 1024]
        pixels = rng.integers(0, 256, block.shape, dtype=np.uint8)
        block[:] = rng.standard_normal(block.shape, dtype=np.float32) if case.words else pixels / np.float32(255)
    short, long = (
        SCDClassifier(hidden_nodes=case.hidden, n_iter=n_iter, random_state=0) for n_iter in (1, 1 + _ITERATIONS)
    )
    short.warm_up(x, y)
    before = _peak()
    votes = range(case.votes)
    begun = timed(lambda: short.fit_votes(x, y, votes))
    all_of_it = timed(lambda: long.fit_votes(x, y, votes))
    return {
        "start": begun,
        "iteration": 1000 * max(all_of_it - begun, 1e-6) / _ITERATIONS,  # of a tiny fit, noise may take all
        "peak": max(_peak() - before, 0.0),
    }


def _peak() -> float:
    """MiB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1024)


def main(words: list[str] | None = None) -> int:
    """Measure one case; its size is given as options."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in Case.__dataclass_fields__:
        parser.add_argument(f"--{name}", type=int, required=True)
    given: dict[str, Any] = vars(parser.parse_args(words))
    print(json.dumps(measure(Case(**{**given, "words": bool(given["words"])}))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
