r"""Search for the weights of the spectral bound: the numbers :math:`\nu` and q of :mod:`scd.certificates.proof`.

For fixed :math:`\nu` the bound is concave in q, and a subgradient step along :math:`N^{-1}` needs no solve: with s
the units of the cheapest covers, :math:`q \leftarrow (1 - \eta) q + \eta s (d + p)_+ / \nu`. The running mean z of s is
the share with which a unit flips. For fixed z and q the best :math:`\nu` minimises
:math:`\sum_t \nu_t \kappa_t, \kappa_t = q_t^2 (1 / z_t - 1)`, under :math:`\mathrm{diag}(\nu) \succeq G`: the dual of
the maximum-cut semidefinite programme with the matrix G, whose low-rank form is solved by fixed-point steps (the mixing
method of Wang, Chang and Kolter 2017, all rows at once). All of it is the Lagrangian of the perspective relaxation
(Frangioni and Gentile 2007; Zheng, Sun and Li 2014 on the best diagonal).

The units that can take part are those within reach, and the reach shrinks towards the radius as that becomes known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scd.certificates.covers import cheapest_votes
from scd.certificates.proof import Proof, proved_radius
from scd.certificates.units import Floats, PointUnits, SignUnits, candidates, first_units, signed_gram

_RANK = 4  # of the maximum-cut solution
_LANCZOS, _AGAIN = 16, 4  # steps for a largest eigenvalue: the first time, and from the last eigenvector on
_FIRST_WEIGHT, _DECAY = 0.3, 4  # how far nu goes at step i: 0.3, then 4 / (i + 4)
PADS = (1.0005, 1.003, 1.02, 1.2)  # on nu beyond the estimated eigenvalue, until the Cholesky factorisation succeeds
_AIM_EVERY, _FIRST_AIM = 20, 40  # steps at which the reach is looked at
_NEAR, _UNKNOWN = 1.01, 8  # reach aimed at, in radii: after i steps 1.01 + 8 / i
_TOO_FAR = 1.1  # a bound beyond this times the reach widens it


class PointSearch:
    """The search at one point: :meth:`advance` takes some steps, `best` is the best proof so far, of `radius`.

    Parameters
    ----------
    units : SignUnits
    point : PointUnits
    reach : float
        First guess of a radius that is not exceeded by much.
    keep_reach : bool
        Weigh the units within `reach` to the end.
    """

    def __init__(self, units: SignUnits, point: PointUnits, reach: float, keep_reach: bool = False) -> None:
        self.units, self.point, self.keep_reach = units, point, keep_reach
        self.steps, self.radius = 0, 0.0
        self.best: Proof | None = None
        self.reached = 0.0  # highest bound of the ascent in the present reach, not yet proved
        self.reach = reach
        chosen, self.votes = candidates(units, point, reach)
        self.chosen: NDArray[np.int64] = chosen
        n = len(chosen)
        self.q, self.z = np.zeros(n), np.zeros(n)
        self.nu = np.ones(n)
        self.rows = np.random.default_rng(0).standard_normal((n, _RANK)).astype(np.float32)
        self.top: NDArray[np.float32] | None = None  # about the last eigenvector
        self._cut()
        self.nu *= self._eigenvalue() * PADS[0]

    def advance(self, steps: int) -> None:
        """Take this many ascent steps on q, each with one on nu before it, and prove what was reached."""
        self._cut()
        for _ in range(steps):
            if self.steps:
                self._change_nu()
            self._ascend()
            self.steps += 1
            if self.steps % _AIM_EVERY == 0 and self.steps >= _FIRST_AIM and not self.keep_reach:
                self._aim()
        self._prove()
        self.gram = np.zeros((0, 0), dtype=np.float32)  # the memory of thousands of searches

    def _ascend(self) -> None:
        """One step on q; the bound before it counts for the reach."""
        p = self.nu * self.q - self.gram @ self.q.astype(np.float32)
        lift = np.maximum(self.distance + p, 0.0)
        chosen = np.zeros(len(p), dtype=np.bool_)
        total = cheapest_votes(lift * lift / self.nu, self.effect, self.first, self.need, self.point.flips, chosen)
        bound = max(total - float(self.q @ p), 0.0)
        self.reached = max(self.reached, np.sqrt(bound) / self.units.l2_per_unit)
        eta = 2 / (self.steps + 4)
        self.z += eta * (chosen - self.z)
        self.q += eta * (chosen * lift / self.nu - self.q)

    def _aim(self) -> None:
        """Shrink the reach towards the radius, the closer the better that is known; widen it where that exceeds it."""
        if self.reached > _TOO_FAR * self.reach:
            self._move_to(_TOO_FAR * self.reached)
        else:
            aim = (_NEAR + _UNKNOWN / self.steps) * self.reached
            if aim < 0.98 * self.reach:
                self._move_to(aim)

    def _move_to(self, reach: float) -> None:
        chosen, votes = candidates(self.units, self.point, reach)
        if len(votes) < self.point.flips:  # proved by the order statistic; aim beyond it
            return
        old, at = self.chosen, np.searchsorted(self.chosen, chosen)
        known = at < len(old)
        known[known] = old[at[known]] == chosen[known]
        place = np.where(known, at, 0)
        self.q, self.z = np.where(known, self.q[place], 0.0), np.where(known, self.z[place], 0.0)
        self.nu = np.where(known, self.nu[place], self.nu.max())
        self.rows = np.where(known[:, None], self.rows[place], np.float32(0))
        self.top = None
        grown = not known.all()
        self.reach, self.chosen, self.votes = reach, chosen, votes
        self._cut()
        if grown:
            self.nu *= max(1.0, self._eigenvalue() * PADS[0])

    def _cut(self) -> None:
        """Arrays of the chosen units; the Gram matrix in float32, for speed: a proof is checked in float64."""
        point, chosen = self.point, self.chosen
        self.gram = np.ascontiguousarray(signed_gram(self.units, point, chosen), dtype=np.float32)
        self.distance = np.maximum(point.offset[chosen] - point.growth * self.reach, 0.0)
        self.effect = point.effect[chosen]
        self.first, self.need = first_units(self.units, chosen, self.votes), point.need[self.votes]

    def _change_nu(self) -> None:
        share = np.clip(self.z, 1e-4, 0.999)
        length = np.sqrt(self.q * self.q * (1 / share - 1) + 1e-9).astype(np.float32)
        turned = self.gram @ self.rows
        norm = np.linalg.norm(turned, axis=1)
        self.rows = turned * (length / np.maximum(norm, 1e-30))[:, None]
        weight = min(_FIRST_WEIGHT, _DECAY / (self.steps + 4))
        self.nu = np.exp((1 - weight) * np.log(self.nu) + weight * np.log(np.clip(norm / length, 0.5, 1e4)))
        self.nu *= self._eigenvalue() * PADS[0]

    def _eigenvalue(self) -> float:
        steps = _LANCZOS if self.top is None else _AGAIN
        value, self.top = largest_eigenvalue(self.gram, 1 / np.sqrt(self.nu), self.top, steps)
        return value

    def _prove(self) -> None:
        for pad in PADS:
            nu = self.nu * (pad / PADS[0])
            proof = Proof(self.reach, self.chosen.copy(), nu, self.q.copy())
            radius = proved_radius(self.units, self.point, proof)
            if radius > 0:
                break
        if radius > self.radius:
            self.radius, self.best = radius, proof


def largest_eigenvalue(
    gram: NDArray[np.float32], scale: Floats, start: NDArray[np.float32] | None = None, steps: int = _LANCZOS
) -> tuple[float, NDArray[np.float32]]:
    """Estimate from below of the largest eigenvalue of ``gram * scale * scale'``, and its vector, by Lanczos steps."""
    n = len(gram)
    if not n:
        return 1.0, np.zeros(0, dtype=np.float32)
    single, steps = scale.astype(np.float32), min(steps, n)
    v = np.random.default_rng(n).standard_normal(n).astype(np.float32) if start is None else start
    v = v / np.linalg.norm(v)
    basis = np.zeros((steps, n), dtype=np.float32)
    diagonal, beside = np.zeros(steps), np.zeros(steps)
    for k in range(steps):
        basis[k] = v
        with np.errstate(invalid="ignore"):  # a BLAS kernel may see anything in the lanes that it does not use
            w = single * (gram @ (single * v))
            diagonal[k] = v @ w
            for _ in range(2):  # orthogonal again to all before, twice
                w -= basis[: k + 1].T @ (basis[: k + 1] @ w)
        beside[k] = np.linalg.norm(w)
        if beside[k] < 1e-6:
            steps = k + 1
            break
        v = w / np.float32(beside[k])
    matrix = np.diag(diagonal[:steps]) + np.diag(beside[: steps - 1], 1) + np.diag(beside[: steps - 1], -1)
    values, vectors = np.linalg.eigh(matrix)
    top = basis[:steps].T @ vectors[:, -1].astype(np.float32)
    return max(float(values[-1]), float((gram.diagonal() * single * single).max())), top
