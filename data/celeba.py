"""CelebA, black-haired against brown-haired faces: 1,000 training and 1,000 test images of 3×96×96.

The paper names the two attributes and these counts. Which images the authors used and how they cropped them is not
published. Here they are a seeded draw, half of each class, from the official training and test partitions; the centre
178×178 of the aligned 178×218 images, the whole width, is resized. Source: Liu et al. (2015), "Deep learning face
attributes in the wild".

The files are stored in ``<data folder>/celeba/``: ``list_attr_celeba.txt``, ``list_eval_partition.txt``, and the
aligned and cropped images, ``img_align_celeba/`` or ``img_align_celeba.zip``, which is read without unpacking it.
Nothing is downloaded: the files are for non-commercial research, and their page asks the user to agree to that.
"""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from data.dataset import Dataset
from data.loading.archives import ARCHIVE_ERRORS, check_members
from data.loading.cache import Arrays, load_or_make
from data.loading.images import ImageFile, centre_crop, resize, stack_images
from data.loading.options import check_data_folder, check_pixels, check_whole

if TYPE_CHECKING:
    from PIL.Image import Image

PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
IMAGES, ATTRIBUTES, PARTITION = "img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"
# fmt: off
NAMES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes",
    "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns", "Smiling",
    "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace",
    "Wearing_Necktie", "Young",
)
# fmt: on
"""The 40 attributes, in the order of their columns."""
WIDTH, HEIGHT = 178, 218  # of every aligned image
TRAIN, TEST = 0, 2  # official partitions
MIN_IMAGES = 4  # images of each class, so that a split in halves has 2 of each for training


class Face(NamedTuple):
    """An image that has exactly one of two attributes."""

    name: str  # 000001.jpg
    label: int  # 0: the first attribute, 1: the second
    partition: int  # 0 training, 1 validation, 2 test


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
    split at random, with equal class counts, and ``provenance["notes"]`` has a note.

    Parameters
    ----------
    classes : two str
        Attributes that become label 0 and label 1, in this order.
    n_train, n_test : int
        Images in each split, an even number: half of each class. Fewer where the files hold too few.
    size : int
        Height and width in pixels after resizing (bilinear, with antialias where an image shrinks).
    crop : int
        Height and width in pixels of the square cut out of the middle of the 178×218 image before.
    seed : int
        Seed of the draw. A constant, not the experiment's seed: the test set does not change between experiments.
    data_dir : str
        Folder with the prepared file or ``celeba/`` (``paths.data``).
    outputs_dir : str
        Second place for the prepared file, when `data_dir` cannot be written (``paths.outputs``).

    Returns
    -------
    Dataset
        uint8 pixels, feature shape (3, size, size); samples in the order of the published table.

    Raises
    ------
    ValueError
        If an option is not legal, `data_dir` cannot be read, or a published file is damaged or not as published.
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


def _check_even(key: str, value: Any, minimum: int) -> int:
    number = check_whole("celeba", key, value, minimum, 200_000)
    if number % 2:
        raise ValueError(f"dataset.{key} of celeba must be even, half for each class, got {number}.")
    return number


def _cut(folder: Path, pair: tuple[str, str], numbers: tuple[int, int], size: int, crop: int, seed: int) -> Arrays:
    """Images (n, 3, size, size), labels 0/1 and file names of both splits, and notes on how they were drawn."""
    listed = faces(folder, pair)
    zero, one = (sum(face.label == label for face in listed) for label in (0, 1))
    if min(zero, one) < MIN_IMAGES:
        raise ValueError(
            f"The table {folder / ATTRIBUTES} must list at least {MIN_IMAGES} images of each class of dataset.classes, "
            f"got {zero} and {one}; choose other attributes or get more of CelebA."
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
    """Positions of label 0 and positions of label 1 in some partitions."""
    return [[i for i, f in enumerate(listed) if f.label == label and f.partition in partitions] for label in (0, 1)]


def how_to_get(folder: Path) -> str:
    """Say what to put where; a clause for `data.loading.cache.load_or_make`."""
    return (
        f"get {IMAGES}.zip (1.4 GB; unpacked as {IMAGES}/ or as it is), {ATTRIBUTES} (27 MB) and {PARTITION} (3 MB) "
        f"from {PAGE} (Align&Cropped Images, Anno, Eval) and put them into {folder}, or set paths.data or the "
        "environment variable SCD_DATA to a folder that holds celeba/ or the prepared file"
    )


def faces(folder: Path, pair: tuple[str, str]) -> list[Face]:
    """List the images that have exactly one of two attributes, in the order of the attribute table.

    Raises
    ------
    FileNotFoundError
        If a table is missing; a clause for `data.loading.cache.load_or_make`.
    ValueError
        If a table is not as published: its head, its number of rows, a row's length or a value.
    """
    partition = _read_partition(folder / PARTITION)
    path = folder / ATTRIBUTES
    lines = _lines(path)
    columns = lines[1].split() if len(lines) > 1 else []
    for name in pair:
        if name not in columns:
            raise ValueError(
                f"The table {path} must name its attributes in line 2, {name} among them, got {len(columns)} names; "
                f"get it again from {PAGE}."
            )
    if lines[0].strip() != str(len(lines) - 2):
        raise ValueError(
            f"The table {path} must say in line 1 how many rows follow the names, {len(lines) - 2} here, got "
            f"{lines[0].strip()!r}; get it again from {PAGE}."
        )
    first, second = (1 + columns.index(name) for name in pair)
    found = []
    for number, line in enumerate(lines[2:], start=3):
        words = line.split()
        if len(words) != 1 + len(columns) or not {*words[1:]} <= {"-1", "1"}:
            raise ValueError(
                f"The table {path} must have a file name and {len(columns)} values -1 or 1 a row, got "
                f"{len(words) - 1} values, {_odd(words)} in line {number}; get it again from {PAGE}."
            )
        if words[first] == words[second]:
            continue
        if words[0] not in partition:
            raise ValueError(
                f"The table {folder / PARTITION} must list every image of {ATTRIBUTES}, it lacks {words[0]}; get both "
                f"again from {PAGE}."
            )
        found.append(Face(words[0], int(words[second] == "1"), partition[words[0]]))
    return found


def _odd(words: list[str]) -> str:
    odd = next((word for word in words[1:] if word not in ("-1", "1")), None)
    return "all of them -1 or 1," if odd is None else f"{odd!r} among them,"


def _read_partition(path: Path) -> dict[str, int]:
    """File name to 0 (training), 1 (validation) or 2 (test)."""
    partition = {}
    for number, line in enumerate(_lines(path), start=1):
        words = line.split()
        if len(words) != 2 or words[1] not in ("0", "1", "2"):
            raise ValueError(
                f"The table {path} must have a file name and 0, 1 or 2 a row, got {line.strip()!r} in line {number}; "
                f"get it again from {PAGE}."
            )
        partition[words[0]] = int(words[1])
    return partition


def _lines(path: Path) -> list[str]:
    """Lines of a table that are not empty at its end."""
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{path} does not exist; {how_to_get(path.parent)}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"The table {path} cannot be read ({error}); get it again from {PAGE}.") from None
    if not lines:
        raise ValueError(
            f"The table {path} must have a row for each image, got an empty file; get it again from {PAGE}."
        )
    return lines


@contextmanager
def open_images(folder: Path, wanted: list[Face]) -> Iterator[dict[str, ImageFile]]:
    """Open the folder or the archive of the images; yields the file of each face by its name.

    Raises
    ------
    FileNotFoundError
        If there is neither, or one that lacks an image; a clause for `data.loading.cache.load_or_make`.
    ValueError
        If the archive is damaged.
    """
    unpacked, packed = folder / IMAGES, folder / f"{IMAGES}.zip"
    if unpacked.is_dir():
        there = {path.name for path in unpacked.iterdir()}
        _all_there(wanted, there, unpacked)
        yield {face.name: unpacked / face.name for face in wanted}
        return
    try:
        archive = zipfile.ZipFile(packed)
    except FileNotFoundError:
        raise FileNotFoundError(f"neither {unpacked} nor {packed.name} exists; {how_to_get(folder)}") from None
    except ARCHIVE_ERRORS as error:
        raise ValueError(f"The archive {packed} cannot be read ({error}); get it again from {PAGE}.") from None
    with archive:
        inside = f"{IMAGES}/"
        members = {info.filename.removeprefix(inside): info for info in archive.infolist()}
        _all_there(wanted, members.keys(), packed)
        check_members(packed, [members[face.name] for face in wanted])
        root = zipfile.Path(archive, inside)
        yield {face.name: root / face.name for face in wanted}


def _all_there(wanted: list[Face], there: Collection[str], where: Path) -> None:
    missing = [face.name for face in wanted if face.name not in there]
    if missing:
        raise FileNotFoundError(
            f"{where} lacks {len(missing)} of the {len(wanted)} images drawn from {ATTRIBUTES}, the first "
            f"{missing[0]}; get {IMAGES}.zip again from {PAGE}, or, to work with a part of CelebA, take the rows of "
            "all missing images out of the table and correct its first line"
        )
