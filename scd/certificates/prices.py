"""Prices of the leaves of a tree ensemble, and the bound that they give: the compiled part of the certificates."""

from __future__ import annotations

import numpy as np

from scd.numba_cache import njit

_SOFT = 0.3  # initial temperature of the ascent, relative to the mean price of a tree that changes its leaf
_BISECTIONS = 40  # of the multiplier


@njit(nogil=True)
def first_reach(order, tree, gain, distance, need, best):  # pragma: no cover
    total = 0.0
    for leaf in order:
        more = gain[leaf] - best[tree[leaf]]
        if more > 0:
            best[tree[leaf]] = gain[leaf]
            total += more
            if total >= need:
                return distance[leaf]
    return np.inf


@njit(nogil=True)
def price_bound(price, gain, tree, need, multiplier, lowest):  # pragma: no cover
    """Lagrangian bound of the least total price of leaves that gain `need`; its absolute terms; what it gains."""
    lowest[:] = 0.0
    gained = np.zeros(len(lowest))
    for leaf in range(len(price)):
        reduced = price[leaf] - multiplier * gain[leaf]
        if reduced < lowest[tree[leaf]]:
            lowest[tree[leaf]], gained[tree[leaf]] = reduced, gain[leaf]
    total, terms = multiplier * need, multiplier * need
    for t in range(len(lowest)):
        total += lowest[t]
        terms -= lowest[t]
    return total, terms, gained.sum()


@njit(nogil=True)
def _best_multiplier(price, gain, tree, need, lowest):  # pragma: no cover
    """Maximise the bound, which is concave, over the multiplier."""
    low, high, best, at = 0.0, 0.0, 0.0, 0.0
    for leaf in range(len(price)):
        high = max(high, price[leaf] / gain[leaf])
    high = high * 2 + 1e-300
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        total, _, gained = price_bound(price, gain, tree, need, middle, lowest)
        if total > best:
            best, at = total, middle
        if gained >= need:
            high = middle
        else:
            low = middle
    return best, at


@njit(nogil=True)
def ascend(begin, pair, square, tree, gain, feature, n_features, n_trees, need, most, steps):  # pragma: no cover
    n_pairs, n_leaves = len(feature), len(tree)
    weight, share, slope = np.zeros(n_pairs), np.empty(n_pairs), np.empty(n_pairs)
    peak, total = np.empty(n_features), np.empty(n_features)
    price, part, lowest, mass = np.empty(n_leaves), np.empty(n_leaves), np.empty(n_trees), np.empty(n_trees)
    best, best_share, best_multiplier = -1.0, np.empty(n_pairs), 0.0
    for step in range(steps + 1):
        peak[:], total[:] = -np.inf, 0.0
        for p in range(n_pairs):
            peak[feature[p]] = max(peak[feature[p]], weight[p])
        for p in range(n_pairs):
            share[p] = np.exp(weight[p] - peak[feature[p]])
            total[feature[p]] += share[p]
        for p in range(n_pairs):
            share[p] /= total[feature[p]]
        for leaf in range(n_leaves):
            price[leaf] = 0.0
            for c in range(begin[leaf], begin[leaf + 1]):
                price[leaf] += square[c] * share[pair[c]]
        value, multiplier = _best_multiplier(price, gain, tree, need, lowest)
        if value > best:
            best, best_multiplier = value, multiplier
            best_share[:] = share
        if value >= most or step == steps:
            break
        left = 1 - step / steps
        price_bound(price, gain, tree, need, multiplier, lowest)
        selected = 0
        for t in range(n_trees):
            selected += lowest[t] < 0
        soft = _SOFT * left * value / max(selected, 1) + 1e-300
        # the soft choice of a tree: its leaf at the point, whose reduced price is 0, or another leaf
        mass[:] = 0.0
        for t in range(n_trees):
            mass[t] = np.exp(max(lowest[t] / soft, -700.0))
        for leaf in range(n_leaves):
            part[leaf] = np.exp(max((lowest[tree[leaf]] - price[leaf] + multiplier * gain[leaf]) / soft, -700.0))
            mass[tree[leaf]] += part[leaf]
        slope[:], peak[:] = 0.0, 1e-300
        for leaf in range(n_leaves):
            for c in range(begin[leaf], begin[leaf + 1]):
                slope[pair[c]] += square[c] * part[leaf] / mass[tree[leaf]]
        for p in range(n_pairs):
            peak[feature[p]] = max(peak[feature[p]], slope[p])
        for p in range(n_pairs):
            weight[p] += left * slope[p] / peak[feature[p]]
    return best_share, best_multiplier
