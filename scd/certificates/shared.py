"""The spectral bound for many points at once: one set of weights nu for all units and points, q for each point.

One Cholesky factorisation serves every point, and a step on q is a matrix product for a block of points. The radii are
lower than those of weights of a point's own (:mod:`scd.certificates.spectral`), at a fraction of the time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scd.certificates.covers import cheapest_votes
from scd.certificates.proof import Proof, proved_radius
from scd.certificates.spectral import PADS, largest_eigenvalue
from scd.certificates.units import Floats, PointUnits, SignUnits, candidates, first_units

BLOCK = 128  # points of a matrix product
_LEARNED, _RANK = 96, 8  # points that nu is learned from, and rank of its maximum-cut solution
_LEARN_STEPS, _STEPS = 30, 20
_DECAY, _FIRST_WEIGHT = 4, 0.3  # as in the search of one point


class SharedWeights:
    """Weights for all units, learned from some of the points.

    Parameters
    ----------
    units : SignUnits
    points : list of PointUnits
        Correctly classified ones.
    reaches : (n,) float64
        First guesses of their radii, not exceeded by much.
    """

    def __init__(self, units: SignUnits, points: list[PointUnits], reaches: Floats) -> None:
        self.units = units
        self.used = np.flatnonzero(units.length > 0)
        self.gram = units.gram[np.ix_(self.used, self.used)].astype(np.float32)
        value, self.top = largest_eigenvalue(self.gram, np.ones(len(self.used)))
        self.nu = np.full(len(self.used), value * PADS[0])
        chosen = np.unique(np.linspace(0, len(points) - 1, min(_LEARNED, len(points))).astype(int))
        self._learn(_Block(units, [points[i] for i in chosen], reaches[chosen], self.used))

    def prove(self, points: list[PointUnits], reaches: Floats) -> list[tuple[float, Proof]]:
        """Radius and proof of each of a block of points."""
        block = _Block(self.units, points, reaches, self.used)
        for step in range(_STEPS):
            block.ascend(self.gram, self.nu, step)
        found = []
        for i, point in enumerate(points):
            proof = Proof(float(reaches[i]), self.used, self.nu, block.q[:, i].copy())
            found.append((proved_radius(self.units, point, proof), proof))
        return found

    def _learn(self, block: _Block) -> None:
        rows = np.random.default_rng(0).standard_normal((len(self.used), _RANK)).astype(np.float32)
        for step in range(_LEARN_STEPS):
            squares = block.ascend(self.gram, self.nu, step)
            share = np.clip(block.z, 1e-4, 0.999)
            # every point counts alike, whatever its distance
            length = np.sqrt((block.q**2 * (1 / share - 1) / np.maximum(squares, 1e-9)).mean(axis=1) + 1e-7)
            turned = self.gram @ rows
            norm = np.linalg.norm(turned, axis=1)
            rows = turned * (length / np.maximum(norm, 1e-30))[:, None].astype(np.float32)
            weight = min(_FIRST_WEIGHT, _DECAY / (step + 4))
            self.nu = np.exp((1 - weight) * np.log(self.nu) + weight * np.log(np.clip(norm / length, 0.5, 1e4)))
            value, self.top = largest_eigenvalue(self.gram, 1 / np.sqrt(self.nu), self.top)
            self.nu *= value * PADS[0]


class _Block:
    """Points side by side: arrays of (units, points)."""

    def __init__(self, units: SignUnits, points: list[PointUnits], reaches: Floats, used: NDArray[np.int64]) -> None:
        place = np.zeros(len(units.vote_of), dtype=np.int64)
        place[used] = np.arange(len(used))
        self.sign = np.array([point.sign[used] for point in points]).T
        self.q = np.zeros_like(self.sign)
        self.z = np.zeros_like(self.sign)
        self.points = []
        for point, reach in zip(points, reaches, strict=True):
            chosen, votes = candidates(units, point, reach)
            distance = np.maximum(point.offset[chosen] - point.growth * reach, 0.0)
            first = first_units(units, chosen, votes)
            self.points.append((place[chosen], distance, point.effect[chosen], first, point.need[votes], point.flips))

    def ascend(self, gram: NDArray[np.float32], nu: Floats, step: int) -> Floats:
        """One step on every point's q; the bounds on the squared lengths before it."""
        shift = nu[:, None] * self.q - self.sign * (gram @ (self.sign * self.q).astype(np.float32))
        squares: Floats = -np.einsum("up,up->p", self.q, shift)
        eta = 2 / (step + 4)
        self.q *= 1 - eta
        self.z *= 1 - eta
        for i, (at, distance, effect, first, need, flips) in enumerate(self.points):
            lift = np.maximum(distance + shift[at, i], 0.0)
            marks = np.zeros(len(at), dtype=np.bool_)
            squares[i] += cheapest_votes(lift * lift / nu[at], effect, first, need, flips, marks)
            self.z[at[marks], i] += eta
            self.q[at[marks], i] += eta * lift[marks] / nu[at[marks]]
        return squares
