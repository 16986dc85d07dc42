"""The exact L2 distance of a small ensemble, by branch and bound over the units that flip.

A node has units that must flip and units that must not. Its bound is the larger of the least-distance programme with
these constraints (Lawson and Hanson 1974, chapter 23) and of the spectral bound's covers under the same decisions. Any
time it holds a lower and an upper bound; they meet at the exact distance. The arithmetic is float64 without a bound on
its rounding, for the network in exact arithmetic: use :func:`scd.certificates.certify` for a proof.
"""

from __future__ import annotations

import heapq
import itertools
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from scd.certificates.covers import cheapest_votes
from scd.certificates.spectral import PointSearch
from scd.certificates.units import Floats, PointUnits, SignUnits, first_units, order_radius
from scd.storage import Vote

_TIE = 1e-9  # a unit this close to its threshold, in distance, may count as either
_SAME = 1e-7  # relative gap at which the bounds have met
_STEPS = 100  # of the spectral bound's search at the root
_TIGHTER = 0.9  # share of the last reach below which an upper bound is worth new prices
_ORTHOGONAL = 1e-6  # largest cosine between the weights of votes that count as orthogonal
_OPEN, _FLIPS, _STAYS = 0, 1, 2


@dataclass(frozen=True)
class Interval:
    """Bounds on the distance of the closest point with another label.

    Attributes
    ----------
    lower, upper : float
        Equal where the search ended; `upper` is inf where it found nothing.
    move : (d,) float64 or None
        Perturbation of length `upper`, on the boundary of the cell of the other label.
    nodes : int
        Nodes of the search tree.
    """

    lower: float
    upper: float
    move: Floats | None
    nodes: int


def exact_distance(
    votes: list[Vote],
    x: NDArray[np.float32],
    y: int,
    *,
    nodes: int = 100_000,
    budget_seconds: float | None = None,
) -> Interval:
    """Close the interval around the L2 distance from `x`, (d,), to the closest point whose label is not `y` (0 or 1).

    The features are not kept in a box. The search ends after `nodes` or after `budget_seconds`, if the bounds have not
    met before. Votes whose weights are orthogonal to those of all others (``SCDClassifier(parts=...)``) are searched
    one by one, each with as many nodes, and the cheapest are flipped together.
    """
    units = SignUnits(votes)
    (point,) = units.at(np.asarray(x, dtype=np.float32)[None], np.array([y]))
    if point.flips <= 0:
        return Interval(0.0, 0.0, np.zeros(units.features), 0)
    if np.isinf(order_radius(units, point)):
        return Interval(np.inf, np.inf, None, 0)
    end = None if budget_seconds is None else time.monotonic() + budget_seconds
    if len(votes) > 1 and _orthogonal(units):
        return _of_orthogonal_votes(votes, x, y, point, nodes, end)
    return _Tree(units, point, np.asarray(x, dtype=np.float64), y).run(nodes, end)


def _orthogonal(units: SignUnits) -> bool:
    """Whether the weights of different votes are orthogonal, up to rounding."""
    others = units.vote_of[:, None] != units.vote_of
    return bool(np.abs(units.gram[others]).max(initial=0.0) < _ORTHOGONAL)


def _of_orthogonal_votes(
    votes: list[Vote], x: NDArray[np.float32], y: int, point: PointUnits, nodes: int, end: float | None
) -> Interval:
    """A move along the normals of one vote is none for the others: lengths add up in squares."""
    each = []
    for vote in votes:
        left = None if end is None else max(0.0, end - time.monotonic())
        each.append(exact_distance([vote], x, y, nodes=nodes, budget_seconds=left))
    count = int(np.isinf(point.need).sum()) + point.flips  # with those that are wrong without a move
    lower, upper = (np.sort([getattr(found, side) for found in each])[:count] for side in ("lower", "upper"))
    moves = [found.move for found in sorted(each, key=lambda found: found.upper)[:count]]
    move = sum((step for step in moves if step is not None), np.zeros(len(x))) if np.isfinite(upper).all() else None
    searched = sum(found.nodes for found in each)
    return Interval(float(np.linalg.norm(lower)), float(np.linalg.norm(upper)), move, searched)


class _Tree:
    def __init__(self, units: SignUnits, point: PointUnits, x: Floats, y: int) -> None:
        self.units, self.point, self.y = units, point, y
        wide = units.weights.astype(np.float64)
        beyond = wide @ x - units.thresholds
        self.on = beyond > 0
        length = np.where(units.length > 0, units.length, 1.0)
        self.normals = wide / length[:, None] * np.where(self.on, -1.0, 1.0)[:, None]  # a flip is a move along it
        self.distance = np.where(units.length > 0, np.abs(beyond) / length, np.inf)
        planes = np.round(np.column_stack([self.normals, np.where(units.length > 0, self.distance, -1.0)]), 8)
        self.twin = np.unique(planes, axis=0, return_inverse=True)[1].reshape(-1)  # units on one plane flip together
        self.hurts = point.effect > 0
        self.upper = np.inf
        self.move: Floats | None = None
        self.votes = np.flatnonzero(np.isfinite(point.need))
        self.helps = ~self.hurts & np.isfinite(point.need)[units.vote_of]
        hurtful = self.hurts & np.isfinite(point.distance)
        self._weigh(1 + 2 * float(point.distance[hurtful].max(initial=0.0)))

    def _weigh(self, reach: float) -> None:
        """Prices of the spectral bound for moves of length up to `reach`."""
        self.reach = reach
        search = PointSearch(self.units, self.point, reach, keep_reach=True)
        search.advance(_STEPS)
        self.price, self.loss = np.zeros(len(self.distance)), 0.0
        if search.best is not None:
            at, nu, q = search.best.units, search.best.nu, search.best.q
            rows = self.normals[at]
            shift = nu * q - rows @ (rows.T @ q)
            self.price[at] = np.maximum(self.distance[at] + shift, 0.0) ** 2 / nu
            self.loss = float(q @ shift)

    def run(self, nodes: int, end: float | None) -> Interval:
        start = np.zeros(len(self.distance), dtype=np.int8)
        start[~np.isfinite(self.distance)] = _STAYS
        order = itertools.count()
        queue = [(0.0, next(order), start)]
        visited, lower = 0, 0.0
        while queue and visited < nodes and (end is None or time.monotonic() < end):
            lower, _, state = heapq.heappop(queue)
            if lower >= self.upper * (1 - _SAME):
                return Interval(self.upper, self.upper, self.move, visited)
            visited += 1
            if self.upper < _TIGHTER * self.reach:
                self._weigh(self.upper)
            for bound, child in self._children(state):
                if bound < self.upper * (1 - _SAME):
                    heapq.heappush(queue, (max(bound, lower), next(order), child))
        lower = min(queue[0][0], self.upper) if queue else self.upper
        return Interval(lower, self.upper, self.move, visited)

    def _children(self, state: NDArray[np.int8]) -> list[tuple[float, NDArray[np.int8]]]:
        """The two halves of a node with their bounds; none where it is solved, or no unit is left to decide."""
        solved = self._solve(state)
        if solved is None:
            return []
        move, cover = solved
        gained = self.normals @ move - self.distance
        flipped = (state == _FLIPS) | ((state == _OPEN) & (gained > _TIE))
        if self._label(flipped) != self.y:
            self._found(move)
            return []
        self._try(state, cover)
        unmet = cover & (state == _OPEN) & (gained <= _TIE)
        if unmet.any():
            unit = int(np.argmax(np.where(unmet, self.price + 1e-12 * self.distance, -1.0)))
        else:  # the covers are met, and units that flip along hold the label
            undecided = np.flatnonzero((state == _OPEN) & (self.distance < self.upper))
            if not len(undecided):
                return []
            unit = int(undecided[np.argmax(gained[undecided])])
        found = []
        for decision in (_FLIPS, _STAYS):
            child = state.copy()
            child[self.twin == self.twin[unit]] = decision
            bound = self._bound(child)
            if np.isfinite(bound):
                found.append((bound, child))
        return found

    def _solve(self, state: NDArray[np.int8]) -> tuple[Floats, NDArray[np.bool_]] | None:
        """The closest point under a node's decisions and the cheapest cover; None where there is none."""
        move = self._project(state)
        if move is None:
            return None
        total, cover = self._covers(state)
        return None if np.isinf(total) else (move, cover)

    def _bound(self, state: NDArray[np.int8]) -> float:
        total, _ = self._covers(state)
        if np.isinf(total) or np.sqrt(max(total - self.loss, 0.0)) >= self.upper:
            return np.inf
        move = self._project(state)
        return np.inf if move is None else max(float(np.linalg.norm(move)), np.sqrt(max(total - self.loss, 0.0)))

    def _covers(self, state: NDArray[np.int8]) -> tuple[float, NDArray[np.bool_]]:
        """Price of the units that must flip and of the cheapest covers beside them, and the units of both."""
        forced, against = (state == _FLIPS) & self.hurts, (state == _FLIPS) & self.helps
        effect = np.abs(self.units.output).reshape(-1)
        more = np.bincount(self.units.vote_of[against], weights=effect[against], minlength=self.units.votes)
        chosen = np.flatnonzero(self.hurts & (state != _STAYS) & (self.distance < self.upper))
        price = np.where(forced, 0.0, self.price)[chosen]
        marks = np.zeros(len(chosen), dtype=np.bool_)
        total = cheapest_votes(
            price,
            self.point.effect[chosen],
            first_units(self.units, chosen, self.votes),
            (self.point.need + more)[self.votes],
            self.point.flips,
            marks,
        )
        cover = np.zeros(len(state), dtype=np.bool_)
        cover[chosen[marks]] = True
        return total + float(self.price[forced].sum()), cover

    def _project(self, state: NDArray[np.int8]) -> Floats | None:
        """The shortest move under the decisions, by non-negative least squares; None where they contradict."""
        flips, stays = state == _FLIPS, (state == _STAYS) & np.isfinite(self.distance)
        if not flips.any():
            return np.zeros(self.normals.shape[1])
        rows = np.vstack([self.normals[flips], -self.normals[stays]])
        limit = np.concatenate([self.distance[flips], -self.distance[stays]])
        scale = limit.max()
        if scale <= 0:
            return np.zeros(rows.shape[1])
        target = np.zeros(rows.shape[1] + 1)
        target[-1] = 1.0
        factors = np.vstack([rows.T, limit / scale])
        weights, _ = nnls(factors, target, maxiter=30 * factors.shape[1])
        residual = factors @ weights - target
        if -residual[-1] < 1e-10:
            return None
        move: Floats = residual[:-1] / -residual[-1] * scale
        return move if (rows @ move >= limit - 1e-7 * scale).all() else None

    def _try(self, state: NDArray[np.int8], cover: NDArray[np.bool_]) -> None:
        """An upper bound: flip the whole cover of a node, and look at the label."""
        whole = state.copy()
        whole[np.isin(self.twin, self.twin[cover & (state == _OPEN)])] = _FLIPS
        move = self._project(whole)
        if move is not None:
            gained = self.normals @ move - self.distance
            if self._label((whole == _FLIPS) | ((whole == _OPEN) & (gained > _TIE))) != self.y:
                self._found(move)

    def _found(self, move: Floats) -> None:
        length = float(np.linalg.norm(move))
        if length < self.upper:
            self.upper, self.move = length, move

    def _label(self, flipped: NDArray[np.bool_]) -> int:
        on = (self.on ^ flipped).reshape(self.units.output.shape)
        ones = (np.where(on, self.units.output, 0.0).sum(axis=1) > self.units.limit).sum()
        return int(2 * ones > self.units.votes)
