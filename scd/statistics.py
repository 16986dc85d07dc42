"""Means, medians and their bootstrap intervals over attacked points."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scd.seeds import generator_for

RESAMPLES = 10_000


def bootstrap(
    values: NDArray[Any], statistic: str = "mean", generator: np.random.Generator | None = None
) -> tuple[float, float, float]:
    """The mean or median of `values` with its 95 % percentile bootstrap interval.

    Parameters
    ----------
    values : (n,) float
    statistic : {"mean", "median"}
    generator : numpy generator, optional
        Draws the resamples; by default one that depends on the number of values alone.

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
    generator = generator or generator_for(0, "bootstrap", len(values))
    draws = generator.integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(compute(values[draws], axis=1), [2.5, 97.5])
    return float(compute(values)), float(low), float(high)


def paired_p_values(first: NDArray[Any], second: NDArray[Any]) -> tuple[float, float]:
    """Two-sided p-values of the exact Wilcoxon signed-rank test and of the paired t test.

    Parameters
    ----------
    first, second : (n,) float
        One value per point, in the same order.

    Returns
    -------
    signed_rank, t : float
        NaN for fewer than two points, or where all differences are zero.
    """
    from scipy.stats import ttest_rel, wilcoxon  # heavy

    difference = first - second
    moved = difference[difference != 0]  # the signed-rank test ignores ties
    if len(first) < 2 or not len(moved):
        return float("nan"), float("nan")
    method = "exact" if len(moved) <= 1000 and len(np.unique(np.abs(moved))) == len(moved) else "auto"
    t = float(ttest_rel(first, second).pvalue) if difference.std() > 0 else float("nan")
    return float(wilcoxon(moved, method=method).pvalue), t
