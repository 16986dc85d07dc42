"""Certified radii of many points, and their verification."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from scd.certificates.covers import cheapest_votes
from scd.certificates.proof import Proof, proved_radius
from scd.certificates.shared import BLOCK, SharedWeights
from scd.certificates.spectral import PointSearch, largest_eigenvalue
from scd.certificates.units import Floats, Norm, PointUnits, SignUnits, candidates, first_units, order_radius
from scd.storage import Vote

_ROUND = 20  # ascent steps at a point before the next point has its turn
_MANY = 48  # points from which on weights shared by all of them are worth learning
_REPORTED = 1 - 1e-9  # of a proved radius, so that another machine's roundings prove it, too
_FIRST_REACH = 2.5  # first reach of a search, in radii that equal weights for all units prove


@dataclass(frozen=True)
class Certificates:
    """Radii within which no perturbation changes the label, and what proves them.

    Attributes
    ----------
    norm : {"l2", "linf"}
    radius : (n,) float64
        In units of the features. 0 where the point is misclassified; inf where nothing changes the label.
    order : (n,) float64
        The part of it that the order statistic proves alone, without a search.
    proofs : list of (Proof or None)
        Weights of the spectral bound, None where the order statistic is as good.
    """

    norm: Norm
    radius: Floats
    order: Floats
    proofs: list[Proof | None]


def certify(
    votes: list[Vote],
    X: NDArray[np.float32],
    y: NDArray[np.int64],
    norm: Norm = "l2",
    *,
    steps: int = 200,
    budget_seconds: float | None = None,
    n_jobs: int | None = None,
) -> Certificates:
    """Certify radii around `X` for the hard majority vote of one-hidden-layer sign networks.

    Parameters
    ----------
    votes : list of dict
        As in :attr:`scd.SCDClassifier.votes_`.
    X : (n, d) float32
    y : (n,) int
        0 or 1: the labels that must stand.
    norm : {"l2", "linf"}
    steps : int
        Ascent steps a point with weights of its own. With 0 only the order statistic and, from 48 points on, weights
        that all points share: far less time for lower radii.
    budget_seconds : float, optional
        No step is begun after this time. All points have some steps before one has more; a larger budget never lowers
        a radius.
    n_jobs : int, optional
        Threads, by default one a core. No effect on the radii, unless the budget ends the search.

    Returns
    -------
    Certificates
    """
    begun = time.monotonic()
    units = SignUnits(votes, norm)
    points = units.at(X, y)
    order = np.array([order_radius(units, point) for point in points])
    radius, proofs = order.copy(), list[Proof | None]([None] * len(points))
    searched = [i for i, point in enumerate(points) if point.flips > 0 and np.isfinite(order[i])]
    work = _Work(units, points, order, radius, proofs, None if budget_seconds is None else begun + budget_seconds)
    if searched:
        work.run(searched, steps, n_jobs or os.cpu_count() or 1)
    return Certificates(norm, radius * _REPORTED, order * _REPORTED, work.proofs)


def verify_certificate(
    votes: list[Vote], X: NDArray[np.float32], y: NDArray[np.int64], certificates: Certificates
) -> NDArray[np.bool_]:
    """(n,) whether each radius follows from its proof and these very votes and points, in float64.

    Nothing of the search is used but its result: distances, margins and candidate units are computed again, the
    weights must pass a Cholesky factorisation with a margin for rounding, and the covers are solved again.
    """
    units = SignUnits(votes, certificates.norm)
    out = np.zeros(len(X), dtype=bool)
    for i, (point, proof) in enumerate(zip(units.at(X, y), certificates.proofs, strict=True)):
        proved = order_radius(units, point)
        if certificates.radius[i] > proved and proof is not None:
            proved = max(proved, proved_radius(units, point, proof))
        out[i] = certificates.radius[i] <= proved
    return out


def lower_bounds(
    votes: list[Vote],
    X: NDArray[np.float32],
    y: NDArray[np.int64],
    *,
    steps: int = 200,
    budget_seconds: float | None = None,
    n_jobs: int | None = None,
) -> dict[str, Floats]:
    """Lower bounds on the distances of all adversarials: ``l2_lower`` and ``linf_lower``, (n,) float64 each.

    L-infinity gets the larger of its own certificate and L2's divided by the root of the number of features. The budget
    is halved between the two norms. Parameters as in :func:`certify`.
    """
    half = None if budget_seconds is None else budget_seconds / 2
    l2, linf = (
        certify(votes, X, y, norm, steps=steps, budget_seconds=half, n_jobs=n_jobs).radius for norm in ("l2", "linf")
    )
    return {"l2_lower": l2, "linf_lower": np.maximum(linf, l2 / np.sqrt(X.shape[1]) * _REPORTED)}


@dataclass
class _Work:
    """The searches of all points, in rounds."""

    units: SignUnits
    points: list[PointUnits]
    order: Floats
    radius: Floats
    proofs: list[Proof | None]
    deadline: float | None
    eigenvalue: float = 1.0

    def run(self, searched: list[int], steps: int, n_jobs: int) -> None:
        ones = np.ones(len(self.units.gram))
        self.eigenvalue = largest_eigenvalue(self.units.gram.astype(np.float32), ones)[0]
        reaches = np.zeros(len(self.points))
        for i in searched:
            reaches[i] = max(_FIRST_REACH * self._plain(self.points[i]), 1.1 * self.order[i])
        searches: dict[int, PointSearch] = {}

        def advance(i: int, count: int) -> None:
            if self._late():
                return
            if i not in searches:
                searches[i] = PointSearch(self.units, self.points[i], reaches[i])
            searches[i].advance(count)
            self._keep(i, searches[i].radius, searches[i].best)

        with threadpool_limits(1) if n_jobs > 1 else nullcontext(), ThreadPoolExecutor(n_jobs) as pool:
            each = pool.map if n_jobs > 1 else map
            if len(searched) >= _MANY and not self._late():
                shared = SharedWeights(self.units, [self.points[i] for i in searched], reaches[searched])
                blocks = [searched[i : i + BLOCK] for i in range(0, len(searched), BLOCK)]
                list(each(lambda block: self._prove(shared, block, reaches), blocks))
            for count in _rounds(steps):
                list(each(advance, searched, [count] * len(searched)))

    def _prove(self, shared: SharedWeights, block: list[int], reaches: Floats) -> None:
        if not self._late():
            for i, (radius, proof) in zip(
                block, shared.prove([self.points[i] for i in block], reaches[block]), strict=True
            ):
                self._keep(i, radius, proof)

    def _keep(self, i: int, radius: float, proof: Proof | None) -> None:
        if radius > self.radius[i]:
            self.radius[i], self.proofs[i] = radius, proof

    def _late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def _plain(self, point: PointUnits) -> float:
        """The bound with equal weights, as a guess: about ``nu = largest eigenvalue, q = 0`` for all units."""
        chosen, votes = candidates(self.units, point, np.inf)
        price, marks = point.offset[chosen] ** 2 / self.eigenvalue, np.zeros(len(chosen), dtype=np.bool_)
        first = first_units(self.units, chosen, votes)
        total = cheapest_votes(price, point.effect[chosen], first, point.need[votes], point.flips, marks)
        return float(np.sqrt(total)) / self.units.l2_per_unit


def _rounds(steps: int) -> Iterator[int]:
    while steps > 0:
        yield min(_ROUND, steps)
        steps -= _ROUND
