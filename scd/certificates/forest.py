"""Certified radii of tree ensembles; docs/certificates.md describes the method."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scd.certificates.exact import Interval
from scd.certificates.prices import ascend, first_reach, price_bound
from scd.certificates.units import Floats, Norm
from scd.trees.boxes import Leaves, Trees
from scd.trees.closest import closest_point

_REPORTED = 1 - 1e-9  # of a proved radius: more than the rounding of its float64 sums
_ROUNDING = 1e-11  # of the sum of absolute terms of a bound: far above what float64 loses
_STAGES = 3  # of the ascent, each with the reach that the one before calls for
_ENOUGH = 1.15  # reach of the next stage, relative to the radius proved so far


@dataclass(frozen=True)
class TreeProof:
    """What proves an L2 radius: how trees divide the squared move of each feature, and a multiplier.

    Attributes
    ----------
    reach : float
        Only leaves within this distance of the point are priced; no more is proved.
    tree, feature : (P,) int64
    share : (P,) float64
        Of the squared move of a feature, what counts for the tree. Those of a feature add up to at most 1.
    multiplier : float
        Price of a unit of the score.
    """

    reach: float
    tree: NDArray[np.int64]
    feature: NDArray[np.int64]
    share: Floats
    multiplier: float


@dataclass(frozen=True)
class TreeCertificates:
    """Radii within which no perturbation changes the label, and what proves them.

    Attributes
    ----------
    norm : {"l2", "linf"}
    radius : (n,) float64
        In units of the features. 0 where the point is misclassified; inf where nothing changes the label.
    order : (n,) float64
        The part of it that the distances of single trees prove.
    proofs : list of (TreeProof or None)
        None where the distances of single trees prove the radius.
    """

    norm: Norm
    radius: Floats
    order: Floats
    proofs: list[TreeProof | None]


def certify_trees(
    trees: Trees,
    X: NDArray[np.float32],
    y: NDArray[np.int64],
    norm: Norm = "l2",
    *,
    steps: int = 200,
    budget_seconds: float | None = None,
) -> TreeCertificates:
    """Certify radii around `X` for a sum of trees.

    Parameters
    ----------
    trees : Trees
    X : (n, d) float32
    y : (n,) int
        0 or 1: the labels that must stand.
    norm : {"l2", "linf"}
    steps : int
        Ascent steps a point, in L2. With 0 the features' moves are shared equally.
    budget_seconds : float, optional
        No point is searched after this time; the others get what single trees prove.
    """
    begun, leaves = time.monotonic(), trees.leaves()
    radius, order = np.zeros(len(X)), np.zeros(len(X))
    proofs: list[TreeProof | None] = [None] * len(X)
    for i in range(len(X)):
        point = _at(trees, leaves, X[i], int(y[i]), norm)
        radius[i] = order[i] = point.single()
        late = budget_seconds is not None and time.monotonic() - begun >= budget_seconds
        if norm == "l2" and 0 < order[i] < np.inf and not late:
            proved, proof = point.search(steps)
            if proved > radius[i]:
                radius[i], proofs[i] = proved, proof
    return TreeCertificates(norm, radius * _REPORTED, order * _REPORTED, proofs)


def verify_tree_certificates(
    trees: Trees, X: NDArray[np.float32], y: NDArray[np.int64], certificates: TreeCertificates
) -> NDArray[np.bool_]:
    """(n,) whether each radius follows from its proof and these very trees and points, in float64.

    Nothing of the search is used but its result: all leaves are priced again.
    """
    leaves, out = trees.leaves(), np.zeros(len(X), dtype=bool)
    for i, proof in enumerate(certificates.proofs):
        point = _at(trees, leaves, X[i], int(y[i]), certificates.norm)
        proved = point.single()
        if certificates.radius[i] > proved and proof is not None and certificates.norm == "l2":
            proved = max(proved, point.proved(proof))
        out[i] = certificates.radius[i] <= proved
    return out


def exact_tree_distance(
    trees: Trees,
    x: NDArray[np.float32],
    y: int,
    norm: Norm = "l2",
    *,
    clip: tuple[float, float] = (-np.inf, np.inf),
    below: float = np.inf,
    nodes: int = 1_000_000,
) -> Interval:
    """Find the distance from `x`, (d,), to the closest float32 point of a box whose label is not `y` (0 or 1).

    Parameters
    ----------
    trees : Trees
    norm : {"l2", "linf"}
    clip : (low, high)
        The box.
    below : float
        A known upper bound, for example of an attack: only closer points are searched.
    nodes : int
        Maximum number of nodes of a search. If they do not suffice, `lower` is the certified radius.

    Returns
    -------
    Interval
        `upper` is inf if no point closer than `below` was found. If the search ended, `lower` is the distance, or
        `below` where nothing was found. It is less where a closer point has a sum of which rounding decides the label.
    """
    leaves, linf = trees.leaves(*clip), norm == "linf"
    found = closest_point(trees, leaves, x, y, linf, below, nodes)
    move = None if found.point is None else found.point.astype(np.float64) - x
    upper = np.inf if move is None else _length(move, linf)
    lower, visited, ended = min(upper, below), found.nodes, found.ended
    if ended and trees.rounding > 0:
        unsure = closest_point(trees, leaves, x, y, linf, lower, nodes, surely=False)
        visited, ended = visited + unsure.nodes, unsure.ended
        if unsure.point is not None:
            lower = _length(unsure.point.astype(np.float64) - x, linf)
    if not ended:
        lower = float(certify_trees(trees, x[None], np.array([y]), norm).radius[0])
    return Interval(lower, upper, move, visited)


def _length(move: Floats, linf: bool) -> float:
    return float(np.abs(move).max() if linf else np.linalg.norm(move))


@dataclass(frozen=True)
class _Point:
    """The leaves that bring one point closer to the other label.

    Attributes
    ----------
    tree, gain : (L,) tree of each of these leaves, and what it adds to the score of the other label, > 0
    distance : (L,) of the leaf from the point, in the norm
    begin, feature, gap : the constraints of these leaves that the point violates, and by how much
    need : float
        Sum of gains from which on the label may change; at most 0 if it is not surely the given one.
    """

    trees: int
    tree: NDArray[np.int64]
    gain: Floats
    distance: Floats
    begin: NDArray[np.int64]
    feature: NDArray[np.int64]
    gap: Floats
    need: float

    def single(self) -> float:
        """Return the radius below which the trees, each alone, cannot gain enough."""
        if self.need <= 0:
            return 0.0
        return float(
            first_reach(
                np.argsort(self.distance, kind="stable"),
                self.tree,
                self.gain,
                self.distance,
                self.need,
                np.zeros(self.trees),
            )
        )

    def within(self, reach: float) -> _Point:
        """Return the point with the leaves closer than `reach` only."""
        kept = np.flatnonzero(self.distance < reach)
        begin, columns = _kept_constraints(self.begin, kept)
        rows = (self.tree[kept], self.gain[kept], self.distance[kept], begin)
        return _Point(self.trees, *rows, self.feature[columns], self.gap[columns], self.need)

    def proved(self, proof: TreeProof) -> float:
        """Return the L2 radius that a proof proves, 0 if it is none."""
        sums = np.bincount(proof.feature, proof.share) if len(proof.share) else np.zeros(1)
        if (proof.share < 0).any() or proof.multiplier < 0 or not np.isfinite(proof.share).all():
            return 0.0
        near = self.within(proof.reach)
        features = int(max(near.feature.max(initial=0), proof.feature.max(initial=0))) + 1
        known = np.zeros(self.trees * features)
        known[proof.tree * features + proof.feature] = proof.share / np.maximum(sums[proof.feature], 1.0)
        owner = np.repeat(near.tree, np.diff(near.begin))
        price = _sums(near.gap**2 * known[owner * features + near.feature], near.begin)
        total, terms, _ = price_bound(price, near.gain, near.tree, near.need, proof.multiplier, np.empty(self.trees))
        return float(np.sqrt(max(0.0, min(total - _ROUNDING * terms, proof.reach**2))))

    def search(self, steps: int) -> tuple[float, TreeProof | None]:
        """Return the best radius found and its proof."""
        best, found = 0.0, None
        reach = 2 * self._guess()
        for _stage in range(_STAGES):
            near = self.within(reach)
            if len(near.tree):
                proof = near._ascend(reach, steps // _STAGES)
                proved = self.proved(proof)
                if proved > best:
                    best, found = proved, proof
            full = best >= reach * (1 - 1e-6)
            reach = (1.5 if full else _ENOUGH) * best if best > 0 else 2 * reach
        return best, found

    def _guess(self) -> float:
        """Return a distance of about the size of the nearest adversarial's: the closest leaves that suffice, together.

        Their boxes need not intersect, so it is no bound.
        """
        taken, gained, moves = set(), 0.0, np.zeros(int(self.feature.max(initial=0)) + 1)
        for leaf in np.argsort(self.distance, kind="stable"):
            if self.tree[leaf] not in taken:
                taken.add(self.tree[leaf])
                gained += self.gain[leaf]
                own = slice(self.begin[leaf], self.begin[leaf + 1])
                np.maximum.at(moves, self.feature[own], self.gap[own])
                if gained >= self.need:
                    break
        return float(np.linalg.norm(moves))

    def _ascend(self, reach: float, steps: int) -> TreeProof:
        """Return the best shares found by exponentiated supergradient steps on the soft minimum of the prices."""
        owner = np.repeat(self.tree, np.diff(self.begin))
        width = int(self.feature.max(initial=0)) + 1
        keys, pair = np.unique(owner * width + self.feature, return_inverse=True)
        feature, number = np.unique(keys % width, return_inverse=True)
        share, multiplier = ascend(
            self.begin, pair.reshape(-1), self.gap**2, self.tree, self.gain, number.reshape(-1), len(feature),
            self.trees, self.need, reach**2, steps,
        )  # fmt: skip
        return TreeProof(reach, keys // width, keys % width, share, float(multiplier))


def _at(trees: Trees, leaves: Leaves, x: NDArray[np.float32], label: int, norm: Norm) -> _Point:
    other = 1 - label
    sign = 1.0 if other else -1.0
    gaps = leaves.gaps(x)
    distance = np.sqrt(leaves.distances(gaps, 2)) if norm == "l2" else leaves.distances(gaps, np.inf)
    here = np.zeros(len(trees))
    at = np.flatnonzero(distance == 0)  # one leaf a tree
    here[leaves.tree[at]] = sign * leaves.value[at]
    gain = sign * leaves.value - here[leaves.tree]
    kept = np.flatnonzero((gain > 0) & (distance > 0))
    begin, columns = _kept_constraints(leaves.begin, kept)
    violated = gaps[columns] > 0
    counts = np.concatenate([[0], np.cumsum(violated)])
    columns = columns[violated]
    need = trees.needed(other, surely=False) - float(here.sum())
    if trees.rounding == 0:
        need = float(np.ceil(need / 2) * 2)  # each gain is 2
    return _Point(
        len(trees),
        leaves.tree[kept],
        gain[kept],
        distance[kept],
        counts[begin],
        leaves.feature[columns],
        gaps[columns],
        need,
    )


def _kept_constraints(begin: NDArray[np.int64], kept: NDArray[np.int64]) -> tuple[Any, Any]:
    """Return the new `begin` of the kept leaves, and the numbers of their constraints."""
    counts = begin[kept + 1] - begin[kept]
    new = np.concatenate([[0], np.cumsum(counts)])
    return new, np.repeat(begin[kept] - new[:-1], counts) + np.arange(new[-1])


def _sums(values: Floats, begin: NDArray[np.int64]) -> Floats:
    running = np.concatenate([[0.0], np.add.reduceat(values, begin[:-1])]) if len(values) else np.zeros(len(begin))
    return running[1:]
