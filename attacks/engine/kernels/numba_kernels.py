"""Arithmetic on model inputs between two queries: one pass each, without temporary arrays.

Points are float32, as the model sees them. Everything between them is computed in float64 and rounded once. Every
kernel works on a range of rows (or columns) and releases the interpreter lock, so `scd.devices.in_threads` can cut the
work anywhere without changing a bit of the result.

Kernels take flat arguments. Bundling them in a NamedTuple costs 3 to 10 microseconds per call, which is more than
the arithmetic of a small call.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from scd.numba_cache import njit


def bound(bounds, c):
    """Return the bound of feature c, in compiled code only; `bounds` is one number for all features or one for each."""
    raise NotImplementedError


@overload(bound)
def _bound(bounds, c):
    if isinstance(bounds, types.Array):
        return lambda bounds, c: bounds[c]
    return lambda bounds, c: bounds


@njit(nogil=True)
def interpolate(x, example, far, run_ids, alpha, linf, low, high, out, out_rows, begin, end):
    """Move far points towards their originals: out[out_rows[k]] from far[run_ids[k]] for k in begin..end-1.

    L2: the point at the fraction `alpha` of the line from the original to the far point (above 1: beyond it).
    L-infinity: the far point with every feature brought within `alpha` of the original.

    Parameters
    ----------
    x : ndarray of float32, shape (n_examples, d)
    example : ndarray of int64, shape (n_runs,)
    far : ndarray of float32, shape (n_runs, d)
    run_ids : ndarray of int64, shape (n_rows,)
        The runs to move.
    alpha : ndarray of float64, shape (n_rows,)
    linf : bool
    low, high : float, or ndarray of float64, shape (d,)
    out : ndarray of float32, shape (any, d); may be `far` itself if out_rows equals run_ids.
    out_rows : ndarray of int64, shape (n_rows,)
    """
    for k in range(begin, end):
        original, source, target, a = x[example[run_ids[k]]], far[run_ids[k]], out[out_rows[k]], alpha[k]
        if linf:
            for c in range(out.shape[1]):
                near = np.float64(original[c])
                moved = min(max(np.float64(source[c]), near - a), near + a)
                target[c] = min(max(moved, bound(low, c)), bound(high, c))
        else:
            for c in range(out.shape[1]):
                near = np.float64(original[c])
                moved = near + a * (np.float64(source[c]) - near)
                target[c] = min(max(moved, bound(low, c)), bound(high, c))


@njit(nogil=True)
def step_rows(points, run_ids, direction, length, low, high, out, begin, end):
    """Fill out[k] with points[run_ids[k]] moved by length[k] along direction[k], clipped to the box."""
    for k in range(begin, end):
        source, along, by = points[run_ids[k]], direction[k], length[k]
        for c in range(out.shape[1]):
            moved = np.float64(source[c]) + by * np.float64(along[c])
            out[k, c] = min(max(moved, bound(low, c)), bound(high, c))


@njit(nogil=True)
def distances(x, example, points, run_ids, l2, linf, begin, end):
    """Fill l2[k] and linf[k] with the distances, in float64, of points[run_ids[k]] to their originals."""
    for k in range(begin, end):
        original, point = x[example[run_ids[k]]], points[run_ids[k]]
        total, maximum = np.float64(0.0), np.float64(0.0)
        for c in range(points.shape[1]):
            difference = np.float64(point[c]) - np.float64(original[c])  # float() would stay float32 in Numba
            total += difference * difference
            maximum = max(maximum, abs(difference))
        l2[k], linf[k] = math.sqrt(total), maximum


@njit(nogil=True)
def perturb(noise, centres, run, scale, low, high, begin, end):
    """Turn noise rows begin..end-1, in place, into clip(centre + scale * noise).

    Parameters
    ----------
    noise : ndarray of float32, shape (n_rows, d)
    centres : ndarray of float32, shape (n_runs, d)
    run : ndarray of int64, shape (n_rows,)
        The run of each row.
    scale : ndarray of float32, shape (n_rows,)
        Length of the perturbation divided by the norm of the noise.
    low, high : float32, or ndarray of float32, shape (d,)
    """
    for r in range(begin, end):
        centre, row, by = centres[run[r]], noise[r], scale[r]
        for c in range(noise.shape[1]):
            row[c] = min(max(centre[c] + by * row[c], bound(low, c)), bound(high, c))


@njit(nogil=True)
def add_probes(probes, centres, run, segment, adversarial, sums, begin, end):
    """Add the perturbation of every probe to the sum of its segment, for the columns begin..end-1.

    Probes are added in their order, so the sums do not depend on how the probes were cut into blocks.

    Parameters
    ----------
    probes : ndarray of float32, shape (n_rows, d)
    centres : ndarray of float32, shape (n_runs, d)
    run, segment : ndarray of int64, shape (n_rows,)
    adversarial : ndarray of bool, shape (n_rows,)
    sums : ndarray of float64, shape (n_segments, 2, d)
        Sums of the perturbations that stayed on the original's side [0] and that crossed the boundary [1].
    """
    for first in range(begin, end, 512):  # both sums of these columns stay in the first-level cache
        last = min(first + 512, end)
        for r in range(len(probes)):
            total, row, centre = sums[segment[r], 1 if adversarial[r] else 0], probes[r], centres[run[r]]
            for c in range(first, last):
                total[c] += np.float64(row[c] - centre[c])
