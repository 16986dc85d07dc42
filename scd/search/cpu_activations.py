"""The output node's search over all thresholds, compiled: its inputs are activations, 0 or 1.

A step on an input shifts the rows in which it is on by the step and leaves the others. So the sorted projections are
the sorted unchanged ones merged with the same shifted, and the merged order is shared by all inputs: what differs is
which of a row's two places counts. One pass over that order adds up the effects for 32 inputs at a time.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from scd.search.cpu_sorting import ascending
from scd.search.cpu_thresholds import lowest_threshold

_LANES = 32  # inputs of a pass, one bit each


@njit(parallel=True, nogil=True, cache=True)
def search_activation_votes(p, inputs, features, steps, effects, zero, candidate, threshold, gain):
    """Search every vote: `inputs` (V, h, n) uint8 0/1; `zero` (1,) of the integer type in which no sum overflows."""
    for v in prange(len(p)):
        found = _search_vote(p[v], inputs[v], features[v], steps[v], effects[v], zero)
        candidate[v], threshold[v], gain[v] = found


@njit(nogil=True, cache=True)
def _search_vote(p, inputs, features, steps, effects, zero):
    n, m = len(p), 0
    rows, q = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.float32)
    for i in range(n):
        rows[m], q[m] = i, p[i]
        m += effects[i] != 0
    if m == 0:
        return 0, np.float32(np.nan), np.int64(0)
    order = ascending(q[:m])
    pa, ea = np.empty(m, dtype=np.float32), np.empty(m, dtype=zero.dtype)
    for r in range(m):
        pa[r], ea[r] = q[order[r]], effects[rows[order[r]]]
        order[r] = rows[order[r]]  # rows by projection, from now on
    gains = np.full(len(features), _unchanged_gain(pa, ea))
    words = _packed(inputs, order)
    for step in np.unique(steps):
        if step == 0:
            continue
        source, last = _merged(pa, step)
        for block in range(len(words)):
            found = _greatest_gains(words[block], ea, source, last)
            for c in range(len(features)):
                if steps[c] == step and features[c] // _LANES == block:
                    gains[c] = found[features[c] % _LANES]
    winner = 0
    for c in range(len(gains)):
        if gains[c] > gains[winner]:
            winner = c
    column = inputs[features[winner]]
    for r in range(m):
        pa[r] += steps[winner] * np.float32(column[order[r]])
    return winner, lowest_threshold(pa, ea, gains[winner]), gains[winner]


@njit(nogil=True, cache=True)
def _unchanged_gain(pa, ea):
    total, best = np.int64(0), np.int64(0)
    for r in range(len(pa) - 1, -1, -1):
        total += ea[r]
        if total > best and (r == 0 or pa[r - 1] < pa[r]):
            best = total
    return best


@njit(nogil=True, cache=True)
def _merged(pa, step):
    """Descending places of the ascending `pa` and ``pa + step``: row (+ m if shifted), and if the last of its value."""
    m = len(pa)
    moves = np.empty(m, dtype=np.float32)
    for r in range(m):
        moves[r] = pa[r] + step
    source, value = np.empty(2 * m, dtype=np.int32), np.empty(2 * m + 1, dtype=np.float32)
    i, j, first, second = m - 1, m - 1, 0, 0
    for k in range(m):  # without branches: which comes next is as good as random; from both ends, for neither waits
        stay = np.int64(pa[i] >= moves[j])
        source[k] = (j + m) + stay * (i - j - m)
        value[k] = max(pa[i], moves[j])
        i -= stay
        j -= 1 - stay
        move = np.int64(moves[second] <= pa[first])
        source[2 * m - 1 - k] = first + move * (second + m - first)
        value[2 * m - 1 - k] = min(pa[first], moves[second])
        first += 1 - move
        second += move
    value[2 * m] = -np.inf
    return source, value[1:] < value[:-1]


@njit(nogil=True, cache=True)
def _packed(inputs, order):
    """(ceil(h / 32), m) uint32: bit l of word b is the row's activation of input ``32 b + l``."""
    h, n = inputs.shape
    words = np.zeros(((h + _LANES - 1) // _LANES, n), dtype=np.uint32)
    for k in range(h):
        word, column, lane = words[k // _LANES], inputs[k], np.uint32(k % _LANES)
        for i in range(n):
            word[i] |= np.uint32(column[i]) << lane
    return words[:, order]


@njit(nogil=True, cache=True)
def _greatest_gains(words, ea, source, last):
    """(32,) greatest gain of each input, all off (0) included."""
    m, size = len(words), (len(source) + 3) // 4 * 4
    word, effect = np.zeros(size, dtype=np.uint32), np.zeros(size, dtype=ea.dtype)
    allowed = np.zeros(size, dtype=ea.dtype)
    for k in range(len(source)):
        shifted = source[k] >= m
        r = source[k] - m * shifted
        word[k] = words[r] ^ np.uint32(shifted - 1)  # the bits of the inputs for which the row stands here
        effect[k], allowed[k] = ea[r], -ea.dtype.type(last[k])
    return _greatest_sums(word, effect, allowed)


@njit(nogil=True, cache=True)
def _greatest_sums(word, effect, allowed):
    """(32,) greatest sum of the first effects whose bit is set, over the places where that is `allowed` (-1, not 0)."""
    number, nothing = effect.dtype.type, effect.dtype.type(0)
    total, best = np.zeros(_LANES, dtype=effect.dtype), np.zeros(_LANES, dtype=effect.dtype)
    bit = np.uint32(1) << np.arange(_LANES).astype(np.uint32)
    for k in range(0, len(word), 4):  # choices, no products and no branches: what the compiler turns into vectors
        w0, w1, w2, w3 = word[k], word[k + 1], word[k + 2], word[k + 3]
        e0, e1, e2, e3 = effect[k], effect[k + 1], effect[k + 2], effect[k + 3]
        a0, a1, a2, a3 = allowed[k], allowed[k + 1], allowed[k + 2], allowed[k + 3]
        for lane in range(_LANES):
            t0 = number(total[lane] + (e0 if w0 & bit[lane] != 0 else nothing))
            t1 = number(t0 + (e1 if w1 & bit[lane] != 0 else nothing))
            t2 = number(t1 + (e2 if w2 & bit[lane] != 0 else nothing))
            t3 = number(t2 + (e3 if w3 & bit[lane] != 0 else nothing))
            total[lane] = t3
            t0, t1, t2, t3 = number(t0 & a0), number(t1 & a1), number(t2 & a2), number(t3 & a3)
            t0, t2 = t0 if t0 > t1 else t1, t2 if t2 > t3 else t3
            t0 = t0 if t0 > t2 else t2
            best[lane] = t0 if t0 > best[lane] else best[lane]
    return best
