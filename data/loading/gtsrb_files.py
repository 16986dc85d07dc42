"""The official files of GTSRB: where they lie, how to get them, and what their tables say.

Read as published, in ``<data folder>/gtsrb/`` or in the data folder itself: ``GTSRB/Final_Training/Images`` or
``GTSRB/Training`` (a folder ``0000c`` of .ppm files and a table ``GT-0000c.csv`` for each class),
``GTSRB/Final_Test/Images``, and ``GT-final_test.csv`` beside ``GTSRB/``, in it or with the test images.

torchvision's own ``GTSRB`` is not used: as training set it downloads the smaller one of the 2011 competition, 26,640
images. Downloaded is the final one, from the same server, by torchvision's functions.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data.loading.download import DOWNLOAD_ERRORS, guarded_download, on_one_line, unpack_part
from data.loading.folder import ensure_data_folder
from data.loading.images import list_images

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
        If a class folder is empty, or its table is wrong.
    """
    signs = []
    for class_id in class_ids:
        folder = parts[TRAIN] / f"{class_id:05d}"
        if not folder.exists():
            raise FileNotFoundError(f"the folder of class {class_id}, {folder}, does not exist; unpack {TRAIN} anew")
        files = list_images(folder, {".ppm"})
        of_class = _read_table(folder / f"GT-{class_id:05d}.csv", folder)
        for sign in of_class:
            if sign.class_id != class_id:
                raise ValueError(
                    f"The table {folder / f'GT-{class_id:05d}.csv'} must list images of class {class_id} only, got "
                    f"class {sign.class_id} for {sign.file.name}; unpack {TRAIN} anew."
                )
        unlisted = set(files) - {sign.file for sign in of_class}
        if unlisted:
            raise ValueError(
                f"The table {folder / f'GT-{class_id:05d}.csv'} must list every image of its folder, {len(unlisted)} "
                f"are missing from it, the first {min(unlisted).name}; unpack {TRAIN} anew."
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
        If the table is wrong, or there are no test images.
    """
    files = list_images(parts[TEST], {".ppm"})
    signs = [sign for sign in _read_table(parts[TRUTH], parts[TEST]) if sign.class_id in class_ids]
    for class_id in class_ids:
        if class_id not in {sign.class_id for sign in signs}:
            raise ValueError(
                f"The table {parts[TRUTH]} must list test images of class {class_id}, got none; unpack {TRUTH} anew."
            )
    return _present(signs, set(files), parts[TEST], TEST)


def _present(signs: list[Sign], files: set[Path], folder: Path, archive: str) -> list[Sign]:
    """Signs in the order of their file names, all of which must be among `files`."""
    signs = sorted(signs, key=lambda sign: sign.file.name)
    missing = [sign.file.name for sign in signs if sign.file not in files]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {len(missing)} of the {len(signs)} images that its table lists, the first {missing[0]}; "
            f"unpack {archive} anew"
        )
    return signs


def _read_table(path: Path, folder: Path) -> list[Sign]:
    """Rows of a table, with their files in `folder`."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=";", skipinitialspace=True)
            rows, columns = list(reader), reader.fieldnames or []
    except FileNotFoundError:
        raise FileNotFoundError(f"the table {path} does not exist; unpack its archive anew") from None
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"The table {path} cannot be read ({error}); unpack its archive anew.") from None
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise ValueError(
            f"The table {path} must have the columns {';'.join(COLUMNS)}, {', '.join(missing)} missing, got "
            f"{';'.join(columns) or 'none'}; unpack its archive anew."
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
                f"{';'.join(map(str, row.values()))} in row {number}; unpack its archive anew."
            ) from None
        signs.append(Sign(folder / row["Filename"], (left, top, right, bottom), class_id))
    return signs
