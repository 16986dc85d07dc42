"""GTSRB, the German Traffic Sign Recognition Benchmark: two of its 43 signs, resized to one size.

The paper takes the speed limits 60 and 120 km/h at 48×48 pixels and counts 2,816 training images: the 2,820 there are,
without the last incomplete batch of 64. How the authors cropped and resized is not published; here the whole image is
resized, and a crop to the sign is an option. Source: Stallkamp et al. (2011), "The German Traffic Sign Recognition
Benchmark". The training images are 30 frames of each physical sign as a car drives up to it (the first number of a
file name is the sign), so that neighbouring rows are much alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.dataset import Dataset, class_counts
from data.loading.cache import Arrays, load_or_make
from data.loading.class_pair import check_pair
from data.loading.folder import check_data_folder
from data.loading.gtsrb_files import PAGE, TRAIN, Sign, official_parts, signs_for_testing, signs_for_training
from data.loading.images import resize, stack_images
from data.loading.options import check_switch, check_whole
from data.loading.promises import check_pixels, note_subset

if TYPE_CHECKING:
    from PIL.Image import Image

N_CLASSES = 43
SPEED_LIMITS = {0: 20, 1: 30, 2: 50, 3: 60, 4: 70, 5: 80, 7: 100, 8: 120}  # km/h, by class id
# Images of each class id in the final archives: 39,209 for training and 12,630 for testing.
# fmt: off
COUNTS = {
    "train": (
        210, 2220, 2250, 1410, 1980, 1860, 420, 1440, 1410, 1470, 2010, 1320, 2100, 2160, 780, 630, 420, 1110, 1200,
        210, 360, 330, 390, 510, 270, 1500, 600, 240, 540, 270, 450, 780, 240, 689, 420, 1200, 390, 210, 2070, 300,
        360, 240, 240,
    ),
    "test": (
        60, 720, 750, 450, 660, 630, 150, 450, 450, 480, 660, 420, 690, 720, 270, 210, 150, 360, 390, 60, 90, 90, 120,
        150, 90, 480, 180, 60, 150, 90, 150, 270, 60, 210, 120, 390, 120, 60, 690, 90, 90, 60, 90,
    ),
}
# fmt: on


def load(
    classes: Iterable[int] = (3, 8), size: int = 48, crop_to_roi: bool = False, *, data_dir: str, outputs_dir: str
) -> Dataset:
    """Load two signs, from the prepared cache, the official files, or the network, whichever is there.

    Parameters
    ----------
    classes : two ints in 0..42
        Class ids that become label 0 and label 1, in this order; 3 is 60 km/h, 8 is 120 km/h.
    size : int
        Height and width in pixels after resizing (bilinear, with antialias where an image shrinks; the aspect ratio,
        which is close to 1, is not kept).
    crop_to_roi : bool
        Whether to crop to the sign before resizing, to the ``Roi`` columns of the tables: the images have a border of
        about a tenth around it. Columns X2 and Y2 are taken as the first pixels outside, which makes the borders equal.
    data_dir : str
        Folder with the prepared file, or with ``gtsrb/`` as torchvision or the official archives lay it out (see
        `data.loading.gtsrb_files`); where the download goes (``paths.data``).
    outputs_dir : str
        Second place for the prepared file, when `data_dir` cannot be written (``paths.outputs``).

    Returns
    -------
    Dataset
        uint8 pixels, feature shape (3, size, size). Training rows are ordered by class id and file name, test rows by
        file name.

    Raises
    ------
    ValueError
        If an option is wrong, `data_dir` cannot be read, or an official file is damaged.
    FileNotFoundError
        If there is neither a usable prepared file nor the official files nor a network to get them from.
    """
    pair = check_pair(classes, N_CLASSES, "gtsrb")
    size = check_whole("gtsrb", "size", size, 1, 1024)
    crop_to_roi = check_switch("gtsrb", "crop_to_roi", crop_to_roi)
    folder = check_data_folder(data_dir)
    name = f"gtsrb_{pair[0]}_{pair[1]}_{size}{'_roi' if crop_to_roi else ''}"
    make = partial(_cut, folder, pair, size, crop_to_roi)
    check = partial(check_pixels, row_shape=(3, size, size))
    arrays, provenance = load_or_make(name, folder, outputs_dir, make, PAGE, check)
    note_subset(arrays, provenance, _promised(pair), "GTSRB")
    provenance["notes"] += [str(note) for note in arrays.get("notes", ())]
    return Dataset(
        name="gtsrb",
        x_train=arrays["x_train"],
        y_train=arrays["y_train"].astype(np.int64),
        x_test=arrays["x_test"],
        y_test=arrays["y_test"].astype(np.int64),
        feature_shape=(3, size, size),
        clip=(0.0, 1.0),
        class_names=(_name(pair[0]), _name(pair[1])),
        provenance={**provenance, "classes": list(pair), "crop_to_roi": crop_to_roi},
    )


def _name(class_id: int) -> str:
    return f"{SPEED_LIMITS[class_id]} km/h" if class_id in SPEED_LIMITS else f"sign {class_id}"


def _promised(pair: tuple[int, int]) -> dict[str, tuple[int, int]]:
    return {split: (counts[pair[0]], counts[pair[1]]) for split, counts in COUNTS.items()}


def _cut(folder: Path, pair: tuple[int, int], size: int, crop_to_roi: bool) -> Arrays:
    """Images (n, 3, size, size), labels 0/1 and file names of both splits, and notes on their source."""
    parts = official_parts(folder)
    listed = {"train": signs_for_training(parts, sorted(pair)), "test": signs_for_testing(parts, sorted(pair))}
    arrays: Arrays = {}
    sizes: set[tuple[int, int]] = set()
    for split, signs in listed.items():
        fit = partial(_fit, signs, size, crop_to_roi, sizes)
        arrays[f"x_{split}"] = stack_images([sign.file for sign in signs], fit, size, size)
        arrays[f"y_{split}"] = np.array([sign.class_id == pair[1] for sign in signs], np.uint8)
        arrays[f"file_{split}"] = np.array([f"{sign.file.parent.name}/{sign.file.name}" for sign in signs])
    arrays["notes"] = np.array(_notes(arrays, sizes, pair, parts[TRAIN]), dtype=np.str_)
    return arrays


def _fit(signs: list[Sign], size: int, crop_to_roi: bool, sizes: set[tuple[int, int]], i: int, image: Image) -> Image:
    """Resize the i-th sign, after the crop if wanted; its size as published is added to `sizes`."""
    sizes.add(image.size)
    if crop_to_roi:
        left, top, right, bottom = signs[i].roi
        width, height = image.size
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise ValueError(f"its Roi {signs[i].roi} does not lie within its {width}×{height} pixels")
        image = image.crop(signs[i].roi)
    return resize(image, size, size)


def _notes(arrays: Arrays, sizes: set[tuple[int, int]], pair: tuple[int, int], train: Path) -> list[str]:
    """What a reader of results must know of the source, kept in the prepared file."""
    notes = []
    if train.name == "Training" and class_counts(arrays["y_train"]) != list(_promised(pair)["train"]):
        notes.append(
            f"{train} may be the smaller training set of the 2011 competition (26,640 images), which torchvision "
            "downloads; the final one (39,209 images) lies in GTSRB/Final_Training"
        )
    if len(sizes) == 1:
        width, height = sizes.pop()
        notes.append(
            f"all images have one size, {width}×{height}: the images were rescaled by their source (the official ones "
            "vary from 15×15 to 250×250)"
        )
    return notes
