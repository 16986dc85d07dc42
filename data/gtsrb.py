"""GTSRB, the German Traffic Sign Recognition Benchmark: two of its 43 signs, resized to one size.

The paper uses the speed limits 60 and 120 km/h at 48×48 pixels and counts 2,816 training images, which are all 2,820
without the last incomplete batch of 64. How the authors cropped and resized is not published. Here the whole image is
resized; a crop to the sign is an option. Source: Stallkamp et al. (2011), "The German Traffic Sign Recognition
Benchmark". The training images are 30 frames of each physical sign as a car drives up to it (the first number of a
file name is the sign): neighbouring samples are similar.

The official files are read as published, from ``<data folder>/gtsrb/`` or from the data folder itself:

- ``GTSRB/Final_Training/Images`` or ``GTSRB/Training``: a folder ``0000c`` of .ppm files and a table ``GT-0000c.csv``
  for each class;
- ``GTSRB/Final_Test/Images``;
- ``GT-final_test.csv``, beside ``GTSRB/``, in it or with the test images.

torchvision's own ``GTSRB`` is not used: its training set is the smaller one of the 2011 competition, 26,640 images.
The final training set is downloaded from the same server with torchvision's functions.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from data.dataset import Dataset, class_counts
from data.loading.cache import Arrays, load_or_make
from data.loading.download import DOWNLOAD_ERRORS, guarded_download, on_one_line, unpack_part
from data.loading.images import list_images, resize, stack_images
from data.loading.options import (
    check_classes,
    check_data_folder,
    check_pixels,
    check_switch,
    check_whole,
    ensure_data_folder,
    name_of_classes,
    note_subset,
    select_classes,
)

if TYPE_CHECKING:
    from PIL.Image import Image

PAGE = "https://benchmark.ini.rub.de/gtsrb_dataset.html"
SERVER = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/"
TRAIN, TEST, TRUTH = "GTSRB_Final_Training_Images.zip", "GTSRB_Final_Test_Images.zip", "GTSRB_Final_Test_GT.zip"
MD5 = {
    TRAIN: "f33fd80ac59bff73c82d25ab499e03a3",
    TEST: "c7e4e6327067d32654124b0fe9e82185",
    TRUTH: "fe31e9c9270bbcd7b84b7f21a9d9d9e5",
}
PLACES = {  # what is in each archive, the first place, and where others put it
    TRAIN: ("GTSRB/Final_Training/Images", "GTSRB/Training"),
    TEST: ("GTSRB/Final_Test/Images",),
    TRUTH: ("GT-final_test.csv", "GTSRB/GT-final_test.csv", "GTSRB/Final_Test/Images/GT-final_test.csv"),
}
COLUMNS = ("Filename", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId")

Parts = dict[str, Path]
"""Archive name to the folder or file that holds its content."""


class Sign(NamedTuple):
    """A row of a table."""

    file: Path
    roi: tuple[int, int, int, int]  # left, top, right, bottom; in pixels, the last two just outside
    class_id: int


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
    classes: Iterable[int] | None = (3, 8),
    size: int = 48,
    crop_to_roi: bool = False,
    *,
    data_dir: str,
    outputs_dir: str,
) -> Dataset:
    """Load signs, from the prepared cache, the official files, or the network, whichever is there.

    Parameters
    ----------
    classes : two or more ints in 0..42, or None
        Class ids that become label 0, label 1 and so on, in this order; None for all; 3 is 60 km/h, 8 is 120 km/h.
    size : int
        Height and width in pixels after resizing (bilinear, with antialias where an image shrinks; the aspect ratio,
        which is close to 1, is not kept).
    crop_to_roi : bool
        Whether to crop to the sign before resizing, to the ``Roi`` columns of the tables: the images have a border of
        about 10 % around it. Columns X2 and Y2 are read as the first pixels outside, which makes the borders equal.
    data_dir : str
        Folder with the prepared file, or with ``gtsrb/`` as torchvision or the official archives lay it
        out; where the download goes (``paths.data``).
    outputs_dir : str
        Second place for the prepared file, when `data_dir` cannot be written (``paths.outputs``).

    Returns
    -------
    Dataset
        uint8 pixels, feature shape (3, size, size). Training samples are ordered by class id and file name, test
        samples by file name.

    Raises
    ------
    ValueError
        If an option is not legal, `data_dir` cannot be read, or an official file is damaged.
    FileNotFoundError
        If there is neither a usable prepared file nor the official files nor a network to get them from.
    """
    chosen = check_classes(classes, N_CLASSES, "gtsrb")
    size = check_whole("gtsrb", "size", size, 1, 1024)
    crop_to_roi = check_switch("gtsrb", "crop_to_roi", crop_to_roi)
    folder = check_data_folder(data_dir)
    name = f"gtsrb_{name_of_classes(chosen, N_CLASSES)}_{size}{'_roi' if crop_to_roi else ''}"
    make = partial(_cut, folder, chosen, size, crop_to_roi)
    check = partial(check_pixels, row_shape=(3, size, size), k=len(chosen))
    arrays, provenance = load_or_make(name, folder, outputs_dir, make, PAGE, check)
    note_subset(arrays, provenance, _promised(chosen), "GTSRB")
    provenance["notes"] += [str(note) for note in arrays.get("notes", ())]
    return Dataset(
        name="gtsrb",
        x_train=arrays["x_train"],
        y_train=arrays["y_train"].astype(np.int64),
        x_test=arrays["x_test"],
        y_test=arrays["y_test"].astype(np.int64),
        feature_shape=(3, size, size),
        clip=(0.0, 1.0),
        class_names=tuple(map(_name, chosen)),
        provenance={**provenance, "classes": list(chosen), "crop_to_roi": crop_to_roi},
    )


def _name(class_id: int) -> str:
    return f"{SPEED_LIMITS[class_id]} km/h" if class_id in SPEED_LIMITS else f"sign {class_id}"


def _promised(chosen: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {split: tuple(counts[each] for each in chosen) for split, counts in COUNTS.items()}


def _cut(folder: Path, chosen: tuple[int, ...], size: int, crop_to_roi: bool) -> Arrays:
    """Images (n, 3, size, size), labels and file names of both splits, and notes on their source."""
    parts = official_parts(folder)
    listed = {"train": signs_for_training(parts, sorted(chosen)), "test": signs_for_testing(parts, sorted(chosen))}
    arrays: Arrays = {}
    sizes: set[tuple[int, int]] = set()
    for split, signs in listed.items():
        fit = partial(_fit, signs, size, crop_to_roi, sizes)
        arrays[f"x_{split}"] = stack_images([sign.file for sign in signs], fit, size, size)
        arrays[f"y_{split}"] = select_classes(np.array([sign.class_id for sign in signs]), chosen)[1]
        arrays[f"file_{split}"] = np.array([f"{sign.file.parent.name}/{sign.file.name}" for sign in signs])
    arrays["notes"] = np.array(_notes(arrays, sizes, chosen, parts[TRAIN]), dtype=np.str_)
    return arrays


def _fit(signs: list[Sign], size: int, crop_to_roi: bool, sizes: set[tuple[int, int]], i: int, image: Image) -> Image:
    """Resize the i-th sign, after the crop if wanted; its size as published is added to `sizes`."""
    sizes.add(image.size)
    if crop_to_roi:
        left, top, right, bottom = signs[i].roi
        width, height = image.size
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise ValueError(f"its Roi {signs[i].roi} is not within its {width}×{height} pixels")
        image = image.crop(signs[i].roi)
    return resize(image, size, size)


def _notes(arrays: Arrays, sizes: set[tuple[int, int]], chosen: tuple[int, ...], train: Path) -> list[str]:
    """Notes on the source for a reader of results, stored in the prepared file."""
    notes = []
    if train.name == "Training" and class_counts(arrays["y_train"], len(chosen)) != list(_promised(chosen)["train"]):
        notes.append(
            f"{train} may be the smaller training set of the 2011 competition (26,640 images), which torchvision "
            "downloads; the final one (39,209 images) is in GTSRB/Final_Training"
        )
    if len(sizes) == 1:
        width, height = sizes.pop()
        notes.append(
            f"all images have one size, {width}×{height}: the images were rescaled by their source (the official ones "
            "vary from 15×15 to 250×250)"
        )
    return notes


def official_parts(folder: Path) -> Parts:
    """Find the training images, the test images and the test labels, downloading those that are missing.

    Raises
    ------
    FileNotFoundError
        If some are missing and cannot be downloaded; a clause for `data.loading.cache.load_or_make`.
    """
    return {archive: _find(folder, archive) or _download(folder, archive) for archive in MD5}


def _download(folder: Path, archive: str) -> Path:
    """Download an archive and unpack it where torchvision would; return the place of its content."""
    ensure_data_folder(folder)
    base, part = folder / "gtsrb", PLACES[archive][0]
    try:
        with guarded_download(folder, "gtsrb", [base / archive]):
            if not (base / part).exists():  # another process may have brought it meanwhile
                unpack_part(SERVER + archive, MD5[archive], base, part)
    except DOWNLOAD_ERRORS as error:
        raise FileNotFoundError(
            f"{base / part} is not there and downloading it failed ({on_one_line(error)}); unpack {', '.join(MD5)} "
            f"(263, 84 and 0.1 MB) from {SERVER} in {base}, or set paths.data or the environment variable SCD_DATA to "
            "a folder that holds gtsrb/ or the prepared file"
        ) from error
    return base / part


def _find(folder: Path, archive: str) -> Path | None:
    places = (base / place for base in (folder / "gtsrb", folder) for place in PLACES[archive])
    return next((place for place in places if place.exists()), None)


def signs_for_training(parts: Parts, class_ids: Sequence[int]) -> list[Sign]:
    """List the training images of some classes, by class and file name; the class is that of their folder's name.

    Raises
    ------
    FileNotFoundError
        If a class folder, its table or an image in it is missing; a clause for `data.loading.cache.load_or_make`.
    ValueError
        If a class folder is empty, or its table is damaged.
    """
    signs = []
    for class_id in class_ids:
        folder = parts[TRAIN] / f"{class_id:05d}"
        if not folder.exists():
            raise FileNotFoundError(f"the folder of class {class_id}, {folder}, does not exist; extract {TRAIN} again")
        files = list_images(folder, {".ppm"})
        of_class = _read_table(folder / f"GT-{class_id:05d}.csv", folder)
        for sign in of_class:
            if sign.class_id != class_id:
                raise ValueError(
                    f"The table {folder / f'GT-{class_id:05d}.csv'} must list images of class {class_id} only, got "
                    f"class {sign.class_id} for {sign.file.name}; extract {TRAIN} again."
                )
        unlisted = set(files) - {sign.file for sign in of_class}
        if unlisted:
            raise ValueError(
                f"The table {folder / f'GT-{class_id:05d}.csv'} must list every image of its folder, {len(unlisted)} "
                f"are missing from it, the first {min(unlisted).name}; extract {TRAIN} again."
            )
        signs += _present(of_class, set(files), folder, TRAIN)
    return signs


def signs_for_testing(parts: Parts, class_ids: Sequence[int]) -> list[Sign]:
    """List the test images of some classes by file name.

    Raises
    ------
    FileNotFoundError
        If an image in the table is missing; a clause for `data.loading.cache.load_or_make`.
    ValueError
        If the table is damaged, or there are no test images.
    """
    files = list_images(parts[TEST], {".ppm"})
    signs = [sign for sign in _read_table(parts[TRUTH], parts[TEST]) if sign.class_id in class_ids]
    for class_id in class_ids:
        if class_id not in {sign.class_id for sign in signs}:
            raise ValueError(
                f"The table {parts[TRUTH]} must list test images of class {class_id}, got none; extract {TRUTH} again."
            )
    return _present(signs, set(files), parts[TEST], TEST)


def _present(signs: list[Sign], files: set[Path], folder: Path, archive: str) -> list[Sign]:
    """Signs in the order of their file names, which must all be in `files`."""
    signs = sorted(signs, key=lambda sign: sign.file.name)
    missing = [sign.file.name for sign in signs if sign.file not in files]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {len(missing)} of the {len(signs)} images that its table lists, the first {missing[0]}; "
            f"extract {archive} again"
        )
    return signs


def _read_table(path: Path, folder: Path) -> list[Sign]:
    """Rows of a table, with their files in `folder`."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=";", skipinitialspace=True)
            rows, columns = list(reader), reader.fieldnames or []
    except FileNotFoundError:
        raise FileNotFoundError(f"the table {path} does not exist; extract its archive again") from None
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"The table {path} cannot be read ({error}); extract its archive again.") from None
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise ValueError(
            f"The table {path} must have the columns {';'.join(COLUMNS)}, {', '.join(missing)} missing, got "
            f"{';'.join(columns) or 'none'}; extract its archive again."
        )
    signs = []
    for number, row in enumerate(rows, start=2):
        try:
            left, top, right, bottom, class_id = (int(row[column]) for column in COLUMNS[1:])
            if None in row or not row["Filename"]:
                raise ValueError
        except (ValueError, TypeError):
            raise ValueError(
                f"The table {path} must have {len(columns)} values a row, whole numbers after the file name, got "
                f"{';'.join(map(str, row.values()))} in row {number}; extract its archive again."
            ) from None
        signs.append(Sign(folder / row["Filename"], (left, top, right, bottom), class_id))
    return signs
