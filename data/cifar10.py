"""CIFAR-10, two classes of it: all their images, 3×32×32, in the original order.

The paper takes airplane against automobile: 10,000 training and 2,000 test images. Pixels are divided by 255, nothing
else is done to them, as in the authors' program.
"""

from __future__ import annotations

import http.client
import os
import socket
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from data.class_pair import check_pair, select_pair
from data.dataset import Dataset, class_counts
from data.folder import check_data_folder, ensure_data_folder
from data.prepared import Arrays, load_or_make

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHIVE = "cifar-10-python.tar.gz"
ARCHIVE_FACTS = "170,498,071 bytes, md5 c58f30108f718f92721af3b95e74349a"
BATCHES = "cifar-10-batches-py"
SOURCE = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
ROWS_PER_CLASS = {"train": 5000, "test": 1000}
NETWORK_TIMEOUT = 30.0  # seconds without an answer


def load(classes: Iterable[int] = (0, 1), *, data_dir: str, outputs_dir: str) -> Dataset:
    """Load two classes of CIFAR-10, from the prepared cache, the official files, or the network, whichever is there.

    Parameters
    ----------
    classes : two ints in 0..9
        Classes that become label 0 and label 1, in this order: with (3, 5), cat is 0 and dog is 1.
    data_dir : str
        Folder with ``prepared/cifar10_<a>_<b>.npz`` or ``cifar-10-batches-py/``; where the download goes
        (``paths.data``).
    outputs_dir : str
        Second place for the prepared file, when `data_dir` cannot be written (``paths.outputs``).

    Returns
    -------
    Dataset
        uint8 pixels, feature shape (3, 32, 32): channel, row, column.

    Raises
    ------
    ValueError
        If `classes` are not two different classes, or `data_dir` is a file or cannot be read.
    FileNotFoundError
        If there is neither a usable prepared file nor the official files nor a network to get them from.
    """
    pair = check_pair(classes, len(CLASS_NAMES), "cifar10")
    folder = check_data_folder(data_dir)
    arrays, provenance = load_or_make(
        f"cifar10_{pair[0]}_{pair[1]}", folder, outputs_dir, partial(_cut, folder, pair), SOURCE, _check
    )
    _note_subset(arrays, provenance)
    return Dataset(
        name="cifar10",
        x_train=_channels_first(arrays["x_train"]),
        y_train=arrays["y_train"].astype(np.int64),
        x_test=_channels_first(arrays["x_test"]),
        y_test=arrays["y_test"].astype(np.int64),
        feature_shape=(3, 32, 32),
        clip=(0.0, 1.0),
        class_names=(CLASS_NAMES[pair[0]], CLASS_NAMES[pair[1]]),
        provenance={**provenance, "classes": list(pair)},
    )


def _channels_first(x: Any) -> Any:
    """(n, row, column, channel) to (n, channel, row, column)."""
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def _check(arrays: Arrays) -> None:
    """Refuse a prepared file that cannot hold CIFAR-10 images."""
    for split in ("train", "test"):
        x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
        if x.dtype != np.uint8 or x.ndim != 4 or x.shape[1:] != (32, 32, 3):
            raise ValueError(f"x_{split} must be uint8 of shape (n, 32, 32, 3), got {x.dtype} of shape {x.shape}")
        if y.shape != x.shape[:1] or y.dtype.kind not in "iu" or not np.isin(y, (0, 1)).all():
            raise ValueError(f"y_{split} must be one label 0 or 1 per image, got {y.dtype} of shape {y.shape}")


def _note_subset(arrays: Arrays, provenance: dict[str, Any]) -> None:
    """Say so in the provenance when rows are missing: a subset must not pass for the full set."""
    for split, promised in ROWS_PER_CLASS.items():
        counts = class_counts(arrays[f"y_{split}"])
        if counts != [promised, promised]:
            provenance["notes"].append(
                f"not the full set: {counts[0]} and {counts[1]} {split} images of the two classes, CIFAR-10 has "
                f"{promised} of each"
            )


def _cut(folder: Path, pair: tuple[int, int]) -> Arrays:
    """Cut the pair's images (n, 32, 32, 3), labels 0/1 and positions in the full set out of the official files."""
    arrays: Arrays = {}
    for split, official in zip(("train", "test"), _official_sets(folder), strict=True):
        positions, y = select_pair(np.asarray(official.targets), pair)
        arrays[f"x_{split}"] = np.ascontiguousarray(official.data[positions])
        arrays[f"y_{split}"] = y
        arrays[f"idx_{split}"] = positions.astype(np.int32)
    return arrays


def _official_sets(folder: Path) -> tuple[Any, Any]:
    """Read the training and the test set from `folder` if the checksums match there, else download them into it."""
    ensure_data_folder(folder)
    how_to_get = (
        f"download {SOURCE} ({ARCHIVE_FACTS}) into {folder}, or set paths.data or the environment variable SCD_DATA "
        f"to a folder that holds it, {BATCHES}/ or the prepared file"
    )
    try:
        from torchvision.datasets import CIFAR10  # here, because it is slow to import and a cache does without
    except ImportError as error:
        raise FileNotFoundError(f"torchvision is not installed ({error}); pip install torchvision") from error
    root = str(folder)
    try:
        return CIFAR10(root, train=True), CIFAR10(root, train=False)
    except (RuntimeError, OSError):
        there = (folder / BATCHES).is_dir()
        state = f"{folder / BATCHES} is {'incomplete or damaged (checksums differ)' if there else 'not there'}"
    try:
        with _one_process_at_a_time(folder), _no_half_archive(folder), _network_timeout(NETWORK_TIMEOUT):
            return CIFAR10(root, train=True, download=True), CIFAR10(root, train=False)
    except (OSError, RuntimeError, EOFError, http.client.HTTPException, tarfile.TarError) as error:
        raise FileNotFoundError(f"{state} and downloading it failed ({error}); {how_to_get}") from error


@contextmanager
def _one_process_at_a_time(folder: Path) -> Iterator[None]:
    """Keep two processes from downloading into one file; the lock falls with the process that holds it."""
    from filelock import FileLock

    with FileLock(str(folder / ".cifar10.lock")):
        yield


@contextmanager
def _no_half_archive(folder: Path) -> Iterator[None]:
    """Remove the archive that a broken download, Ctrl-C or a full disk leaves; one that was there before stays."""
    archive = folder / ARCHIVE
    before = _stamp(archive)
    try:
        yield
    except BaseException:
        if _stamp(archive) != before:
            archive.unlink(missing_ok=True)
        raise


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    """Let a silent network fail instead of hanging: torchvision sets no timeout of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
