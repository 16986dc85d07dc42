"""Your own samples as NumPy arrays: ``X.npy`` and ``y.npy``, or one ``.npz`` with both."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.dataset import Dataset
from data.loading.own import Options, Samples, existing_file, listed, make_dataset
from scd.files import file_sha256

_NAME = "arrays"


def load(
    path: str | None = None,
    labels: str | None = None,
    *,
    test_path: str | None = None,
    test_labels: str | None = None,
    classes: Any = None,
    test_size: float = 0.25,
    split_seed: int = 0,
    scaling: str = "none",
    clip: Any = "data",
    channels_last: bool = False,
) -> Dataset:
    """Load samples and labels from NumPy files.

    Parameters
    ----------
    path : str
        An ``.npy`` file of samples, (n, d), (n, height, width) or (n, channels, height, width); or an ``.npz`` file
        with the arrays ``x`` and ``y``, or ``x_train``, ``y_train``, ``x_test`` and ``y_test``, whatever their case.
    labels : str, optional
        An ``.npy`` file of n labels: texts, whole numbers or bools. Needed unless `path` has them.
    test_path, test_labels : str, optional
        The same of the test split.
    classes : list of two or more names, optional
        Classes that become label 0, label 1 and so on. Default: all, numbers before names, each in order.
    test_size : float
        Fraction of each class for testing, where no test split is given.
    split_seed : int
        Seed of that split. A constant, not the experiment's seed: the test set does not change between experiments.
    scaling : {"none", "pixels", "minmax", "standard"}
        Nothing; division by 255; or for each feature (x - minimum) / range or (x - mean) / standard deviation of the
        training samples.
    clip : "data", "features", (low, high), a list of d such pairs, or None
        Bounds that attacks keep to, in units of the scaled features: the minimum and the maximum of all samples, those
        of each feature, or given ones; None for none.
    channels_last : bool
        Whether samples are (height, width, channels); they are then transposed.

    Returns
    -------
    Dataset
        float32 values; uint8 for ``scaling="pixels"``. float64 is converted, whole numbers keep their values.

    Raises
    ------
    ValueError, FileNotFoundError
        One sentence on the file or option that is missing or wrong.
    """
    files: list[Path] = []
    train, test = _read_samples(files, "path", path, "labels", labels)
    if test_path is not None:
        if test is not None:
            raise ValueError(f"dataset.path={path} has a test split, so dataset.test_path must be null.")
        test, nested = _read_samples(files, "test_path", test_path, "test_labels", test_labels)
        if nested is not None:
            raise ValueError(f"dataset.test_path={test_path} must hold x and y, got x_train and others.")
    elif test_labels is not None:
        raise ValueError("dataset.test_labels needs dataset.test_path, the samples of these labels.")
    train = _channels_first(train, channels_last)
    test = None if test is None else _channels_first(test, channels_last)
    provenance = {
        "source": "the user's arrays",
        "file": [str(file) for file in files],
        "sha256": [file_sha256(file) for file in files],
    }
    return make_dataset(train, test, Options(_NAME, classes, test_size, split_seed, clip, scaling), provenance)


def _read_samples(
    files: list[Path], key: str, path: Any, labels_key: str, labels: Any
) -> tuple[Samples, Samples | None]:
    """Read one or both splits; the files that were read are appended to `files`."""
    found = _read(files, key, path)
    if isinstance(found, np.ndarray):
        if labels is None:
            raise ValueError(f"dataset.{labels_key} of {_NAME} must be the path of the labels of dataset.{key}={path}.")
        return _samples(found, _read_labels(files, labels_key, labels)), None
    names = sorted(found)
    if all(name in found for name in ("x_train", "y_train", "x_test", "y_test")) and labels is None:
        return _samples(found["x_train"], found["y_train"]), _samples(found["x_test"], found["y_test"])
    if "x" in found and (labels is not None or "y" in found):
        return _samples(found["x"], found["y"] if labels is None else _read_labels(files, labels_key, labels)), None
    raise ValueError(
        f"dataset.{key}={path} must hold the arrays x and y, or x_train, y_train, x_test and y_test, "
        f"got {listed(names)}."
    )


def _samples(x: NDArray[Any], y: NDArray[Any]) -> Samples:
    return Samples(x, y.reshape(-1) if y.ndim == 2 and y.shape[1] == 1 else y)


def _read_labels(files: list[Path], key: str, path: Any) -> NDArray[Any]:
    found = _read(files, key, path)
    if isinstance(found, np.ndarray):
        return found
    raise ValueError(f"dataset.{key}={path} must be an .npy file with one array, got an .npz file.")


def _read(files: list[Path], key: str, path: Any) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """The array of an .npy file, or those of an .npz file by their names in lower case; nothing is unpickled."""
    file = existing_file(_NAME, key, path)
    files.append(file)
    try:
        with file.open("rb") as raw:  # closed also when np.load raises
            found = np.load(raw, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return found
            return {name.lower(): found[name] for name in found.files}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        objects = "it holds Python objects; save it again as .astype(str) or .astype(float)"
        why = objects if "allow_pickle" in str(error) else str(error)
        raise ValueError(
            f"dataset.{key}={path} must be an .npy or .npz file of numbers or texts, but it cannot be read: {why}"
        ) from None


def _channels_first(part: Samples, channels_last: bool) -> Samples:
    """Images as (channels, height, width); all other samples as they are."""
    x = part.x
    if x.ndim == 3:
        return Samples(x[:, None], part.y)
    if channels_last:
        if x.ndim != 4:
            raise ValueError(
                f"dataset.channels_last needs samples of shape (height, width, channels), got {x.shape[1:]}."
            )
        x = x.transpose(0, 3, 1, 2)
    return Samples(x, part.y)
