"""Sampling without replacement as ``numpy.random.Generator.choice`` does it, compiled and for many generators at once.

The bits are those of NumPy's PCG64 and the samples those of its `choice`, to the last one, without the cost of a call
for each: PCG XSL-RR 128/64 (O'Neill 2014), bounded integers by Lemire's method (2019), Floyd's algorithm for samples
(Bentley and Floyd 1987) and the tail of a shuffle for large ones.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from scd.numba_cache import njit

_LOW32 = np.uint64(0xFFFFFFFF)
_TIMES_HIGH, _TIMES_LOW = np.uint64(0x2360ED051FC65DA4), np.uint64(0x4385DF649FCCF645)
_FLOYD_AT_MOST = 10_000  # NumPy's: of more, Floyd's algorithm draws only small shares
_U0, _U1, _U32, _U58, _U63, _U64 = (np.uint64(i) for i in (0, 1, 32, 58, 63, 64))


def states_of(generators: list[np.random.Generator]) -> np.ndarray:
    """(V, 6) uint64 states of PCG64 generators: state and increment (high, low), then the half of 64 bits left over."""
    rows = []
    for generator in generators:
        state = generator.bit_generator.state
        if state["bit_generator"] != "PCG64":
            raise TypeError(f"Only PCG64 generators can be compiled. Got {state['bit_generator']}.")
        halves = [part for name in ("state", "inc") for part in divmod(state["state"][name], 1 << 64)]
        rows.append([*halves, state["has_uint32"], state["uinteger"]])
    return np.array(rows, dtype=np.uint64)


@njit(nogil=True, inline="always")
def _high_product(a, b):
    """The upper 64 bits of the product of two uint64."""
    a0, a1, b0, b1 = a & _LOW32, a >> _U32, b & _LOW32, b >> _U32
    middle = a1 * b0 + ((a0 * b0) >> _U32)
    other = a0 * b1 + (middle & _LOW32)
    return a1 * b1 + (middle >> _U32) + (other >> _U32)


@njit(nogil=True)
def _next32(state):
    """The next 32 bits: the lower half of a fresh 64, or the upper half left over from them."""
    if state[4] != _U0:
        state[4] = _U0
        return state[5]
    high, low = state[0], state[1]
    product = low * _TIMES_LOW
    high = _high_product(low, _TIMES_LOW) + high * _TIMES_LOW + low * _TIMES_HIGH
    low = product + state[3]
    high += state[2] + (_U1 if low < product else _U0)
    state[0], state[1] = high, low
    word, turn = high ^ low, high >> _U58
    word = (word >> turn) | (word << ((_U64 - turn) & _U63))
    state[4], state[5] = _U1, word >> _U32
    return word & _LOW32


@njit(nogil=True)
def _bounded(state, most):
    """An integer from 0 to `most`, which is below 2**32 - 1; nothing is drawn where it must be 0."""
    if most == 0:
        return 0
    count = np.uint64(most) + _U1
    product = _next32(state) * count
    if product & _LOW32 < count:
        least = (_LOW32 - np.uint64(most)) % count
        while product & _LOW32 < least:
            product = _next32(state) * count
    return np.int64(product >> _U32)


@njit(nogil=True)
def _by_floyd(n, size, small_share):
    return n <= _FLOYD_AT_MOST or size <= n // small_share


@njit(nogil=True)
def _tail(state, numbers, size):
    """Shuffle the last `size` of (n,) `numbers` out of all of them."""
    for i in range(len(numbers) - 1, max(len(numbers) - size, 1) - 1, -1):
        j = _bounded(state, i)
        numbers[i], numbers[j] = numbers[j], numbers[i]


@njit(nogil=True)
def leave_out(state, kept, size):
    """Set `size` places of (n,) `kept`, all True, to False: ``choice(n, size, replace=False, shuffle=False)``."""
    n = len(kept)
    if _by_floyd(n, size, 20):
        for j in range(n - size, n):
            value = _bounded(state, j)
            kept[value if kept[value] else j] = False
    else:
        numbers = np.arange(n)
        _tail(state, numbers, size)
        kept[numbers[n - size :]] = False


@njit(nogil=True)
def sample(state, out, taken):
    """Fill `out` from the numbers below n, ``choice(n, len(out), replace=False)``; (n,) `taken` is and stays False."""
    n, size = len(taken), len(out)
    if _by_floyd(n, size, 50):
        for i in range(size):
            j = n - size + i
            value = _bounded(state, j)
            out[i] = j if taken[value] else value
            taken[out[i]] = True
        for i in range(size):
            taken[out[i]] = False
        for i in range(size - 1, 0, -1):
            j = _bounded(state, i)
            out[i], out[j] = out[j], out[i]
    else:
        numbers = np.arange(n)
        _tail(state, numbers, size)
        out[:] = numbers[n - size :]


@njit(nogil=True)
def _draw_vote(v, state, negatives, left_out_0, left_out_1, d, h, batch, nodes, features):
    no_feature, no_node = np.zeros(d, dtype=np.bool_), np.zeros(h, dtype=np.bool_)
    chosen = np.empty(nodes.shape[1], dtype=np.int64)
    for i in range(len(batch)):
        leave_out(state, batch[i, v, :negatives], left_out_0)
        leave_out(state, batch[i, v, negatives:], left_out_1)
        sample(state, chosen, no_node)
        nodes[i, :, v] = chosen
        for each in range(len(chosen)):
            sample(state, features[i, each, v], no_feature)


@njit(parallel=True, nogil=True)
def draw(states, negatives, left_out_0, left_out_1, d, h, batch, nodes, features):
    """Fill the draws of some iterations, as :class:`scd.engine.sampling.Draw` but with an axis of iterations first."""
    for v in prange(len(states)):
        _draw_vote(v, states[v], negatives, left_out_0, left_out_1, d, h, batch, nodes, features)
