"""Whether the search of an attack has converged, and whether its runs agree, from its trace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

NOT_FLAT = 0.05
"""A search whose second half of queries still gained more than this had not converged."""


class Search(NamedTuple):
    """What the trace of an attack says of its search; None where it does not say.

    Attributes
    ----------
    gain : float or None
        See :func:`late_gain`.
    disagreement : float or None
        See :func:`disagreement`.
    """

    gain: float | None = None
    disagreement: float | None = None


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


def disagreement(trace: pd.DataFrame) -> float:
    """How much farther the median run of a point ends than its best run: the median over the points, 0.1 for 10 %.

    Runs that ended before half of the queries of the point's longest run are left out; NaN where no point has several.
    On a smooth model the runs meet. Where they do not, chance decides what is found.

    Parameters
    ----------
    trace : DataFrame
        As of :func:`late_gain`.
    """
    runs = trace.groupby(["index", "restart"]).agg(l2=("l2", "min"), queries=("queries", "max"))
    whole = runs[2 * runs["queries"] >= runs.groupby("index")["queries"].transform("max")]
    ends = whole.groupby("index")["l2"].agg(["median", "min", "size"])
    ends = ends[(ends["size"] > 1) & (ends["min"] > 0)]
    return float((ends["median"] / ends["min"]).median() - 1)


def search_of(attack: Path) -> Search:
    """What the trace of a finished attack in the store says."""
    import pandas as pd  # `run.py --help` loads this file, through the table of a sweep

    path = attack / "trace.csv"
    if not path.is_file():
        return Search()
    trace = pd.read_csv(path)
    if not {"index", "restart", "queries", "l2"} <= set(trace):
        return Search()
    return Search(*(None if pd.isna(value) else value for value in (late_gain(trace), disagreement(trace))))
