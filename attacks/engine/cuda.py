"""Rows made where the model is, on a CUDA device, so that only answers travel.

Used where the `labels` of an attack have a `device` and take tensors there. The random streams and the arithmetic are
those of the host (:mod:`attacks.engine.triton_kernels`). On a machine where they are not, which is looked at before
the first question, rows are made on the host.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attacks.engine import numba_kernels
from attacks.engine.rng import _TILE, fill_noise
from attacks.engine.run_state import Selection
from attacks.engine.validation import Task
from scd.seeds import stream_key

_MOST_ROWS = 16384  # of one question: longer ones gain nothing
_BLOCK_BYTES = 1 << 30  # of a question's rows and what a model makes of them, on the device
_ADDED = {"ROWS": 8, "COLUMNS": 128}
_UNIFORM, _NORMAL = 1, 2


class Card:
    """A device that makes the rows of an attack.

    Parameters
    ----------
    device : str
        A torch device.
    low, high : float
        The clip box.
    n_features : int

    Attributes
    ----------
    block_rows : int
        Most rows to make at a time.
    """

    def __init__(self, device: str, low: float, high: float, n_features: int) -> None:
        self.device, self.low, self.high = device, low, high
        self.block_rows = max(1, min(_MOST_ROWS, _BLOCK_BYTES // (16 * n_features)))

    def put(self, array: NDArray[Any]) -> torch.Tensor:
        """The array on the device."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def clipped(self, rows: torch.Tensor) -> torch.Tensor:
        """float32 rows within the box, of float64 ones."""
        return rows.clamp(self.low, self.high).float()

    def moves(
        self,
        centres: torch.Tensor,
        keys: NDArray[np.uint64],
        run: Selection,
        number: NDArray[np.int64],
        length: NDArray[np.float64],
        linf: bool,
    ) -> torch.Tensor:
        """(n, d) float32 rows: the centres (k, d) of the runs `run` (n,), moved in random directions and clipped."""
        from attacks.engine import triton_kernels

        out = torch.empty(len(run), centres.shape[1], dtype=torch.float32, device=self.device)
        if len(run):
            triton_kernels.moves[(len(run),)](
                self.put(keys.view(np.int64)), self.put(run), self.put(number), centres, self.put(length), out,
                centres.shape[1], float(np.float32(self.low)), float(np.float32(self.high)),
                NORMAL=not linf, LANES=_TILE, num_warps=2, enable_fp_fusion=False,
            )  # fmt: skip
        return out

    def add(
        self,
        rows: torch.Tensor,
        centres: torch.Tensor,
        run: Selection,
        crossed: NDArray[np.bool_],
        sums: torch.Tensor,
    ) -> None:
        """Add the moves `rows` (n, d), sorted by run, to float64 sums (k, 2, d) of those that stayed and crossed."""
        from attacks.engine import triton_kernels

        (k, d), begins = centres.shape, np.searchsorted(run, np.arange(len(centres) + 1))
        grid = (k, -(-d // _ADDED["COLUMNS"]))
        triton_kernels.add[grid](
            rows, centres, self.put(begins.astype(np.int64)), self.put(crossed.astype(np.uint8)), sums, d,
            **_ADDED, enable_fp_fusion=False,
        )  # fmt: skip


@dataclass(frozen=True)
class Line:
    """The ways from originals (k, d) to far points (k, d), on the device."""

    card: Card
    near: torch.Tensor
    far: torch.Tensor

    def rows(self, chosen: Selection, alpha: NDArray[np.float64], linf: bool) -> torch.Tensor:
        """The points of :func:`attacks.engine.numba_kernels.interpolate` at `alpha` of the ways `chosen`."""
        some, a = self.card.put(chosen), self.card.put(alpha)[:, None]
        near, far = self.near[some].double(), self.far[some].double()
        if linf:
            return self.card.clipped(torch.minimum(torch.maximum(far, near - a), near + a))
        return self.card.clipped(near + a * (far - near))


@dataclass(frozen=True)
class Ray:
    """Points (k, d) and directions (k, d), on the device."""

    card: Card
    points: torch.Tensor
    along: torch.Tensor

    def rows(self, chosen: Selection, length: NDArray[np.float64]) -> torch.Tensor:
        """The points `chosen` moved by `length` along their directions, as by :func:`numba_kernels.step_rows`."""
        some, by = self.card.put(chosen), self.card.put(length)[:, None]
        return self.card.clipped(self.points[some].double() + by * self.along[some].double())


def card_for(device: str, task: Task) -> Card | None:
    """A card that makes the rows that the host makes; None, with a warning, where it does not."""
    card = Card(device, task.low, task.high, task.x.shape[1])
    try:
        problem = _difference(card, task.x.shape[1])
    except Exception as failure:  # a driver or a compiler that is not there fails with nearly anything
        problem = f"{type(failure).__name__}: {failure}"
    if problem:
        warnings.warn(f"Attack rows are made on the host, as {device} cannot: {problem}", RuntimeWarning, stacklevel=2)
        return None
    return card


def _difference(card: Card, d: int) -> str:
    """How a few rows and sums made on the card differ from those of the host; empty if they do not."""
    keys = np.stack([stream_key("card", run) for run in range(2)])
    run, number = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 0, 1, 2])
    crossed, length = np.array([True, False, False, True, True]), np.array([0.5, 0.25])
    low, high = np.float32(card.low), np.float32(card.high)
    centres = np.linspace(low, high, 2 * d, dtype=np.float32).reshape(2, d)
    for kind in (_UNIFORM, _NORMAL):
        rows, norm = np.empty((len(run), d), dtype=np.float32), np.empty(len(run))
        fill_noise(keys, run, number, kind, 0, len(run), rows, norm)
        scale = (length[run] / np.maximum(norm, 1e-30)).astype(np.float32)
        numba_kernels.perturb(rows, centres, run, scale, low, high, 0, len(run))
        sums, size = np.zeros((2, 2, d)), 1e-6 * max(1.0, abs(card.low), abs(card.high))
        numba_kernels.add_moves(rows, centres, run, run, crossed, sums, 0, d)
        on_card = card.put(centres)
        ours, total = card.moves(on_card, keys, run, number, length, kind == _UNIFORM), card.put(np.zeros_like(sums))
        card.add(ours, on_card, run, crossed, total)
        if not np.allclose(ours.cpu().numpy(), rows, rtol=0, atol=size):
            return "its random moves are not those of the host."
        if not np.allclose(total.cpu().numpy(), sums, rtol=0, atol=4 * size):
            return "its sums of moves are not those of the host."
    return ""
