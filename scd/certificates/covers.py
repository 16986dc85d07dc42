"""The cheapest sets of hidden units whose flips change a vote's label: knapsack covers, exactly.

A vote with a margin ``need`` changes its label only if the effects of its flipped units add up to ``need``. With a
price on every unit the cheapest such set is a minimum knapsack cover; an ensemble whose majority needs K votes pays at
least the sum of the K lowest prices.
"""

import numpy as np

from scd.numba_cache import njit

_NODES = 20_000  # of one cover's search tree; past it the linear relaxation answers, which is never above the cover


@njit(nogil=True)
def cheapest_votes(price, effect, first, need, k, chosen):
    """The sum of the `k` lowest cover prices of the votes, inf where fewer than `k` votes can change their label.

    Parameters
    ----------
    price, effect : (n,) float64
        Of all units, vote after vote; ``price >= 0``, ``effect > 0``.
    first : (M + 1,) int64
        Vote m has the units ``first[m]`` to ``first[m + 1] - 1``.
    need : (M,) float64
        Effect at which a vote changes its label; a vote with ``need <= 0`` costs nothing.
    k : int
    chosen : (n,) bool, output
        The units of a cheapest choice.
    """
    votes = len(need)
    covers, sets = np.empty(votes), np.zeros(len(price), dtype=np.bool_)
    for m in range(votes):
        a, b = first[m], first[m + 1]
        covers[m] = cover_price(price[a:b], effect[a:b], need[m], sets[a:b])
    chosen[:] = False
    if votes < k:
        return np.inf
    order, total = np.argsort(covers), 0.0
    for m in order[:k]:
        total += covers[m]
        for i in range(first[m], first[m + 1]):
            chosen[i] = sets[i]
    return total


@njit(nogil=True)
def cover_price(price, effect, need, chosen):
    """The lowest total price of units whose effects add up to `need`, inf if all together do not; they go to `chosen`.

    Depth first in the order of price per effect, cut off by the linear relaxation (Horowitz and Sahni 1974, turned from
    packing to covering). Beyond `_NODES` nodes the price is that of the relaxation, a lower bound.
    """
    n = len(price)
    chosen[:] = False
    if need <= 0.0:
        return 0.0
    order = np.argsort(price / effect)
    p, e = price[order], effect[order]
    left = np.zeros(n + 1)  # effect of the units from here on
    for i in range(n - 1, -1, -1):
        left[i] = left[i + 1] + e[i]
    if left[0] < need:
        return np.inf
    root = _relaxed(p, e, 0, need)
    paid, done = np.zeros(n + 1), np.zeros(n + 1)  # on the path, before unit i
    taken, best, i, nodes = np.zeros(n, dtype=np.bool_), np.inf, 0, 0
    while i >= 0:
        nodes += 1
        if nodes > _NODES:
            return root
        forward = False
        if done[i] >= need:
            if paid[i] < best:
                best = paid[i]
                for j in range(n):
                    chosen[order[j]] = taken[j] and j < i
        elif done[i] + left[i] >= need and paid[i] + _relaxed(p, e, i, need - done[i]) < best:
            taken[i], forward = True, True
            paid[i + 1], done[i + 1] = paid[i] + p[i], done[i] + e[i]
            i += 1
        if forward:
            continue
        i -= 1
        while i >= 0 and not taken[i]:
            i -= 1
        if i >= 0:  # the last unit taken is left out instead
            taken[i] = False
            paid[i + 1], done[i + 1] = paid[i], done[i]
            i += 1
    return best


@njit(nogil=True)
def _relaxed(price, effect, begin, need):
    """Price of the linear relaxation over units sorted by price per effect, from `begin` on."""
    total = 0.0
    for j in range(begin, len(price)):
        if effect[j] >= need:
            return total + price[j] * (need / effect[j])
        total += price[j]
        need -= effect[j]
    return total


@njit(nogil=True)
def flip_distances(distance, effect, need):
    """(V,) float64: the smallest distance within which a vote's units together reach its `need`; inf if they never do.

    `distance` and `effect`, (V, h), are those of all units; an effect of 0 marks one that does not hurt.
    """
    out = np.full(len(distance), np.inf)
    for m in range(len(distance)):
        total = 0.0
        if need[m] <= 0.0:
            out[m] = 0.0
            continue
        for t in np.argsort(distance[m]):
            total += effect[m, t]
            if total >= need[m]:
                out[m] = distance[m, t]
                break
    return out
