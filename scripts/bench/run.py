"""Measures the speeds that this project promises, against its peers in the same run: ``make bench``.

Prints Markdown and writes ``outputs/bench.json`` and ``outputs/bench.md``. The ratios are added to
``docs/benchmarks-history.csv``, which is drawn as ``outputs/bench_history.svg``. Ratios within one run say more than
single times: machines differ and are shared. Uses CIFAR-10 where the data folder has it, else random images of the same
size.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.resolvers import data_folder
from pipeline.provenance import provenance
from scd.files import write_json
from scripts.bench.attacks import attack_rates, runs
from scripts.bench.cuda import on_card
from scripts.bench.foolbox import foolbox_rates
from scripts.bench.forward import forward, start_up
from scripts.bench.history import HISTORY, add_to_history, draw_history, entries_of
from scripts.bench.measure import Section, with_load
from scripts.bench.scaling import scaling
from scripts.bench.schedule import schedule
from scripts.bench.table import table
from scripts.bench.training import against_mlp, busy, training_memory, vote_iterations
from scripts.bench.words import words

SECTIONS = (
    "training", "busy", "schedule", "mlp", "table", "memory", "scaling", "forward", "attacks", "foolbox", "words",
    "startup", "cuda",
)  # fmt: skip


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


def measured(
    names: list[str], iterations: int, report: Callable[[Section], None], only: list[str] | None = None
) -> str:
    """Run the named sections one after the other, of attacks those in `only`; returns where the data come from."""
    from scd import SCDClassifier

    x, y, source = images()

    def measure(name: str, section: Callable[[], Section]) -> Section:
        found = with_load(name, section)
        report(found)
        return found

    if "training" in names or "mlp" in names:
        speeds = measure("training", lambda: vote_iterations(x, y, iterations))
        if "mlp" in names:
            measure("mlp", lambda: against_mlp(x, y, speeds))
    if {"forward", "attacks", "foolbox"} & set(names):
        model = SCDClassifier(n_iter=30, random_state=0).fit(x, y)
    sections: dict[str, Callable[[], Section]] = {
        "busy": lambda: busy(x, y, iterations),
        "schedule": lambda: schedule(x, y),
        "table": table,
        "memory": training_memory,
        "scaling": scaling,
        "forward": lambda: forward(model, x),
        "attacks": lambda: attack_rates(model, x, y, only),
        "foolbox": lambda: foolbox_rates(model, x, y),
        "words": words,
        "startup": start_up,
        "cuda": lambda: on_card(x, y),
    }
    for name, section in sections.items():
        if name in names:
            measure(name, section)
    return source


def _write(outputs: Path, sections: list[Section], facts: dict[str, Any]) -> None:
    outputs.mkdir(parents=True, exist_ok=True)
    ratios = {name: value for section in sections for name, value in section.ratios.items()}
    write_json(outputs / "bench.json", {**facts, "sections": [asdict(s) for s in sections], "ratios": ratios})
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    head = f"{facts['processor']}, {facts['cores']} cores, load {facts['load']:.1f}; {facts['data']}; {packages}."
    (outputs / "bench.md").write_text("\n\n".join([head, *(s.markdown() for s in sections)]) + "\n", encoding="utf-8")


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outputs", default="outputs")
    parser.add_argument("--iterations", type=int, default=60, help="timed iterations of each variant")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--attacks", nargs="+", choices=runs(), help="of the section attacks, by default all")
    parser.add_argument("--history", type=Path, default=HISTORY, help=f"where the ratios are added, default {HISTORY}")
    given = parser.parse_args(arguments)
    began, sections = time.perf_counter(), []

    def report(section: Section) -> None:
        sections.append(section)
        print(f"\n{section.markdown()}", flush=True)

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    source = measured(list(given.sections), given.iterations, report, given.attacks)
    facts = {
        **provenance("cpu"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "load": load,  # of the machine before: above 0 something else ran
        "data": source,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "seconds": time.perf_counter() - began,
    }
    outputs = Path(given.outputs)
    _write(outputs, sections, facts)
    draw_history(add_to_history(given.history, entries_of(sections, facts)), outputs / "bench_history.svg")
    print(f"\n{facts['seconds']:.0f} s. Written to {outputs / 'bench.json'}, bench.md and bench_history.svg")
    print(f"The ratios were added to {given.history}; commit this file to keep them.")
    return 0
