"""Checks of what a user gives to an attack: every refusal is one sentence with what, where, allowed, got."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scd.devices import parse_bytes


class Described(str):
    """A description of a value too large to show; printed without quotes."""

    def __repr__(self) -> str:
        return str(self)


def refuse(owner: str, name: str, allowed: str, got: Any) -> ValueError:
    """Return the error of a bad parameter, in the one shape that all of them have."""
    return ValueError(f"The '{name}' parameter of {owner} must be {allowed}. Got {got!r} instead.")


def check_int(owner: str, name: str, value: Any, least: int | None) -> int:
    """Return `value` as an int not below `least` (None: any int)."""
    allowed = "an int" if least is None else f"an int >= {least}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise refuse(owner, name, allowed, value)
    if least is not None and value < least:
        raise refuse(owner, name, allowed, value)
    return int(value)


def check_number(
    owner: str, name: str, value: Any, *, least: float | None = None, above: float | None = None,
    below: float | None = None,
) -> float:  # fmt: skip
    """Return `value` as a float within the bounds that are given: least <= value, above < value < below."""
    bounds = {">=": least, ">": above, "<": below}
    allowed = "a number " + " and ".join(f"{sign} {bound:g}" for sign, bound in bounds.items() if bound is not None)
    known = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not (known and np.isfinite(value)):
        raise refuse(owner, name, allowed.strip(), value)
    if (
        (least is not None and value < least)
        or (above is not None and value <= above)
        or (below is not None and value >= below)
    ):
        raise refuse(owner, name, allowed, value)
    return float(value)


def check_numbers(owner: str, name: str, value: Any, least: float) -> tuple[float, ...]:
    """Return `value` as a tuple of different finite numbers not below `least`, at least one of them."""
    numbers = list(value) if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str) else []
    real = (int, float, np.integer, np.floating)
    right = [isinstance(v, real) and not isinstance(v, bool) and np.isfinite(v) and v >= least for v in numbers]
    if not right or not all(right) or len(set(numbers)) < len(numbers):
        raise refuse(owner, name, f"a list of different numbers >= {least:g}, at least one", value)
    return tuple(float(v) for v in numbers)


def check_choice(owner: str, name: str, value: Any, choices: Sequence[str]) -> str:
    """Return `value` if it is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise refuse(owner, name, "one of " + ", ".join(repr(choice) for choice in choices), value)
    return value


def check_bool(owner: str, name: str, value: Any) -> bool:
    """Return `value` if it is a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise refuse(owner, name, "True or False", value)
    return bool(value)


def check_memory(owner: str, name: str, value: Any) -> int:
    """Return a memory size in bytes from an int or a text such as '256MiB'."""
    return parse_bytes(value, owner, name)


@dataclass(frozen=True)
class Task:
    """The checked points of an attack.

    Attributes
    ----------
    x : ndarray of float32, shape (n, d)
        Originals, inside the box.
    y : ndarray of int64, shape (n,)
        True labels.
    index : ndarray of int64, shape (n,)
        The caller's numbers of the points; they name the random streams.
    low, high : float
        The clip box, rounded inwards to float32 so that no float32 row can leave it.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    index: NDArray[np.int64]
    low: float
    high: float


def read_task(owner: str, x: Any, y: Any, clip: Any, index: Any) -> Task:
    """Check the points of an attack and return them as a `Task`."""
    low, high = _read_clip(owner, clip)
    rows = read_rows(owner, "x", x, low, high)
    numbers = np.arange(len(rows)) if index is None else index
    return Task(rows, read_ints(owner, "y", y, len(rows)), read_ints(owner, "index", numbers, len(rows)), low, high)


def read_rows(owner: str, name: str, value: Any, low: float, high: float, shape: tuple[int, ...] = ()) -> Any:
    """Return finite rows inside the box as contiguous float32; `shape` fixes the number of features if given."""
    rows = np.asarray(value)
    if rows.ndim != 2 or rows.dtype.kind not in "fiub" or 0 in rows.shape:
        raise refuse(owner, name, "a numeric array of shape (rows, features), none of them 0", _describe(rows))
    if shape and rows.shape[1:] != shape:
        raise refuse(owner, name, f"rows of {shape[0]} features like x", _describe(rows))
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    if not np.isfinite(rows).all():
        bad = int(np.argmin(np.isfinite(rows).all(axis=1)))
        raise refuse(owner, name, "finite", Described(f"NaN or infinity in row {bad}"))
    least, most = float(rows.min()), float(rows.max())
    if least < np.float32(low) or most > np.float32(high):
        # one step of float32 is rounding of the caller's bound, anything more is data outside the box
        infinity = np.float32(np.inf)
        if least < np.nextafter(np.float32(low), -infinity) or most > np.nextafter(np.float32(high), infinity):
            allowed = f"within the clip bounds [{low:g}, {high:g}]"
            raise refuse(owner, name, allowed, Described(f"values in [{least:g}, {most:g}]"))
        rows = np.clip(rows, np.float32(low), np.float32(high))
    return rows


def read_starts(owner: str, starts: Any, task: Task) -> NDArray[np.float32]:
    """Return one start per point, shape (n, d), from such an array or from a dict of true label to image."""
    if isinstance(starts, Mapping):
        table = {int(label): np.asarray(image).reshape(-1) for label, image in starts.items()}
        missing = sorted(set(task.y.tolist()) - set(table))
        if missing:
            raise refuse(owner, "starts", f"an image for every label in y, {missing} too", sorted(table))
        if any(image.shape != task.x.shape[1:] for image in table.values()):
            raise refuse(owner, "starts", f"images of {task.x.shape[1]} features like x", Described("another number"))
        starts = np.stack([table[label] for label in task.y.tolist()])
    if starts is None:
        raise refuse(owner, "starts", "a dict of label to image, or an array like x, when start='given'", starts)
    rows: NDArray[np.float32] = read_rows(owner, "starts", starts, task.low, task.high, task.x.shape[1:])
    if len(rows) != len(task.x):
        raise refuse(owner, "starts", f"one row per point of x ({len(task.x)})", len(rows))
    return rows


def read_pool(owner: str, pool: Any, pool_labels: Any, task: Task) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the rows among which near starts are sought, and their labels (an empty array if none are given)."""
    if pool is None:
        raise refuse(owner, "pool", "the rows to search, shape (rows, features), when start='nearest'", pool)
    rows: NDArray[np.float32] = read_rows(owner, "pool", pool, task.low, task.high, task.x.shape[1:])
    if pool_labels is None:
        return rows, np.zeros(0, dtype=np.int64)
    return rows, read_ints(owner, "pool_labels", pool_labels, len(rows))


def _read_clip(owner: str, clip: Any) -> tuple[float, float]:
    allowed = "two finite numbers, the lower first"
    try:
        low, high = (float(bound) for bound in clip)
    except (TypeError, ValueError):
        raise refuse(owner, "clip", allowed, clip) from None
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise refuse(owner, "clip", allowed, clip)
    low32, high32 = np.float32(low), np.float32(high)
    if float(low32) < low:
        low32 = np.nextafter(low32, np.float32(np.inf))
    if float(high32) > high:
        high32 = np.nextafter(high32, np.float32(-np.inf))
    return float(low32), float(high32)


def read_ints(owner: str, name: str, value: Any, length: int) -> NDArray[np.int64]:
    """Return `value` as that many int64."""
    array = np.asarray(value)
    if array.shape != (length,) or array.dtype.kind not in "iub":
        raise refuse(owner, name, f"an array of {length} integers", _describe(array))
    return array.astype(np.int64)


def _describe(array: NDArray[Any]) -> Described:
    return Described(f"{array.dtype} of shape {array.shape}")
