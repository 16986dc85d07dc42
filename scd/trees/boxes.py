"""A sum of trees, and the boxes of its leaves: closed intervals of float32 numbers, so that projections are exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scd.numba_cache import njit


class Leaves(NamedTuple):
    """The L reachable leaves of all trees; leaf l has the constraints begin[l] to begin[l + 1], one for a feature.

    Attributes
    ----------
    node : ndarray of int64, shape (L,)
        Number of the leaf among the nodes.
    tree : ndarray of int64, shape (L,)
        Ascending.
    value : ndarray of float64, shape (L,)
    begin : ndarray of int64, shape (L + 1,)
    feature : ndarray of int64, shape (C,)
    low, high : ndarray of float32, shape (C,)
        The leaf is where each of its features is within low and high, both included.
    """

    node: NDArray[np.int64]
    tree: NDArray[np.int64]
    value: NDArray[np.float64]
    begin: NDArray[np.int64]
    feature: NDArray[np.int64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]

    def gaps(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(C,) distance of the features of one input (d,) from the intervals of the constraints, exactly."""
        at = x[self.feature].astype(np.float64)
        return np.maximum(np.maximum(self.low - at, at - self.high), 0.0)

    def distances(self, gaps: NDArray[np.float64], power: float) -> NDArray[np.float64]:
        """(L,) sum of gaps ** power over the constraints of each leaf; with power infinity, their maximum."""
        if not len(gaps):
            return np.zeros(len(self.tree))
        of_leaf = np.maximum.reduceat if np.isinf(power) else np.add.reduceat
        padded = np.append(gaps if np.isinf(power) else gaps**power, 0.0)  # for a leaf without constraints at the end
        found: NDArray[np.float64] = np.where(np.diff(self.begin) > 0, of_leaf(padded, self.begin[:-1]), 0.0)
        return found


class Nodes(NamedTuple):
    """The nodes of T trees, one after the other; children are numbers within these arrays and come after their parents.

    Attributes
    ----------
    root : ndarray of int64, shape (T,)
    left, right : ndarray of int64, shape (N,)
        -1 at a leaf.
    feature : ndarray of int64, shape (N,)
    threshold : ndarray of float32, shape (N,)
        An input goes left where its feature is at most the threshold.
    value : ndarray of float64, shape (N,)
        Of a leaf: what it adds to the sum.
    """

    root: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    value: NDArray[np.float64]


@dataclass(frozen=True)
class Trees:
    """An ensemble of trees that predicts label 1 where the sum of its leaves' values is above 0.

    Attributes
    ----------
    nodes : Nodes
    rounding : float
        Bound of the difference between this sum and the one that the model computes. 0: the values are -1 and +1, the
        votes of a majority, whose sum is exact.
    """

    nodes: Nodes
    rounding: float

    def __len__(self) -> int:
        return len(self.nodes.root)

    def score(self, x: Any) -> NDArray[np.float64]:
        """(n,) sum of the leaves' values for (n, d) inputs, which are compared as float32."""
        rows = np.ascontiguousarray(x, dtype=np.float32)
        out = np.empty(len(rows))
        _scores(rows, self.nodes, out)
        return out

    def needed(self, label: int, surely: bool = True) -> float:
        """Return the minimum of the sum, counted towards `label` (0 or 1), at which the model predicts it.

        With `surely` at most the rounding is added, so that the model certainly predicts it; otherwise it is taken
        off, so that the model certainly does not predict it below.
        """
        if self.rounding == 0:  # the sum is odd or even as the number of trees is; a tie is label 0
            return float(1 if len(self) % 2 else 2 * label)
        return self.rounding if surely else -self.rounding

    def leaves(self, low: Any = -np.inf, high: Any = np.inf) -> Leaves:
        """Return the leaves that an input within the bounds (two numbers, or arrays (d,)) can reach."""
        features = int(self.nodes.feature.max(initial=0)) + 1
        bounds = (np.asarray(bound, dtype=np.float32) for bound in (low, high))
        lows, highs = (np.broadcast_to(bound, features) if bound.ndim == 0 else bound[:features] for bound in bounds)
        return Leaves(*_boxes(self.nodes, np.ascontiguousarray(lows), np.ascontiguousarray(highs)))


def float32_at_most(thresholds: Any) -> NDArray[np.float32]:
    """Return the largest float32 numbers that are no larger: a float32 input is below both or neither."""
    exact = np.asarray(thresholds, dtype=np.float64)
    with np.errstate(over="ignore"):
        rounded = exact.astype(np.float32)
    return np.where(rounded > exact, np.nextafter(rounded, np.float32(-np.inf)), rounded)


@njit(nogil=True)
def leaf_node(x, nodes, tree):  # pragma: no cover
    """Node of the leaf of one input (d,) in a tree."""
    node = nodes.root[tree]
    while nodes.left[node] >= 0:
        node = nodes.left[node] if x[nodes.feature[node]] <= nodes.threshold[node] else nodes.right[node]
    return node


@njit(nogil=True)
def _scores(rows, nodes, out):  # pragma: no cover
    for i in range(len(rows)):
        total = 0.0
        for tree in range(len(nodes.root)):
            total += nodes.value[leaf_node(rows[i], nodes, tree)]
        out[i] = total


@njit(nogil=True)
def _boxes(nodes, lows, highs):  # pragma: no cover
    """Walk all trees, depth first; `path` has the branches from the root to the current node."""
    size = len(nodes.left)
    parent = np.full(size, -1, dtype=np.int64)
    for node in range(size):
        if nodes.left[node] >= 0:
            parent[nodes.left[node]] = node
            parent[nodes.right[node]] = node
    low, high = lows.copy(), highs.copy()
    leaves, tree_of, values, begin = [0 for _ in range(0)], [0 for _ in range(0)], [0.0 for _ in range(0)], [0]
    feature, lower, upper = [0 for _ in range(0)], [np.float32(0) for _ in range(0)], [np.float32(0) for _ in range(0)]
    for tree in range(len(nodes.root)):
        end = nodes.root[tree + 1] if tree + 1 < len(nodes.root) else size
        for leaf in range(nodes.root[tree], end):
            if nodes.left[leaf] >= 0:
                continue
            node, empty = leaf, False
            while parent[node] >= 0:
                up = parent[node]
                f = nodes.feature[up]
                if nodes.left[up] == node:
                    high[f] = min(high[f], nodes.threshold[up])
                else:
                    low[f] = max(low[f], np.nextafter(nodes.threshold[up], np.float32(np.inf)))
                empty |= low[f] > high[f]
                node = up
            node = leaf
            while parent[node] >= 0:
                up = parent[node]
                f = nodes.feature[up]
                if low[f] != lows[f] or high[f] != highs[f]:  # each feature once, and none that is as free as outside
                    if not empty:
                        feature.append(f)
                        lower.append(low[f])
                        upper.append(high[f])
                    low[f], high[f] = lows[f], highs[f]
                node = up
            if not empty:
                leaves.append(leaf)
                tree_of.append(tree)
                values.append(nodes.value[leaf])
                begin.append(len(feature))
    return (
        np.array(leaves, dtype=np.int64),
        np.array(tree_of, dtype=np.int64),
        np.array(values, dtype=np.float64),
        np.array(begin, dtype=np.int64),
        np.array(feature, dtype=np.int64),
        np.array(lower, dtype=np.float32),
        np.array(upper, dtype=np.float32),
    )
