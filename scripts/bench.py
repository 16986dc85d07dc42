"""Measures the speeds that this project promises, against its peers in the same run: ``make bench``.

Prints Markdown and writes ``outputs/bench.json``. Ratios within one run say more than single times: machines differ and
are shared. Uses CIFAR-10 where the data folder has it, else random images of the same size.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.provenance import provenance
from pipeline.resolvers import data_folder
from pipeline.store import write_json

Figures = dict[str, Any]
VARIANTS: dict[str, dict[str, Any]] = {
    "scd01": {"loss": "01", "weights": "real"},
    "scdce": {"loss": "ce", "weights": "real"},
    "scdcebnn": {"loss": "ce", "weights": "binary"},
    "scd01bnn": {"loss": "01", "weights": "binary"},
}
PROTOTYPE_MS = 3.4  # a plain Numba prototype, one vote-iteration of scd01 at this size on one core
AUTHORS_MS = 7200.0  # the authors' program, the same on two cores


def images() -> tuple[np.ndarray, np.ndarray, str]:
    """(10000, 3072) float32 rows, labels, and where they come from."""
    from data.cifar10 import load

    with contextlib.suppress(FileNotFoundError, ValueError):
        if (Path(data_folder()) / "prepared" / "cifar10_0_1.npz").is_file():
            dataset = load(data_dir=data_folder(), outputs_dir="outputs")
            return dataset.flat("train"), dataset.y_train, "CIFAR-10 0/1"
    rng = np.random.default_rng(0)
    y = np.arange(10_000) % 2
    x = rng.integers(0, 256, (10_000, 3072)).astype(np.float32) / np.float32(255)
    return x, y, "random images"


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """Use this many threads in Numba, torch and BLAS."""
    import numba
    import torch
    from threadpoolctl import threadpool_limits

    before = numba.get_num_threads(), torch.get_num_threads()
    numba.set_num_threads(number)
    torch.set_num_threads(1)  # as training does
    try:
        with threadpool_limits(number):
            yield
    finally:
        numba.set_num_threads(before[0])
        torch.set_num_threads(before[1])


def vote_iterations(x: np.ndarray, y: np.ndarray, votes: int, iterations: int) -> Figures:
    """Milliseconds of one vote-iteration, per variant, on one core and on all."""
    import torch

    from scd.classifier import SCDClassifier
    from scd.columns import as_columns
    from scd.descent import Descent
    from scd.search import backend

    order = np.argsort(y, kind="stable")
    columns, divisor = as_columns(x[order])
    data = torch.from_numpy(columns)
    found: Figures = {}
    for name, kind in VARIANTS.items():
        settings = SCDClassifier(n_iter=10_000, **kind)._settings(x.shape[1])
        for cores in dict.fromkeys([1, os.cpu_count() or 1]):
            with threads(cores):
                descent = Descent(data, divisor, int((y == 0).sum()), settings, range(votes), 0, backend("cpu"))
                steps = descent.steps()
                times = []
                for _ in range(iterations + 5):
                    began = time.perf_counter()
                    next(steps)
                    times.append((time.perf_counter() - began) / votes * 1000)
            found[f"{name}, {cores} core{'s' if cores > 1 else ''}"] = statistics.median(times[5:])
    return found


def training_memory(x: np.ndarray, y: np.ndarray) -> Figures:
    """Peak memory of 100 votes beyond the data, in a process of its own."""
    code = (
        "import resource,sys,numpy as np; from scd import SCDClassifier;"
        "r=np.random.default_rng(0); y=np.arange(10000)%2;"
        "x=r.integers(0,256,(10000,3072),dtype=np.uint8).astype(np.float32); x/=np.float32(255);"
        "m=SCDClassifier(n_iter=3,random_state=0); m.warm_up(x,y);"
        "a=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; m.fit_votes(x,y,range(100));"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss-a)/1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {"100 votes at 10,000 x 3072, MiB beyond the data": float(done.stdout)}


def forward(model: Any, x: np.ndarray) -> Figures:
    """Rows a second of the 100-vote forward pass and of the matrix product in it, at the best block size."""
    weights = model._forward.weights
    best: dict[str, float] = {"predict": 0.0, "matrix product": 0.0}
    for rows in (512, 1024, 2048, 4096):
        block = np.ascontiguousarray(x[:rows])
        for name, call in (
            ("predict", lambda b=block: model.predict(b)),
            ("matrix product", lambda b=block: b @ weights.T),
        ):
            best[name] = max(best[name], rows / _median_time(call, 5))
    share = 100 * best["predict"] / best["matrix product"]
    rates: Figures = {f"{name}, rows/s": rate for name, rate in best.items()}
    return {**rates, "predict as a share of the product, %": share}


def attack_rates(model: Any, x: np.ndarray, y: np.ndarray) -> Figures:
    """Queries a second of HopSkipJump, ours and ART's, as shares of the model's own rate between the two."""
    from attacks import HopSkipJump, HopSkipJumpART

    right = np.flatnonzero(model.predict(x[:200]) == y[:200])[:10]
    points, labels = x[right], y[right]
    own = x[:2048].copy()
    found: Figures = {}
    runs = {
        "ours (10 points, 10 restarts, 20 iterations)": (HopSkipJump(max_iter=20), points, labels),
        "ART (1 point, 1 run, 20 iterations)": (HopSkipJumpART(max_iter=20, restarts=1), points[:1], labels[:1]),
    }
    HopSkipJump(max_iter=1, restarts=1)(model.predict, points[:1], labels[:1])  # compile
    for name, (attack, rows, truth) in runs.items():
        rate = 2048 / _median_time(lambda: model.predict(own), 5)
        began = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = attack(model.predict, rows, truth)
        except (ImportError, ValueError) as absent:
            print(f"  {name}: {absent}")
            continue
        speed = float(result.queries.sum()) / (time.perf_counter() - began)
        found[f"{name}, queries/s"] = speed
        found[f"{name}, share of the forward rate, %"] = 100 * speed / rate
        found[f"{name}, mean L2"] = float(np.nanmean(result.l2))
    return found


def start_up() -> Figures:
    """Seconds until ``python run.py --help`` has answered."""
    call = [sys.executable, "run.py", "--help"]
    return {"run.py --help, s": _median_time(lambda: subprocess.run(call, capture_output=True, check=True), 3)}


def _median_time(call: Callable[[], Any], repeats: int) -> float:
    call()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _print(title: str, figures: Figures) -> None:
    print(f"\n### {title}\n\n| figure | value |\n|---|---|")
    for name, value in figures.items():
        print(f"| {name} | {value:,.3g} |" if value < 1000 else f"| {name} | {value:,.0f} |", flush=True)


def main(words: list[str] | None = None) -> int:
    """Run all benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outputs", default="outputs")
    parser.add_argument("--iterations", type=int, default=60, help="timed iterations of each variant")
    given = parser.parse_args(words)
    from scd import SCDClassifier

    x, y, source = images()
    cores = os.cpu_count() or 1
    print(f"{platform.processor() or platform.machine()}, {cores} cores, {source}, 10,000 x 3072")
    sections: dict[str, Figures] = {}

    def measure(title: str, figures: Figures) -> None:
        sections[title] = figures
        _print(title, figures)

    speeds = vote_iterations(x, y, votes=10, iterations=given.iterations)
    measure("Milliseconds of a vote-iteration (128 features, batch 75 %)", speeds)
    one = speeds["scd01, 1 core"]
    measure("Against others, scd01 on one core", {
        "a plain Numba prototype (3.4 ms) / ours": PROTOTYPE_MS / one,
        "the authors' program on two cores (7.2 s) / ours on one": AUTHORS_MS / one,
    })  # fmt: skip
    measure("Memory", training_memory(x, y))
    model = SCDClassifier(n_iter=30, random_state=0).fit(x, y)
    measure("Forward pass of 100 votes", forward(model, x))
    measure("HopSkipJump on 100 votes", attack_rates(model, x, y))
    measure("Start-up", start_up())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    outputs = Path(given.outputs)
    outputs.mkdir(parents=True, exist_ok=True)
    write_json(outputs / "bench.json", {**provenance("cpu"), "data": source, "peak_mib": peak, "figures": sections})
    print(f"\nWritten to {outputs / 'bench.json'}: {json.dumps({'sections': len(sections)})}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
