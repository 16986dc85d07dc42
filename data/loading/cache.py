"""The prepared cache: the samples an experiment needs, cut once out of the official files, with a checksum.

``<folder>/prepared/<name>.npz`` holds the arrays, ``<name>.json`` its sha256. Where the data folder or the
outputs folder holds a usable npz nothing else is needed. Otherwise it is made, and kept in the first of the two that
can be written.
"""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from data.dataset import class_counts
from data.loading.archives import ARCHIVE_ERRORS, check_members
from scd.files import atomic_file, file_sha256, write_json

Arrays = dict[str, NDArray[Any]]
REQUIRED = ("x_train", "y_train", "x_test", "y_test")
UNVERIFIED = "prepared cache has no checksum file: unverified"


class _Unusable(Exception):
    """Why a prepared file cannot be used, as a clause for a sentence."""


class _Missing(_Unusable):
    """There is no prepared file, which needs no warning."""


def load_or_make(
    name: str,
    data_dir: str | os.PathLike[str],
    outputs_dir: str | os.PathLike[str],
    make: Callable[[], Arrays],
    source: str,
    check: Callable[[Arrays], None] | None = None,
) -> tuple[Arrays, dict[str, Any]]:
    """Load a prepared file, or make it and keep it.

    Safe for concurrent processes: files appear whole, under their final name, and from the same official files every
    process writes the same bytes.

    Parameters
    ----------
    name : str
        File name without ending, such as ``cifar10_0_1``.
    data_dir, outputs_dir : path
        Read in this order, and written in this order; either may be missing or read-only.
    make : callable returning dict of str to ndarray
        Cuts the arrays out of the official files: ``x_train``, ``y_train``, ``x_test``, ``y_test`` (labels 0/1), and
        possibly others. Raises FileNotFoundError, with a clause that says how to get the files, if they are missing.
    source : str
        Where the official files come from, kept beside the checksum.
    check : callable, optional
        Raises ValueError if arrays from a prepared file cannot be those of this data set.

    Returns
    -------
    arrays : dict of str to ndarray
        What `make` returned, in this run or an earlier one.
    provenance : dict
        ``source``, ``file`` (None if it could not be kept), ``verified``, ``sha256`` of the file, ``notes``.

    Raises
    ------
    FileNotFoundError
        If there is no usable prepared file and `make` cannot make it.

    Warns
    -----
    UserWarning
        If a prepared file is damaged, or the new one cannot be kept.
    """
    folders = [Path(place).expanduser() / "prepared" for place in (data_dir, outputs_dir)]
    problems = []
    for folder in folders:
        path = folder / f"{name}.npz"
        try:
            arrays, found = _read(path, check)
        except _Unusable as reason:
            problems.append(f"{path} {reason}")
            if not isinstance(reason, _Missing):
                warnings.warn(f"The prepared file {path} {reason}; it is rebuilt if possible.", stacklevel=2)
        else:
            return arrays, {"source": source, **found}
    try:
        arrays = make()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"Data set {name} cannot be loaded: {', '.join(problems)}, and it cannot be rebuilt: {error}."
        ) from error
    return arrays, {"source": source, **_keep(name, folders, arrays, source)}


def _read(path: Path, check: Callable[[Arrays], None] | None) -> tuple[Arrays, dict[str, Any]]:
    """Arrays of a prepared file and their provenance; raises _Unusable."""
    try:
        sha256 = file_sha256(path)
        expected, notes = _expected_sha256(path.with_suffix(".json"))
        if expected is not None and expected != sha256:
            raise _Unusable(f"is damaged (its sha256 is {sha256[:12]}…, its checksum file says {expected[:12]}…)")
        if not zipfile.is_zipfile(path):
            raise _Unusable("is damaged (it is no npz file, or only the beginning of one)")
        with zipfile.ZipFile(path) as archive:
            check_members(path, archive.infolist())
        # Opened here, because np.load leaves a file that it cannot read open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except (FileNotFoundError, NotADirectoryError):
        raise _Missing("does not exist") from None
    except (
        *ARCHIVE_ERRORS,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        MemoryError,
    ) as error:
        raise _Unusable(f"cannot be read ({error})") from None
    missing = [key for key in REQUIRED if key not in arrays]
    if missing:
        raise _Unusable(f"is not a prepared file (it lacks {', '.join(missing)})")
    try:
        if check is not None:
            check(arrays)
    except ValueError as error:
        raise _Unusable(f"does not fit this data set ({error})") from None
    return arrays, {"file": str(path), "verified": expected is not None, "sha256": sha256, "notes": notes}


def _expected_sha256(path: Path) -> tuple[str | None, list[str]]:
    """Read the checksum a prepared file should have; None and a note if that is unknown."""
    try:
        expected = json.loads(path.read_text(encoding="utf-8-sig"))["sha256"]
    except FileNotFoundError:
        return None, [UNVERIFIED]
    except (OSError, ValueError, KeyError, TypeError):
        expected = None
    if not isinstance(expected, str):
        return None, [f"checksum file {path.name} cannot be read: unverified"]
    return expected.strip().lower(), []


def _keep(name: str, folders: list[Path], arrays: Arrays, source: str) -> dict[str, Any]:
    """Write arrays to the first folder that can be written; if none can, warn and go on without."""
    notes = []
    for folder in folders:
        try:
            # The user makes the data folder; the outputs folder is made here.
            folder.mkdir(parents=folder is folders[-1], exist_ok=True)
            sha256 = _write(folder, name, arrays, source)
        except OSError as error:
            notes.append(f"could not be kept in {folder} ({error.strerror or error})")
        else:
            return {"file": str(folder / f"{name}.npz"), "verified": True, "sha256": sha256, "notes": notes}
    warnings.warn(
        f"The prepared file {name}.npz {' and '.join(notes)}; it is rebuilt next time, unless you free space "
        "or set paths.data or paths.outputs to a folder that can be written.",
        stacklevel=3,
    )
    return {"file": None, "verified": True, "sha256": None, "notes": notes}


def _write(folder: Path, name: str, arrays: Arrays, source: str) -> str:
    """Write ``<name>.npz`` and ``<name>.json`` whole or not at all; return the sha256 of the npz."""
    with atomic_file(folder / f"{name}.npz") as npz:
        _write_npz(npz, arrays)
        sha256 = file_sha256(npz)
        counts = {split: class_counts(arrays[f"y_{split}"], _n_classes(arrays)) for split in ("train", "test")}
        about = {"file": f"{name}.npz", "sha256": sha256, "source": source, "counts": counts}
        # The checksum first: killed in between, the next run finds no file or a damaged one, never an unverified one.
        write_json(folder / f"{name}.json", about, indent=2)
    return sha256


def _n_classes(arrays: Arrays) -> int:
    return max(2, *(int(arrays[f"y_{split}"].max(initial=0)) + 1 for split in ("train", "test")))


def _write_npz(file: BinaryIO, arrays: Arrays) -> None:
    """Like numpy.savez, but without times, so the same arrays give one file."""
    with zipfile.ZipFile(file, "w") as archive:
        for key, array in arrays.items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                np.save(member, np.ascontiguousarray(array), allow_pickle=False)
