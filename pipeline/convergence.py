"""Whether the search of an attack has converged, from its trace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

NOT_FLAT = 0.05
"""A search whose second half of queries still gained more than this had not converged."""


def late_gain(trace: pd.DataFrame) -> float:
    """How much the second half of the queries still gained: 1 - mean best L2 at the end / at half of them.

    Taken run by run (a point's restart) over the runs whose trace reaches into both halves; NaN where there are none.

    Parameters
    ----------
    trace : DataFrame
        Columns ``index`` (the point), ``restart``, ``queries`` (of that run so far), ``l2`` (its best so far).
    """
    halves = []
    for _, run in trace.groupby(["index", "restart"]):
        early = run.loc[run["queries"] <= run["queries"].max() / 2, "l2"]
        if len(early) and len(early) < len(run):
            halves.append((early.min(), run["l2"].min()))
    if not halves:
        return float("nan")
    half, end = (sum(part) / len(halves) for part in zip(*halves, strict=True))
    return 1 - end / half if half > 0 else 0.0


def late_gain_of(attack: Path) -> float | None:
    """:func:`late_gain` of a finished attack in the store; None where its trace does not say."""
    import pandas as pd  # `run.py --help` loads this file, through the table of a sweep

    path = attack / "trace.csv"
    if not path.is_file():
        return None
    trace = pd.read_csv(path)
    gain = late_gain(trace) if {"index", "restart", "queries", "l2"} <= set(trace) else float("nan")
    return None if pd.isna(gain) else gain
