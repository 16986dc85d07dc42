"""Certified radii of hard votes whose hidden units are logistic: how far their outputs can move.

Along a straight line from a point, the output of a vote changes by no more than the integral of the largest norm that
its gradient can have at each distance. Within the distance t a unit's slope differs from that at the point by no more
than its logistic function allows, over an interval whose length is t times the norm of the unit's weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from scd.certificates.units import Floats, Norm
from scd.storage import Vote

_STEPS = 64  # of the integral, which is that of the larger end of each
_ZOOMS = (4.0, 2.0)  # then the integral again up to so many times the distance that it proved
_ROUNDING = 2.0**-40  # of the sum of |x| |w|: far above what a float64 product of any length loses
_REPORTED = 1 - 1e-9  # of a proved radius: more than the rounding of its float64 sums


@dataclass(frozen=True)
class SigmoidProof:
    """The votes that keep their labels up to a radius at one point, and the integrals that show it.

    Attributes
    ----------
    votes : (m,) int64, ascending
    step : (m,) float64
        Width of the steps of each vote's integral, which has 64 of them.
    """

    votes: NDArray[np.int64]
    step: Floats


@dataclass(frozen=True)
class SigmoidCertificates:
    """Radii within which no perturbation changes the label, and what proves them.

    Attributes
    ----------
    norm : {"l2", "linf"}
    radius : (n,) float64
        In units of the features. 0 where the point is misclassified.
    proofs : list of (SigmoidProof or None)
        None where the radius is 0.
    """

    norm: Norm
    radius: Floats
    proofs: list[SigmoidProof | None]


def certify_sigmoid(
    votes: list[Vote], X: NDArray[np.float32], y: NDArray[np.int64], norm: Norm = "l2"
) -> SigmoidCertificates:
    """Certify radii around `X` within which no perturbation changes the majority of the votes away from `y`.

    Fewer votes than a majority needs change their label below the K-th smallest of their own radii.

    Parameters
    ----------
    votes : list of dict
        Arrays ``hidden`` (h, d), ``thresholds`` (h,), ``output`` (h,), ``output_threshold`` (): the label is 1 where
        ``sigmoid(x . hidden - thresholds) . output > output_threshold``.
    X : (n, d) float32
    y : (n,) int
        True labels, 0 or 1. The radius is 0 where the majority, 0 in a tie, is another.
    norm : {"l2", "linf"}
    """
    radius = np.zeros(len(X))
    proofs: list[SigmoidProof | None] = [None] * len(X)
    for i, point in enumerate(_points(votes, X, y, norm)):
        if point.needed <= 0:
            continue
        own, step = _distances(point)
        proved = np.partition(own, point.needed - 1)[point.needed - 1]
        radius[i] = proved * _REPORTED
        if radius[i] > 0:
            kept = own >= proved
            proofs[i] = SigmoidProof(point.votes[kept], step[kept])
    return SigmoidCertificates(norm, radius, proofs)


def verify_sigmoid_certificates(
    votes: list[Vote], X: NDArray[np.float32], y: NDArray[np.int64], certificates: SigmoidCertificates
) -> NDArray[np.bool_]:
    """(n,) whether each radius follows from its proof and these very votes and points, in float64.

    Nothing of the search is used but its result: margins, slopes and gradients are computed again, and each vote's
    integral is summed up to the radius.
    """
    out = np.zeros(len(X), dtype=bool)
    points, claimed = (
        _points(votes, X, y, certificates.norm),
        zip(certificates.radius, certificates.proofs, strict=True),
    )
    for i, (point, (radius, proof)) in enumerate(zip(points, claimed, strict=True)):
        out[i] = radius <= 0 or (proof is not None and _proves(proof, point, radius))
    return out


@dataclass(frozen=True)
class _Point:
    """The correct votes at one point, and what it takes to change them.

    Attributes
    ----------
    votes : (v,) int64, their numbers, ascending
    needed : int
        How many of them must change before the majority does; 0 or less where the point is misclassified.
    margin : (v,) distance of the output from its threshold, less what rounding can lose
    z, weight, size : (v, h) inputs of the units, absolute output weights, dual norms of the weights
    steepness : (v,) dual norm of the gradient at the point
    """

    votes: NDArray[np.int64]
    needed: int
    margin: Floats
    z: Floats
    weight: Floats
    size: Floats
    steepness: Floats

    def only(self, rows: NDArray[np.int64]) -> _Point:
        """Return the point with these of the votes only."""
        arrays = (self.margin, self.z, self.weight, self.size, self.steepness)
        return _Point(self.votes[rows], self.needed, *(array[rows] for array in arrays))

    def largest_norm(self, distance: Floats) -> Floats:
        """(v, s) bound on the dual norm of each vote's gradient anywhere within each of its (v, s) distances."""
        reach = distance[:, :, None] * self.size[:, None, :]
        at = _slope(self.z)[:, None, :]
        away: Floats = np.abs(self.z)[:, None, :]
        highest, lowest = _slope(np.maximum(away - reach, 0.0)), _slope(away + reach)
        change = np.maximum(highest - at, at - lowest)
        terms = (self.weight * self.size)[:, None, :]
        norm = np.minimum(self.steepness[:, None] + (change * terms).sum(axis=2), (highest * terms).sum(axis=2))
        bound: Floats = norm * (1 + _ROUNDING) + 1e-300
        return bound


def _points(votes: list[Vote], X: NDArray[np.float32], y: NDArray[np.int64], norm: Norm) -> Iterator[_Point]:
    names = ("hidden", "thresholds", "output", "output_threshold")
    hidden, thresholds, output, limit = (np.stack([vote[name] for vote in votes]).astype(np.float64) for name in names)
    size = np.linalg.norm(hidden, axis=2) if norm == "l2" else np.abs(hidden).sum(axis=2)
    half = len(votes) // 2
    for x, label in zip(X.astype(np.float64), y, strict=True):
        z = hidden @ x - thresholds
        sums = (expit(z) * output).sum(axis=1) - limit
        correct = (sums > 0) == bool(label)
        needed = int(correct.sum() - half if label else half + 1 - (~correct).sum())
        each = np.flatnonzero(correct)
        slope = expit(z[each]) * expit(-z[each]) * output[each]
        gradient = np.einsum("vh,vhd->vd", slope, hidden[each])
        steepness = np.linalg.norm(gradient, axis=1) if norm == "l2" else np.abs(gradient).sum(axis=1)
        lost = _ROUNDING * ((np.abs(hidden[each]) @ np.abs(x) + np.abs(thresholds[each]) + 1) * np.abs(output[each]))
        margin = np.abs(sums[each]) - lost.sum(axis=1) - _ROUNDING * np.abs(limit[each])
        yield _Point(each, needed, margin, z[each], np.abs(output[each]), size[each], steepness * (1 + _ROUNDING))


def _proves(proof: SigmoidProof, point: _Point, radius: float) -> bool:
    """Whether the votes of `proof` keep their labels up to `radius`, and the others are too few to change the majority.

    Votes that are misclassified or twice in the proof do not count.
    """
    if proof.votes.shape != proof.step.shape or not np.isfinite(radius):
        return False
    named = np.isin(proof.votes, point.votes)
    votes, first = np.unique(proof.votes[named], return_index=True)
    step = proof.step[named][first]
    # step k of the integral is from begin[k] to at most begin[k] + step, and ends at the radius
    begin = step[:, None] * np.arange(_STEPS)
    width = np.clip(radius - begin, 0.0, step[:, None])
    chosen = point.only(np.flatnonzero(np.isin(point.votes, votes)))
    spent = (chosen.largest_norm(begin + step[:, None]) * width).sum(axis=1)
    kept = (step > 0) & (_STEPS * step >= radius) & (spent <= chosen.margin)
    return len(point.votes) - int(kept.sum()) < point.needed


def _distances(point: _Point) -> tuple[Floats, Floats]:
    """(v,) distance within which each vote keeps its label, and (v,) step of the integral that shows it."""
    margin, rates = point.margin, (point.weight * point.size).sum(axis=1)
    longest = np.abs(margin) / np.maximum(point.steepness, 1e-12 * rates + 1e-300)
    found, step = _integrate(point, longest), longest / _STEPS
    for factor in _ZOOMS:
        shorter = np.minimum(longest, factor * found)
        closer = _integrate(point, shorter)
        found, step = np.maximum(found, closer), np.where(closer > found, shorter / _STEPS, step)
    return np.where(margin > 0, found, 0.0), step


def _integrate(point: _Point, longest: Floats) -> Floats:
    """The distance, at most `longest`, at which the integral of the largest norm of the gradient is the margin."""
    step = longest / _STEPS
    norm = point.largest_norm(step[:, None] * np.arange(1, _STEPS + 1))
    spent = np.cumsum(norm * step[:, None], axis=1)
    beyond = spent >= point.margin[:, None]
    last = np.where(beyond.any(axis=1), beyond.argmax(axis=1), _STEPS - 1)
    rows = np.arange(len(longest))
    before = np.where(last > 0, spent[rows, last - 1], 0.0)
    return np.where(beyond.any(axis=1), last * step + (point.margin - before) / norm[rows, last], longest)


def _slope(z: Floats) -> Floats:
    """Derivative of the logistic function."""
    slope: Floats = expit(z) * expit(-z)
    return slope
