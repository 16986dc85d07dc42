"""CelebA, black-haired against brown-haired faces: 1,000 training and 1,000 test images of 3×96×96.

The paper names the two attributes and these numbers. Which images the authors took and how they cropped is not
published. Here they are a seeded draw, half of each class, from the official training and test partitions; the centre
178×178 of the aligned 178×218 images, the whole width, is resized. Source: Liu et al. (2015), "Deep learning face
attributes in the wild".
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.dataset import Dataset
from data.loading.cache import Arrays, load_or_make
from data.loading.celeba_files import ATTRIBUTES, NAMES, PAGE, Face, faces, open_images
from data.loading.folder import check_data_folder
from data.loading.images import centre_crop, resize, stack_images
from data.loading.options import check_whole
from data.loading.promises import check_pixels

if TYPE_CHECKING:
    from PIL.Image import Image

WIDTH, HEIGHT = 178, 218  # of every aligned image
TRAIN, TEST = 0, 2  # official partitions
LEAST = 4  # images of each class, so that a split in halves has 2 of each for training
Drawn = dict[str, list[Face]]


def load(
    classes: Iterable[str] = ("Black_Hair", "Brown_Hair"),
    n_train: int = 1000,
    n_test: int = 1000,
    size: int = 96,
    crop: int = 178,
    seed: int = 0,
    *,
    data_dir: str,
    outputs_dir: str,
) -> Dataset:
    """Load the faces that have exactly one of two attributes, from the prepared cache or the published files.

    Training images are drawn from the official training partition and test images from the official test partition,
    which have no person in common. Where the files hold too few of them (a part of CelebA), all images are pooled and
    split at random, the classes in equal numbers, and ``provenance["notes"]`` says so.

    Parameters
    ----------
    classes : two str
        Attributes that become label 0 and label 1, in this order.
    n_train, n_test : int
        Images in each split, an even number: half of each class. With few images there may be fewer.
    size : int
        Height and width in pixels after resizing (bilinear, with antialias where an image shrinks).
    crop : int
        Height and width in pixels of the square cut out of the middle of the 178×218 image before.
    seed : int
        Seed of the draw. A constant, not the experiment's seed: the test set does not change between experiments.
    data_dir : str
        Folder with the prepared file or ``celeba/`` (see `data.loading.celeba_files`) (``paths.data``).
    outputs_dir : str
        Second place for the prepared file, when `data_dir` cannot be written (``paths.outputs``).

    Returns
    -------
    Dataset
        uint8 pixels, feature shape (3, size, size); rows in the order of the published table.

    Raises
    ------
    ValueError
        If an option is wrong, `data_dir` cannot be read, or a published file is damaged or not as published.
    FileNotFoundError
        If there is neither a usable prepared file nor the published files.
    """
    pair = _check_attributes(classes)
    n_train, n_test = _check_even("n_train", n_train, 4), _check_even("n_test", n_test, 2)
    crop = check_whole("celeba", "crop", crop, 1, WIDTH)
    size = check_whole("celeba", "size", size, 1, 1024)
    seed = check_whole("celeba", "seed", seed, 0, 2**32 - 1)
    folder = check_data_folder(data_dir)
    arrays, provenance = load_or_make(
        f"celeba_{pair[0]}_{pair[1]}_{n_train}_{n_test}_crop{crop}_size{size}_seed{seed}",
        folder,
        outputs_dir,
        partial(_cut, folder / "celeba", pair, (n_train, n_test), size, crop, seed),
        PAGE,
        partial(check_pixels, row_shape=(3, size, size)),
    )
    provenance["notes"] += [str(note) for note in arrays.get("notes", ())]
    return Dataset(
        name="celeba",
        x_train=arrays["x_train"],
        y_train=arrays["y_train"].astype(np.int64),
        x_test=arrays["x_test"],
        y_test=arrays["y_test"].astype(np.int64),
        feature_shape=(3, size, size),
        clip=(0.0, 1.0),
        class_names=(pair[0].replace("_", " ").lower(), pair[1].replace("_", " ").lower()),
        provenance={**provenance, "classes": list(pair), "crop": crop, "seed": seed},
    )


def _check_attributes(classes: Any) -> tuple[str, str]:
    pair = list(classes) if isinstance(classes, Iterable) and not isinstance(classes, str) else classes
    if not (isinstance(pair, list) and len(pair) == 2 and all(c in NAMES for c in pair) and pair[0] != pair[1]):
        raise ValueError(
            f"dataset.classes of celeba must be two different attributes of {', '.join(NAMES)}, got {pair!r}; give for "
            "example dataset.classes=[Black_Hair,Brown_Hair]."
        )
    return pair[0], pair[1]


def _check_even(key: str, value: Any, least: int) -> int:
    number = check_whole("celeba", key, value, least, 200_000)
    if number % 2:
        raise ValueError(f"dataset.{key} of celeba must be even, half for each class, got {number}.")
    return number


def _cut(folder: Path, pair: tuple[str, str], numbers: tuple[int, int], size: int, crop: int, seed: int) -> Arrays:
    """Images (n, 3, size, size), labels 0/1 and file names of both splits, and notes on how they were drawn."""
    listed = faces(folder, pair)
    zero, one = (sum(face.label == label for face in listed) for label in (0, 1))
    if min(zero, one) < LEAST:
        raise ValueError(
            f"The table {folder / ATTRIBUTES} must list at least {LEAST} images of each class of dataset.classes, got "
            f"{zero} and {one}; choose other attributes or get more of CelebA."
        )
    drawn, notes = draw(listed, numbers[0] // 2, numbers[1] // 2, seed)
    arrays: Arrays = {}
    with open_images(folder, drawn["train"] + drawn["test"]) as files:
        for split, chosen in drawn.items():
            fit = partial(_fit, crop, size)
            arrays[f"x_{split}"] = stack_images([files[face.name] for face in chosen], fit, size, size)
            arrays[f"y_{split}"] = np.array([face.label for face in chosen], np.uint8)
            arrays[f"file_{split}"] = np.array([face.name for face in chosen])
    arrays["notes"] = np.array(notes, dtype=np.str_)
    return arrays


def _fit(crop: int, size: int, _: int, image: Image) -> Image:
    if image.size != (WIDTH, HEIGHT):
        raise ValueError(f"it must have {WIDTH}×{HEIGHT} pixels, got {image.size[0]}×{image.size[1]}")
    return resize(centre_crop(image, crop, crop), size, size)


def draw(listed: list[Face], of_each_train: int, of_each_test: int, seed: int) -> tuple[Drawn, list[str]]:
    """Choose the training and the test images at random, the classes in equal numbers.

    Parameters
    ----------
    listed : list of Face
        All images there are of the two classes.
    of_each_train, of_each_test : int
        Images wanted of each class.
    seed : int
        Of the draw.

    Returns
    -------
    drawn : dict
        ``train`` and ``test``, in the order of `listed`; no image is in both.
    notes : list of str
        Empty if each official partition held enough; else a note on the split of all images that was made instead: as
        many as wanted where the rarer class has them, half of the rarer class for each split where it has not.
    """
    rng = np.random.default_rng(seed)
    official = {"train": _rows_of_classes(listed, {TRAIN}), "test": _rows_of_classes(listed, {TEST})}
    wanted = {"train": of_each_train, "test": of_each_test}
    if all(len(rows) >= wanted[split] for split, both in official.items() for rows in both):
        chosen = {split: [rng.permutation(rows)[: wanted[split]] for rows in both] for split, both in official.items()}
        notes = []
    else:
        pooled = [rng.permutation(rows) for rows in _rows_of_classes(listed, {0, 1, 2})]
        rarer = min(len(rows) for rows in pooled)
        enough = of_each_train + of_each_test <= rarer
        train, test = (count if enough else min(count, rarer // 2) for count in wanted.values())
        chosen = {"train": [rows[:train] for rows in pooled], "test": [rows[train : train + test] for rows in pooled]}
        has = {split: " and ".join(str(len(rows)) for rows in both) for split, both in official.items()}
        notes = [
            f"not the official partition, which has {has['train']} training and {has['test']} test images of the two "
            f"classes here, where {of_each_train} and {of_each_test} of each are wanted: all {len(pooled[0])} and "
            f"{len(pooled[1])} were pooled and {train} of each class drawn for training, {test} for testing, so that "
            "images of one person may be in both"
        ]
    drawn = {split: [listed[i] for i in sorted(np.concatenate(both))] for split, both in chosen.items()}
    return drawn, notes


def _rows_of_classes(listed: list[Face], partitions: set[int]) -> list[list[int]]:
    """Rows of label 0 and rows of label 1 in some partitions."""
    return [[i for i, f in enumerate(listed) if f.label == label and f.partition in partitions] for label in (0, 1)]
