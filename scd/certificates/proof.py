r"""What proves a radius, and the check of it: float64 arithmetic with its rounding bounded, nothing taken on trust.

A perturbation :math:`\delta` moves unit t along its normal :math:`a_t` by :math:`b_t = a_t \cdot \delta`, counted in
the direction in which it flips; it flips only if :math:`b_t \ge d_t`. With the Gram matrix G of the normals, any
numbers :math:`\nu_t > 0` with :math:`N = \mathrm{diag}(\nu) - G \succeq 0` and any q,

.. math:: |\delta|^2 \ge \sum_t (b_t + p_t)^2 / \nu_t - q^T N q, \qquad p = N q,

because :math:`\delta = \delta' + \sum_t q_t a_t` turns the difference of both sides into
:math:`|\delta'|^2 - \sum_t (a_t \cdot \delta')^2 / \nu_t`, which is not negative. A flipped unit pays at least its
price :math:`\max(d_t + p_t, 0)^2 / \nu_t`, a unit that stays pays at least 0, so the square of the radius is at least
the sum of the K lowest covers of the votes at these prices, less :math:`q^T N q`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from scd.certificates.covers import cheapest_votes
from scd.certificates.units import Floats, PointUnits, SignUnits, candidates, first_units

_UNIT = 2.0**-53
_ROUNDED = 1 - 1e-12  # more than the float64 roundings of one sum of covers, a root and a quotient


@dataclass(frozen=True)
class Proof:
    """Weights of the spectral bound at one point; good for perturbations of length up to `reach`.

    Attributes
    ----------
    reach : float
        In the norm of the certificate.
    units : (n,) int64, ascending
        Numbers of the units with a weight; unit k of vote v is ``v * h + k``. All others have the price 0.
    nu, q : (n,) float64
    """

    reach: float
    units: NDArray[np.int64]
    nu: Floats
    q: Floats


def proved_radius(units: SignUnits, point: PointUnits, proof: Proof) -> float:
    """The radius that `proof` proves at `point`; 0 if it proves nothing."""
    if point.flips <= 0 or not proof.reach > 0:
        return 0.0
    chosen, votes = candidates(units, point, proof.reach)
    if len(votes) < point.flips:
        return proof.reach
    if not _is_sound(units, point, proof):
        return 0.0
    shift, shift_error, loss = _shift(units, point, proof)
    place = np.searchsorted(proof.units, chosen)
    weighted = place < len(proof.units)
    weighted[weighted] = proof.units[place[weighted]] == chosen[weighted]
    place = place[weighted]
    distance = np.maximum(point.offset[chosen[weighted]] - point.growth * proof.reach, 0.0)
    price = np.zeros(len(chosen))
    price[weighted] = np.maximum(distance + shift[place] - shift_error[place], 0.0) ** 2 / proof.nu[place]
    total = cheapest_votes(
        price,
        point.effect[chosen],
        first_units(units, chosen, votes),
        point.need[votes],
        point.flips,
        np.empty(len(chosen), dtype=np.bool_),
    )
    square = total * _ROUNDED - loss
    return min(proof.reach, float(np.sqrt(max(square, 0.0))) / units.l2_per_unit * _ROUNDED)


def spectral_margin(gram: Floats, nu: Floats, features: int) -> bool:
    """Whether ``diag(nu) - gram`` is certainly positive semidefinite, for a Gram matrix of unit vectors.

    The matrix is scaled to ``I - gram / sqrt(nu nu')``; its Cholesky factorisation must succeed after what rounding can
    have added is taken off the diagonal: Rump 2006, "Verification of positive definiteness", and gamma_d for the
    entries of the Gram matrix.
    """
    n = len(nu)
    root = 1 / np.sqrt(nu)
    scaled = -gram * root * root[:, None]
    rounding = 2 * _UNIT * ((features + 16) * float((root * root).sum()) + 2 * (n + 4) * n)
    scaled[np.diag_indices(n)] += 1 - rounding
    _, info = lapack.dpotrf(scaled.T, lower=True, overwrite_a=True, clean=False)
    return bool(info == 0)


def _is_sound(units: SignUnits, point: PointUnits, proof: Proof) -> bool:
    chosen, nu, q = proof.units, proof.nu, proof.q
    if not (nu.shape == q.shape == chosen.shape and np.isfinite(nu).all() and np.isfinite(q).all()):
        return False
    if not len(chosen):
        return True
    if chosen[0] < 0 or chosen[-1] >= len(units.vote_of) or (np.diff(chosen) <= 0).any() or (nu <= 0).any():
        return False
    if (units.length[chosen] == 0).any():
        return False
    if len(chosen) < len(units.vote_of) // 2:
        return spectral_margin(units.gram[np.ix_(chosen, chosen)], nu, units.features)
    key = hashlib.sha256(chosen.tobytes() + nu.tobytes()).digest()  # weights that many points share
    sound = units.sound.get(key)
    if sound is None:  # threads may do it twice, with the same result
        sound = spectral_margin(units.gram[np.ix_(chosen, chosen)], nu, units.features)
        units.sound = {key: sound}
    return sound


def _shift(units: SignUnits, point: PointUnits, proof: Proof) -> tuple[Floats, Floats, float]:
    """The shifts p = N q, bounds on their rounding, and an upper bound on q' N q."""
    nu, q = proof.nu, proof.q
    if not len(q):
        return np.zeros(0), np.zeros(0), 0.0
    sign, pulled = point.sign[proof.units], np.flatnonzero(q)
    product = units.gram[np.ix_(proof.units, proof.units[pulled])] @ (sign * q)[pulled]
    p = nu * q - sign * product
    roundoff = 2 * (len(q) + units.features + 20) * _UNIT
    size = np.abs(q).sum()
    loss = float(q @ p) + 2 * roundoff * float((nu * q * q).sum() + size * size)
    return p, roundoff * (nu * np.abs(q) + size), max(loss, 0.0)
