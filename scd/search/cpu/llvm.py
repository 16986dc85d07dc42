"""The values of one feature at some rows, compiled.

Pixels are bytes and the rows of a batch lie close together, so sixteen rows of a column are read at a time and one
instruction moves the wanted ones to the front. Which to move is the same for every feature and found once.
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

_WIDTH = 16  # bytes of an SSE register
_HOST = getattr(config, "CPU_NAME", None) in (None, "host")  # Numba compiles for this processor and not another
_SHUFFLES = _HOST and llvmlite.binding.get_host_cpu_features().get("ssse3", False)


@intrinsic
def _shuffle(_context, column, start, order, first, out, place):
    """Bytes ``column[start + order[first : first + 16]]`` to ``out[place : place + 16]``."""

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
    """What :func:`take` needs to know of the rows `active`, ascending but for few exceptions; once for all features."""


def take(column: Any, planned: Any, out: Any) -> None:
    """The feature ``column / divisor`` of the active rows, to `out` (m,) float32."""


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

    `great` has 16 digits, so that its product with a byte is exact. Two products take a fraction of a division's time.
    """
    great = (np.array([np.float32(1) / divisor]).view(np.uint32) & np.uint32(0xFFFFFF00)).view(np.float32)[0]
    small = np.float32(1 / np.float64(divisor) - np.float64(great))
    for b in range(256):
        if np.float32(b) * great + np.float32(b) * small != np.float32(b) / divisor:
            return great, small, False
    return great, small, True
