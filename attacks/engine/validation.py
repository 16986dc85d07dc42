"""Validation of what a user passes to an attack. Every error message says: which parameter, where, allowed, got."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scd.devices import parse_bytes

from .subspace import Subspace

Bounds = float | NDArray[np.float64]
"""One number for all features, or one for each, shape (d,)."""


class Described(str):
    """A description of a value that is too large to show; printed without quotes."""

    def __repr__(self) -> str:
        return str(self)


def refuse(class_name: str, name: str, allowed: str, got: Any) -> ValueError:
    """Return the error for a bad parameter; all of them have this shape."""
    return ValueError(f"The '{name}' parameter of {class_name} must be {allowed}. Got {got!r} instead.")


def check_int(class_name: str, name: str, value: Any, minimum: int | None) -> int:
    """Return `value` as an int >= `minimum` (None: any int)."""
    allowed = "an int" if minimum is None else f"an int >= {minimum}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise refuse(class_name, name, allowed, value)
    if minimum is not None and value < minimum:
        raise refuse(class_name, name, allowed, value)
    return int(value)


def check_number(
    class_name: str,
    name: str,
    value: Any,
    *,
    minimum: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Return `value` as a float within the given bounds: minimum <= value and above < value < below."""
    bounds = {">=": minimum, ">": above, "<": below}
    allowed = "a number " + " and ".join(f"{sign} {bound:g}" for sign, bound in bounds.items() if bound is not None)
    is_real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not (is_real and np.isfinite(value)):
        raise refuse(class_name, name, allowed.strip(), value)
    if (
        (minimum is not None and value < minimum)
        or (above is not None and value <= above)
        or (below is not None and value >= below)
    ):
        raise refuse(class_name, name, allowed, value)
    return float(value)


def check_numbers(class_name: str, name: str, value: Any, minimum: float) -> tuple[float, ...]:
    """Return `value` as a tuple of one or more distinct finite numbers >= `minimum`."""
    numbers = list(value) if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str) else []
    real = (int, float, np.integer, np.floating)
    valid = [isinstance(v, real) and not isinstance(v, bool) and np.isfinite(v) and v >= minimum for v in numbers]
    if not valid or not all(valid) or len(set(numbers)) < len(numbers):
        raise refuse(class_name, name, f"a list of distinct numbers >= {minimum:g}, at least one", value)
    return tuple(float(v) for v in numbers)


def check_choice(class_name: str, name: str, value: Any, choices: Sequence[str]) -> str:
    """Return `value` if it is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise refuse(class_name, name, "one of " + ", ".join(repr(choice) for choice in choices), value)
    return value


def check_bool(class_name: str, name: str, value: Any) -> bool:
    """Return `value` if it is a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise refuse(class_name, name, "True or False", value)
    return bool(value)


def check_memory(class_name: str, name: str, value: Any) -> int:
    """Return a memory size in bytes, given as an int or a text such as '256MiB'."""
    return parse_bytes(value, class_name, name)


@dataclass(frozen=True)
class Task:
    """The validated examples of an attack.

    Attributes
    ----------
    x : ndarray of float32, shape (n, d)
        Originals, inside the box.
    y : ndarray of int64, shape (n,)
        True labels.
    index : ndarray of int64, shape (n,)
        The caller's numbers of the examples; they name the random streams.
    low, high : float, or ndarray of float64, shape (d,)
        The clip box, rounded inwards to float32 so that no float32 input can leave it; infinite without bounds.
    box : (low, high)
        Where noise is drawn: the clip box or, without bounds, the ranges of the data, enlarged: see `unbounded_box`.
    subspace : Subspace or None
        The directions that the probes of gradient estimates have; None: all.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    index: NDArray[np.int64]
    low: Any
    high: Any
    data_box: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    subspace: Subspace | None = None

    @property
    def bounded(self) -> bool:
        """Whether there are bounds."""
        return bool(np.isfinite(self.low).all())

    @property
    def box(self) -> tuple[Any, Any]:
        """Lower and upper ends of the box in which noise is drawn."""
        return (self.low, self.high) if self.data_box is None else self.data_box

    @property
    def width(self) -> float:
        """Width of the box; of bounds per feature the root mean square of the features' widths."""
        widths = np.asarray(self.box[1] - self.box[0])
        return float(np.sqrt(np.mean(widths**2)) if widths.ndim else widths)


def unbounded_box(*given: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the box in which noise is drawn without bounds: the range of the given samples, three times as wide.

    A feature that is constant has the largest range of the others; if all are constant it is their largest value or 1.

    Parameters
    ----------
    *given : ndarray of float32, shape (any, d)
        The examples and, where there are some, training samples.
    """
    lowest = np.min([rows.min(axis=0) for rows in given], axis=0).astype(np.float64)
    highest = np.max([rows.max(axis=0) for rows in given], axis=0).astype(np.float64)
    width = highest - lowest
    scale = width.max() if width.any() else (max(abs(lowest).max(), abs(highest).max()) or 1.0)
    width = np.where(width > 0, width, scale)
    middle = (lowest + highest) / 2
    return middle - 1.5 * width, middle + 1.5 * width


def read_task(class_name: str, x: Any, y: Any, clip: Any, index: Any, unbounded: bool = False) -> Task:
    """Validate the examples of an attack and return them as a `Task`; `clip` may be None if it may be `unbounded`."""
    if clip is None and unbounded:
        low, high = -np.inf, np.inf
    else:
        low, high = _read_clip(class_name, clip, as_array(x).shape[1:])
    rows = read_rows(class_name, "x", x, low, high)
    numbers = np.arange(len(rows)) if index is None else index
    return Task(  # with a copy of the rows: the caller may change its own while the attack runs
        rows.copy(),
        read_ints(class_name, "y", y, len(rows)),
        read_ints(class_name, "index", numbers, len(rows)),
        low,
        high,
    )


def as_array(value: Any) -> NDArray[Any]:
    """Return `value` as an array; also a torch tensor of any device, one that requires a gradient, or a list of them.

    The array may share its memory with `value`.
    """
    torch = sys.modules.get("torch")  # no tensor without it; importing it takes seconds
    if torch is None:
        return np.asarray(value)
    if isinstance(value, (list, tuple)) and any(isinstance(part, torch.Tensor) for part in value):
        value = [as_array(part) for part in value]
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    return np.asarray(value)


def read_rows(class_name: str, name: str, value: Any, low: Any, high: Any, shape: tuple[int, ...] = ()) -> Any:
    """Return finite samples inside the box as contiguous float32; `shape` fixes the number of features if given."""
    rows = as_array(value)
    if rows.ndim != 2 or rows.dtype.kind not in "fiub" or 0 in rows.shape:
        raise refuse(class_name, name, "a numeric array of shape (rows, features), none of them 0", _describe(rows))
    if shape and rows.shape[1:] != shape:
        raise refuse(class_name, name, f"rows of {shape[0]} features like x", _describe(rows))
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    if not np.isfinite(rows).all():
        bad = int(np.argmin(np.isfinite(rows).all(axis=1)))
        raise refuse(class_name, name, "finite", Described(f"NaN or infinity in row {bad}"))
    each = 0 if np.ndim(low) else None  # bounds of each feature are compared with its own values
    minimum, maximum = rows.min(axis=each), rows.max(axis=each)
    if np.any(minimum < np.float32(low)) or np.any(maximum > np.float32(high)):
        # one step of float32 is a rounding of the caller's bound; anything more is data outside the box
        infinity = np.float32(np.inf)
        outside = minimum < np.nextafter(np.float32(low), -infinity)
        outside |= maximum > np.nextafter(np.float32(high), infinity)
        if np.any(outside):
            raise _outside(class_name, name, np.flatnonzero(outside), low, high, minimum, maximum)
        rows = np.clip(rows, np.float32(low), np.float32(high))
    return rows


def _outside(
    class_name: str, name: str, features: NDArray[np.int64], low: Any, high: Any, minimum: Any, maximum: Any
) -> ValueError:
    """Return the error for values outside the box; of bounds per feature it names the first of `features`."""
    where, c = "", int(features[0])
    if np.ndim(low):
        where, low, high, minimum, maximum = f" of feature {c}", low[c], high[c], minimum[c], maximum[c]
    allowed = f"within the clip bounds{where} [{low:g}, {high:g}]"
    return refuse(class_name, name, allowed, Described(f"values in [{minimum:g}, {maximum:g}]"))


def read_starts(class_name: str, starts: Any, task: Task) -> NDArray[np.float32]:
    """Return one start per example, shape (n, d), from such an array or from a dict of true label to image."""
    if isinstance(starts, Mapping):
        table = {int(label): as_array(image).reshape(-1) for label, image in starts.items()}
        missing = sorted(set(task.y.tolist()) - set(table))
        if missing:
            raise refuse(class_name, "starts", f"an image for every label in y, also for {missing}", sorted(table))
        if any(image.shape != task.x.shape[1:] for image in table.values()):
            raise refuse(
                class_name, "starts", f"images of {task.x.shape[1]} features like x", Described("another number")
            )
        starts = np.stack([table[label] for label in task.y.tolist()])
    if starts is None:
        raise refuse(class_name, "starts", "a dict of label to image, or an array like x, if start='given'", starts)
    rows: NDArray[np.float32] = read_rows(class_name, "starts", starts, task.low, task.high, task.x.shape[1:])
    if len(rows) != len(task.x):
        raise refuse(class_name, "starts", f"one row per point of x ({len(task.x)})", len(rows))
    return rows


def read_pool(
    class_name: str, pool: Any, pool_labels: Any, task: Task
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the samples to search for near starts, and their labels (an empty array if none are given)."""
    if pool is None:
        raise refuse(class_name, "pool", "the samples to search, shape (rows, features), if start='nearest'", pool)
    rows: NDArray[np.float32] = read_rows(class_name, "pool", pool, task.low, task.high, task.x.shape[1:])
    if pool_labels is None:
        return rows, np.zeros(0, dtype=np.int64)
    return rows, read_ints(class_name, "pool_labels", pool_labels, len(rows))


def _read_clip(class_name: str, clip: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return the bounds, rounded inwards to float32; of each feature if one of the two is an array of this shape."""
    allowed = "two finite numbers, the lower first, or two such arrays with a number for each feature"
    try:
        low, high = (np.asarray(bounds, dtype=np.float64) for bounds in clip)
        if low.ndim or high.ndim:
            low, high = np.broadcast_to(low, shape), np.broadcast_to(high, shape)
    except (TypeError, ValueError):
        raise refuse(class_name, "clip", allowed, clip) from None
    ordered = np.all(low <= high) and np.any(low < high)
    if not (np.isfinite(low).all() and np.isfinite(high).all() and ordered):
        raise refuse(class_name, "clip", allowed, clip)
    low32, high32 = low.astype(np.float32), high.astype(np.float32)
    low32 = np.where(low32 < low, np.nextafter(low32, np.float32(np.inf)), low32)
    high32 = np.where(high32 > high, np.nextafter(high32, np.float32(-np.inf)), high32)
    if low.ndim:
        return low32.astype(np.float64), high32.astype(np.float64)
    return float(low32), float(high32)


def read_ints(class_name: str, name: str, value: Any, length: int) -> NDArray[np.int64]:
    """Return `value` as an int64 array of that length."""
    array = as_array(value)
    if array.shape != (length,) or array.dtype.kind not in "iub":
        raise refuse(class_name, name, f"an array of {length} integers", _describe(array))
    return array.astype(np.int64)


def read_mask(class_name: str, mask: Any, d: int) -> NDArray[np.bool_]:
    """Return which of d features must not change, shape (d,); all False for None."""
    if mask is None:
        return np.zeros(d, dtype=bool)
    fixed = as_array(mask)
    if fixed.dtype != bool or fixed.shape != (d,) or fixed.all():
        got = Described(f"{fixed.dtype} of shape {fixed.shape}" + (", all True" if fixed.all() else ""))
        raise refuse(class_name, "mask", f"bools of shape ({d},), not all True", got)
    return fixed


def read_target(class_name: str, target: Any, length: int) -> NDArray[np.int64] | None:
    """Return the class that each adversarial must have, shape (length,), of one label or an array; None for None."""
    if target is None:
        return None
    given = as_array(target)
    return read_ints(class_name, "target", given if given.ndim else np.broadcast_to(given, length), length)


def _describe(array: NDArray[Any]) -> Described:
    return Described(f"{array.dtype} of shape {array.shape}")
