"""A model whose distances are known by enumeration: a sign network of two features and its cells in the box."""

from itertools import pairwise

import numpy as np


class SignNetwork2D:
    """A random one-hidden-layer sign network; label 1 where `output @ sign(weights @ x - thresholds) > offset`.

    Every hidden unit's line crosses the box, and both labels occur. `cells` are the convex pieces into which the lines
    cut the box, as pairs (vertices of shape (k, 2) in order, label). It computes in float64 and counts what is queried.
    """

    def __init__(self, units, seed, clip=(0.0, 1.0)):
        rng = np.random.default_rng(seed)
        self.low, self.high = clip
        self.weights = rng.standard_normal((units, 2))
        self.thresholds = (self.weights * rng.uniform(self.low, self.high, (units, 2))).sum(axis=1)
        self.output = rng.standard_normal(units)
        self.queried = 0
        pieces = self._pieces()
        sums = np.array([self.output @ signs for _, signs in pieces])
        ordered = np.unique(sums)
        self.offset = float(ordered[len(ordered) // 2 - 1 : len(ordered) // 2 + 1].mean())  # between two cells' sums
        self.cells = [(vertices, int(total > self.offset)) for (vertices, _), total in zip(pieces, sums, strict=True)]

    def __call__(self, rows):
        """Labels of rows of shape (n, 2)."""
        self.queried += len(rows)
        signs = np.where(rows.astype(np.float64) @ self.weights.T > self.thresholds, 1.0, -1.0)
        return (signs @ self.output > self.offset).astype(np.int64)

    def label(self, x):
        """Label of one point of shape (2,); not counted."""
        queried = self.queried
        label = int(self(np.asarray(x)[None])[0])
        self.queried = queried
        return label

    def distance(self, x, norm="l2"):
        """Exact distance ("l2" or "linf") of a point of the box to the nearest cell of the other label."""
        x, own = np.asarray(x, dtype=np.float64), self.label(x)
        return min(_to_polygon(vertices - x, norm) for vertices, label in self.cells if label != own)

    def _pieces(self):
        """Cut the box by one line after the other: pairs of vertices and signs of the units."""
        a, b = self.low, self.high
        pieces = [(np.array([[a, a], [b, a], [b, b], [a, b]], dtype=np.float64), [])]
        for weight, threshold in zip(self.weights, self.thresholds, strict=True):
            pieces = [
                (part, [*signs, sign])
                for vertices, signs in pieces
                for sign in (1.0, -1.0)
                if len(part := _half(vertices, sign * (vertices @ weight - threshold))) > 2
            ]
        return [(vertices, np.array(signs)) for vertices, signs in pieces]


def points_in(network, count, seed):
    """`count` random points of the network's box as float32 rows, and the labels that it gives them."""
    rng = np.random.default_rng([seed, 1])  # a stream of its own: the network's lines go through points of the other
    x = rng.uniform(network.low, network.high, (count, 2)).astype(np.float32)
    return x, np.array([network.label(row) for row in x])


def _half(vertices, side):
    """The part of a convex polygon where `side`, affine and given at its vertices, is positive."""
    part = []
    for i in range(len(vertices)):
        here, there, s, t = vertices[i - 1], vertices[i], side[i - 1], side[i]
        if (s > 0) != (t > 0):
            part.append(here + (there - here) * (s / (s - t)))
        if t > 0:
            part.append(there)
    return np.array(part)


def _to_polygon(vertices, norm):
    """Distance of the origin to a convex polygon that does not contain it."""
    return min(_to_segment(a, b, norm) for a, b in pairwise([*vertices, vertices[0]]))


def _to_segment(a, b, norm):
    """Distance of the origin to the segment from a to b: the minimum over the fractions where it can occur."""
    step = b - a
    if norm == "l2":
        fractions = [0.0, 1.0, -(a @ step) / max(step @ step, 1e-300)]
    else:  # the larger of two absolute values: its kinks are where one is 0 or both are equal
        numerators = [-a[0], -a[1], a[1] - a[0], -a[1] - a[0]]
        slopes = [step[0], step[1], step[0] - step[1], step[0] + step[1]]
        fractions = [0.0, 1.0, *(n / s for n, s in zip(numerators, slopes, strict=True) if s != 0)]
    points = [a + fraction * step for fraction in fractions if 0 <= fraction <= 1]
    return min(np.linalg.norm(p) if norm == "l2" else np.abs(p).max() for p in points)
