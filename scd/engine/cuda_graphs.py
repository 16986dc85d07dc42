"""Steps recorded as CUDA graphs: one launch instead of one per kernel."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

_EAGER = 2  # calls before a step is recorded: they compile its kernels and let libraries allocate memory


class Recorded:
    """A step that is recorded on its third call and replayed from then on, with the same results.

    Parameters
    ----------
    step : callable
        Gets tensors on a CUDA device, never synchronises with it, and leaves what it changes in the same tensors: see
        :func:`in_place`. What it decides on the host depends on the key alone.
    """

    def __init__(self, step: Callable[..., None]) -> None:
        self.step, self.stream = step, torch.cuda.Stream()
        self.calls: dict[Hashable, int] = {}
        self.graphs: dict[Hashable, tuple[torch.cuda.CUDAGraph, list[torch.Tensor]]] = {}

    def __call__(self, key: Hashable, *inputs: torch.Tensor) -> None:
        """Take the step; each key has a recording of its own, for inputs of the same shapes."""
        if key not in self.graphs and self.calls.get(key, 0) < _EAGER:
            self.calls[key] = self.calls.get(key, 0) + 1
            here = torch.cuda.current_stream()
            self.stream.wait_stream(here)
            with torch.cuda.stream(self.stream):
                self.step(*inputs)
            here.wait_stream(self.stream)
            return
        if key not in self.graphs:
            kept, graph = [x.clone() for x in inputs], torch.cuda.CUDAGraph()
            # other threads may continue to use the device
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                self.step(*kept)
            self.graphs[key] = graph, kept
        graph, kept = self.graphs[key]
        for mine, new in zip(kept, inputs, strict=True):
            mine.copy_(new)
        graph.replay()


@contextmanager
def in_place(attributes: Sequence[tuple[Any, str]]) -> Iterator[None]:
    """Copy what the block computes for these attributes (owner, name) into the tensors they held before."""
    before = [getattr(owner, name) for owner, name in attributes]
    yield
    for (owner, name), tensor in zip(attributes, before, strict=True):
        new = getattr(owner, name)
        if new is not tensor:
            tensor.copy_(new)
            setattr(owner, name, tensor)
