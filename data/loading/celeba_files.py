"""The published files of CelebA: the tables of attributes and of the official partition, and the images.

They lie in ``<data folder>/celeba/``: ``list_attr_celeba.txt``, ``list_eval_partition.txt``, and the aligned and
cropped images, ``img_align_celeba/`` or ``img_align_celeba.zip``, which is read without unpacking it. Nothing is
downloaded: they are handed out for non-commercial research through a page that asks for that to be agreed to.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from data.loading.images import ImageFile

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


class Face(NamedTuple):
    """An image that has exactly one of two attributes."""

    name: str  # 000001.jpg
    label: int  # 0: the first attribute, 1: the second
    partition: int  # 0 training, 1 validation, 2 test


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
                f"get it anew from {PAGE}."
            )
    if lines[0].strip() != str(len(lines) - 2):
        raise ValueError(
            f"The table {path} must say in line 1 how many rows follow the names, {len(lines) - 2} here, got "
            f"{lines[0].strip()!r}; get it anew from {PAGE}."
        )
    first, second = (1 + columns.index(name) for name in pair)
    found = []
    for number, line in enumerate(lines[2:], start=3):
        words = line.split()
        if len(words) != 1 + len(columns) or not {*words[1:]} <= {"-1", "1"}:
            raise ValueError(
                f"The table {path} must have a file name and {len(columns)} values -1 or 1 a row, got "
                f"{len(words) - 1} values, {_odd(words)} in line {number}; get it anew from {PAGE}."
            )
        if words[first] == words[second]:
            continue
        if words[0] not in partition:
            raise ValueError(
                f"The table {folder / PARTITION} must list every image of {ATTRIBUTES}, it lacks {words[0]}; get both "
                f"anew from {PAGE}."
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
                f"get it anew from {PAGE}."
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
        raise ValueError(f"The table {path} cannot be read ({error}); get it anew from {PAGE}.") from None
    if not lines:
        raise ValueError(
            f"The table {path} must have a row for each image, got an empty file; get it anew from {PAGE}."
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
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"The archive {packed} cannot be read ({error}); get it anew from {PAGE}.") from None
    with archive:
        inside = f"{IMAGES}/"
        _all_there(wanted, {name.removeprefix(inside) for name in archive.namelist()}, packed)
        root = zipfile.Path(archive, inside)
        yield {face.name: root / face.name for face in wanted}


def _all_there(wanted: list[Face], there: set[str], where: Path) -> None:
    missing = [face.name for face in wanted if face.name not in there]
    if missing:
        raise FileNotFoundError(
            f"{where} lacks {len(missing)} of the {len(wanted)} images drawn from {ATTRIBUTES}, the first "
            f"{missing[0]}; get {IMAGES}.zip anew from {PAGE}, or, to work with a part of CelebA, take the rows of all "
            "missing images out of the table and correct its first line"
        )
