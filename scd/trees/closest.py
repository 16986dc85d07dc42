"""The closest point of the other label of a small tree ensemble: branch and bound over the leaves of its trees.

A node fixes the leaves of the first trees, in an order. Its cost is the distance of the point from the intersection of
their boxes. If the projection on it has the other label it is the closest point of the node, and nothing is left to
search there. Otherwise the next tree takes each leaf that intersects. A node is left out if its cost is no lower than
the best so far, or if the trees to come cannot add enough.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scd.numba_cache import njit
from scd.trees.boxes import Leaves, Trees, leaf_node


class Closest(NamedTuple):
    """What a search found.

    Attributes
    ----------
    point : (d,) float32 or None
        The closest point found; None if none is closer than the given bound.
    nodes : int
        Nodes visited.
    ended : bool
        Whether the search ended, so that no point is closer.
    """

    point: NDArray[np.float32] | None
    nodes: int
    ended: bool


def closest_point(
    trees: Trees,
    leaves: Leaves,
    x: NDArray[np.float32],
    label: int,
    linf: bool,
    below: float,
    nodes: int,
    *,
    surely: bool = True,
) -> Closest:
    """Find the float32 point closest to `x`, (d,), in L2 or `linf`, that surely has another label than `label`.

    Without `surely`, one that may have another label: the rounding of the model's sum decides. Only points at a
    distance below `below` are searched, and at most so many `nodes` are visited. `leaves` are those of the box in
    which to search.
    """
    sign, power = (1.0 if label == 0 else -1.0), (np.inf if linf else 2.0)
    own = leaves.distances(leaves.gaps(x), power)
    order = np.lexsort((own, leaves.tree))  # of a tree, the near leaves first
    first = np.searchsorted(leaves.tree, np.arange(len(trees) + 1))
    start, point = (below if linf else below**2), np.empty(len(x), dtype=np.float32)
    needed = trees.needed(1 - label, surely)
    cost, count, ended = _closest(
        x, trees.nodes, leaves, order, first, own, sign, needed, not linf, start, nodes, point
    )
    return Closest(point if cost < start else None, int(count), bool(ended))


@njit(nogil=True)
def _closest(x, nodes, leaves, order, first, own, sign, needed, squares, best, limit, out):  # pragma: no cover
    """Search depth first; returns the least cost, the nodes visited and whether the search ended."""
    n_trees, d = len(nodes.root), len(x)
    most = np.zeros(n_trees + 1)  # of the trees from here on, what their leaves can add at most
    for tree in range(n_trees - 1, -1, -1):
        largest = -np.inf
        for leaf in range(first[tree], first[tree + 1]):
            largest = max(largest, sign * leaves.value[leaf])
        most[tree] = most[tree + 1] + largest
    low, high = np.empty((n_trees + 1, d), dtype=np.float32), np.empty((n_trees + 1, d), dtype=np.float32)
    low[0], high[0] = -np.inf, np.inf
    z, score, position = np.empty(d, dtype=np.float32), np.zeros(n_trees + 1), np.zeros(n_trees + 1, dtype=np.int64)
    position[0] = first[0]
    depth, visited = 0, 0
    while depth >= 0:
        if position[depth] >= first[depth + 1]:
            depth -= 1
            continue
        leaf = order[position[depth]]
        position[depth] += 1
        if own[leaf] >= best:
            position[depth] = first[depth + 1]
            continue
        after = score[depth] + sign * leaves.value[leaf]
        if after + most[depth + 1] < needed:
            continue
        below = depth + 1
        low[below], high[below] = low[depth], high[depth]
        empty = False
        for c in range(leaves.begin[leaf], leaves.begin[leaf + 1]):
            f = leaves.feature[c]
            low[below, f], high[below, f] = max(low[below, f], leaves.low[c]), min(high[below, f], leaves.high[c])
            empty |= low[below, f] > high[below, f]
        if empty:
            continue
        visited += 1
        if visited > limit:
            return best, visited - 1, False
        cost = 0.0
        for f in range(d):
            z[f] = min(max(x[f], low[below, f]), high[below, f])
            move = np.float64(z[f]) - np.float64(x[f])
            cost = cost + move * move if squares else max(cost, abs(move))
        if cost >= best:
            continue
        total = 0.0
        for tree in range(n_trees):
            total += sign * nodes.value[leaf_node(z, nodes, tree)]
        if total >= needed:
            best = cost
            out[:] = z
        elif below < n_trees:
            score[below], depth = after, below
            position[depth] = first[depth]
    return best, visited, True
