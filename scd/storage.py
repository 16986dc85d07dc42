"""Votes on disk: one npz file without pickle, written whole or not at all."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scd.files import atomic_file

Vote = dict[str, NDArray[Any]]
"""One trained vote: named arrays."""

_META = "meta.json"


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
            votes: list[Vote] = [{} for _ in range(meta["votes"])]
            for key in file.files:
                if key != _META:
                    number, name = key.split("/", 1)
                    votes[int(number)][name] = file[key]
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, IndexError, EOFError, NotImplementedError) as error:
        raise ValueError(f"{path} is damaged or not a file of saved votes: {error}.") from error
    return votes, meta
