"""Local search over tuples of leaves: the projection of an original on the intersection of their boxes.

A tuple fixes the leaf of some trees, the others are free. Its point is the projection of the original on the
intersection of the boxes of its leaves. The score of a point counts towards the wanted label; the point is adversarial
if it reaches what is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scd.numba_cache import njit
from scd.trees.boxes import Leaves, Nodes, leaf_node

FREE = -1
_CLOSER = 1 - 1e-9  # a move must reduce the cost at least by this factor


@dataclass
class LeafSearch:
    """The search for one original.

    Parameters
    ----------
    x : ndarray of float32, shape (d,)
    nodes, leaves : Nodes, Leaves
    sign : float
        1 if the values of leaves count towards the wanted label, -1 if they count against it.
    needed : float
        Minimum score of an adversarial.
    power : float
        The cost of a point is the sum of |difference| ** power: 2 for L2, a large one for L-infinity.
    """

    x: NDArray[np.float32]
    nodes: Nodes
    leaves: Leaves
    sign: float
    needed: float
    power: float

    def __post_init__(self) -> None:
        gains = self.leaves._replace(value=self.sign * self.leaves.value)
        self.nodes = self.nodes._replace(value=self.sign * self.nodes.value)
        self.leaves = gains
        self.own = self.leaves.distances(self.leaves.gaps(self.x), self.power)
        d = len(self.x)
        self._box = (np.empty(d, np.float32), np.empty(d, np.float32), np.empty(d, np.float32))
        self._allowed = np.ones(len(self.own), dtype=bool)

    def tuple_at(self, point: NDArray[np.float32]) -> NDArray[np.int64]:
        """(T,) the leaves of a point."""
        number = np.full(len(self.nodes.left), FREE)
        number[self.leaves.node] = np.arange(len(self.leaves.node))
        return number[[leaf_node(point, self.nodes, tree) for tree in range(len(self.nodes.root))]]

    def free_tuple(self) -> NDArray[np.int64]:
        """(T,) the tuple that fixes no tree, whose point is the original."""
        return np.full(len(self.nodes.root), FREE)

    def score(self, point: NDArray[np.float32]) -> float:
        """Return the score of a point (d,)."""
        return float(_score(point, self.nodes))

    def extend(self, chosen: NDArray[np.int64], below: float, banned: NDArray[np.int64] | None = None) -> bool:
        """Fix further trees, each time the leaf that costs the least for its gain, until the point is adversarial.

        Parameters
        ----------
        chosen : ndarray of int64, shape (T,)
            Changed in place.
        below : float
            Only leaves whose own cost is below it.
        banned : ndarray of int64, optional
            Leaves not to use.

        Returns
        -------
        found : bool
            False if no leaf can be added before the point is adversarial.
        """
        alive = self._alive(below)
        self._allowed[banned if banned is not None else []] = False
        found = bool(
            _extend(chosen, self.x, self.nodes, self.leaves, alive, self._allowed, self.needed, self.power, *self._box)
        )
        self._allowed[:] = True
        return found

    def improve(self, chosen: NDArray[np.int64]) -> float:
        """Free trees and exchange the leaf of one tree while that comes closer; `chosen` changes. Returns the cost."""
        cost = _place(chosen, self.x, self.leaves, self.power, *self._box)
        while True:
            alive = self._alive(cost)
            closer = _pass(chosen, cost, self.x, self.nodes, self.leaves, alive, self.needed, self.power, *self._box)
            if closer >= cost:
                return float(cost)
            cost = closer

    def point(self, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        """(d,) the point of a tuple."""
        _place(chosen, self.x, self.leaves, self.power, *self._box)
        return self._box[2].copy()

    def _alive(self, below: float) -> NDArray[np.int64]:
        return np.flatnonzero(self.own < below)


@njit(nogil=True)
def _score(z, nodes):  # pragma: no cover
    total = 0.0
    for tree in range(len(nodes.root)):
        total += nodes.value[leaf_node(z, nodes, tree)]
    return total


@njit(nogil=True)
def _cost(difference, power):  # pragma: no cover
    return difference * difference if power == 2 else abs(difference) ** power


@njit(nogil=True)
def _place(chosen, x, leaves, power, low, high, z):  # pragma: no cover
    """Write the box of a tuple and its point; return the cost, infinity if the boxes do not intersect."""
    low[:], high[:], z[:] = -np.inf, np.inf, x
    for leaf in chosen:
        if leaf >= 0:
            for c in range(leaves.begin[leaf], leaves.begin[leaf + 1]):
                f = leaves.feature[c]
                low[f], high[f] = max(low[f], leaves.low[c]), min(high[f], leaves.high[c])
                if low[f] > high[f]:
                    return np.inf
    cost = 0.0
    for leaf in chosen:
        if leaf >= 0:
            for c in range(leaves.begin[leaf], leaves.begin[leaf + 1]):
                f = leaves.feature[c]
                new = min(max(x[f], low[f]), high[f])
                if new != z[f]:
                    z[f] = new
                    cost += _cost(np.float64(new) - np.float64(x[f]), power)
    return cost


@njit(nogil=True)
def _extra(leaf, x, leaves, power, low, high, z, limit):  # pragma: no cover
    """Cost of adding a leaf to the box; infinity if it does not intersect the box or costs `limit` or more."""
    extra = 0.0
    for c in range(leaves.begin[leaf], leaves.begin[leaf + 1]):
        f = leaves.feature[c]
        lower, upper = max(low[f], leaves.low[c]), min(high[f], leaves.high[c])
        if lower > upper:
            return np.inf
        new = min(max(z[f], lower), upper)
        if new != z[f]:
            at = np.float64(x[f])
            extra += _cost(np.float64(new) - at, power) - _cost(np.float64(z[f]) - at, power)
            if extra >= limit:
                return np.inf
    return extra


@njit(nogil=True)
def _score_with(leaf, nodes, leaves, z, kept):  # pragma: no cover
    """Score of the point after adding a leaf; `z` is restored."""
    begin, end = leaves.begin[leaf], leaves.begin[leaf + 1]
    for c in range(begin, end):
        f = leaves.feature[c]
        kept[c - begin] = z[f]
        z[f] = min(max(z[f], leaves.low[c]), leaves.high[c])
    score = _score(z, nodes)
    for c in range(begin, end):
        z[leaves.feature[c]] = kept[c - begin]
    return score


@njit(nogil=True)
def _values(z, nodes, out):  # pragma: no cover
    """Write the value of each tree at a point; return their sum."""
    total = 0.0
    for tree in range(len(nodes.root)):
        out[tree] = nodes.value[leaf_node(z, nodes, tree)]
        total += out[tree]
    return total


@njit(nogil=True)
def _extend(chosen, x, nodes, leaves, alive, allowed, needed, power, low, high, z):  # pragma: no cover
    values = np.empty(len(nodes.root))
    _place(chosen, x, leaves, power, low, high, z)
    while True:
        score = _values(z, nodes, values)
        if score >= needed:
            return True
        best, found = np.inf, -1
        for leaf in alive:
            tree = leaves.tree[leaf]
            if chosen[tree] >= 0 or not allowed[leaf]:
                continue
            gain = min(leaves.value[leaf] - values[tree], needed - score)
            if gain <= 0:
                continue
            extra = _extra(leaf, x, leaves, power, low, high, z, best * gain)
            if extra < best * gain:
                best, found = extra / gain, leaf
        if found < 0:
            return False
        chosen[leaves.tree[found]] = found
        _place(chosen, x, leaves, power, low, high, z)


@njit(nogil=True)
def _pass(chosen, cost, x, nodes, leaves, alive, needed, power, low, high, z):  # pragma: no cover
    """Make the one move that reduces the cost the most: free a tree, or free a tree and fix a leaf; return the cost."""
    limit, from_tree, to_leaf = cost * _CLOSER, -1, -1
    values, kept = np.empty(len(nodes.root)), np.empty(len(z), dtype=np.float32)
    for tree in range(len(chosen)):
        before = chosen[tree]
        if before < 0:
            continue
        chosen[tree] = -1
        without = _place(chosen, x, leaves, power, low, high, z)
        if without < limit:
            score = _values(z, nodes, values)
            if score >= needed:
                limit, from_tree, to_leaf = without, tree, -1
            for leaf in alive:
                other = leaves.tree[leaf]
                if chosen[other] >= 0 or leaves.value[leaf] - values[other] + score < needed or leaf == before:
                    continue
                extra = _extra(leaf, x, leaves, power, low, high, z, limit - without)
                if without + extra < limit and _score_with(leaf, nodes, leaves, z, kept) >= needed:
                    limit, from_tree, to_leaf = without + extra, tree, leaf
        chosen[tree] = before
    if from_tree < 0:
        return cost
    chosen[from_tree] = -1
    if to_leaf >= 0:
        chosen[leaves.tree[to_leaf]] = to_leaf
    return _place(chosen, x, leaves, power, low, high, z)
