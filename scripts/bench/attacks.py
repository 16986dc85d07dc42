"""Attack speed: queries per second as a fraction of the model's own forward rate, and those of ART and Foolbox."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scripts.bench.measure import Section, seconds_of

_REPEATS = 3
_BLOCK = 2048  # rows of the forward rate
_POINTS, _MANY_POINTS = 10, 50
_ONE_QUERY_A_RUN = ("rays", "surfree", "cgba")  # at a time, always or in turns: measured with more points, too
NOT_MEASURED = {
    "none": "makes no queries",
    "substitute": "trains a network between its few questions",
    "whitebox": "takes gradients, which the forward rate is no measure of",
}


def runs() -> dict[str, Callable[[], Any]]:
    """How every attack of ``conf/attack`` that queries labels is built here: smaller than the paper's protocol."""
    import attacks as a

    short: dict[str, Any] = {"max_iter": 6, "restarts": 3}
    return {
        "hsj": lambda: a.HopSkipJump(max_iter=10, restarts=10),  # as many runs as in the protocol
        "hsj_wide": lambda: a.HopSkipJump(**short, delta=0.1),
        "boundary": lambda: a.BoundaryAttack(**short),
        "rays": lambda: a.RayS(query_budget=1500),
        "surfree": lambda: a.SurFree(max_iter=60, restarts=3),
        "cgba": lambda: a.CGBA(max_iter=8, restarts=3),
        "signopt": lambda: a.SignOPT(max_iter=6, restarts=3),
        "arsopt": lambda: a.SignOPT(max_iter=6, restarts=3, accelerated=True, step=1.0),
        "smoothed_boundary": lambda: a.SmoothedBoundary(max_iter=8, query_budget=3000),
        "noise": lambda: a.NoiseSearch(draws=50),
        "transfer": lambda: a.Transfer(max_iter=4, members=8),
        "hsj_art": lambda: a.HopSkipJumpART(max_iter=4, restarts=1),
        "boundary_art": lambda: a.BoundaryAttackART(max_iter=10, restarts=1),
        "signopt_art": lambda: a.SignOPTART(max_iter=2, restarts=1),
    }


def attack_rates(model: Any, x: np.ndarray, y: np.ndarray, only: list[str] | None = None) -> Section:
    """Labels a second of every attack and its share of the forward rate measured just before and after it."""
    right = np.flatnonzero(model.predict(x[:200]) == y[:200])[:_MANY_POINTS]
    points, labels, block = x[right], y[right], x[:_BLOCK].copy()
    section = Section("Queries of attacks on 100 votes, as a fraction of the forward rate (10 points; ART: 1)")
    for path in sorted(Path("conf/attack").glob("*.yaml")):
        if path.stem not in runs():
            section.notes.append(f"{path.stem}: not measured, it {NOT_MEASURED.get(path.stem, 'has no entry here')}.")
    for name, build in runs().items():
        if only is not None and name not in only:
            continue
        counts = {name: 1 if name.endswith("_art") else _POINTS}
        counts |= {f"{name}, {_MANY_POINTS} points": _MANY_POINTS} if name in _ONE_QUERY_A_RUN else {}
        for title, count in counts.items():
            try:
                rate, share = _rate_of(build, model, points[:count], labels[:count], block)
            except ImportError as missing:
                section.notes.append(f"{name}: {missing}")
                continue
            section.figures[f"{title}, labels/s"], section.ratios[f"{title} / forward rate"] = rate, share
    return section


def _rate_of(
    build: Callable[[], Any], model: Any, points: np.ndarray, labels: np.ndarray, block: np.ndarray
) -> tuple[float, float]:
    if build().requires == "members":  # its questions are for the labels of single votes
        members = np.zeros(len(block), dtype=np.int64)
        more = {"n_members": len(model.votes_)}
        return measure(
            lambda: _asked(build(), model.member_labels, points, labels, more),
            lambda: model.member_labels(block, members),
            len(block),
        )
    asked = model.predict
    if hasattr(model, "device_labels"):
        asked = model.device_labels() or asked
    return measure(lambda: _asked(build(), asked, points, labels, {}), lambda: model.predict(block), len(block))


def measure(attack: Callable[[], float], forward: Callable[[], Any], rows: int) -> tuple[float, float]:
    """Median queries per second of an attack, and its fraction of the rate of `forward`."""
    attack()  # compiles what is compiled
    rates, shares = [], []
    for _ in range(_REPEATS):
        before = seconds_of(forward, 3)
        began = time.perf_counter()
        rate = attack() / (time.perf_counter() - began)
        seconds = (before + seconds_of(forward, 3)) / 2
        rates.append(rate)
        shares.append(rate * seconds / rows)
    return statistics.median(rates), statistics.median(shares)


def _asked(attack: Any, ask: Any, points: np.ndarray, labels: np.ndarray, more: dict[str, Any]) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ART's own
        result = attack(ask, points, labels, **more)
    return float(result.queries.sum())
