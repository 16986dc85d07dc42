"""What the tables and the convergence figure take from a trace: columns ``index``, ``restart``, ``queries``, ``l2``."""

from __future__ import annotations

import numpy as np
import pandas as pd

_STEPS = 60


def late_gain(trace: pd.DataFrame) -> float:
    """How much the second half of the queries still gained: 1 - mean best L2 at the end / at half of them.

    Taken run by run (a point's restart) over the runs whose trace reaches into both halves; NaN where there are none.
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


def mean_best(trace: pd.DataFrame) -> pd.DataFrame:
    """The mean over points of the minimum distance of a point's runs after so many queries of each.

    Parameters
    ----------
    trace : DataFrame
        Columns ``index`` (the point), ``restart``, ``queries`` (of that run so far), ``l2`` (its best so far).

    Returns
    -------
    DataFrame
        Columns ``queries`` (a geometric grid, from where every point has a first distance to the longest run) and
        ``l2``; no rows for an empty trace.
    """
    runs = [(key, run["queries"].to_numpy(), run["l2"].to_numpy()) for key, run in trace.groupby(["index", "restart"])]
    if not runs:
        return pd.DataFrame({"queries": np.zeros(0, np.int64), "l2": np.zeros(0)})
    first = pd.Series([queries[0] for _, queries, _ in runs], index=[key[0] for key, _, _ in runs])
    begin, end = first.groupby(level=0).min().max(), max(queries[-1] for _, queries, _ in runs)
    grid = np.unique(np.geomspace(begin, end, _STEPS).round().astype(np.int64))
    best: dict[int, np.ndarray] = {}
    for (point, _), queries, l2 in runs:
        at = np.searchsorted(queries, grid, side="right") - 1
        values = np.where(at >= 0, np.minimum.accumulate(l2)[np.maximum(at, 0)], np.inf)
        best[point] = np.minimum(best.get(point, np.inf), values)
    return pd.DataFrame({"queries": grid, "l2": np.mean(list(best.values()), axis=0)})
