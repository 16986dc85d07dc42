"""Training speed: vote-iterations of every variant, against the reference kernel and scikit-learn's MLPClassifier."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from scripts.bench.measure import Section, threads, timed

VARIANTS: dict[str, dict[str, Any]] = {
    "scd01": {"loss": "01", "weights": "real", "n_iter": 1000},
    "scdce": {"loss": "ce", "weights": "real", "n_iter": 1000},
    "scdcebnn": {"loss": "ce", "weights": "binary", "n_iter": 10_000},
    "scd01bnn": {"loss": "01", "weights": "binary", "n_iter": 10_000},
}
_AUTHORS_MS = 7200.0  # a vote-iteration of scd01 at this size, the authors' program on two cores


def vote_iterations(x: np.ndarray, y: np.ndarray, iterations: int) -> Section:
    """Vote-iterations a second of every variant: on one core, on all, and with the reference kernel."""
    cores, training_set = os.cpu_count() or 1, _columns(x, y)
    section = Section(f"Vote-iterations ({len(x):,} x {x.shape[1]:,}, 128 features, batch 75 %)")
    for name, kind in VARIANTS.items():
        data = (*training_set, kind)
        one = _milliseconds(data, "cpu", 1, votes=4, iterations=iterations)
        slow = _milliseconds(data, "reference", 1, votes=1, iterations=3)
        section.figures[f"{name}, one core, ms of process time"] = one
        section.figures[f"{name}, one core, vote-iterations/s"] = 1000 / one
        section.figures[f"{name}, one vote alone, ms"] = _milliseconds(data, "cpu", 1, votes=1, iterations=iterations)
        if cores > 1:
            many = _milliseconds(data, "cpu", cores, votes=4 * cores, iterations=iterations)
            section.figures[f"{name}, {cores} cores, vote-iterations/s of wall time"] = 1000 / many
        section.ratios[f"{name} against the reference kernel, one core"] = slow / one
    first = section.figures["scd01, one core, ms of process time"]
    section.figures["scd01 on one core against the authors' program on two (7.2 s)"] = _AUTHORS_MS / first
    return section


def busy(x: np.ndarray, y: np.ndarray, iterations: int) -> Section:
    """Wall time of training on all cores, alone and beside a program that keeps one core busy."""
    cores = os.cpu_count() or 1
    section = Section(f"Training on {cores} cores beside a busy loop on one of them, wall time")
    for name in ("scd01", "scdce"):
        data = (*_columns(x, y), VARIANTS[name])
        many = {"votes": 4 * cores, "iterations": iterations}
        idle, beside = [], []
        for _ in range(3):
            idle.append(_milliseconds(data, "cpu", cores, **many))
            with _busy_loop():
                beside.append(_milliseconds(data, "cpu", cores, **many))
        idle_ms, beside_ms = statistics.median(idle), statistics.median(beside)
        section.figures[f"{name}, idle, ms"] = idle_ms
        section.figures[f"{name}, beside a busy loop, ms"] = beside_ms
        section.ratios[f"{name}, idle / busy"] = idle_ms / beside_ms
    return section


@contextlib.contextmanager
def _busy_loop(seconds: float = 300.0) -> Iterator[None]:
    code = f"import time; end = time.time() + {seconds}\nwhile time.time() < end: pass"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            yield
        finally:
            process.kill()


def _columns(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float, int]:
    from scd.engine.samples.feature_columns import as_columns

    columns, divisor = as_columns(x, np.argsort(y, kind="stable"))
    return columns, divisor, int((y == 0).sum())


def _milliseconds(data: Any, kernel: str, cores: int, votes: int, iterations: int) -> float:
    """Mean milliseconds of a vote-iteration: process time on one core, wall time on several."""
    from scd.classifier import SCDClassifier
    from scd.engine.training import training_with
    from scd.search import backend

    columns, divisor, negatives, kind = data
    settings = dataclasses.replace(SCDClassifier(**kind)._settings(len(columns)), n_iter=iterations + 2)
    clock = time.process_time if cores == 1 else time.perf_counter
    with threads(cores):
        descent = training_with(backend(kernel))(
            columns, divisor, negatives, settings, range(votes), 0, backend(kernel), cores
        )
        steps = descent.steps()
        for _ in range(2):
            next(steps)
        took = timed(descent.run, clock)
    return 1000 * took / iterations / votes


def against_mlp(x: np.ndarray, y: np.ndarray, iterations: Section) -> Section:
    """One vote of MLPClassifier, fitted to its end on one core, against one vote of every variant."""
    from baselines.mlp import MLPVotes
    from baselines.workers.mlp_vote import fit_network

    network = MLPVotes()._network()
    fit = timed(lambda: fit_network(network, x, y, 0, 0), time.process_time)
    section = Section("One vote of scikit-learn's MLPClassifier against one vote, one core, process time")
    section.figures["MLPClassifier, s"] = fit
    for name, kind in VARIANTS.items():
        vote = kind["n_iter"] * iterations.figures[f"{name}, one core, ms of process time"] / 1000
        section.figures[f"{name}, s for {kind['n_iter']:,} iterations"] = vote
        section.ratios[f"MLPClassifier / {name}"] = fit / vote
    return section


def training_memory() -> Section:
    """Peak memory of 100 votes beyond the data, in a process of its own."""
    code = (
        "import resource,numpy as np; from scd import SCDClassifier;"
        "r=np.random.default_rng(0); y=np.arange(10000)%2;"
        "x=r.integers(0,256,(10000,3072),dtype=np.uint8).astype(np.float32); x/=np.float32(255);"
        "m=SCDClassifier(n_iter=3,random_state=0); m.warm_up(x,y);"
        "a=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; m.fit_votes(x,y,range(100));"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss-a)/1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return Section("Memory", {"100 votes at 10,000 x 3,072, MiB beyond the data": float(done.stdout)})
