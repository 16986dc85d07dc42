"""Two classes of ImageNet (ILSVRC 2012): 3×224×224 out of the middle, from folders ``train/<class>``, ``val/<class>``.

The paper says "class 0 vs 1", 2,580 training and 100 test images of 3×256×256; which two classes these are is not
published. Its authors' program resizes the shorter side to 256 and crops 224, which is the default here; ``crop=256``
is the paper's text. Pixels are divided by 255, nothing else is done to them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.dataset import Dataset
from data.loading.cache import Arrays, load_or_make
from data.loading.images import centre_crop, list_images, resize_shorter_side, stack_images
from data.loading.options import HOW_TO_SET, check_data_folder, check_pair, check_pixels, is_system_file

if TYPE_CHECKING:
    from PIL.Image import Image

FOLDERS = {"train": "train", "test": "val"}
ENDINGS = (".jpeg", ".jpg", ".png")
PAPER_COUNTS = {"train": 2580, "test": 100}
SOURCE = "https://www.image-net.org/download.php"
HOW_TO_GET = (
    f"register at {SOURCE}, download ILSVRC2012_img_train.tar (138 GB) and ILSVRC2012_img_val.tar (6.3 GB), and "
    "unpack at least two classes, which take some 300 MB"
)

Pair = tuple[int, int] | tuple[str, str]
Files = dict[str, list[list[Path]]]
"""Image files per split and class."""


@dataclass(frozen=True)
class _Choice:
    """Everything that decides the pixels; its name is that of the prepared file."""

    root: Path
    pair: Pair
    resize: int
    crop: int
    max_images: dict[str, int | None]

    @property
    def cache_name(self) -> str:
        caps = "".join(f"_{split}{n}" for split, n in self.max_images.items() if n is not None)
        return f"imagenet_{self.pair[0]}_{self.pair[1]}_resize{self.resize}_crop{self.crop}{caps}"


def load(
    classes: Iterable[Any] | None = None,
    resize: int = 256,
    crop: int = 224,
    n_train: int | None = None,
    n_test: int | None = None,
    *,
    data_dir: str,
    outputs_dir: str,
) -> Dataset:
    """Load two classes, all their training and validation images, sorted by class and file name.

    Parameters
    ----------
    classes : two str, two int, or None
        Class folders that become label 0 and label 1, in this order: by name, such as n01440764, or by position in
        the sorted names of the folders in ``train/``. None means the first two, (0, 1).
    resize : int
        Pixels of the shorter side after resizing (bilinear, with antialias); smaller images are enlarged, with a note
        in the provenance.
    crop : int
        Pixels of the side of the square cut out of the middle, at most `resize`.
    n_train, n_test : even int or None
        Take at most this many images, half of each class, the first by file name. None means all.
    data_dir : str
        Folder with ``imagenet/train/<class>/*.JPEG`` and ``imagenet/val/<class>/*.JPEG``, or with the prepared file
        made from them, such as ``prepared/imagenet_0_1_resize256_crop224.npz`` (``paths.data``).
    outputs_dir : str
        Second place for the prepared file, when `data_dir` cannot be written (``paths.outputs``).

    Returns
    -------
    Dataset
        uint8 pixels, feature shape (3, crop, crop): channel, row, column. The validation images are the test split.

    Raises
    ------
    ValueError
        If `classes` are not two class folders, a number is out of range, a class folder is empty, or an image cannot
        be decoded.
    FileNotFoundError
        If there is neither a usable prepared file nor the folders.
    """
    folder = check_data_folder(data_dir)
    _check_int("resize", resize, 1)
    _check_int("crop", crop, 1, resize)
    _check_even("n_train", n_train, 4)
    _check_even("n_test", n_test, 2)
    choice = _Choice(folder / "imagenet", _check_classes(classes), resize, crop, {"train": n_train, "test": n_test})
    arrays, provenance = load_or_make(
        choice.cache_name, folder, outputs_dir, partial(_cut, choice), SOURCE, partial(_check, choice)
    )
    provenance["notes"].extend(_differences(arrays, resize))
    zero, one = arrays["classes"].tolist() if "classes" in arrays else (f"class {c}" for c in choice.pair)
    return Dataset(
        name="imagenet",
        x_train=arrays["x_train"],
        y_train=arrays["y_train"].astype(np.int64),
        x_test=arrays["x_test"],
        y_test=arrays["y_test"].astype(np.int64),
        feature_shape=(3, crop, crop),
        clip=(0.0, 1.0),
        class_names=(zero, one),
        provenance={**provenance, "classes": [zero, one]},
    )


def _check_int(key: str, value: Any, minimum: int, maximum: int | None = None) -> None:
    if type(value) is not int or value < minimum or (maximum is not None and value > maximum):
        upper = "" if maximum is None else f" and at most {maximum}, dataset.resize"
        raise ValueError(f"dataset.{key} of imagenet must be a whole number >= {minimum}{upper}, got {value!r}.")


def _check_even(key: str, value: Any, minimum: int) -> None:
    if value is not None and (type(value) is not int or value < minimum or value % 2):
        raise ValueError(f"dataset.{key} of imagenet must be null or an even number >= {minimum}, got {value!r}.")


def _check_classes(classes: Any) -> Pair:
    """Return the pair as two positions or two names; the folders need not exist."""
    if classes is None:
        return 0, 1
    given = list(classes) if isinstance(classes, Iterable) and not isinstance(classes, str) else [classes]
    if len(given) == 2 and given[0] != given[1]:
        if all(type(c) is int and c >= 0 for c in given):
            return given[0], given[1]
        if all(isinstance(c, str) and c not in ("", ".", "..") and not set(c) & set("/\\") for c in given):
            return given[0], given[1]
    raise ValueError(
        "dataset.classes of imagenet must be null, two different names of class folders or two different positions "
        f"from 0, got {classes!r}; give for example dataset.classes=[n01440764,n01443537]."
    )


def _class_names(choice: _Choice) -> tuple[str, str]:
    """Names of the two class folders."""
    train = choice.root / FOLDERS["train"]
    try:
        names = sorted(path.name for path in train.iterdir() if path.is_dir() and not is_system_file(path.name))
    except (FileNotFoundError, NotADirectoryError):
        names = []
    except OSError as error:
        raise ValueError(f"The folder {train} cannot be read ({error.strerror}); change its permissions.") from None
    if len(names) < 2:
        raise FileNotFoundError(
            f"{train} must hold at least two class folders, got {', '.join(names) or 'none'}; {HOW_TO_GET}, as "
            f"{train}/<class>/*.JPEG and {choice.root / FOLDERS['test']}/<class>/*.JPEG, or {HOW_TO_SET}"
        )
    if isinstance(choice.pair[0], int):
        first, second = check_pair(choice.pair, len(names), "imagenet")
        return names[first], names[second]
    for name in choice.pair:
        if name not in names:
            shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
            raise ValueError(f"dataset.classes of imagenet must be two of the folders in {train}, {shown}; got {name}.")
    return str(choice.pair[0]), str(choice.pair[1])


def _find(choice: _Choice) -> tuple[tuple[str, str], Files]:
    """The two classes and their image files."""
    names = _class_names(choice)
    halves = {split: None if n is None else n // 2 for split, n in choice.max_images.items()}
    return names, {
        split: [list_images(choice.root / part / name, ENDINGS)[: halves[split]] for name in names]
        for split, part in FOLDERS.items()
    }


def _listing_sha256(files: Files) -> str:
    """Checksum of class, name and size of every file: much cheaper than of the contents, and enough to see a change."""
    lines = [
        f"{split}/{path.parent.name}/{path.name} {path.stat().st_size}\n"
        for split, classes in files.items()
        for paths in classes
        for path in paths
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _cut(choice: _Choice) -> Arrays:
    """Pixels (n, 3, crop, crop), labels 0/1, and ``side_*`` (n,), the shorter side of each image before resizing."""
    names, files = _find(choice)
    arrays: Arrays = {"classes": np.array(names), "listing": np.array([_listing_sha256(files)])}
    for split, (zeros, ones) in files.items():
        sides = np.zeros(len(zeros) + len(ones), np.int32)

        def fit(i: int, image: Image, sides: Any = sides) -> Image:
            sides[i] = min(image.size)
            return centre_crop(resize_shorter_side(image, choice.resize), choice.crop, choice.crop)

        arrays[f"x_{split}"] = stack_images(zeros + ones, fit, choice.crop, choice.crop)
        arrays[f"y_{split}"] = np.repeat(np.array([0, 1], np.uint8), [len(zeros), len(ones)])
        arrays[f"side_{split}"] = sides
    return arrays


def _check(choice: _Choice, arrays: Arrays) -> None:
    """Refuse a prepared file that cannot hold these images, or not those in the folders."""
    check_pixels(arrays, (3, choice.crop, choice.crop))
    names = arrays.get("classes")
    if names is not None and (names.shape != (2,) or names.dtype.kind != "U"):
        raise ValueError(f"classes must be two names, got {names.dtype} of shape {names.shape}")
    for split in FOLDERS:
        sides = arrays.get(f"side_{split}")
        if sides is not None and (sides.shape != arrays[f"y_{split}"].shape or sides.dtype.kind not in "iu"):
            raise ValueError(f"side_{split} must be one whole number per image, got {sides.dtype} of {sides.shape}")
    try:
        listing = _listing_sha256(_find(choice)[1])
    except (FileNotFoundError, ValueError):
        return  # without the folders the prepared file is enough
    if "listing" in arrays and arrays["listing"].tolist() != [listing]:
        raise ValueError(f"the images in {choice.root} changed since it was made")


def _differences(arrays: Arrays, resize: int) -> list[str]:
    """Notes on what differs from the paper's images: another set must not pass for it."""
    notes = []
    rows = {split: len(arrays[f"y_{split}"]) for split in FOLDERS}
    if rows != PAPER_COUNTS:
        notes.append(
            f"not the paper's set: {rows['train']} training and {rows['test']} test images, the paper has "
            f"{PAPER_COUNTS['train']} and {PAPER_COUNTS['test']}, of which two classes is not published"
        )
    for split in FOLDERS:
        sides = arrays.get(f"side_{split}", np.empty(0, np.int32))
        small = sides[sides < resize]
        if len(small):
            notes.append(
                f"not the paper's set: {len(small)} of {len(sides)} {split} images were enlarged, their shorter side "
                f"has less than {resize} pixels (the smallest {small.min()}), so their source rescaled them"
            )
    return notes
