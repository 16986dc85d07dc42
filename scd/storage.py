"""Votes on disk: one npz file without pickle, written whole or not at all."""

from __future__ import annotations

import errno
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scd.files import atomic_file

Vote = dict[str, NDArray[Any]]
"""One trained vote: named arrays."""

_META = "meta.json"
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, KeyError, TypeError, ValueError, EOFError,
    RuntimeError,  # an encrypted file, or one with an unknown compression
    MemoryError,  # an array that claims to be larger than the memory
)  # fmt: skip


def save_votes(path: str | Path, votes: list[Vote], meta: dict[str, Any]) -> None:
    """Write `votes` and the JSON-able `meta` to `path`, whole or not at all.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written; nothing is left behind then.
    """
    arrays = {f"{i}/{name}": value for i, vote in enumerate(votes) for name, value in vote.items()}
    arrays[_META] = np.frombuffer(json.dumps({"votes": len(votes), **meta}).encode(), dtype=np.uint8)
    with atomic_file(path) as file:
        np.savez(file, **arrays)


def load_votes(path: str | Path) -> tuple[list[Vote], dict[str, Any]]:
    """Read what :func:`save_votes` wrote.

    Returns
    -------
    votes : list of dict
    meta : dict

    Raises
    ------
    FileNotFoundError
    ValueError
        If the file is damaged or no file of saved votes.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of saved votes at {path}.")
    try:
        with path.open("rb") as raw:
            file = np.load(raw, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("it contains a single array")
            meta = json.loads(file[_META].tobytes())
            found: dict[str, Vote] = {}
            for key in file.files:
                if key != _META:
                    number, name = key.split("/", 1)
                    found.setdefault(number, {})[name] = file[key]
            votes = _in_order(found, meta)
    except OSError as error:
        if error.errno != errno.EINVAL:  # an offset before the beginning of the file; others are errors of the disk
            raise
        raise ValueError(f"{path} is damaged or not a file of saved votes: an offset is wrong.") from error
    except _UNREADABLE as error:
        raise ValueError(f"{path} is damaged or not a file of saved votes: {error}.") from error
    return votes, meta


def _in_order(found: dict[str, Vote], meta: Any) -> list[Vote]:
    """The votes by their numbers, which are 0 to one less than the recorded number of votes."""
    count = meta.get("votes") if isinstance(meta, dict) else None
    if type(count) is not int or count != len(found):
        raise ValueError(f"it records {count!r} votes and holds {len(found)}")
    missing = [i for i in range(count) if str(i) not in found]
    if missing:
        raise ValueError(f"vote {missing[0]} is missing")
    return [found[str(i)] for i in range(count)]


def check_array(vote: Vote, name: str, shape: tuple[int, ...], kinds: str = "fiub") -> NDArray[Any]:
    """Return an array of a vote.

    Raises
    ------
    ValueError
        If it is missing, or has another shape, a type that is not of these NumPy `kinds`, or NaN or infinity.
    """
    if name not in vote:
        raise ValueError(f"its array {name!r} is missing.")
    array = np.asarray(vote[name])
    if array.shape != shape:
        raise ValueError(f"its array {name!r} must have the shape {shape}. Got {array.shape} instead.")
    if array.dtype.kind not in kinds:
        raise ValueError(f"its array {name!r} cannot be of the type {array.dtype}.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"its array {name!r} holds NaN or infinity: its training diverged, or it is damaged.")
    return array


def check_network(vote: Vote, first: Vote, features: int) -> None:
    """Check a vote of one hidden layer; `first` is the vote whose number of hidden nodes all have.

    Raises
    ------
    ValueError
        See :func:`check_array`.
    """
    nodes = np.size(first.get("thresholds", ()))
    if not nodes:
        raise ValueError("it has no hidden nodes.")
    shapes: Mapping[str, tuple[int, ...]] = {
        "hidden": (nodes, features),
        "thresholds": (nodes,),
        "output": (nodes,),
        "output_threshold": (),
    }
    for name, shape in shapes.items():
        check_array(vote, name, shape)
