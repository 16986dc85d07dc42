"""From a user's own samples to a :class:`data.dataset.Dataset`: the classes, the split, float32 values, the bounds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.dataset import Clip, Dataset
from data.loading.options import check_whole, stratified_split

EXACT = 1 << 24  # float32 has every whole number up to this one
SCALINGS = ("none", "pixels", "minmax", "standard")
_SHOWN = 20  # names in a message


@dataclass(frozen=True)
class Samples:
    """Samples and their labels, as they are in the files.

    Attributes
    ----------
    x : ndarray of numbers, shape (n, *feature_shape)
    y : ndarray of shape (n,)
        Names of classes: texts, whole numbers or bools.
    """

    x: NDArray[Any]
    y: NDArray[Any]


@dataclass(frozen=True)
class Options:
    """How samples become a data set: the keys of the configuration that the three loaders share.

    Attributes
    ----------
    name : str
        Of the data set, for the messages.
    classes : list of two or more names, or None for all
    test_size : float
        Fraction of each class for testing, where the files have no split.
    split_seed : int
    clip : None, "data", "features", (low, high) or a list of d such pairs
        None is no bounds.
    scaling : {"none", "pixels", "minmax", "standard"}
    """

    name: str
    classes: Any = None
    test_size: float = 0.25
    split_seed: int = 0
    clip: Any = "data"
    scaling: str = "none"
    features: list[str] = field(default_factory=list)
    """Names of the features, where the files have some."""

    def check(self) -> None:
        """Raise ValueError for a value that no file could make right."""
        size = self.test_size
        if isinstance(size, bool) or not isinstance(size, int | float) or not 0 < size < 1:
            raise ValueError(f"dataset.test_size of {self.name} must be a fraction between 0 and 1, got {size!r}.")
        check_whole(self.name, "split_seed", self.split_seed, 0, 2**63 - 1)
        if self.scaling not in SCALINGS:
            raise ValueError(
                f"dataset.scaling of {self.name} must be {', '.join(SCALINGS[:-1])} or {SCALINGS[-1]}, "
                f"got {self.scaling!r}."
            )


def existing_file(name: str, key: str, path: Any) -> Path:
    """Return the path of a file that the user named, with ``~`` resolved.

    Raises
    ------
    ValueError
        If no file is named.
    FileNotFoundError
        If there is no such file.
    """
    if not isinstance(path, str) or not path.strip():
        raise ValueError(f"dataset.{key} of {name} must be the path of a file, got {path!r}.")
    found = Path(path).expanduser()
    if not found.is_file():
        what = "is a folder, not a file" if found.is_dir() else "does not exist"
        raise FileNotFoundError(f"dataset.{key}={path} {what}.")
    return found


def make_dataset(train: Samples, test: Samples | None, options: Options, provenance: dict[str, Any]) -> Dataset:
    """Make the data set of a user's samples.

    Parameters
    ----------
    train : Samples
        All samples, if there is no `test`.
    test : Samples, optional
        The test split; without it a fraction ``options.test_size`` of each class, drawn by ``options.split_seed``.
    options : Options
    provenance : dict
        ``source`` and what else is known; the classes, the split, the scaling and the bounds are added.

    Raises
    ------
    ValueError
        One sentence on what is wrong with the samples or the options.
    """
    options.check()
    parts = {"train": train} if test is None else {"train": train, "test": test}
    _check_shapes(options.name, parts)
    names, others = choose_classes(options, [part.y for part in parts.values()])
    chosen = {split: _of_classes(part, names) for split, part in parts.items()}
    if test is None:
        x, y = chosen["train"]
        rows = stratified_split(y, 1 - options.test_size, options.split_seed)
        chosen = {split: (x[r], y[r]) for split, r in zip(("train", "test"), rows, strict=True)}
        split_by = f"drawn: a fraction {options.test_size:g} of each class, seed {options.split_seed}"
    else:
        split_by = "given"
    notes = list(provenance.get("notes", []))
    if others:
        notes.append(f"only the classes {joined(names)}; left out: {listed(others)}")
    scaled = _scaled(options, {split: part[0] for split, part in chosen.items()}, notes)
    return Dataset(
        name=options.name,
        x_train=scaled["train"],
        y_train=chosen["train"][1],
        x_test=scaled["test"],
        y_test=chosen["test"][1],
        feature_shape=train.x.shape[1:],
        clip=_bounds(options, scaled),
        class_names=names,
        provenance={
            "file": None,
            "verified": False,
            "sha256": None,
            **provenance,
            "classes": list(names),
            "split": split_by,
            "scaling": options.scaling,
            **({"features": options.features} if options.features else {}),
            "notes": notes,
        },
    )


def choose_classes(options: Options, labels: Sequence[NDArray[Any]]) -> tuple[tuple[str, ...], list[str]]:
    """Return the names of the classes, the first is label 0, and the names of those that are left out.

    Parameters
    ----------
    options : Options
    labels : sequence of ndarray
        Names of classes as in `Samples`, of each split.
    """
    names = sorted({name for y in labels for name in np.unique(names_of(options.name, y)).tolist()}, key=_by_number)
    given = options.classes
    if given is None:
        if len(names) < 2:
            raise ValueError(
                f"The labels of {options.name} are of one class only ({listed(names)}); add samples of another."
            )
        return tuple(names), []
    chosen = [str(each) for each in given] if isinstance(given, Iterable) and not isinstance(given, str) else []
    unknown = [name for name in chosen if name not in names]
    if len(chosen) < 2 or len(set(chosen)) < len(chosen) or unknown:
        what = f"there is no class {unknown[0]!r}" if unknown else f"got {given!r}"
        raise ValueError(
            f"dataset.classes of {options.name} must be two or more of the classes {listed(names)}, or null for all; "
            f"{what}."
        )
    return tuple(chosen), [name for name in names if name not in chosen]


def names_of(dataset: str, y: NDArray[Any]) -> NDArray[np.str_]:
    """Return labels as names, shape (n,): 1.0, 1 and "1" are the class 1."""
    if y.dtype.kind == "f":
        if not (np.isfinite(y).all() and (y == np.rint(y)).all()):
            bad = y[~(np.isfinite(y) & (y == np.rint(y)))][0]
            raise ValueError(f"The labels of {dataset} must be names or whole numbers, got {bad:g}.")
        y = y.astype(np.int64)
    return y.astype(np.str_)


def joined(names: Sequence[str]) -> str:
    """Return names in a row, "a, b and c"."""
    return f"{', '.join(names[:-1])} and {names[-1]}"


def listed(names: Sequence[str]) -> str:
    """Return names in a row, the first of very many."""
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown}, … ({len(names)} in all)"


def _by_number(name: str) -> tuple[int, float, str]:
    """Key that puts numbers first, in their order."""
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name


def _check_shapes(dataset: str, parts: dict[str, Samples]) -> None:
    for split, part in parts.items():
        x, y = part.x, part.y
        if x.ndim < 2 or 0 in x.shape:
            raise ValueError(
                f"The {split} samples of {dataset} must be an array of shape (samples, features) or "
                f"(samples, channels, height, width), none of them 0, got shape {x.shape}."
            )
        if x.dtype.kind not in "fiub":
            raise ValueError(f"The {split} samples of {dataset} must be numbers, got an array of {x.dtype}.")
        if y.ndim != 1 or y.dtype.kind not in "fiubU":
            raise ValueError(
                f"The {split} labels of {dataset} must be one name or whole number a sample, "
                f"got {y.dtype} of shape {y.shape}."
            )
        if len(x) != len(y):
            raise ValueError(f"The {split} split of {dataset} must have a label a sample, got {len(x)} and {len(y)}.")
        finite = np.isfinite(x).reshape(len(x), -1).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"The {split} samples of {dataset} must be finite, got NaN or infinity in {int((~finite).sum())} of "
                f"them, the first is sample {int(np.argmin(finite))}; fill these values or remove the samples."
            )
        if x.shape[1:] != parts["train"].x.shape[1:]:
            raise ValueError(
                f"The two splits of {dataset} must have samples of one shape, got {parts['train'].x.shape[1:]} and "
                f"{x.shape[1:]}."
            )


def _of_classes(part: Samples, chosen: tuple[str, ...]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The samples of some classes, and their labels 0, 1 and so on."""
    names = names_of("", part.y)
    rows = np.flatnonzero(np.isin(names, chosen))
    order = np.argsort(chosen)
    return part.x[rows], order[np.searchsorted(np.array(chosen)[order], names[rows])].astype(np.int64)


def _scaled(options: Options, x: dict[str, NDArray[Any]], notes: list[str]) -> dict[str, NDArray[Any]]:
    """Return both splits as float32 or, for pixels, as uint8, which the data set divides by 255."""
    if options.scaling == "pixels":
        lowest, highest = (getattr(np, f)([getattr(part, f)() for part in x.values()]) for f in ("min", "max"))
        if any(part.dtype.kind not in "iu" for part in x.values()) or lowest < 0 or highest > 255:
            kind = x["train"].dtype
            raise ValueError(
                f"dataset.scaling=pixels of {options.name} needs whole numbers in 0..255, got {kind} from {lowest} to "
                f"{highest}."
            )
        return {split: part.astype(np.uint8) for split, part in x.items()}
    whole = [part for part in x.values() if part.dtype.kind in "iu"]
    if any(abs(int(extreme)) > EXACT for part in whole for extreme in (part.min(), part.max())):
        notes.append(f"whole numbers beyond ±{EXACT:,} are rounded to float32")
    if options.scaling == "none":
        return {split: _float32(part) for split, part in x.items()}
    train = x["train"].astype(np.float64)
    if options.scaling == "minmax":
        shift, unit = train.min(axis=0), np.ptp(train, axis=0)
    else:
        shift, unit = train.mean(axis=0), train.std(axis=0)
    unit = np.where(unit > 0, unit, 1.0)
    return {split: _float32((part - shift) / unit) for split, part in x.items()}


def _float32(x: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # the data set refuses infinite values by a sentence
        return np.ascontiguousarray(x, dtype=np.float32)


def _bounds(options: Options, x: dict[str, NDArray[Any]]) -> Clip:
    """The bounds of the features, which attacks keep to, in the units of the scaled samples."""
    clip = options.clip
    if clip is None:
        return -np.inf, np.inf
    if x["train"].dtype == np.uint8 and clip in ("data", "features"):
        return 0.0, 1.0
    low, high = (extreme([extreme(part, axis=0) for part in x.values()], axis=0) for extreme in (np.min, np.max))
    if clip == "data":
        return float(low.min()), float(high.max())
    if clip == "features":
        return tuple(low.ravel().tolist()), tuple(high.ravel().tolist())
    try:
        given = np.array(clip, dtype=np.float64)
    except (TypeError, ValueError):
        given = np.zeros(0)
    if given.shape == (2,):
        return float(given[0]), float(given[1])
    if given.ndim == 2 and given.shape[1] == 2:
        return tuple(given[:, 0].tolist()), tuple(given[:, 1].tolist())
    raise ValueError(
        f"dataset.clip of {options.name} must be data, features, [low,high] or a list of such pairs, one a feature, "
        f"or null for none, got {clip!r}."
    )
