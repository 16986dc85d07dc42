"""The hot operation of training: the best step and threshold of one node, for every vote at once.

A *row* is a training sample, a *column* holds one feature of all rows. A *node* of a vote is on in a row where the
row's projection is above the node's threshold. With the rest of the network fixed, turning the node on in row ``i``
changes the loss by a known amount; its negative is the row's *effect* ``e_i``, an integer. A *candidate* adds
``step * columns[feature]`` to the projections. The search returns, for each vote, the candidate and threshold with the
maximum gain ``sum(e_i for rows above the threshold)``.

There are three kernels. The first and the last share the signature of :class:`Search`; the second does whole
iterations of a vote:

``reference``  plain torch, sorts every candidate: the readable specification; runs on any torch device.
``cpu``        Numba, one vote on each thread, screens candidates by a histogram; same results as the reference.
``cuda``       Triton, parallel over votes and candidates, the same screening on a CUDA device; same results.

Ties: the earliest candidate, then the lowest threshold. A threshold is midway between two neighbouring distinct
projections; "all on" and "all off" are half a mean gap outside the extremes, and never within rounding error of them.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import torch


class Best(NamedTuple):
    """What a search found: one entry per vote."""

    candidate: torch.Tensor
    """(V,) int64, position in the candidate list."""
    threshold: torch.Tensor
    """(V,) float32; NaN where no row has an effect, so that all thresholds are equally good."""
    gain: torch.Tensor
    """(V,) int64, sum of the effects of the rows above the threshold."""


class Window(NamedTuple):
    """Restricts thresholds to ``radius`` ranks around the current one (supplement: 10, the authors' program: 20)."""

    rows: torch.Tensor
    """(V, n) bool, the batch: ranks are counted among these rows."""
    current: torch.Tensor
    """(V,) float32, the current thresholds."""
    radius: int


class Search(Protocol):
    """Signature of a kernel.

    Parameters
    ----------
    projections : (V, n) float32
    columns : (D, n) or (V, D, n), float32 or uint8
        The node's inputs, one column per feature: shared by the votes, or one set for each.
    features : (V, C) int64
    steps : (V, C) float32
        Candidate ``c`` of vote ``v`` has the projections
        ``projections[v] + steps[v, c] * (columns[features[v, c]] / divisor)``.
    effects : (V, n) int64, or int32 where no sum of them overflows it
        0 for rows that do not matter (outside the batch, or not changed by this node).
    window : Window or None
    divisor : float
        255 for pixels stored as bytes: a quarter of the memory traffic, and the same features to the last bit.
    """

    def __call__(
        self,
        projections: torch.Tensor,
        columns: torch.Tensor,
        features: torch.Tensor,
        steps: torch.Tensor,
        effects: torch.Tensor,
        window: Window | None = None,
        divisor: float = 1.0,
    ) -> Best: ...


def backend(name: str) -> ModuleType:
    """Return the kernel module called `name`: ``reference``, ``cpu`` or ``cuda``; imported only here."""
    if name not in ("reference", "cpu", "cuda"):
        allowed = "'auto', 'cpu', 'cuda', 'reference'"
        raise ValueError(f"The 'backend' parameter must be one of {allowed}. Got {name!r} instead.")
    if name == "cuda" and importlib.util.find_spec("triton") is None:
        raise ValueError(
            "The backend 'cuda' needs Triton, which comes with torch on Linux and is not installed here. "
            "Use backend='reference' or backend='auto', which then means 'reference'."
        )
    return importlib.import_module(f"scd.search.{name}")


def default_backend(device: str) -> str:
    """The name of the fastest kernel on a torch device; on CUDA without Triton it is the reference."""
    if device == "cpu":
        return "cpu"
    triton = device.startswith("cuda") and importlib.util.find_spec("triton") is not None
    return "cuda" if triton else "reference"
