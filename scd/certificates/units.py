"""The hidden units of a hard-voting ensemble as hyperplanes, and how far from a point each of them flips.

Everything is float64, and what rounding can do is bounded: a distance is one within which the float32 forward pass
that predicts cannot give another output of the unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scd.certificates.covers import flip_distances
from scd.storage import Vote

Norm = Literal["l2", "linf"]
Floats = NDArray[np.float64]

_GRID = float(1 << 20)  # output weights are multiples of its inverse, so that their sums are exact
_SINGLE, _DOUBLE = 2.0**-24, 2.0**-53  # unit roundoffs
_TINY = 2.0**-126  # smallest normal float32: what a product loses by underflow, at most
_BLOCK = 256  # points at a time


@dataclass(frozen=True)
class PointUnits:
    """What the units of an ensemble do at one point.

    Attributes
    ----------
    distance : (V * h,) float64
        Below this distance, in the norm, the unit keeps its output; 0 for a unit on its threshold, inf for one without
        weights.
    offset, growth : (V * h,) float64, float
        At distance r from the point, a unit flips only if its coordinate ``sign * (a . delta)`` reaches
        ``offset - growth * r``, with the unit normal a (L2, whatever the norm).
    effect : (V * h,) float64
        What a flip takes from the margin of the unit's vote; 0 where the flip does not hurt or the vote is
        misclassified already.
    need : (V,) float64
        Effect that changes the label of a correct vote; inf for a misclassified one.
    sign : (V * h,) float64
        Direction along the normal in which the unit flips: 1 or -1.
    flips : int
        Correct votes that must change before the majority does; 0 or less where the point is misclassified.
    """

    distance: Floats
    offset: Floats
    growth: float
    effect: Floats
    need: Floats
    sign: Floats
    flips: int


class SignUnits:
    """The units of V votes with h hidden units each over d features, for distances in L2 or L-infinity.

    Parameters
    ----------
    votes : list of dict
        Arrays ``hidden`` (h, d), ``thresholds`` (h,), ``output`` (h,), ``output_threshold`` (), as in
        :attr:`scd.SCDClassifier.votes_`.
    norm : {"l2", "linf"}

    Raises
    ------
    ValueError
        If the votes are no sign networks.
    """

    def __init__(self, votes: list[Vote], norm: Norm = "l2") -> None:
        names = ("hidden", "thresholds", "output", "output_threshold")
        if not votes or any(name not in vote for vote in votes for name in names):
            raise ValueError(f"The 'votes' must be sign networks with the arrays {', '.join(names)}.")
        hidden, thresholds, output, limit = (np.stack([vote[name] for vote in votes]) for name in names)
        self.votes, self.hidden_units, self.features = hidden.shape
        self.norm = norm
        # float32 first: the forward pass computes with these
        self.weights = hidden.reshape(-1, self.features).astype(np.float32)
        self.thresholds = thresholds.reshape(-1).astype(np.float32).astype(np.float64)
        self.output, self.limit = output.astype(np.float64), limit.astype(np.float64)
        self.vote_of = np.repeat(np.arange(self.votes), self.hidden_units)
        self.sound: dict[bytes, bool] = {}  # what the last factorisation for many points said

    @cached_property
    def _wide(self) -> Floats:
        return self.weights.astype(np.float64)

    @cached_property
    def length(self) -> Floats:
        """(V * h,) L2 norms of the units' weights."""
        norms: Floats = np.sqrt(np.einsum("ud,ud->u", self._wide, self._wide))
        return norms

    @cached_property
    def gram(self) -> Floats:
        """(V * h, V * h) products of the unit normals; zero for units without weights."""
        normals = self._wide / np.where(self.length > 0, self.length, 1.0)[:, None]
        product: Floats = normals @ normals.T
        return product

    @cached_property
    def dual_length(self) -> Floats:
        """(V * h,) norms of the weights that turn a change of the projection into a distance: L2, or L1 for linf."""
        return self.length if self.norm == "l2" else np.abs(self._wide).sum(axis=1)

    @property
    def l2_per_unit(self) -> float:
        """L2 length that a perturbation of length 1 in the norm has at most."""
        return 1.0 if self.norm == "l2" else float(np.sqrt(self.features))

    @cached_property
    def sum_rounding(self) -> Floats:
        """(V,) bound on the rounding of a vote's output sum; 0 where all its terms are multiples of 2**-20."""
        terms = np.column_stack([self.output, self.limit]) * _GRID
        exact = (terms == np.round(terms)).all(axis=1) & (np.abs(terms).sum(axis=1) < 2.0**52)
        size = np.abs(self.output).sum(axis=1) + np.abs(self.limit)
        return np.where(exact, 0.0, 4 * (self.hidden_units + 2) * _DOUBLE * size)

    def at(self, X: NDArray[np.float32], y: NDArray[np.int64]) -> list[PointUnits]:
        """What the units do at (n, d) float32 points with labels 0 or 1."""
        found: list[PointUnits] = []
        for begin in range(0, len(X), _BLOCK):
            found += self._block(X[begin : begin + _BLOCK], y[begin : begin + _BLOCK])
        return found

    def _block(self, X: NDArray[np.float32], y: NDArray[np.int64]) -> list[PointUnits]:
        beyond = X.astype(np.float64) @ self._wide.T - self.thresholds
        # sum(|x| |w|), in float32 and then rounded up
        size = (np.abs(X) @ np.abs(self.weights).T).astype(np.float64) * (1 + 2 * self._gamma(_SINGLE))
        # Higham 2002, section 3.1: a dot product in any order is off by gamma_d sum(|x| |w|); the float64 one, too
        gamma = self._gamma(_SINGLE) + 2 * self._gamma(_DOUBLE)
        error = gamma * size + self.features * _TINY + 4 * _DOUBLE * np.abs(self.thresholds)
        slack = np.maximum(np.abs(beyond) - error, 0.0)
        return [self._point(beyond[i] > 0, slack[i], int(y[i]), gamma) for i in range(len(X))]

    def _gamma(self, roundoff: float) -> float:
        return self.features * roundoff / (1 - self.features * roundoff)

    def _point(self, on: NDArray[np.bool_], slack: Floats, label: int, gamma: float) -> PointUnits:
        sums = np.where(on.reshape(self.output.shape), self.output, 0.0).sum(axis=1) - self.limit
        second = sums > 0
        correct = second == bool(label)
        change = np.where(on, -1.0, 1.0) * self.output.reshape(-1)
        hurts = (change < 0 if label else change > 0) & correct[self.vote_of]
        # a vote for class 1 is lost at a sum of 0, one for class 0 only above it: one grid step more where sums are
        # exact
        above = np.where(self.sum_rounding == 0, 1 / _GRID, 0.0) if label == 0 else 0.0
        need = np.where(correct, np.maximum(np.abs(sums) + above - self.sum_rounding, 0.0), np.inf)
        ones = int(second.sum())
        flips = ones - self.votes // 2 if label else self.votes // 2 + 1 - ones
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.where(self.dual_length > 0, slack / self.dual_length / (1 + gamma), np.inf)
            offset = np.where(self.length > 0, slack / self.length, np.inf)
        return PointUnits(
            distance=distance * (1 - 1e-12),  # of the float64 divisions and norms above
            offset=offset * (1 - 1e-12),
            growth=gamma * self.l2_per_unit,
            effect=np.where(hurts, np.abs(change), 0.0),
            need=need,
            sign=np.where(on, -1.0, 1.0),
            flips=flips,
        )


def candidates(units: SignUnits, point: PointUnits, reach: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The units that a perturbation of length at most `reach` can use, and the votes that these can change.

    Units of votes whose label stands whatever happens within `reach` are left out.
    """
    near = (point.effect > 0) & (point.distance <= reach)
    total = np.bincount(units.vote_of[near], weights=point.effect[near], minlength=units.votes)
    changeable = (total * (1 + 1e-12) >= point.need) & np.isfinite(point.need)
    return np.flatnonzero(near & changeable[units.vote_of]), np.flatnonzero(changeable)


def first_units(units: SignUnits, chosen: NDArray[np.int64], votes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(M + 1,) where the units of each vote begin in the sorted `chosen`, as :func:`covers.cheapest_votes` wants it."""
    begin: NDArray[Any] = np.searchsorted(units.vote_of[chosen], np.append(votes, units.votes))
    return begin.astype(np.int64)


def signed_gram(units: SignUnits, point: PointUnits, chosen: NDArray[np.int64]) -> Floats:
    """(n, n) Gram matrix of the chosen units' normals, each turned into the direction in which it flips."""
    sign = point.sign[chosen]
    signed: Floats = units.gram[np.ix_(chosen, chosen)] * sign * sign[:, None]
    return signed


def order_radius(units: SignUnits, point: PointUnits) -> float:
    """Within the K-th smallest distance at which a vote can change its label, fewer than K votes do."""
    if point.flips <= 0:
        return 0.0
    shape = units.output.shape
    distance = np.where(point.effect > 0, point.distance, np.inf).reshape(shape)
    flips = flip_distances(distance, point.effect.reshape(shape), point.need)
    return float(np.partition(flips, point.flips - 1)[point.flips - 1]) if point.flips <= len(flips) else np.inf
