"""What the two ways of training share: the readable one, in torch, and the compiled one, on CPU and without torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scd.engine.parameters import NAMES, Networks, Settings, initial_networks
from scd.engine.selection import SelectionScore
from scd.seeds import generator_for
from scd.storage import Vote

REFRESH = 1000
"""Iterations after which projections are recomputed, against the drift of float32 updates."""
RECORD = 25
"""Iterations after which the correct samples of the best networks are recorded."""

Stop = Callable[[int, int, Vote], bool]
"""Called with the position of a vote, its iterations so far and its best network; returns whether the vote ends."""


def training_with(kernel: ModuleType) -> type[Training]:
    """The class that trains with this kernel."""
    if kernel.__name__ == "scd.search.cpu":
        from scd.search.cpu.descent import CpuDescent

        return CpuDescent
    from scd.engine.descent import Descent

    return Descent


class Training(ABC):
    """Trains some votes on one training set, all of them together.

    Parameters
    ----------
    columns : (d, n) float32 or uint8
        Training samples as columns, ordered by class, label 0 first.
    divisor : float
        The features are ``columns / divisor``.
    negatives : int
        Samples of label 0.
    settings : Settings
    votes : sequence of int
        Numbers of the votes to train.
    root_seed : int
    kernel : module
        One of those in :mod:`scd.search`.
    threads : int
        Threads that train votes, on CPU.
    device : str
        A torch device, on which everything is stored.

    Attributes
    ----------
    now, best : Networks
        The present networks and the best so far.
    best_correct : (V, 2) int64
        Correctly classified training samples of each class, of the best networks.
    history : (R, V, 2) int64
        The same after every `RECORD` iterations and after the last one; recorded by `run`.
    """

    now: Networks
    best: Networks
    columns: Any
    best_correct: Any
    history: Any

    def __init__(
        self,
        columns: NDArray[Any],
        divisor: float,
        negatives: int,
        settings: Settings,
        votes: range | list[int],
        root_seed: int,
        kernel: ModuleType,
        threads: int = 1,
        device: str = "cpu",
    ) -> None:
        self.threads, self.device = threads, device
        self.divisor, self.negatives = divisor, negatives
        self.settings, self.kernel = settings, kernel
        self.iteration = 0
        d, n = columns.shape
        self.score = SelectionScore(negatives, n - negatives)
        self.generators = [generator_for(root_seed, "vote", v) for v in votes]
        self._start(columns, initial_networks(settings, d, self.generators))

    @abstractmethod
    def _start(self, columns: NDArray[Any], networks: Networks) -> None:
        """Thresholds before the first iteration, from networks of arrays without thresholds."""

    @abstractmethod
    def run(
        self,
        progress: Callable[[Training], None] | None = None,
        stop: Stop | None = None,
        until: int | None = None,
    ) -> Networks:
        """Run all iterations and return the best networks seen, with calls of `progress`.

        `stop` is called for each vote, until it returns True, when its history is recorded. With `until`, a multiple of
        `RECORD`, only the iterations before this number are run; the next call continues.
        """

    @abstractmethod
    def steps(self, until: int | None = None) -> Iterator[None]:
        """Iterate, all votes by one iteration at a time: a step on the output node and one on each chosen hidden node,
        then remember the best."""

    @abstractmethod
    def put(self, places: NDArray[np.int64], samples: NDArray[Any]) -> None:
        """Overwrite samples.

        Parameters
        ----------
        places : (m,) int64
            Positions among the columns; the labels there stay.
        samples : (m, d)
            Of the type of the columns.
        """

    @abstractmethod
    def replace(self, places: NDArray[np.int64], samples: NDArray[Any]) -> None:
        """Continue with other samples at some places, see `put`; the present networks become the best so far."""

    @abstractmethod
    def correct(self) -> Any:
        """(V, 2) numbers of correctly classified training samples of each class, now."""

    @abstractmethod
    def _host(self, values: Any) -> NDArray[Any]:
        """Stored values as an array in host memory."""

    def network(self, v: int) -> Vote:
        """The best network so far of the vote at this position, as arrays."""
        return {name: np.array(self._host(getattr(self.best, name)[v])) for name in NAMES}

    def correct_samples(self) -> NDArray[np.int64]:
        """`history` as an array."""
        return self._host(self.history)

    def best_score(self) -> float:
        """Mean best balanced accuracy so far; on CUDA this waits for the device."""
        return float(self.score.as_fraction(self._host(self.best_correct)).mean())
