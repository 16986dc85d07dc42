"""Distances from both sides: what is proved of an ensemble and what attacks found, and what follows for a claim."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.records import MISCLASSIFIED
from scd.statistics import bootstrap
from scripts.results import Results
from scripts.tables.cells import where
from scripts.tables.distances import ATTACKS, at_table_2s_points, drawn_at_random, from_noise_in_l2

HOLDS, REFUTED, ABOUT_ATTACKS = "holds", "refuted", "about attacks"

CERTIFICATE = "certificate"
_UPPER = (*ATTACKS, "leaf_tuple")
ONE_ENSEMBLE = ["fit", "n_votes", "accuracy_ensemble"]
"""Runs on the same votes share these. Votes of another device have the same fit and another accuracy."""


@dataclass(frozen=True)
class Sides:
    """The L2 distances of an ensemble at test samples that it classifies correctly, from both sides.

    Attributes
    ----------
    name : str
    lower : Series of float64
        Certified radius, by index of the sample; empty without a certificate.
    upper : Series of float64
        Minimum over all attacks, infinite where all of them failed; empty without an attack.
    """

    name: str
    lower: pd.Series
    upper: pd.Series


@dataclass(frozen=True)
class Term:
    """An ensemble's distance in a sum, times `weight`."""

    weight: float
    sides: Sides


@dataclass(frozen=True)
class Compared:
    """What is known of a sum of distances that a claim calls positive, at the points that all its ensembles have.

    Attributes
    ----------
    words : str
        The sum, such as "scd01 − rf".
    verdict : str
        `HOLDS` or `REFUTED` where the 95 % bootstrap interval of one side is on one side of zero, else `ABOUT_ATTACKS`.
    points : int
    at_least, at_most : (mean, low, high)
        The sum with the certified radii of its positive terms and the attacks' distances of its negative ones, and the
        reverse, with bootstrap intervals over the points; NaN without one of these.
    each : list of (name, certified, closest)
        Mean distances of each ensemble at these points, from both sides; NaN where there is none.
    """

    words: str
    verdict: str
    points: int
    at_least: tuple[float, float, float]
    at_most: tuple[float, float, float]
    each: list[tuple[str, float, float]]


def sides_of(results: Results, name: str, runs: pd.DataFrame) -> Sides | None:
    """Both sides of one ensemble of `runs`; None for no runs.

    A certified ensemble is preferred, then the one with the most votes, with the most attacks, the last of `runs`.
    """
    if not len(runs):
        return None
    found = [_of_ensemble(results, name, same) for _, same in runs.groupby(ONE_ENSEMBLE, dropna=False)]
    return max(found, key=lambda each: each[0])[1]


def runs_on(results: Results, dataset: str, model: str) -> pd.DataFrame:
    """The attacks in L2 and the certificates of a model that count: of CIFAR-10 those that Table 2 may show."""
    found = both_kinds(results.attacks, dataset=dataset, model=model)
    if not len(found) or dataset != "cifar10":
        return found
    return at_table_2s_points(results, drawn_at_random(results, found))


def both_kinds(attacks: pd.DataFrame, **columns: object) -> pd.DataFrame:
    """The attacks in L2 and the certificates among `attacks` with these values and hard voting."""
    found = where(attacks, **columns, voting="hard")
    return from_noise_in_l2(found[found["attack"].isin([*_UPPER, CERTIFICATE])]) if len(found) else found


def at_few_points(results: Results, runs: pd.DataFrame) -> pd.DataFrame:
    """The runs at no more points than Table 2 has; for ensembles that were attacked at points of their own."""
    most = len(results.table_2s_points) or np.inf
    return runs[np.array([len(results.points(run)) <= most for run in runs.get("folder", [])], dtype=bool)]


def compare(*terms: Term) -> Compared | None:
    """What the two sides say of the sum of `terms`; None where neither bounds it, or at fewer than two points."""
    known = [side for term in terms for side in (term.sides.lower, term.sides.upper) if len(side)]
    common = sorted(set.intersection(*(set(side.index) for side in known))) if known else []
    at_least, at_most = (_bound(terms, common, sign) for sign in (1, -1))
    if len(common) < 2 or np.isnan([at_least[0], at_most[0]]).all():
        return None
    verdict = HOLDS if at_least[1] > 0 else REFUTED if at_most[2] < 0 else ABOUT_ATTACKS
    each = {term.sides.name: _means(term.sides, common) for term in terms}
    return Compared(_words(terms), verdict, len(common), at_least, at_most, [(n, *means) for n, means in each.items()])


def judge(comparisons: list[Compared | None]) -> str:
    """The verdict on a claim that all these sums are positive."""
    verdicts = {ABOUT_ATTACKS if each is None else each.verdict for each in comparisons}
    return REFUTED if REFUTED in verdicts else HOLDS if verdicts == {HOLDS} else ABOUT_ATTACKS


def _of_ensemble(results: Results, name: str, runs: pd.DataFrame) -> tuple[tuple[bool, float, int, int], Sides]:
    """Both sides of the runs on one ensemble, and how much they are preferred."""
    lower, upper = [], []
    for run, attack in zip(runs["folder"], runs["attack"], strict=True):
        examples = results.source.examples(run)
        correct = examples[examples["reason"].ne(MISCLASSIFIED)]
        if attack == CERTIFICATE:
            lower.append(correct["l2_lower"])
        else:
            upper.append(correct["l2"].fillna(np.inf))
    preferred = bool(lower), float(runs["n_votes"].iloc[0]), len(upper), int(runs.index.max())
    return preferred, Sides(name, _joined(lower, "max"), _joined(upper, "min"))


def _joined(found: list[pd.Series], by: str) -> pd.Series:
    """The largest or smallest value of each sample."""
    if not found:
        return pd.Series(dtype=np.float64)
    return pd.Series(pd.concat(found, axis=1).agg(by, axis=1))


def _bound(terms: tuple[Term, ...], points: list[int], sign: int) -> tuple[float, float, float]:
    """The lower (`sign` 1) or upper (-1) bound of the mean sum, with its interval; NaN where it has none."""
    total = np.zeros(len(points))
    for term in terms:
        side = term.sides.lower if sign * term.weight > 0 else term.sides.upper
        total += term.weight * side.reindex(points).to_numpy(dtype=np.float64)
    return bootstrap(total) if np.isfinite(total).all() else (np.nan, np.nan, np.nan)


def _means(sides: Sides, points: list[int]) -> tuple[float, float]:
    lower, upper = (side.reindex(points).mean() if len(side) else np.nan for side in (sides.lower, sides.upper))
    return float(lower), float(upper)


def _words(terms: tuple[Term, ...]) -> str:
    """The sum in words, such as "1.5 × bnn − mlp"."""
    parts = []
    for term in terms:
        size = "" if abs(term.weight) == 1 else f"{abs(term.weight):g} × "
        parts.append(f"{'+' if term.weight > 0 else '−'} {size}{term.sides.name}")
    return " ".join(parts).removeprefix("+ ")
