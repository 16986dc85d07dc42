"""Semicircles from a run's point to its original: the search paths of attacks that search in a plane.

Let r be the distance of the point p from its original x, u = (p - x) / r, and v a unit vector orthogonal to u, the
tangent. The points x + r cos(a) (cos(a) u + sin(a) v) lie, for angles a from -90 to 90 degrees, on the circle that has
the segment from x to p as a diameter: a = 0 is p, both ends are x, and the distance to x is r cos(a). Where the
boundary is a plane through p, the nearest of its points in the plane of u and v lies on this circle (Thales).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scd.devices import in_threads
from scd.numba_cache import njit

from .bisection import BoundarySearch
from .kernels import numba_kernels
from .run_state import Selection
from .validation import Bounds

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]

_LANES = 32  # partial sums: the order of additions is fixed, and they still fill the vector units


class Arcs:
    """The semicircles of all runs of an attack, one for each, from the runs' current points.

    Parameters
    ----------
    search : BoundarySearch
    tangent : ndarray of float32, shape (n_runs, d)
        Unit vectors; written by `turn`, and by the attack when it chooses the next directions.
    """

    def __init__(self, search: BoundarySearch, tangent: Rows) -> None:
        self.search, self.tangent = search, tangent

    def turn(self, run_ids: Selection, past: Rows | None = None, n_past: Selection | None = None) -> None:
        """Make the tangents of the runs orthogonal to the line from the original to the point, and of length 1.

        A tangent parallel to that line becomes 0, and its arc the straight line.

        Parameters
        ----------
        run_ids : ndarray of int64, shape (k,)
        past : ndarray of float32, shape (n_runs, m, d), optional
            Orthonormal vectors; the tangents become orthogonal to them as well.
        n_past : ndarray of int64, shape (n_runs,), optional
            Number of vectors of `past` to use for each run.
        """
        task, runs, d = self.search.task, self.search.runs, self.tangent.shape[1]
        if past is None or n_past is None:
            past, n_past = np.zeros((len(runs), 0, d), dtype=np.float32), np.zeros(len(runs), dtype=np.int64)
        in_threads(
            lambda begin, end: make_tangents(
                task.x, runs.example, runs.point, past, n_past, run_ids, self.tangent, begin, end
            ),
            len(run_ids),
            len(run_ids) * d * (1 + past.shape[1]),
        )

    def query(self, run_ids: Selection, angle: Floats) -> NDArray[np.bool_]:
        """Query the points at `angle` (radians) of the arcs of the runs; return which are adversarial."""

        def fill(out: Rows, begin: int, end: int) -> None:
            self._make(out, run_ids[begin:end], angle[begin:end])

        return self.search.host.query(run_ids, fill)

    def land(self, run_ids: Selection, angle: Floats) -> None:
        """Move the runs to the points at `angle` of their arcs, which must be known to be adversarial."""
        points = np.empty((len(run_ids), self.tangent.shape[1]), dtype=np.float32)
        self._make(points, run_ids, angle)
        self.search.runs.point[run_ids] = points
        self.search.keep_best(run_ids, np.zeros(len(run_ids)))

    def bisect(self, run_ids: Selection, tolerance: Floats, reserve: int) -> Floats:
        """Bisect the arcs from the point (adversarial) to the original, all runs together.

        Parameters
        ----------
        run_ids : ndarray of int64, shape (k,)
        tolerance : ndarray of float64, shape (k,)
            Widths of the final brackets, in radians.
        reserve : int
            Queries that every run keeps unspent.

        Returns
        -------
        angle : ndarray of float64, shape (k,)
            Adversarial ends of the final brackets, in radians.
        """
        adversarial_end, other_end = np.zeros(len(run_ids)), np.full(len(run_ids), math.pi / 2)
        while True:
            active = np.flatnonzero((other_end - adversarial_end > tolerance) & (self.search.left(run_ids) > reserve))
            if not len(active):
                return adversarial_end
            middle = (adversarial_end[active] + other_end[active]) / 2.0
            adversarial = self.query(run_ids[active], middle)
            adversarial_end[active] = np.where(adversarial, middle, adversarial_end[active])
            other_end[active] = np.where(adversarial, other_end[active], middle)

    def _make(self, out: Rows, run_ids: Selection, angle: Floats) -> None:
        task, runs, tangent = self.search.task, self.search.runs, self.tangent
        in_threads(
            lambda begin, end: arc_rows(
                task.x, runs.example, runs.point, tangent, run_ids, angle, task.low, task.high, out, begin, end
            ),
            len(run_ids),
            out.size,
        )


@njit(nogil=True)
def arc_rows(
    x: Rows,
    example: Selection,
    points: Rows,
    tangent: Rows,
    run_ids: Selection,
    angle: Floats,
    low: Bounds,
    high: Bounds,
    out: Rows,
    begin: int,
    end: int,
) -> None:
    """Fill out[k], for k in begin..end-1, with the point at angle[k] of the arc of run run_ids[k], clipped to the box.

    Parameters
    ----------
    x : ndarray of float32, shape (n_examples, d)
    example : ndarray of int64, shape (n_runs,)
    points, tangent : ndarray of float32, shape (n_runs, d)
    run_ids : ndarray of int64, shape (n_rows,)
    angle : ndarray of float64, shape (n_rows,)
        In radians.
    low, high : float, or ndarray of float64, shape (d,)
    out : ndarray of float32, shape (n_rows, d)
    """
    for k in range(begin, end):
        original, point, along = x[example[run_ids[k]]], points[run_ids[k]], tangent[run_ids[k]]
        squares = np.float64(0.0)
        for c in range(out.shape[1]):
            difference = np.float64(point[c]) - np.float64(original[c])
            squares += difference * difference
        inwards = math.cos(angle[k]) ** 2
        aside = math.sqrt(squares) * math.cos(angle[k]) * math.sin(angle[k])
        for c in range(out.shape[1]):
            near = np.float64(original[c])
            value = near + inwards * (np.float64(point[c]) - near) + aside * np.float64(along[c])
            out[k, c] = min(max(value, numba_kernels.bound(low, c)), numba_kernels.bound(high, c))


@njit(nogil=True)
def make_tangents(
    x: Rows,
    example: Selection,
    points: Rows,
    past: Rows,
    n_past: Selection,
    run_ids: Selection,
    tangent: Rows,
    begin: int,
    end: int,
) -> None:
    """Orthogonalise tangent[run_ids[k]] in place, for k in begin..end-1, as described at `Arcs.turn` (Gram-Schmidt)."""
    d = tangent.shape[1]
    u, v = np.empty(d), np.empty(d)
    for k in range(begin, end):
        r = run_ids[k]
        original, point, m = x[example[r]], points[r], n_past[r]
        for c in range(d):
            u[c] = np.float64(point[c]) - np.float64(original[c])
            v[c] = np.float64(tangent[r, c])
        before = _dot(v, v)
        # remove the component of u in the span of `past` first: else removing u from v would add past directions again
        _remove(past[r], m, u)
        _remove(past[r], m, v)
        for _ in range(2):  # twice, because of rounding
            squares = _dot(u, u)
            if squares > 0:
                _add_multiple(v, u, -_dot(v, u) / squares)
        after = _dot(v, v)
        scale = 1.0 / math.sqrt(after) if after > 1e-12 * before else 0.0
        for c in range(d):
            tangent[r, c] = scale * v[c]


@njit(nogil=True)
def _remove(basis: Rows, m: int, vector: Floats) -> None:
    """Remove the first m orthonormal rows of `basis` from `vector`; twice if little of it remains."""
    for _ in range(2):
        before = _dot(vector, vector)
        for j in range(m):
            _add_multiple(vector, basis[j], -_dot(vector, basis[j]))
        if _dot(vector, vector) > 0.25 * before:
            return


@njit(nogil=True)
def _dot(a: Floats, b: NDArray[Any]) -> float:
    d = len(a)
    sums = np.zeros(_LANES)
    whole = d - d % _LANES
    for start in range(0, whole, _LANES):
        for i in range(_LANES):
            sums[i] += a[start + i] * b[start + i]
    total = 0.0
    for i in range(_LANES):
        total += sums[i]
    for c in range(whole, d):
        total += a[c] * b[c]
    return total


@njit(nogil=True)
def _add_multiple(a: Floats, b: NDArray[Any], factor: float) -> None:
    for c in range(len(a)):
        a[c] += factor * b[c]
