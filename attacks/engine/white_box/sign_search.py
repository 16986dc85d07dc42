"""Search over patterns of hidden units that flip, in an ensemble of sign networks with hard voting.

A pattern is a set of units that must flip. Its point is the projection of the original on the intersection of their
half-spaces and the box; the units outside the pattern are free, and the point is adversarial if enough votes have the
other label there. For L-infinity the box is cut down to smaller and smaller cubes around the original.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from scd.numba_cache import njit

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_TOLERANCE = 2e-5  # of a projection, relative to the root mean square width of the box
_SWEEPS = 60  # of a projection over its units, at most
_UNCHECKED = 5  # sweeps of a projection inside a cube, before it looks whether there is any point at all
_CLOSER = 1 - 1e-4  # a move must reduce the squared distance at least by this factor
_VOTES, _UNITS = 12, 40  # whose removal a local search tries, those with the largest multipliers first
_RIDGE, _LEAST = 1e-6, 1e-3  # of the Gram matrix, and of the squared part of a normal outside the others' span
_FREED = (2, 7)  # votes that a round frees, at least and fewer than
_CUTS = (0.2, 0.004)  # by which a cube gets smaller, relative to its size: at first, and at least
_FREED_IN_CUBE = (0, 1, 2, 4, 8)  # votes that are freed where a pattern has no point inside a cube, in turn
_STUCK = 6  # votes that have no point inside a cube, before the pattern is given up


class SignNetworks:
    """An ensemble of V votes of h sign units over d features.

    Parameters
    ----------
    votes : sequence of dict
        Arrays ``hidden`` (h, d), ``thresholds`` (h,), ``output`` (h,), ``output_threshold`` (), as in
        :attr:`scd.SCDClassifier.votes_`.
    """

    def __init__(self, votes: Sequence[Mapping[str, Any]]) -> None:
        names = ("hidden", "thresholds", "output", "output_threshold")
        hidden, thresholds, output, limit = (np.stack([vote[name] for vote in votes]) for name in names)
        self.shape = hidden.shape[:2]
        self.weights = hidden.reshape(-1, hidden.shape[2]).astype(np.float32)
        self.thresholds = thresholds.reshape(-1).astype(np.float64)
        self.output, self.limit = output.astype(np.float64), limit.astype(np.float64)
        self.length = np.sqrt(np.einsum("ud,ud->u", self.weights, self.weights, dtype=np.float64))
        self.normals = self.weights / np.where(self.length > 0, self.length, 1.0)[:, None].astype(np.float32)
        self.gram = self.normals @ self.normals.T


class Pattern(NamedTuple):
    """A pattern and its projection.

    Attributes
    ----------
    units : (U,) bool
        The units that must flip.
    multipliers : (U,) float64
        Of the half-spaces, >= 0; the projection is the move sum(multiplier * normal), clipped to the box.
    move : (d,) float32
    left : (U,) float64
        Distance by which each unit has not flipped yet; at most the tolerance where it has.
    cost : float
        Squared length of the move.
    """

    units: Flags
    multipliers: Floats
    move: NDArray[np.float32]
    left: Floats
    cost: float


class SignSearch:
    """The search for one original.

    Parameters
    ----------
    networks : SignNetworks
    x : ndarray of float32, shape (d,)
    label : int
        0 or 1: its label.
    low, high : float or array (d,)
        The box.
    """

    def __init__(self, networks: SignNetworks, x: NDArray[np.float32], label: int, low: Any, high: Any) -> None:
        self.networks, self.x = networks, x
        self.low = np.broadcast_to(np.asarray(low, dtype=np.float32), x.shape) - x
        self.high = np.broadcast_to(np.asarray(high, dtype=np.float32), x.shape) - x
        self.box, self.in_cube = (self.low, self.high), False
        self.tolerance = _TOLERANCE * float(np.sqrt(np.mean((self.high - self.low).astype(np.float64) ** 2)))
        beyond = networks.weights.astype(np.float64) @ x.astype(np.float64) - networks.thresholds
        self.sign = np.where(beyond > 0, -1.0, 1.0)
        length = np.where(networks.length > 0, networks.length, 1.0)
        # twice the tolerance, so that a projection within the tolerance is beyond the threshold
        self.distance = np.where(networks.length > 0, np.abs(beyond) / length + 2 * self.tolerance, np.inf)
        votes, on = networks.shape[0], (beyond > 0).reshape(networks.shape)
        sums = np.where(on, networks.output, 0.0).sum(axis=1) - networks.limit
        towards_one = np.where(on, -1.0, 1.0) * networks.output
        self.effect = towards_one if label == 0 else -towards_one
        # a vote has the other label where the effects of its flipped units reach its need; a sum of 0 is label 0
        scale = 1e-9 * (np.abs(networks.output).sum(axis=1) + np.abs(networks.limit) + 1e-300)
        self.need = -sums + scale if label == 0 else sums - scale
        self.votes_needed = votes // 2 + 1 if label == 0 else votes - votes // 2

    def none(self) -> Pattern:
        """Return the empty pattern, whose point is the original."""
        zeros = np.zeros(len(self.distance))
        return Pattern(zeros > 0, zeros, np.zeros_like(self.x), self.distance.copy(), 0.0)

    def point(self, pattern: Pattern, factor: float = 1.0) -> NDArray[np.float32]:
        """(d,) the point of a pattern, its move times `factor`."""
        low, high = self.box
        moved = np.clip(self.x + factor * pattern.move.astype(np.float64), self.x + low, self.x + high)
        return moved.astype(np.float32)

    def rounds(self, start: Pattern, count: int, rng: np.random.Generator) -> Iterator[Pattern]:
        """Yield the best pattern after a local search, and after each of `count` rounds that free random votes."""
        best = self._improve(start, _VOTES)
        yield best
        for _ in range(count):
            votes = np.flatnonzero(self._weight(best) > 0)
            freed = rng.choice(votes, min(len(votes), int(rng.integers(*_FREED))), replace=False)
            other = self.extend(self._without(best, freed), best.cost * 1.05, freed)
            if other is not None:
                other = self._improve(other, _VOTES // 3)
                if other.cost < best.cost:
                    best = other
            yield best

    def cubes(self, start: Pattern) -> Iterator[Pattern]:
        """Yield patterns whose points lie in smaller and smaller cubes around the original, until none is found."""
        best, cut = start, _CUTS[0]
        yield best
        while cut >= _CUTS[1]:
            size = np.float32(np.abs(best.move).max() * (1 - cut))
            self.low, self.high, self.in_cube = np.maximum(self.box[0], -size), np.minimum(self.box[1], size), True
            other = self._inside(best)
            if other is None:
                cut /= 2
            else:
                best = other
                yield best
        self.low, self.high, self.in_cube = *self.box, False

    def _inside(self, pattern: Pattern) -> Pattern | None:
        """Project a pattern again; where it has no point, free the votes that push most, and add others."""
        projected = self._project(pattern.units, pattern.multipliers)
        order = np.argsort(-self._weight(projected))
        for count in _FREED_IN_CUBE:
            freed = order[:count]
            other = self._without(projected, freed) if count else projected
            grown = self.extend(other, np.inf, freed) if self._met(other) else None
            if grown is not None:
                return grown
        return None

    def _met(self, pattern: Pattern) -> bool:
        """Whether the point of a pattern flips all its units."""
        return bool((pattern.left[pattern.units] <= self.tolerance).all())

    def extend(
        self, pattern: Pattern, below: float, banned: Sequence[int] | NDArray[np.int64] = (), rank: int = 0
    ) -> Pattern | None:
        """Add votes, each time the one with the cheapest units, until enough have the other label.

        Parameters
        ----------
        pattern : Pattern
        below : float
            Give up at this cost.
        banned : sequence of int
            Votes not to add first.
        rank : int
            Add first the vote of this rank by price.
        """
        width, stuck = self.networks.shape[1], list[int]()
        while True:
            flipped = (pattern.left <= self.tolerance).reshape(self.networks.shape)
            gained = (self.effect * flipped).sum(axis=1)
            if pattern.cost >= below:
                return None
            if (gained >= self.need).sum() >= self.votes_needed:
                return pattern
            covers = self._covers(pattern, flipped, gained, [*banned, *stuck])
            if not covers:
                return None
            _, vote, cover = covers[min(rank, len(covers) - 1)]
            units = pattern.units.copy()
            own = units[vote * width : (vote + 1) * width]
            own[cover] = True
            own |= flipped[vote] & (self.effect[vote] > 0)
            if (units == pattern.units).all():  # they are in the pattern, but no point of the box flips them all
                stuck.append(vote)
                continue
            other = self._project(units, pattern.multipliers)
            if self.in_cube and not self._met(other):
                stuck.append(vote)
                if len(stuck) == _STUCK:
                    return None
                continue
            pattern, banned, rank = other, (), 0

    def _covers(
        self, pattern: Pattern, flipped: Flags, gained: Floats, banned: Sequence[int] | NDArray[np.int64]
    ) -> list[tuple[float, int, NDArray[np.int64]]]:
        """Return the price, the vote and the units that give it the other label, for every vote that lacks it."""
        price = self._prices(pattern).reshape(self.networks.shape)
        found = []
        for vote in np.setdiff1d(np.flatnonzero(gained < self.need), banned):
            open_units = np.flatnonzero((self.effect[vote] > 0) & ~flipped[vote] & np.isfinite(price[vote]))
            cover = cheap_cover(price[vote, open_units], self.effect[vote, open_units], self.need[vote] - gained[vote])
            if cover is not None:
                units = open_units[cover]
                found.append((float(price[vote, units].sum()), int(vote), units))
        return sorted(found, key=lambda each: each[0])

    def _prices(self, pattern: Pattern) -> Floats:
        """(U,) what one more unit adds to the squared distance if the same half-spaces stay active, without the box."""
        active = np.flatnonzero(pattern.multipliers > 0)
        outside = np.ones(len(pattern.left))
        if len(active):
            rows = self.networks.gram[active].astype(np.float64) * self.sign[active, None] * self.sign
            factor = cholesky(rows[:, active] + _RIDGE * np.eye(len(active)), lower=True)
            outside -= (solve_triangular(factor, rows, lower=True) ** 2).sum(axis=0)
        return np.maximum(pattern.left, 0.0) ** 2 / np.maximum(outside, _LEAST)

    def _improve(self, best: Pattern, votes: int) -> Pattern:
        """Free one vote, or one unit, and add what is cheapest instead, as long as that comes closer."""
        while True:
            closer = next(filter(None, self._exchanges(best, votes)), None)
            if closer is None:
                return best
            best = closer

    def _exchanges(self, best: Pattern, votes: int) -> Iterator[Pattern | None]:
        limit, weight = best.cost * _CLOSER, self._weight(best)
        for vote in np.argsort(-weight)[:votes]:
            if weight[vote] > 0:
                without = self._without(best, [vote])
                for rank in (0, 1):
                    yield self.extend(without, limit, [vote], rank)
        for unit in np.argsort(-best.multipliers)[:_UNITS]:
            if best.multipliers[unit] > 0:
                units = best.units.copy()
                units[unit] = False
                yield self.extend(self._project(units, best.multipliers), limit)

    def _weight(self, pattern: Pattern) -> Floats:
        """(V,) what each vote contributes to the squared distance; without the box they add up to it."""
        held = np.where(pattern.multipliers > 0, self.distance, 0.0)
        weight: Floats = (pattern.multipliers * held).reshape(self.networks.shape).sum(axis=1)
        return weight

    def _without(self, pattern: Pattern, votes: Sequence[int] | NDArray[np.int64]) -> Pattern:
        units = pattern.units.reshape(self.networks.shape).copy()
        units[votes] = False
        return self._project(units.reshape(-1), pattern.multipliers)

    def _project(self, units: Flags, warm: Floats) -> Pattern:
        """Project the original on the half-spaces of the units, by coordinate ascent on their multipliers."""
        chosen = np.flatnonzero(units)
        if not len(chosen):
            return self.none()
        rows = self.networks.normals[chosen] * self.sign[chosen, None].astype(np.float32)
        own = warm[chosen].copy()
        total = (own @ rows).astype(np.float32)
        distance, sweeps = self.distance[chosen], _UNCHECKED if self.in_cube else _SWEEPS
        for _ in range(0, _SWEEPS, sweeps):
            met = _ascend(rows, distance, own, self.low, self.high, total, self.tolerance, sweeps)
            # no point of the cube has a larger sum of multiplier * (distance along the normal) than `most`
            most = np.maximum(total * self.low, total * self.high).sum(dtype=np.float64)
            if met or own @ distance > most * (1 + 1e-5):
                break
        multipliers = np.zeros(len(units))
        multipliers[chosen] = own
        move = np.clip(total, self.low, self.high)
        left = self.distance - self.sign * (self.networks.normals @ move)
        return Pattern(units, multipliers, move, left, float((move.astype(np.float64) ** 2).sum()))


def cheap_cover(price: Floats, effect: Floats, need: float) -> NDArray[np.int64] | None:
    """Return the numbers of units whose effects reach `need` at a low total price; None if all together do not.

    Units are taken in order of price per effect, the last one is the cheapest that suffices, and units that are not
    needed are left out.
    """
    order = np.argsort(price / effect, kind="stable")
    reached = np.cumsum(effect[order])
    if not len(order) or reached[-1] < need:
        return None
    last = int(np.searchsorted(reached, need))
    before = float(reached[last - 1]) if last else 0.0
    enough = [unit for unit in order[last:] if before + effect[unit] >= need]
    cover = [*order[:last], min(enough or [order[last]], key=lambda unit: price[unit])]
    for unit in sorted(cover, key=lambda unit: -price[unit]):
        if effect[cover].sum() - effect[unit] >= need:
            cover.remove(unit)
    return np.array(cover)


@njit(nogil=True, fastmath=True)
def _ascend(rows, distance, multipliers, low, high, total, tolerance, sweeps):  # pragma: no cover
    """Hildreth's method for the dual of the projection on half-spaces and a box; `total` is the unclipped move.

    Returns whether it converged within so many sweeps.
    """
    for _ in range(sweeps):
        worst = 0.0
        for i in range(len(rows)):
            along, free = 0.0, 1e-6
            for f in range(len(low)):
                if total[f] < low[f]:
                    along += rows[i, f] * low[f]
                elif total[f] > high[f]:
                    along += rows[i, f] * high[f]
                else:
                    along += rows[i, f] * total[f]
                    free += rows[i, f] * rows[i, f]
            new = max(0.0, multipliers[i] + (distance[i] - along) / free)
            change = new - multipliers[i]
            if change != 0:
                multipliers[i] = new
                for f in range(len(low)):
                    total[f] += change * rows[i, f]
                worst = max(worst, abs(change) * free)
        if worst < tolerance:
            return True
    return False
