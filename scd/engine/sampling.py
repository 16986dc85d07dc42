"""The random draws of training: batches, hidden nodes, features; one generator per vote.

Sampling without replacement is compiled, and done for many generators at once. The bits are those of NumPy's PCG64 and
the samples those of ``numpy.random.Generator.choice``, to the last one, without the cost of a call for each: PCG
XSL-RR 128/64 (O'Neill 2014), bounded integers by Lemire's method (2019), Floyd's algorithm for samples (Bentley and
Floyd 1987) and the tail of a shuffle for large ones.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scd.engine.parameters import Settings
from scd.numba_cache import njit

if TYPE_CHECKING:
    import torch

_BLOCK_ON_DEVICE = 32  # iterations drawn and uploaded together, while the device works on those before
_LOW32 = np.uint64(0xFFFFFFFF)
_TIMES_HIGH, _TIMES_LOW = np.uint64(0x2360ED051FC65DA4), np.uint64(0x4385DF649FCCF645)
_FLOYD_MAX = 10_000  # NumPy's: from more, Floyd's algorithm draws only small fractions
_RUN = 16  # samples: a cache line of float32 numbers, or a register of bytes
_MIN_RUNS = 16  # of each class in a batch; in smaller batches every sample is drawn on its own
_U0, _U1, _U32, _U58, _U63, _U64 = (np.uint64(i) for i in (0, 1, 32, 58, 63, 64))


class Draw(NamedTuple):
    """The random choices of one iteration of V votes, with k hidden nodes per vote."""

    batch: torch.Tensor
    """(V, n) bool: the same fraction of each class, without replacement."""
    nodes: torch.Tensor
    """(k, V) int64: hidden nodes, each at most once per vote."""
    features: torch.Tensor
    """(k, V, F) int64: features, without replacement."""


class Draws:
    """The draws of one iteration after the other.

    A generator's state is copied at the start, so the generator must not be used for anything else. Its numbers are
    used in the order of the iterations, so a vote's draws depend neither on the other votes nor on how many iterations
    are drawn at a time.

    Parameters
    ----------
    generators : list of V numpy generators
    shape : (d, n)
        Features and training samples; samples are ordered by class, label 0 first.
    negatives : int
        Samples of label 0.
    settings : Settings
    device : torch.device
    """

    def __init__(
        self,
        generators: list[np.random.Generator],
        shape: tuple[int, int],
        negatives: int,
        settings: Settings,
        device: torch.device,
    ) -> None:
        self.states, self.shape, self.negatives = states_of(generators), shape, negatives
        self.settings, self.device = settings, device
        self.block = 1 if device.type == "cpu" else _BLOCK_ON_DEVICE
        self.waiting: list[Draw] = []
        self.ahead: Future[tuple[NDArray[Any], ...]] | None = None
        self.worker = None if device.type == "cpu" else ThreadPoolExecutor(1)

    def next(self) -> Draw:
        """The draws of the next iteration."""
        if not self.waiting:
            arrays = self.ahead.result() if self.ahead else self._draw_block()
            parts = [self._to_device(array) for array in arrays]
            self.waiting = [Draw(*each) for each in zip(*parts, strict=True)][::-1]
            self.ahead = self.worker.submit(self._draw_block) if self.worker else None
        return self.waiting.pop()

    def _draw_block(self) -> tuple[NDArray[Any], ...]:
        s, (d, n) = self.settings, self.shape
        votes, k = len(self.states), s.nodes_per_iter
        batch = np.empty((self.block, votes, n), dtype=np.bool_)
        nodes = np.empty((self.block, votes, k), dtype=np.int64)
        features = np.empty((self.block, votes, k, s.features_per_step), dtype=np.int64)
        draw(self.states, *sizes_of(s, d, n, self.negatives), batch, nodes, features)
        return batch, nodes.swapaxes(1, 2), features.swapaxes(1, 2)

    def _to_device(self, array: NDArray[Any]) -> torch.Tensor:
        import torch  # only here: on CPU this file is read for its compiled functions alone

        tensor = torch.from_numpy(array)
        return tensor if self.device.type == "cpu" else tensor.pin_memory().to(self.device, non_blocking=True)


# ---------------------------------------------------------------------- compiled


def states_of(generators: list[np.random.Generator]) -> NDArray[Any]:
    """(V, 6) uint64 states of PCG64 generators: state and increment (high, low), then the unused half of 64 bits."""
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
    """The next 32 bits: the lower half of 64 new ones, or their upper half if that is unused."""
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
def _bounded(state, maximum):
    """An integer from 0 to `maximum`, which is below 2**32 - 1; nothing is drawn if `maximum` is 0."""
    if maximum == 0:
        return 0
    count = np.uint64(maximum) + _U1
    product = _next32(state) * count
    if product & _LOW32 < count:
        threshold = (_LOW32 - np.uint64(maximum)) % count
        while product & _LOW32 < threshold:
            product = _next32(state) * count
    return np.int64(product >> _U32)


@njit(nogil=True, inline="always")
def _by_floyd(n, size, small_fraction):
    return n <= _FLOYD_MAX or size <= n // small_fraction


@njit(nogil=True)
def _tail(state, numbers, size):
    """Shuffle the last `size` of (n,) `numbers` out of all of them."""
    for i in range(len(numbers) - 1, max(len(numbers) - size, 1) - 1, -1):
        j = _bounded(state, i)
        numbers[i], numbers[j] = numbers[j], numbers[i]


@njit(nogil=True)
def leave_out(state, kept, size):
    """Set `size` entries of (n,) `kept`, all True, to False: ``choice(n, size, replace=False, shuffle=False)``."""
    n = len(kept)
    if _by_floyd(n, size, 20):
        for j in range(n - size, n):
            value = _bounded(state, j)
            kept[value if kept[value] else j] = False
    else:
        numbers = np.arange(n)
        _tail(state, numbers, size)
        for i in range(n - size, n):
            kept[numbers[i]] = False


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
        for i in range(size):
            out[i] = numbers[n - size + i]


class Sizes(NamedTuple):
    """What the draws of a vote are taken from."""

    negatives: Any
    """Training samples of label 0."""
    left_out_0: Any
    left_out_1: Any
    """Samples of label 0, and of label 1, that are not in a batch."""
    features: Any
    hidden_nodes: Any


def sizes_of(settings: Settings, d: int, n: int, negatives: int) -> tuple[Sizes, int | None]:
    """See :class:`Sizes` and :func:`draw_vote`, for n samples of d features, `negatives` of them of label 0."""
    counts, run = (negatives, n - negatives), None
    if settings.batch_size is None:
        first, second = (max(1, round(settings.batch_fraction * size)) for size in counts)
    else:
        wanted = min(settings.batch_size, n)
        first, second = (max(1, round(wanted * size / n)) for size in counts)
        run = _RUN if min(first, second) >= _MIN_RUNS * _RUN and wanted < n else 1
        first, second = first // run * run, second // run * run
    return Sizes(negatives, counts[0] - first, counts[1] - second, d, settings.hidden_nodes), run


@njit(nogil=True)
def draw_vote(state, sizes, run, batch, nodes, features):
    """Fill the draws of one iteration of one vote: `batch` (n,) bool, `nodes` (k,), `features` (k, F) int64.

    With `run` None the samples that are left out are drawn. Otherwise a batch is made of runs of so many neighbouring
    samples of a class. Code for what is not used is not compiled.
    """
    no_feature, no_node = np.zeros(sizes.features, dtype=np.bool_), np.zeros(sizes.hidden_nodes, dtype=np.bool_)
    for i in range(len(batch)):
        batch[i] = run is None
    if run is None:
        leave_out(state, batch[: sizes.negatives], sizes.left_out_0)
        leave_out(state, batch[sizes.negatives :], sizes.left_out_1)
    else:
        _take_runs(state, batch[: sizes.negatives], sizes.left_out_0, run)
        _take_runs(state, batch[sizes.negatives :], sizes.left_out_1, run)
    sample(state, nodes, no_node)
    for k in range(len(nodes)):
        sample(state, features[k], no_feature)


@njit(nogil=True)
def _take_runs(state, taken, left_out, run):
    """Set all but `left_out` entries of (n,) `taken`, all False, to True: runs on a circle that is turned at random."""
    n = len(taken)
    chosen, none = np.empty((n - left_out) // run, dtype=np.int64), np.zeros(n // run, dtype=np.bool_)
    start = _bounded(state, n - 1)
    sample(state, chosen, none)
    for r in range(len(chosen)):
        for i in range(run):
            at = start + chosen[r] * run + i
            taken[at if at < n else at - n] = True


@njit(nogil=True)
def draw(states, sizes, run, batch, nodes, features):
    """Fill the draws of some iterations of all votes: `batch` (I, V, n), `nodes` (I, V, k), `features` (I, V, k, F)."""
    for i in range(len(batch)):
        for v in range(len(states)):
            draw_vote(states[v], sizes, run, batch[i, v], nodes[i, v], features[i, v])
