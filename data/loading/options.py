"""Checks shared by all loaders: a loader's options, the user's data folder, and what the source promises."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.dataset import class_counts
from data.loading.cache import Arrays

HOW_TO_SET = "set paths.data or the environment variable SCD_DATA to the folder that holds your data"
_SYSTEM_FILES = ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "lost+found")


def check_data_folder(data_dir: str | os.PathLike[str]) -> Path:
    """Return the data folder as a path with ``~`` resolved; it may be missing, but not be a file.

    Parameters
    ----------
    data_dir : path
        The folder, ``paths.data`` in the configuration.

    Raises
    ------
    ValueError
        If it is empty, a file, or a folder that cannot be read.
    """
    if not str(data_dir or "").strip():
        raise ValueError(f"The data folder must be a path, got {data_dir!r}; {HOW_TO_SET}.")
    folder = Path(data_dir).expanduser()
    try:
        os.listdir(folder)
    except FileNotFoundError:
        pass  # not needed where there is a prepared file elsewhere
    except NotADirectoryError:
        raise ValueError(f"The data folder must be a folder, got a file at {folder}; {HOW_TO_SET}.") from None
    except OSError as error:
        raise ValueError(
            f"The data folder {folder} cannot be read ({error.strerror}); change its permissions, or {HOW_TO_SET}."
        ) from None
    return folder


def is_system_file(name: str) -> bool:
    """Whether a path, relative to a data folder or in an archive, is one that an operating system puts beside data.

    Such as macOS's ``._0_9.txt``, ``.DS_Store`` and ``__MACOSX/``, Windows' ``Thumbs.db`` and ``desktop.ini``, and all
    other hidden files and folders.
    """
    parts = name.replace("\\", "/").split("/")
    return any(part.startswith((".", "$")) or part.lower() in _SYSTEM_FILES for part in parts)


def ensure_data_folder(folder: Path) -> None:
    """Create the data folder before something is downloaded into it, but only where a missing one is expected.

    Inside the user's home or cache folder, which hold the default, a missing folder is made. Anywhere else a missing
    folder is more likely a typo or a disk that is not mounted, and downloading would hide that.

    Raises
    ------
    FileNotFoundError
        If the folder is missing elsewhere, or cannot be made.
    """
    if folder.is_dir():
        return
    places = [os.environ.get("XDG_CACHE_HOME"), os.path.expanduser("~")]
    here = Path(os.path.abspath(folder))
    if not any(here.is_relative_to(os.path.abspath(place)) for place in places if place):
        raise FileNotFoundError(
            f"the data folder {folder} does not exist; create it (mkdir -p {folder}), or {HOW_TO_SET}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileNotFoundError(
            f"the data folder {folder} cannot be created ({error.strerror}); {HOW_TO_SET}"
        ) from None


def check_whole(dataset: str, key: str, value: Any, minimum: int, maximum: int) -> int:
    """Return an option as an int.

    Raises
    ------
    ValueError
        Unless `value` is a whole number in `minimum`..`maximum`.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not minimum <= value <= maximum:
        raise ValueError(f"dataset.{key} of {dataset} must be a whole number in {minimum}..{maximum}, got {value!r}.")
    return int(value)


def check_switch(dataset: str, key: str, value: Any) -> bool:
    """Return an option as a bool.

    Raises
    ------
    ValueError
        Unless `value` is true or false.
    """
    if not isinstance(value, bool):
        raise ValueError(f"dataset.{key} of {dataset} must be true or false, got {value!r}.")
    return value


def check_pair(classes: Iterable[Any], n_classes: int, dataset: str) -> tuple[int, int]:
    """Return the class pair as two ints; the first becomes label 0, the second label 1.

    Parameters
    ----------
    classes : iterable of two ints
        Official class numbers, ``dataset.classes`` in the configuration.
    n_classes : int
        How many classes the set has; its class numbers are 0..n_classes-1.
    dataset : str
        Name of the data set, for the error message.

    Raises
    ------
    ValueError
        Unless `classes` are two different ints in range.
    """
    pair = list(classes) if isinstance(classes, Iterable) and not isinstance(classes, str) else classes
    valid = (
        isinstance(pair, list)
        and len(pair) == 2
        and all(isinstance(c, int | np.integer) and not isinstance(c, bool) and 0 <= c < n_classes for c in pair)
        and pair[0] != pair[1]
    )
    if not valid:
        raise ValueError(
            f"dataset.classes of {dataset} must be two different whole numbers in 0..{n_classes - 1}, got {pair!r}; "
            "give for example dataset.classes=[0,1]."
        )
    return int(pair[0]), int(pair[1])


def check_classes(classes: Any, n_classes: int, dataset: str) -> tuple[int, ...]:
    """Return the chosen classes as ints; the first becomes label 0, the second label 1, and so on.

    Parameters
    ----------
    classes : iterable of two or more ints, or None
        Official class numbers, ``dataset.classes`` in the configuration; None for all.
    n_classes : int
        How many classes the set has; its class numbers are 0..n_classes-1.
    dataset : str
        Name of the data set, for the error message.

    Raises
    ------
    ValueError
        Unless `classes` are two or more different ints in range.
    """
    if classes is None:
        return tuple(range(n_classes))
    chosen = list(classes) if isinstance(classes, Iterable) and not isinstance(classes, str) else classes
    valid = (
        isinstance(chosen, list)
        and len(chosen) >= 2
        and all(isinstance(c, int | np.integer) and not isinstance(c, bool) and 0 <= c < n_classes for c in chosen)
        and len(set(chosen)) == len(chosen)
    )
    if not valid:
        raise ValueError(
            f"dataset.classes of {dataset} must be two or more different whole numbers in 0..{n_classes - 1}, got "
            f"{classes!r}; give for example dataset.classes=[0,1], or null for all."
        )
    return tuple(int(c) for c in chosen)


def name_of_classes(chosen: Sequence[int], n_classes: int) -> str:
    """Return the part of a prepared file's name that says which classes it has, such as ``0_1`` or ``all``."""
    return "all" if tuple(chosen) == tuple(range(n_classes)) else "_".join(map(str, chosen))


def select_classes(labels: NDArray[Any], chosen: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Find the samples of some classes.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        Official class numbers.
    chosen : sequence of K ints
        The classes that become label 0, label 1 and so on.

    Returns
    -------
    positions : ndarray of shape (k,), int64
        Positions of their samples, in the original order.
    y : ndarray of shape (k,), uint8
        Their labels: the position of their class in `chosen`.
    """
    positions = np.flatnonzero(np.isin(labels, chosen))
    order = np.argsort(chosen)
    return positions, order[np.searchsorted(np.asarray(chosen)[order], labels[positions])].astype(np.uint8)


def stratified_split(y: NDArray[Any], train_fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sample numbers for training and for testing, in order.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Labels.
    train_fraction : float
        Fraction of each class, rounded, that is for training.
    seed : int
    """
    rng = np.random.default_rng(seed)
    in_train = np.zeros(len(y), dtype=bool)
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        in_train[rows[: round(train_fraction * len(rows))]] = True
    return np.flatnonzero(in_train), np.flatnonzero(~in_train)


def check_fixed_classes(classes: Iterable[Any], names: tuple[str, str], dataset: str) -> None:
    """Refuse other classes than the two of a set, in their order.

    Raises
    ------
    ValueError
        Unless `classes` are `names`.
    """
    given = list(classes) if isinstance(classes, Iterable) and not isinstance(classes, str) else classes
    if given != list(names):
        raise ValueError(f"dataset.classes of {dataset} must be [{names[0]}, {names[1]}], its only two, got {given!r}.")


def check_pixels(arrays: Arrays, row_shape: tuple[int, ...], k: int = 2) -> None:
    """Refuse a prepared file whose samples cannot be images of this set.

    Parameters
    ----------
    arrays : dict of str to ndarray
        ``x_train`` and ``x_test`` (n, *row_shape), ``y_train`` and ``y_test`` (n,).
    row_shape : tuple of int
        Shape one stored image must have.
    k : int
        Number of classes.

    Raises
    ------
    ValueError
        A clause for the sentence of `data.loading.cache.load_or_make`.
    """
    for split in ("train", "test"):
        x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
        if x.dtype != np.uint8 or x.ndim != 1 + len(row_shape) or x.shape[1:] != row_shape:
            wanted = ", ".join(["n", *map(str, row_shape)])
            raise ValueError(f"x_{split} must be uint8 of shape ({wanted}), got {x.dtype} of shape {x.shape}")
        if y.shape != x.shape[:1] or y.dtype.kind not in "iu" or not np.isin(y, np.arange(k)).all():
            known = "0 or 1" if k == 2 else f"0 to {k - 1}"
            raise ValueError(f"y_{split} must be one label {known} per image, got {y.dtype} of shape {y.shape}")
    notes = arrays.get("notes")
    if notes is not None and notes.ndim != 1:
        raise ValueError(f"notes must be a list of sentences, got an array of shape {notes.shape}")


def note_subset(
    arrays: Arrays, provenance: dict[str, Any], promised: Mapping[str, tuple[int, ...]], official: str
) -> None:
    """Note in the provenance where samples are missing: a subset must not pass for the full set.

    Parameters
    ----------
    arrays : dict of str to ndarray
        With ``y_train`` and ``y_test``, the labels.
    provenance : dict
        Its list ``notes`` gets a sentence for each split whose counts differ.
    promised : mapping of split to K ints
        How many images of each of the classes the source has.
    official : str
        What the full set is called.
    """
    for split, full in promised.items():
        counts = class_counts(arrays[f"y_{split}"], len(full))
        if counts != list(full):
            has = f"{full[0]} of each" if len(set(full)) == 1 else _in_words(full)
            which = "the two classes" if len(full) == 2 else f"the {len(full)} classes"
            provenance["notes"].append(
                f"not the full set: {_in_words(counts)} {split} images of {which}, {official} has {has}"
            )


def _in_words(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"
