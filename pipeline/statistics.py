"""Means, medians and their bootstrap intervals over attacked points."""

from __future__ import annotations

from typing import Any

import numpy as np

from scd.seeds import generator_for

RESAMPLES = 10_000


def bootstrap(values: np.ndarray, statistic: str) -> tuple[float, float, float]:
    """The mean or median of `values` with its 95 % percentile bootstrap interval over points.

    Parameters
    ----------
    values : (n,) float
    statistic : {"mean", "median"}

    Returns
    -------
    value, low, high : float
        NaN for no values; the interval is NaN for fewer than two.
    """
    compute: Any = {"mean": np.mean, "median": np.median}[statistic]
    if not len(values):
        return float("nan"), float("nan"), float("nan")
    if len(values) == 1:
        return float(values[0]), float("nan"), float("nan")
    draws = generator_for(0, "bootstrap", len(values)).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(compute(values[draws], axis=1), [2.5, 97.5])
    return float(compute(values)), float(low), float(high)
