"""The one record every loader returns and every model and attack reads."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Split = Literal["train", "test"]
Clip = tuple[float, float] | tuple[tuple[float, ...], tuple[float, ...]]
"""Lower and upper bound: two numbers for all features, or two tuples with a number for each."""
PIXEL_MAX = np.float32(255)
MIN_SAMPLES_PER_CLASS = 2
MAX_MAGNITUDE = 1e15  # sums of squares of 10^8 such features are still finite in float32
_BLOCK_VALUES = 1 << 24  # values looked at together, so that a check of a large set needs no second copy of it


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A classification problem of K >= 2 classes with a training and a test split.

    Samples are stored as they came: uint8 pixels stay uint8, a quarter of the memory. They become float32 model inputs
    only when a method returns them. Nothing is cached, so a caller keeps what it uses. Everything is checked at
    construction.

    Parameters
    ----------
    name : str
        Name of the data set, as in ``conf/dataset/<name>.yaml``.
    x_train, x_test : ndarray of shape (n, *feature_shape), uint8 or float32
        uint8 values are pixels, divided by 255 on the way out; float32 values are model inputs already.
    y_train, y_test : ndarray of shape (n,), integers 0 to K - 1
        Kept as int64. The training split needs at least 2 samples of each class, the test split at least one sample.
    feature_shape : tuple of int
        Shape of one sample; images are (channels, height, width), signals and document vectors (d,).
    clip : (float, float), or (tuple of float, tuple of float)
        Minimum and maximum legal model input, in the units of :meth:`flat`: for all features, either may be infinite;
        or of each of the d features.
    class_names : tuple of K str
        What label 0, label 1 and so on mean.
    checksum : str, optional
        sha256 (hex) of both splits: dtypes, shapes and bytes. It depends on the data alone, never on where they were
        loaded from. Computed when empty; a given one must be correct.
    provenance : dict, optional
        Where the data came from, as JSON-able values: ``source``, ``file``, ``verified``, ``sha256`` (of the file),
        ``notes``; ``counts`` (samples per class and split) is added.

    Raises
    ------
    ValueError
        If the arrays disagree in shape, hold NaN, infinite or huge values (beyond 1e15) or values outside `clip`, if
        the training labels are not exactly the classes 0 to K - 1 with 2 samples each, or if a given `checksum` is not
        that of the data.
    """

    name: str
    x_train: NDArray[Any]
    y_train: NDArray[np.int64]
    x_test: NDArray[Any]
    y_test: NDArray[np.int64]
    feature_shape: tuple[int, ...]
    clip: Clip
    class_names: tuple[str, ...]
    checksum: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every field and settle its type; the record is frozen afterwards."""
        self._settle(feature_shape=tuple(int(size) for size in self.feature_shape))
        self._settle(clip=check_clip(self.name, self.clip, self.n_features))
        self._settle(class_names=tuple(str(name) for name in self.class_names))
        k = len(self.class_names)
        if k < 2 or len(set(self.class_names)) < k:
            got = list(self.class_names)
            raise ValueError(f"Data set {self.name}: class_names must be two or more different names, got {got!r}.")
        for split in ("train", "test"):
            x = check_values(self.name, split, getattr(self, f"x_{split}"), self.feature_shape, self.clip)
            y = check_labels(self.name, split, getattr(self, f"y_{split}"), len(x), k)
            self._settle(**{f"x_{split}": x, f"y_{split}": y})
        check_training_labels(self.name, self.y_train, k)
        self._settle(checksum=self._actual_checksum(), provenance=self._full_provenance())

    def _settle(self, **values: Any) -> None:
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def _actual_checksum(self) -> str:
        actual = content_checksum(self.x_train, self.y_train, self.x_test, self.y_test)
        if self.checksum and self.checksum != actual:
            raise ValueError(
                f"Data set {self.name}: checksum must be that of its arrays, {actual}, got {self.checksum}; "
                "leave it empty to have it computed."
            )
        return actual

    def _full_provenance(self) -> dict[str, Any]:
        k = len(self.class_names)
        counts = {"train": class_counts(self.y_train, k), "test": class_counts(self.y_test, k)}
        provenance = {**self.provenance, "counts": counts, "feature_shape": list(self.feature_shape)}
        try:
            json.dumps(provenance)
        except TypeError as error:
            raise ValueError(f"Data set {self.name}: provenance must hold JSON values only: {error}.") from None
        return provenance

    def __repr__(self) -> str:
        """Describe the set on one line, without its arrays."""
        k = len(self.class_names)
        classes = f"{k} classes" if k > 2 else " against ".join(map(repr, self.class_names))
        return (
            f"Dataset({self.name!r}, {classes}, {len(self.x_train)} train, {len(self.x_test)} test, "
            f"feature_shape={self.feature_shape}, {self.x_train.dtype}, checksum={self.checksum[:12]}…)"
        )

    @property
    def n_features(self) -> int:
        """Number of features d of one flat sample."""
        return math.prod(self.feature_shape)

    def flat(self, split: Split) -> NDArray[np.float32]:
        """All samples of a split as model inputs.

        Parameters
        ----------
        split : {"train", "test"}
            Which split.

        Returns
        -------
        ndarray of shape (n, d), float32, C-contiguous
            Inputs within `clip`, features in the order of `feature_shape` (images: channel, row, column). A new array
            each time: 4·n·d bytes.
        """
        x = self._x(split)
        return _model_inputs(x).reshape(len(x), self.n_features)

    def images(self, split: Split) -> NDArray[np.float32]:
        """All samples of a split as images.

        Returns
        -------
        ndarray of shape (n, channels, height, width), float32, C-contiguous
            The same numbers as :meth:`flat`.

        Raises
        ------
        ValueError
            If the samples of this data set are not images.
        """
        if len(self.feature_shape) != 3:
            raise ValueError(
                f"Data set {self.name} holds no images: a sample must have the shape (channels, height, width) for "
                f"this model, got {self.feature_shape}; choose a model that takes flat inputs."
            )
        return _model_inputs(self._x(split))

    def rows(self, split: Split, indices: ArrayLike) -> NDArray[np.float32]:
        """Convert some samples of a split to model inputs, and none of the others.

        Parameters
        ----------
        split : {"train", "test"}
            Which split.
        indices : array-like of int, shape (k,)
            Sample numbers from 0, in any order, repeats allowed; no negative ones.

        Returns
        -------
        ndarray of shape (k, d), float32, C-contiguous
            Equal to ``flat(split)[indices]``.

        Raises
        ------
        ValueError
            If an index is not a sample number of the split.
        """
        x = self._x(split)
        index = np.asarray(indices)
        if index.size == 0:
            index = index.astype(np.int64)
        if index.ndim != 1 or index.dtype.kind not in "iu":
            raise ValueError(
                f"Data set {self.name}: sample indices must be a list of whole numbers, "
                f"got an array of {index.dtype} with shape {index.shape}."
            )
        outside = index[(index < 0) | (index >= len(x))]
        if len(outside):
            raise ValueError(
                f"Data set {self.name}: sample indices of the {split} split must be in 0..{len(x) - 1}, got "
                f"{outside[0]}."
            )
        return _model_inputs(x[index]).reshape(len(index), self.n_features)

    def subset(self, train: NDArray[np.int64], test: NDArray[np.int64]) -> Self:
        """The data set of these rows of its two splits, in this order.

        Parameters
        ----------
        train, test : ndarray of int64, shape (k,)
            Row numbers of the training and the test split.
        """
        return replace(self, **self._rows_of(train, test), checksum="")

    def with_note(self, note: str) -> Self:
        """The same data set with one more sentence in the ``notes`` of its provenance."""
        return replace(self, provenance={**self.provenance, "notes": [*self.provenance.get("notes", []), note]})

    def _rows_of(self, train: NDArray[np.int64], test: NDArray[np.int64]) -> dict[str, Any]:
        """The fields that hold a value a row, cut to these rows."""
        return {
            "x_train": self.x_train[train],
            "y_train": self.y_train[train],
            "x_test": self.x_test[test],
            "y_test": self.y_test[test],
        }

    def _x(self, split: str) -> NDArray[Any]:
        if split not in ("train", "test"):
            raise ValueError(f"Data set {self.name}: the split must be 'train' or 'test', got {split!r}.")
        return self.x_train if split == "train" else self.x_test


def _model_inputs(x: NDArray[Any]) -> NDArray[np.float32]:
    """Convert stored values (any shape) to float32 model inputs in a new C-contiguous array."""
    if x.dtype == np.uint8:
        return np.divide(x, PIXEL_MAX, dtype=np.float32, order="C")
    return np.array(x, dtype=np.float32, order="C")


def class_counts(y: NDArray[Any], k: int = 2) -> list[int]:
    """Number of samples of each of k classes in labels `y` of shape (n,)."""
    return [int(np.sum(y == label)) for label in range(k)]


def content_checksum(*arrays: NDArray[Any]) -> str:
    """sha256 (hex) over the dtypes, shapes and bytes of arrays, the same on little- and big-endian machines."""
    digest = hashlib.sha256()
    for array in arrays:
        portable = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(f"{portable.dtype.str}{portable.shape}".encode())
        digest.update(portable.tobytes() if portable.size == 0 else portable.data.cast("B"))
    return digest.hexdigest()


def check_clip(name: str, clip: Sequence[Any], n_features: int) -> Clip:
    """Return the clip bounds as two floats, lower first, either may be infinite; or as two tuples of finite floats."""
    if any(np.ndim(bound) for bound in clip):
        return _check_bounds(name, clip, n_features)
    bounds = tuple(float(bound) for bound in clip)
    if len(bounds) != 2 or math.isnan(bounds[0]) or math.isnan(bounds[1]) or not bounds[0] < bounds[1]:
        raise ValueError(f"Data set {name}: clip must be two numbers, the lower first, got {list(bounds)!r}.")
    return bounds[0], bounds[1]


def _check_bounds(name: str, clip: Sequence[Any], n_features: int) -> Clip:
    """Return the bounds of each feature; those of some features may be equal."""
    bounds = [tuple(float(bound) for bound in np.ravel(side)) for side in clip]
    if len(bounds) != 2 or any(len(side) != n_features for side in bounds):
        sizes = " and ".join(str(len(side)) for side in bounds)
        raise ValueError(f"Data set {name}: clip must have two bounds for each of {n_features} features, got {sizes}.")
    low, high = bounds
    bad = [c for c in range(n_features) if not (math.isfinite(low[c]) and math.isfinite(high[c]) and low[c] <= high[c])]
    if bad:
        got = f"[{low[bad[0]]}, {high[bad[0]]}]"
        raise ValueError(f"Data set {name}: clip of feature {bad[0]} must be two numbers, the lower first, got {got}.")
    if low == high:
        raise ValueError(f"Data set {name}: clip must let at least one feature change, but all bounds are equal.")
    return low, high


def check_values(name: str, split: str, x: Any, feature_shape: tuple[int, ...], clip: Clip) -> NDArray[Any]:
    """Return the samples of a split, C-contiguous.

    Parameters
    ----------
    name, split : str
        For the error messages.
    x : ndarray of shape (n, *feature_shape), uint8 or float32
        The samples; uint8 means pixels, which become inputs in [0, 1].
    feature_shape : tuple of int
        Shape one sample must have.
    clip : (float, float), or (tuple of float, tuple of float)
        Bounds of the model inputs.

    Raises
    ------
    ValueError
        On another dtype or shape, an empty split, NaN, infinite or huge values, or inputs outside `clip`.
    """
    where = f"Data set {name}, {split} split"
    if not isinstance(x, np.ndarray) or x.dtype not in (np.uint8, np.float32):
        got = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
        raise ValueError(f"{where}: samples must be a NumPy array of uint8 or float32, got {got}.")
    if x.shape[1:] != feature_shape or x.ndim == 0:
        raise ValueError(f"{where}: samples must have the shape {feature_shape}, got an array of shape {x.shape}.")
    if x.size == 0:
        raise ValueError(
            f"{where}: there must be at least one sample with one feature, got an array of shape {x.shape}."
        )
    if x.dtype == np.uint8:
        if np.any(np.greater(clip[0], 0)) or np.any(np.less(clip[1], 1)):
            raise ValueError(f"{where}: uint8 pixels become inputs in [0, 1], which clip must contain, got {clip}.")
    else:
        _check_finite(where, x)
        _check_magnitude(where, x)
        _check_inside(where, x, clip)
    return np.ascontiguousarray(x)


def _blocks(x: NDArray[Any]) -> list[NDArray[Any]]:
    rows = max(1, _BLOCK_VALUES // max(1, x[0].size))
    return [x[start : start + rows] for start in range(0, len(x), rows)]


def _check_finite(where: str, x: NDArray[Any]) -> None:
    count = sum(block.size - int(np.isfinite(block).sum()) for block in _blocks(x))
    if count == 0:
        return
    row = next(row for row in range(len(x)) if not np.isfinite(x[row]).all())
    feature = int(np.argmin(np.isfinite(x[row]).ravel()))
    raise ValueError(
        f"{where}: all values must be finite numbers, got {count} NaN or infinite, "
        f"the first ({x[row].ravel()[feature]}) at sample {row}, feature {feature}; correct or remove these samples."
    )


def _check_magnitude(where: str, x: NDArray[Any]) -> None:
    largest = max(abs(float(x.min())), abs(float(x.max())))
    if largest > MAX_MAGNITUDE:
        raise ValueError(
            f"{where}: all values must be within ±{MAX_MAGNITUDE:g}, so that distances are finite in float32, got "
            f"{largest:g}; rescale the features."
        )


def _check_inside(where: str, x: NDArray[Any], clip: Clip) -> None:
    if np.ndim(clip[0]):
        _check_each_inside(where, x.reshape(len(x), -1), np.array(clip, dtype=np.float32))
        return
    lowest, highest = float(x.min()), float(x.max())
    low, high = np.array(clip, dtype=np.float32)  # the type of the values: a bound such as 0.1 is not a float32 itself
    if lowest < low or highest > high:
        raise ValueError(f"{where}: all values must be within clip {clip}, got values from {lowest:g} to {highest:g}.")


def _check_each_inside(where: str, x: NDArray[Any], bounds: NDArray[np.float32]) -> None:
    lowest, highest = x.min(axis=0), x.max(axis=0)
    outside = np.flatnonzero((lowest < bounds[0]) | (highest > bounds[1]))
    if len(outside):
        c = outside[0]
        raise ValueError(
            f"{where}: all values of feature {c} must be within clip [{bounds[0, c]:g}, {bounds[1, c]:g}], "
            f"got values from {lowest[c]:g} to {highest[c]:g}."
        )


def check_labels(name: str, split: str, y: Any, n_samples: int, k: int = 2) -> NDArray[np.int64]:
    """Return the labels of a split as int64 of shape (n_samples,), or say how they differ from 0 to k - 1."""
    known = "0 and 1" if k == 2 else f"0 to {k - 1}"
    where = f"Data set {name}, {split} split"
    if not isinstance(y, np.ndarray) or y.dtype.kind not in "iu":
        got = y.dtype if isinstance(y, np.ndarray) else type(y).__name__
        raise ValueError(f"{where}: labels must be a NumPy array of integers {known}, got {got}.")
    if y.shape != (n_samples,):
        raise ValueError(f"{where}: there must be one label per sample, {n_samples} in all, got an array of {y.shape}.")
    classes = np.unique(y)
    if len(classes) > k:
        many = "two" if k == 2 else k
        raise ValueError(
            f"{where}: there must be exactly {many} classes, labelled {known}, as there are {many} class_names, "
            f"got {len(classes)} ({_listed(classes)}); choose some of them or name all."
        )
    if not np.isin(classes, np.arange(k)).all():
        raise ValueError(f"{where}: labels must be {known}, got {_listed(classes)}; relabel them.")
    return np.ascontiguousarray(y, dtype=np.int64)


def check_training_labels(name: str, y: NDArray[np.int64], k: int = 2) -> None:
    """Refuse training labels (n,) without one of k classes or with fewer than 2 samples of a class."""
    counts = np.bincount(y, minlength=k)
    if k > 2 and counts.min() < MIN_SAMPLES_PER_CLASS:
        fewest = int(np.argmin(counts))
        raise ValueError(
            f"Data set {name}, train split: there must be at least {MIN_SAMPLES_PER_CLASS} samples of each of {k} "
            f"classes, got {counts[fewest]} of class {fewest}; add samples or leave the class out."
        )
    if counts.min() == 0:
        raise ValueError(
            f"Data set {name}, train split: there must be two classes, labelled 0 and 1, "
            f"got one only (all {len(y)} samples have label {int(np.argmax(counts))}); add samples of the other class."
        )
    if counts.min() < MIN_SAMPLES_PER_CLASS:
        raise ValueError(
            f"Data set {name}, train split: there must be at least {MIN_SAMPLES_PER_CLASS} samples of each class, "
            f"got {counts[0]} of class 0 and {counts[1]} of class 1; add samples."
        )


def _listed(classes: NDArray[Any]) -> str:
    shown = ", ".join(str(label) for label in classes[:10])
    return shown if len(classes) <= 10 else f"{shown}, …"
