"""The state of a long attack on disk, so that a killed run continues and ends with the same numbers.

The file contains a snapshot of the attack's arrays (taken where the attack calls `Journal.mark`) and every label of the
model since then. An attack is a deterministic function of these labels. So resuming means: restore the snapshot, run
the same code, and answer its first queries from the file. This works at any point of the attack. The format is npz
without pickle. A checksum detects damage, a fingerprint detects other arguments, and labels of fixed
inputs detect another model.
"""

from __future__ import annotations

import hashlib
import time
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from scd.files import atomic_file

from ..oracle import Batch, LabelOracle, Oracle
from .validation import Task

Arrays = dict[str, NDArray[Any]]
SAVE_SECONDS = 10.0
"""Seconds between two saves; longer if a save takes more than a twentieth of it."""

_SAME_SCORE = 1e-3  # larger differences of one score are not rounding
_BLENDED = 64  # originals that are blended with noise
_BLEND_ELEMENTS = 2**24  # maximum elements of all blends


def fingerprint(parameters: Mapping[str, Any], arrays: Mapping[str, Any]) -> str:
    """Return a digest of everything that determines an attack's result: its parameters and its input arrays."""
    digest = hashlib.sha256(repr(sorted(parameters.items())).encode())
    for name in sorted(arrays):
        value = arrays[name]
        if isinstance(value, Mapping):
            value = {str(key): np.asarray(value[key]) for key in value}
            digest.update(f"{name}:{fingerprint({}, value)}".encode())
        elif value is not None:
            _feed(digest, name, np.asarray(value))
    return digest.hexdigest()


def _feed(digest: Any, name: str, array: NDArray[Any]) -> None:
    array = np.ascontiguousarray(array)
    digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
    digest.update(array.view(np.uint8).data if array.size and array.ndim else array.tobytes())


def _checksum(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        _feed(digest, name, arrays[name])
    return digest.hexdigest()


def save_state(path: Path, arrays: Arrays) -> None:
    """Write `arrays` to `path` with a checksum; at any time the file is either the old one or the complete new one."""
    with atomic_file(path) as file:
        np.savez(file, checksum=np.array(_checksum(arrays)), **arrays)


def load_state(
    path: Path, what: str = "The attack state", consequence: str = "the attack starts again"
) -> Arrays | None:
    """Read a file of `save_state`; None if there is no file, and None with a warning if it is damaged."""
    if not path.exists():
        return None
    try:
        with path.open("rb") as raw:  # closed also when np.load raises
            file = np.load(raw, allow_pickle=False)
            arrays: Arrays = {name: file[name] for name in file.files}
        if str(arrays.pop("checksum")) != _checksum(arrays):
            raise ValueError("checksum differs")
    except Exception as damage:  # np.load raises almost anything on a damaged file
        warnings.warn(
            f"{what} {path} is damaged ({type(damage).__name__}: {damage}); {consequence}.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return arrays


class Snapshots:
    """Snapshots of an attack's arrays in a file; a killed attack continues from the latest one.

    Use it as a context manager: if an exception ends the attack, the state is saved.

    Parameters
    ----------
    oracle : Oracle
        Its query counts are part of every snapshot.
    path : Path or None
        State file; None stores no state.
    identity : str
        The `fingerprint` of the attack's arguments.

    Raises
    ------
    ValueError
        If the file at `path` belongs to an attack with other arguments.
    """

    def __init__(self, oracle: Oracle, path: Path | None, identity: str) -> None:
        if path is not None and not path.parent.is_dir():
            raise FileNotFoundError(f"The folder of the attack state {path} does not exist; create it first.")
        self.counts = oracle
        self.path = path
        self.identity = identity
        self.snapshot: Arrays = {}
        self.finished = False
        self._model: NDArray[Any] | None = None
        self._checks_model = path is not None
        self._saved_at, self._save_cost = time.monotonic(), 0.0
        if path is not None:
            self._restore(path)

    def check_model(self, look: Callable[[], NDArray[Any]]) -> None:
        """Refuse a model that did not begin this state; a state of a version that did not know its model passes.

        Parameters
        ----------
        look : callable
            Returns labels or scores of fixed inputs, which are not counted as queries.

        Raises
        ------
        ValueError
            If one of them differs from what the state recorded.
        """
        if not self._checks_model:
            return
        found = look()
        if self._model is None:
            self._model = found
        differ = int((np.abs(found - self._model) > _SAME_SCORE).sum())
        if differ:
            raise ValueError(
                f"The attack state {self.path} belongs to another model: the model given here responds differently to "
                f"{differ} of {len(found)} fixed inputs; give another file or remove it."
            )

    def mark(self, arrays: Arrays) -> None:
        """Take a snapshot: a resumed attack starts from `arrays`."""
        if self.path is None:
            return
        self.snapshot = {name: array.copy() for name, array in arrays.items()}
        self.snapshot["oracle.queries"] = self.counts.queries.copy()
        self._save_if_due()

    def finish(self, arrays: Arrays) -> None:
        """Store the record of the finished attack: a repeated call returns it at once."""
        self.finished = True
        self.mark(arrays)
        self.save()

    def save(self) -> None:
        """Write the state file; a write error is only a warning, because the attack itself can still finish."""
        if self.path is None:
            return
        began = time.monotonic()
        flat: Arrays = {f"snapshot.{name}": array for name, array in self.snapshot.items()}
        flat["fingerprint"], flat["finished"] = np.array(self.identity), np.array(self.finished)
        if self._model is not None:
            flat["model"] = self._model
        try:
            save_state(self.path, {**flat, **self._since()})
        except OSError as refusal:
            warnings.warn(f"The attack state {self.path} was not saved: {refusal}", RuntimeWarning, stacklevel=2)
        self._saved_at = time.monotonic()
        self._save_cost = self._saved_at - began

    def _since(self) -> Arrays:
        """Return the arrays of the file besides the snapshot."""
        return {}

    def _save_if_due(self) -> None:
        if time.monotonic() - self._saved_at >= max(SAVE_SECONDS, 20 * self._save_cost):
            self.save()

    def _restore(self, path: Path) -> Arrays | None:
        flat = load_state(path)
        if flat is None:
            return None
        if str(flat.get("fingerprint")) != self.identity:
            raise ValueError(
                f"The attack state {path} belongs to an attack with other parameters, points or labels; "
                "give another file or remove it."
            )
        self.finished = bool(flat["finished"])
        self._model, self._checks_model = flat.get("model"), "model" in flat
        self.snapshot = {n.removeprefix("snapshot."): a for n, a in flat.items() if n.startswith("snapshot.")}
        if "oracle.queries" in self.snapshot:
            self.counts.queries[:] = self.snapshot["oracle.queries"]
        return flat

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not self.finished and (self.snapshot or self._since()):
            self.save()


def model_probes(task: Task) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return inputs whose labels tell one model from another, and the example of each, shapes (m, d) and (m,).

    Two models that are both correct agree on the originals. So the first originals are also blended with noise in
    seven steps: the step at which the label changes depends on the model.
    """
    n, d = task.x.shape
    x = task.x[: min(n, _BLENDED, _BLEND_ELEMENTS // (7 * d))]
    noise = np.random.Generator(np.random.PCG64(0)).random(x.shape, dtype=np.float32)
    low, high = task.box
    noise = np.float32(low) + noise * np.float32(high - low)
    blends = [x + np.float32(k / 8) * (noise - x) for k in range(1, 8)]
    inputs = np.clip(np.concatenate([task.x, *blends]), np.float32(task.low), np.float32(task.high))
    return inputs, np.concatenate([np.arange(n), np.tile(np.arange(len(x)), 7)])


class RecordedQueries(Snapshots):
    """Queries of an attack through its oracle, recorded so that a resumed attack replays them.

    A subclass defines what is recorded of a label: one bit, unless it says otherwise.

    Parameters
    ----------
    oracle : LabelOracle
    path, identity
        See `Snapshots`.
    """

    def __init__(self, oracle: LabelOracle, path: Path | None, identity: str) -> None:
        self.oracle = oracle
        self._answers: list[NDArray[Any]] = []
        self._replay: NDArray[Any] = np.zeros(0, dtype=bool)
        super().__init__(oracle, path, identity)

    @abstractmethod
    def _fresh(self, inputs: Batch, examples: NDArray[np.int64]) -> NDArray[Any]:
        """Query the model and return one bit per input."""

    def query(self, inputs: Batch, examples: NDArray[np.int64]) -> NDArray[Any]:
        """Return one bit per input, from the file or from the model; (n, d) and (n,) to (n,)."""
        if self.path is None:
            return self._fresh(inputs, examples)
        known = min(len(self._replay), len(inputs))
        answer, self._replay = self._replay[:known], self._replay[known:]
        self.oracle.count(examples[:known])
        if known:
            self._answers.append(answer)
        if known < len(inputs):
            fresh = self._fresh(inputs[known:], examples[known:])
            self._answers.append(fresh)
            answer = np.concatenate([answer, fresh])
            self._save_if_due()
        return answer

    def mark(self, arrays: Arrays) -> None:
        """Take a snapshot: a resumed attack starts from `arrays` and replays only the queries after it."""
        self._answers = []
        super().mark(arrays)

    def _save_if_due(self) -> None:
        if not len(self._replay):  # the answers being replayed are in the file already
            super()._save_if_due()

    def _since(self) -> Arrays:
        answers = np.concatenate([*self._answers, self._replay])
        return {"answers": self._packed(answers), "n_answers": np.array(len(answers))} if len(answers) else {}

    def _packed(self, answers: NDArray[Any]) -> NDArray[np.uint8]:
        """Return answers as they are stored."""
        return np.packbits(answers)

    def _unpacked(self, stored: NDArray[np.uint8], count: int) -> NDArray[Any]:
        """Return stored answers as `query` returns them."""
        return np.unpackbits(stored, count=count).astype(bool)

    def _restore(self, path: Path) -> Arrays | None:
        flat = super()._restore(path)
        if flat is not None and "answers" in flat:
            self._replay = self._unpacked(flat["answers"], int(flat["n_answers"]))
        return flat


class Journal(RecordedQueries):
    """Recorded queries of adversarial attacks: `query` returns whether each input is adversarial for its example.

    Parameters
    ----------
    oracle : LabelOracle
    true_labels : ndarray of int64, shape (n_examples,)
        An input is adversarial for an example if its label differs from this.
    path, identity
        See `Snapshots`.
    """

    def __init__(self, oracle: LabelOracle, true_labels: NDArray[np.int64], path: Path | None, identity: str) -> None:
        self.true_labels = true_labels
        super().__init__(oracle, path, identity)

    def _fresh(self, inputs: Batch, examples: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.not_equal(self.oracle(inputs, examples), self.true_labels[examples])


class LabelJournal(RecordedQueries):
    """Recorded queries of a model with labels 0 and 1: `query` returns whether the label of each input is 1."""

    def _fresh(self, inputs: Batch, examples: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.equal(self.oracle(inputs, examples), 1)


class ClassJournal(RecordedQueries):
    """Recorded queries of a model with labels 0 to 255: `query` returns the label of each input, uint8."""

    def _fresh(self, inputs: Batch, examples: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.oracle(inputs, examples).astype(np.uint8)

    def _packed(self, answers: NDArray[Any]) -> NDArray[np.uint8]:
        return answers.astype(np.uint8)

    def _unpacked(self, stored: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
        return stored
