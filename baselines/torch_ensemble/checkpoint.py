"""The state of an interrupted training: one npz file without pickle, written whole or not at all."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scd.storage import Vote, load_votes, save_votes

_MIN_SECONDS = 10.0  # between two saves
_MIN_MULTIPLE = 20.0  # of the duration of a save, between two saves: at most 5 % of the time is spent saving


@dataclass
class Progressed:
    """How far a training has come.

    Parameters
    ----------
    finished : dict
        Trained votes by number.
    training : dict
        State of the votes that are being trained together, by number: the arrays from which
        :mod:`baselines.torch_ensemble.training` continues.
    epoch : int
        Epochs that these have finished.
    """

    finished: dict[int, Vote] = field(default_factory=dict)
    training: dict[int, Vote] = field(default_factory=dict)
    epoch: int = 0


class Checkpoint:
    """The file of one training.

    Parameters
    ----------
    path : path
    belongs_to : dict
        Everything that decides the votes, as JSON; the file of another training is not used.
    """

    def __init__(self, path: Path, belongs_to: dict[str, Any]) -> None:
        self.path, self.belongs_to = path, belongs_to
        self._saved_at, self._took = time.monotonic(), 0.0

    def read(self) -> Progressed:
        """The saved progress, or none; warns of a file that cannot be used."""
        if not self.path.exists():
            return Progressed()
        try:
            arrays, meta = load_votes(self.path)
            if meta.get("belongs_to") == self.belongs_to:
                states = dict(zip(meta["finished"] + meta["training"], arrays, strict=True))
                return Progressed(
                    finished={v: states[v] for v in meta["finished"]},
                    training={v: states[v] for v in meta["training"]},
                    epoch=meta["epoch"],
                )
            reason = "it belongs to other data, votes or settings"
        except ValueError as error:
            reason = str(error)
        warnings.warn(f"The state of training in {self.path} is not used: {reason}.", stacklevel=2)
        return Progressed()

    def due(self) -> bool:
        """Whether the last save is long enough ago."""
        return time.monotonic() - self._saved_at >= max(_MIN_SECONDS, _MIN_MULTIPLE * self._took)

    def save(self, now: Progressed) -> None:
        """Write the progress."""
        began = time.monotonic()
        meta = {"finished": list(now.finished), "training": list(now.training), "epoch": now.epoch}
        states = [*now.finished.values(), *now.training.values()]
        save_votes(self.path, states, {"belongs_to": self.belongs_to, **meta})
        self._saved_at = time.monotonic()
        self._took = self._saved_at - began

    def remove(self) -> None:
        """Delete the file: the training is over."""
        self.path.unlink(missing_ok=True)
