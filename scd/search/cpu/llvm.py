"""Activations as bits and features of chosen rows, with two inner loops written in LLVM's own language.

Numba compiles loops over arrays. Two loops need more than that, so :func:`add_where_on` and :func:`take` emit LLVM
instructions themselves: one keeps 32 sums in registers, the other moves sixteen bytes by one instruction.

Activations of a vote are bits: bit ``k % 32`` of ``words[k // 32, i]`` is 1 where hidden node k is on in row i. This
takes a fifth of the memory of bytes at 20 nodes.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from scd.numba_cache import njit

LANES = 32
"""Bits of a word of activations, and sums that :func:`add_where_on` works on at a time."""

_WIDTH = 16  # bytes of an SSE register
_HOST = getattr(config, "CPU_NAME", None) in (None, "host")  # Numba compiles for this processor and not another
_SHUFFLES = _HOST and llvmlite.binding.get_host_cpu_features().get("ssse3", False)


# ---------------------------------------------------------------------- activations


@njit(nogil=True)
def unpack(words, columns):
    """Fill `columns` (32 * w, n) with the activations, 0 or 1, of (w, n) uint32 words."""
    for k in range(len(columns)):
        word, bit = words[k // LANES], bit_of(k)
        for i in range(words.shape[1]):
            columns[k, i] = word[i] & bit != 0


@njit(nogil=True, inline="always")
def bit_of(k):
    """The bit of node `k` in its word."""
    return np.uint32(1) << np.uint32(k % LANES)


@intrinsic
def add_where_on(_context, word, number, first, last, sums):
    """Add ``number[r]`` to those of the 32 `sums` whose bit of ``word[r]`` is set, for r from `first` to before `last`.

    The numbers are integers. The sums stay in registers, which no loop over arrays achieves.
    """

    # For each r, lane by lane (bit 0 of the word is lane 0):
    #
    #   word[r]       bits      0   1   1   0  ...  1      bitcast i32 -> <32 x i1>
    #   number[r]     splat     e   e   e   e  ...  e      insert_element + shuffle_vector
    #   select(bit, e, 0)       0   e   e   0  ...  e
    #                           +   +   +   +       +
    #   total                  s0  s1  s2  s3  ... s31     one vector <32 x int>, which LLVM keeps in registers
    #
    # `sums` is loaded once before the loop and stored once after it.
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word, number, sums = (context.make_array(signature.args[k])(context, builder, args[k]).data for k in (0, 1, 4))
        element = number.type.pointee
        vector, flags = ir.VectorType(element, LANES), ir.VectorType(ir.IntType(1), LANES)
        nothing, everywhere = ir.Constant(vector, None), ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
        target = builder.bitcast(sums, vector.as_pointer())
        total = cgutils.alloca_once_value(builder, builder.load(target, align=element.width // 8))
        with cgutils.for_range_slice(builder, args[2], args[3], ir.Constant(args[2].type, 1)) as (r, _):
            on = builder.bitcast(builder.load(builder.gep(word, [r])), flags)
            one = builder.insert_element(nothing, builder.load(builder.gep(number, [r])), ir.IntType(32)(0))
            added = builder.select(on, builder.shuffle_vector(one, nothing, everywhere), nothing)
            builder.store(builder.add(builder.load(total), added), total)
        builder.store(builder.load(total), target, align=element.width // 8)
        return context.get_dummy_value()

    return types.void(word, number, types.intp, types.intp, sums), generate


# ---------------------------------------------------------------------- features of chosen rows


@intrinsic
def _shuffle(_context, column, start, order, first, out, place):
    """Bytes ``column[start + order[first : first + 16]]`` to ``out[place : place + 16]``."""

    # The rows of a batch are close together, so one group is the wanted rows among sixteen neighbours of a column:
    #
    #   column[start:]      b0  b1  b2  b3  b4  ...  b15    load 16 bytes
    #   order[first:]        1   2   4   .   .  ...   .     which byte goes where; 0 after the last wanted one
    #                        |   |   |
    #   pshufb              b1  b2  b4  b0  b0  ...  b0     one instruction
    #   out[place:]         b1  b2  b4  (b0 ...)            store 16 bytes; the next group starts after b4
    #                                                       and overwrites what is in parentheses
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), _WIDTH)
        column, order, out = (
            builder.gep(context.make_array(kind)(context, builder, array).data, [index])
            for kind, array, index in zip(signature.args[::2], args[::2], args[1::2], strict=True)
        )
        column, order, out = (builder.bitcast(pointer, vector.as_pointer()) for pointer in (column, order, out))
        kind = ir.FunctionType(vector, [vector, vector])
        shuffle = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.ssse3.pshuf.b.128")
        moved = builder.call(shuffle, [builder.load(column, align=1), builder.load(order, align=1)])
        builder.store(moved, out, align=1)
        return context.get_dummy_value()

    return types.void(column, types.intp, order, types.intp, out, types.intp), generate


def plan(columns: Any, divisor: Any, active: Any) -> Any:
    """What :func:`take` needs to know of the rows `active`, (m,) and ascending with few exceptions; made once.

    Which bytes :func:`take` moves is the same for every feature.
    """


def take(column: Any, planned: Any, out: Any) -> None:
    """Write the feature ``column / divisor`` of the active rows to `out` (m,) float32."""


@overload(plan, jit_options={"nogil": True})
def _plan(columns, divisor, active):
    if columns.dtype != types.uint8 or not _SHUFFLES:

        def one_by_one(columns, divisor, active):
            return active, divisor

        return one_by_one

    def by_sixteen(columns, divisor, active):
        m, n = len(active), columns.shape[1]
        order = np.zeros(_WIDTH * m, dtype=np.uint8)
        starts, places = np.empty(m, dtype=np.int64), np.empty(m, dtype=np.int64)
        groups, now, start, place = 0, np.int64(-1), np.int64(0), np.int64(0)
        for r in range(m):
            row = np.int64(active[r])
            if row // _WIDTH != now:
                now = row // _WIDTH
                start, place = max(min(now * _WIDTH, n - _WIDTH), np.int64(0)), np.int64(r)
                starts[groups], places[groups] = start, place
                groups += 1
            order[_WIDTH * (groups - 1) + r - place] = row - start
        buffer = np.empty(m + _WIDTH, dtype=np.uint8)
        return order, starts[:groups], places[:groups], buffer, divisor, inverse(divisor)

    return by_sixteen


@overload(take, jit_options={"nogil": True})
def _take(column, planned, out):
    if len(planned) == 2:

        def one_by_one(column, planned, out):
            active, divisor = planned
            for r in range(len(out)):
                out[r] = np.float32(column[active[r]])
            if divisor != 1:
                for r in range(len(out)):
                    out[r] /= divisor

        return one_by_one

    def by_sixteen(column, planned, out):
        order, starts, places, buffer, divisor, (great, small, exact) = planned
        if len(column) < _WIDTH:
            for r in range(len(out)):
                buffer[r] = column[order[r]]  # one group
        else:
            for k in range(len(starts)):
                _shuffle(column, starts[k], order, _WIDTH * k, buffer, places[k])
        if exact:
            for r in range(len(out)):
                out[r] = np.float32(buffer[r]) * great + np.float32(buffer[r]) * small
        else:
            for r in range(len(out)):
                out[r] = np.float32(buffer[r]) / divisor

    return by_sixteen


@njit(nogil=True)
def inverse(divisor):
    """Two float32 numbers, and whether ``b * great + b * small == b / divisor`` for every byte b, to the last bit.

    `great` has 16 significant bits, so its product with a byte is exact. Two products take a fraction of the time of a
    division.
    """
    great = (np.array([np.float32(1) / divisor]).view(np.uint32) & np.uint32(0xFFFFFF00)).view(np.float32)[0]
    small = np.float32(1 / np.float64(divisor) - np.float64(great))
    for b in range(256):
        if np.float32(b) * great + np.float32(b) * small != np.float32(b) / divisor:
            return great, small, False
    return great, small, True
