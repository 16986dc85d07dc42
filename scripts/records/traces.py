"""What the tables and the convergence figure take from a trace: columns ``index``, ``restart``, ``queries``, ``l2``."""

from __future__ import annotations

import numpy as np
import pandas as pd

_STEPS = 60


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
