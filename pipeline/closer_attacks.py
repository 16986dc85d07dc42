"""Whether another finished attack on the same votes, at the same points, found far less."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.records import read_summary
from pipeline.store import sealed

FAR_LESS = 0.5
"""A mean distance under this share of another says that the other measured the attack, not the model."""

_SAME = ("fit", "voting", "n_votes", "points")


def far_closer(attack: Path) -> list[tuple[str, float, float]]:
    """Find the attacks beside `attack` in the store whose mean distance is less than half of its own.

    Parameters
    ----------
    attack : Path
        The folder of a finished attack.

    Returns
    -------
    list of (str, float, float)
        Name of the other attack, its mean distance and that of `attack`, in the norm of `attack` and over the points
        at which both found an adversarial; the closest first.
    """
    summary = read_summary(attack)
    norm = _norm(summary)
    if norm is None:
        return []
    own, found = _distances(attack, norm), []
    for folder in attack.parent.glob(f"{glob.escape(attack.name.removesuffix(_end(summary)))}*"):
        if folder == attack or not (folder / "done.json").is_file():
            continue
        try:
            other = read_summary(folder)
            if _norm(other) != norm or any(other.get(name) != summary.get(name) for name in _SAME):
                continue
            theirs = _distances(folder, norm)
        except (OSError, ValueError, LookupError):  # damaged: the command that reads it says so
            continue
        if set(theirs.index) != set(own.index) or sealed(folder)[0] is None:
            continue
        both = pd.concat([own, theirs], axis=1).dropna()
        mine, less = (float(both.iloc[:, side].mean()) for side in (0, 1))
        if less < FAR_LESS * mine:
            found.append((str(other["attack"]), less, mine))
    return sorted(found, key=lambda each: each[1])


def _end(summary: dict[str, Any]) -> str:
    """What of an attack's folder name is not that of its data set and model."""
    return f"{summary['attack']}-{summary['key']}"


def _norm(summary: dict[str, Any]) -> str | None:
    """The norm that an attack minimised; None where its result is no distance."""
    if summary.get("linf_mean") is None or "l2_lower_mean" in summary or "adversarial_accuracy" in summary:
        return None
    return "linf" if summary.get("norm") == "linf" else "l2"


def _distances(attack: Path, norm: str) -> pd.Series:
    return pd.read_csv(attack / "examples.csv").set_index("index")[norm]
