"""The arithmetic on rows that an attack does between two questions, in one pass each and without temporaries.

Points are float32 because that is what the model sees; everything between them is computed in float64 and rounded
once. Every kernel works on a range of rows (or columns) and releases the interpreter lock, so `in_threads` can cut
the work anywhere without changing a bit of the result.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import numpy as np

from scd.numba_cache import njit

_SMALL_WORK = 100_000  # numbers; below this, handing work to a thread costs more than doing it


@cache
def _pool(_process: int, workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="attack")


def _workers() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(work: Callable[[int, int], None], length: int, numbers: int) -> None:
    """Run `work(begin, end)` over 0..length-1, cut among the threads.

    Parameters
    ----------
    work : callable
        Does the items begin..end-1; it must not depend on where the cuts are.
    length : int
        Number of items.
    numbers : int
        Size of the whole work in array elements; little work is done at once.
    """
    workers = min(_workers(), length)
    if workers < 2 or numbers < _SMALL_WORK:
        work(0, length)
        return
    cuts = [length * k // workers for k in range(workers + 1)]
    # a forked child inherits the pool's object without its threads, hence the process number in the key
    pool = _pool(os.getpid(), _workers())
    for done in [pool.submit(work, begin, end) for begin, end in pairwise(cuts)]:
        done.result()


@njit(nogil=True)
def interpolate(x, example, far, rows, alpha, linf, low, high, out, out_rows, begin, end):
    """Move far points towards their originals: out[out_rows[k]] from far[rows[k]] for k in begin..end-1.

    L2: the point at the share `alpha` of the way from the original to the far point (above 1: beyond it).
    L-infinity: the far point with every feature brought within `alpha` of the original.

    Parameters
    ----------
    x : ndarray of float32, shape (n_examples, d)
    example : ndarray of int64, shape (n_runs,)
    far : ndarray of float32, shape (n_runs, d)
    rows : ndarray of int64, shape (n_rows,)
        The runs to move.
    alpha : ndarray of float64, shape (n_rows,)
    linf : bool
    low, high : float
    out : ndarray of float32, shape (any, d); may be `far` itself when out_rows equals rows.
    out_rows : ndarray of int64, shape (n_rows,)
    """
    for k in range(begin, end):
        original, source, target, a = x[example[rows[k]]], far[rows[k]], out[out_rows[k]], alpha[k]
        if linf:
            for c in range(out.shape[1]):
                near = np.float64(original[c])
                target[c] = min(max(min(max(np.float64(source[c]), near - a), near + a), low), high)
        else:
            for c in range(out.shape[1]):
                near = np.float64(original[c])
                target[c] = min(max(near + a * (np.float64(source[c]) - near), low), high)


@njit(nogil=True)
def step_rows(points, rows, direction, length, low, high, out, begin, end):
    """Fill out[k] with points[rows[k]] moved by length[k] along direction[k], clipped to the box."""
    for k in range(begin, end):
        source, along, by = points[rows[k]], direction[k], length[k]
        for c in range(out.shape[1]):
            out[k, c] = min(max(np.float64(source[c]) + by * np.float64(along[c]), low), high)


@njit(nogil=True)
def distances(x, example, points, rows, l2, linf, begin, end):
    """Fill l2[k] and linf[k] with the distances, in float64, of points[rows[k]] to their originals."""
    for k in range(begin, end):
        original, point = x[example[rows[k]]], points[rows[k]]
        total, most = np.float64(0.0), np.float64(0.0)
        for c in range(points.shape[1]):
            difference = np.float64(point[c]) - np.float64(original[c])  # float() would stay float32 in Numba
            total += difference * difference
            most = max(most, abs(difference))
        l2[k], linf[k] = math.sqrt(total), most


@njit(nogil=True)
def perturb(noise, centres, run, scale, low, high, begin, end):
    """Turn noise rows begin..end-1, in place, into clip(centre + scale * noise).

    Parameters
    ----------
    noise : ndarray of float32, shape (n_rows, d)
    centres : ndarray of float32, shape (n_runs, d)
    run : ndarray of int64, shape (n_rows,)
        The run that a row belongs to.
    scale : ndarray of float32, shape (n_rows,)
        Length of the perturbation over the norm of the noise.
    low, high : float32
    """
    for r in range(begin, end):
        centre, row, by = centres[run[r]], noise[r], scale[r]
        for c in range(noise.shape[1]):
            row[c] = min(max(centre[c] + by * row[c], low), high)


@njit(nogil=True)
def add_moves(samples, centres, run, segment, adversarial, sums, begin, end):
    """Add every sample's move away from its centre to its segment's sum, for the columns begin..end-1.

    Rows are added one after the other in their order, so the sums do not depend on how rows were cut into blocks.

    Parameters
    ----------
    samples : ndarray of float32, shape (n_rows, d)
    centres : ndarray of float32, shape (n_runs, d)
    run, segment : ndarray of int64, shape (n_rows,)
    adversarial : ndarray of bool, shape (n_rows,)
    sums : ndarray of float64, shape (n_segments, 2, d)
        Sum of the moves that stayed on the original's side [0] and of those that crossed [1].
    """
    for first in range(begin, end, 512):  # both sums of these columns stay in the nearest cache
        last = min(first + 512, end)
        for r in range(len(samples)):
            total, row, centre = sums[segment[r], 1 if adversarial[r] else 0], samples[r], centres[run[r]]
            for c in range(first, last):
                total[c] += np.float64(row[c] - centre[c])
