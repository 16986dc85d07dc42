"""The matrix product of few inputs with the weights of many units: the numbers of BLAS, in a fraction of its time.

BLAS copies both matrices into the order in which its innermost loop reads them. With ten inputs this takes longer than
the multiplications. Here the weights are copied once, into panels of a few registers' width.

The numbers are those of BLAS, to the last bit, because the additions have the same order: within a block of features
one after the other, with fused multiply-adds, then block after block. The length of a block belongs to the library and
the processor. It is found by comparing numbers. If none gives those of BLAS, BLAS does the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from scd.devices import in_threads
from scd.numba_cache import njit

_HOST = getattr(config, "CPU_NAME", None) in (None, "host")  # Numba compiles for this processor and not another
_WIDE = _HOST and llvmlite.binding.get_host_cpu_features().get("avx512f", False)
_LANES = 16 if _WIDE else 8  # of a register
_REGISTERS = 2  # width of a panel
_TILE = 14 if _WIDE else 6  # inputs at a time: all their sums stay in registers
_PANEL = _LANES * _REGISTERS
_AHEAD = 640 * _PANEL  # weights from those in use to those that are fetched into the cache
_LINE = 16  # float32 numbers of a cache line

_TRANSPOSED = 48  # inputs below which BLAS is faster with the weights as its first matrix; its numbers are the same
_FEW = 256  # inputs above which BLAS is as fast
_SMALL = 2**18  # numbers of a weight matrix that BLAS copies quickly
_LARGE = 2**26  # beyond this a second copy takes too much memory
_PATIENCE = 16  # products before the weights are copied, which takes as long as about this many
_ATTEMPTS = 4  # numbers of inputs to try, if none has the numbers of BLAS
_BLOCKS = (320, 384, 448, 256, 512, 640, 768)  # features of a block in versions of OpenBLAS


class UnitProducts:
    """Products of inputs with the weights of units.

    Parameters
    ----------
    weights : ndarray of float32, shape (U, d)
        C-contiguous. A second copy of large weights is made after some products of few inputs.
    """

    def __init__(self, weights: NDArray[np.float32]) -> None:
        self.weights = weights
        self._small_products = 0
        self._panels: NDArray[np.float32] | None = None
        self._ends: NDArray[np.int64] | None = None  # of the blocks of features
        self._same: dict[int, bool] = {}  # whether the numbers are those of BLAS, by the number of inputs

    def __reduce__(self) -> tuple[Any, ...]:
        return UnitProducts, (self.weights,)

    def write(self, x: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Write the products of inputs (n, d) with the weights to `out` (n, U); both are C-contiguous float32."""
        if 1 < len(x) <= _FEW and _SMALL <= self.weights.size <= _LARGE and self._equal_to_blas(len(x)):
            assert self._panels is not None
            assert self._ends is not None
            self._write_packed(x, self._panels, self._ends, out)
        else:
            self._write_by_blas(x, out)

    def _write_by_blas(self, x: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        if 1 < len(x) < _TRANSPOSED:
            out[:] = np.matmul(self.weights, x.T).T
        else:
            np.matmul(x, self.weights.T, out=out)

    def _equal_to_blas(self, n: int) -> bool:
        """Whether `n` inputs have the numbers of BLAS; False as long as copying the weights does not pay."""
        if n not in self._same:
            self._small_products += 1
            if self._small_products <= _PATIENCE:
                return False
            self._same[n] = self._compare(n)
        return self._same[n]

    def _compare(self, n: int) -> bool:
        """Whether `n` random inputs have the numbers of BLAS with some blocks of features, which are kept."""
        if self._panels is None:
            self._panels = _packed(self.weights)
        x = np.random.Generator(np.random.PCG64(n)).random((n, self.weights.shape[1]), dtype=np.float32)
        wanted, found = np.empty((2, n, len(self.weights)), dtype=np.float32)
        self._write_by_blas(x, wanted)
        unknown = _block_ends(x.shape[1]) if len(self._same) < _ATTEMPTS else ()
        for ends in unknown if self._ends is None else [self._ends]:
            self._write_packed(x, self._panels, ends, found)
            if np.array_equal(found, wanted):
                self._ends = ends
                return True
        return False

    def _write_packed(
        self, x: NDArray[np.float32], panels: NDArray[np.float32], ends: NDArray[np.int64], out: NDArray[np.float32]
    ) -> None:
        n, columns = len(x), np.empty(x.shape[::-1], dtype=np.float32)
        in_threads(lambda begin, end: _transpose(x, columns, begin, end), x.shape[1], x.size)
        tiles = -(-n // _TILE)
        cuts = np.arange(tiles + 1) * n // tiles
        sums = np.empty((n, len(panels) * _PANEL), dtype=np.float32)
        in_threads(
            lambda begin, end: _add_panels(panels, columns, ends, cuts, sums, begin, end),
            len(panels),
            n * self.weights.size,
        )
        out[:] = sums[:, : len(self.weights)]


def _packed(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """(P, d, panel) the weights of neighbouring units beside one another; the last panel is filled up with zeros."""
    units, d = weights.shape
    panels = np.zeros((-(-units // _PANEL), d, _PANEL), dtype=np.float32)
    for p, panel in enumerate(panels):
        part = weights[p * _PANEL : (p + 1) * _PANEL]
        panel[:, : len(part)] = part.T
    return panels


def _block_ends(d: int) -> Iterator[NDArray[np.int64]]:
    """Ends of the blocks of features, as versions of OpenBLAS cut them: the last two share what is left."""
    known = set()
    for block in _BLOCKS:
        for multiple in (16, 8, 4, 1):  # of which the one before the last is
            ends = [0]
            while (left := d - ends[-1]) > 0:
                half = -(-left // 2) if multiple == 1 else -(-(left // 2) // multiple) * multiple
                ends.append(ends[-1] + (block if left >= 2 * block else half if left > block else left))
            if tuple(ends) not in known:
                known.add(tuple(ends))
                yield np.array(ends)


@intrinsic
def _add_tile(_context, panels, panel, columns, first, n_inputs, begin, end, sums):
    """Add a block of features, from `begin` to before `end`, to the sums of some inputs with a panel of units.

    The inputs are `first` to before ``first + n_inputs``, at most `_TILE`.
    """

    # For two inputs a and b, and a panel of two registers u and v; one variant for each number of inputs:
    #
    #   for k:   fetch panels[panel, k + 640]   into the second cache; memory would be waited for without it
    #            u, v = panels[panel, k]        two loads
    #            a = columns[k, first]          a load, then the number in all lanes
    #            b = columns[k, first + 1]
    #            au += a * u   av += a * v      fused multiply-adds, of sums that LLVM keeps in registers
    #            bu += b * u   bv += b * v
    #
    #   sums[first] += au, av      sums[first + 1] += bu, bv
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        weights, inputs, out = (context.make_array(signature.args[k])(context, builder, args[k]) for k in (0, 2, 7))
        d, stride, width = (cgutils.unpack_tuple(builder, array.shape)[1] for array in (weights, inputs, out))
        panel, first, n_inputs = args[1], args[3], args[4]
        number, before = panel.type, builder.mul(panel, panel.type(_PANEL))
        w = builder.gep(weights.data, [builder.mul(before, d)])
        x = builder.gep(inputs.data, [first])
        s = builder.gep(out.data, [builder.add(builder.mul(first, width), before)])
        after = builder.append_basic_block()
        variants = builder.switch(n_inputs, after)
        for rows in range(1, _TILE + 1):
            block = builder.append_basic_block()
            variants.add_case(number(rows), block)
            with builder.goto_block(block):
                _emit(builder, rows, w, x, stride, s, width, args[5], args[6])
                builder.branch(after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    n = types.intp
    return types.void(panels, n, columns, n, n, n, n, sums), generate


def _emit(builder: Any, rows: int, w: Any, x: Any, stride: Any, s: Any, width: Any, begin: Any, end: Any) -> None:
    """Emit the loop of `_add_tile` for one number of inputs; begin < end."""
    integer, vector = begin.type, ir.VectorType(ir.FloatType(), _LANES)
    nothing, everywhere = ir.Constant(vector, None), ir.Constant(ir.VectorType(ir.IntType(32), _LANES), None)
    fma = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{_LANES}f32"
    )
    sums = [(r, v) for r in range(rows) for v in range(_REGISTERS)]

    def register(base: Any, place: Any, v: int) -> Any:
        place = builder.add(place, integer(v * _LANES))
        return builder.bitcast(builder.gep(base, [place]), vector.as_pointer())

    entry, loop, done = builder.block, builder.append_basic_block(), builder.append_basic_block()
    builder.branch(loop)
    builder.position_at_end(loop)
    k = builder.phi(integer)
    k.add_incoming(begin, entry)
    old = {place: builder.phi(vector) for place in sums}
    for line in range(0, _PANEL, _LINE):
        _fetch(builder, builder.gep(w, [builder.add(builder.mul(k, integer(_PANEL)), integer(_AHEAD + line))]))
    loaded = [builder.load(register(w, builder.mul(k, integer(_PANEL)), v), align=4) for v in range(_REGISTERS)]
    row, new = builder.mul(k, stride), {}
    for r in range(rows):
        one = builder.load(builder.gep(x, [builder.add(row, integer(r))]), align=4)
        one = builder.insert_element(nothing, one, ir.IntType(32)(0))
        all_lanes = builder.shuffle_vector(one, nothing, everywhere)
        for v in range(_REGISTERS):
            new[r, v] = builder.call(fma, [all_lanes, loaded[v], old[r, v]])
    following = builder.add(k, integer(1))
    k.add_incoming(following, loop)
    for place in sums:
        old[place].add_incoming(nothing, entry)
        old[place].add_incoming(new[place], loop)
    builder.cbranch(builder.icmp_signed("<", following, end), loop, done)
    builder.position_at_end(done)
    for r, v in sums:
        target = register(s, builder.mul(width, integer(r)), v)
        builder.store(builder.fadd(builder.load(target, align=4), new[r, v]), target, align=4)


def _fetch(builder: Any, pointer: Any) -> None:
    """Emit that a cache line will be read; nothing happens if it lies outside the array."""
    byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
    prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    builder.call(prefetch, [builder.bitcast(pointer, byte), word(0), word(2), word(1)])  # to read, second cache, data


@njit(nogil=True)
def _transpose(x, out, begin, end):
    """Write columns begin..end-1 of x (n, d) to `out` (d, n); NumPy reads a whole cache line for every number."""
    for start in range(begin, end, _LINE):
        for i in range(len(x)):
            for k in range(start, min(start + _LINE, end)):
                out[k, i] = x[i, k]


@njit(nogil=True)
def _add_panels(panels, columns, ends, cuts, sums, begin, end):
    """Fill sums[:, p * panel : (p + 1) * panel], for panels p in begin..end-1, with products.

    Parameters
    ----------
    panels : ndarray of float32, shape (P, d, panel)
    columns : ndarray of float32, shape (d, n)
        The inputs, transposed.
    ends : ndarray of int64
        Blocks of features: from each entry to the next.
    cuts : ndarray of int64
        Inputs that are multiplied together: from each entry to the next.
    sums : ndarray of float32, shape (n, P * panel)
    """
    width = panels.shape[2]
    for p in range(begin, end):
        for i in range(sums.shape[0]):
            for j in range(p * width, (p + 1) * width):
                sums[i, j] = np.float32(0.0)
        for b in range(len(ends) - 1):  # a block of a panel stays in the cache
            for t in range(len(cuts) - 1):
                _add_tile(panels, p, columns, cuts[t], cuts[t + 1] - cuts[t], ends[b], ends[b + 1], sums)
