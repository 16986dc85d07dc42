"""Your own images: a folder of image files for each class, with or without folders ``train`` and ``test`` above."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.dataset import Dataset
from data.loading.images import list_images, read_image, resize, stack_images
from data.loading.options import check_switch, check_whole, is_system_file
from data.loading.own import Options, Samples, choose_classes, joined, make_dataset

if TYPE_CHECKING:
    from PIL.Image import Image

_NAME = "images"
ENDINGS = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
TEST_FOLDERS = ("test", "val", "valid", "validation")


def load(
    path: str | None = None,
    *,
    classes: Any = None,
    size: Any = None,
    grey: bool = False,
    test_size: float = 0.25,
    split_seed: int = 0,
) -> Dataset:
    """Load the images of two or more classes.

    Parameters
    ----------
    path : str
        A folder with a folder for each class or, where the split is given, with the folders ``train`` and ``test`` (or
        ``val``) that have them. Folders below a class are not searched.
    classes : list of two or more names, optional
        Names of folders that become label 0, label 1 and so on. Default: all, in the order of their names.
    size : int or (int, int), optional
        Height and width to resize to, bilinear with antialias. Without it all images must have one size.
    grey : bool
        Whether to convert to one channel; else there are three.
    test_size, split_seed
        See :func:`data.arrays.load`.

    Returns
    -------
    Dataset
        uint8 pixels, which become inputs in [0, 1]; feature shape (3 or 1, height, width). The files of a class are
        ordered by name.

    Raises
    ------
    ValueError, FileNotFoundError
        One sentence on the folder, file or option that is missing or wrong.
    """
    if not isinstance(path, str) or not path.strip():
        raise ValueError(f"dataset.path of {_NAME} must be a folder with a folder for each class, got {path!r}.")
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"dataset.path={path} {'is not a folder' if folder.exists() else 'does not exist'}.")
    check_switch(_NAME, "grey", grey)
    options = Options(_NAME, classes, test_size, split_seed, scaling="pixels")
    options.check()
    parts = _splits(folder)
    names = [np.array(sorted(each.name for each in _folders(part)), dtype=np.str_) for part in parts]
    if not len(names[0]):
        raise ValueError(f"dataset.path={path} must have a folder for each class, got none.")
    chosen, others = choose_classes(options, names)
    files = [[(file, name) for name in chosen for file in _files(part / name)] for part in parts]
    height, width = _common_size([file for part in files for file, _ in part]) if size is None else _given_size(size)
    samples = []
    for part in files:
        x: NDArray[Any] = stack_images(
            [file for file, _ in part], lambda _, image: resize(image, height, width), height, width
        )
        if grey:
            x = np.stack([np.asarray(read_grey(image)) for image in x])[:, None]
        samples.append(Samples(x, np.array([name for _, name in part])))
    notes = [f"only the classes {joined(chosen)} of {len(chosen) + len(others)}"] if others else []
    provenance = {"source": "the user's images", "file": str(folder), "notes": notes}
    return make_dataset(samples[0], samples[1] if len(samples) > 1 else None, options, provenance)


def read_grey(pixels: NDArray[np.uint8]) -> Image:
    """Return (3, height, width) pixels as a grey image, by Pillow's weights of the channels."""
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).convert("L")


def _folders(folder: Path) -> list[Path]:
    return [each for each in folder.iterdir() if each.is_dir() and not is_system_file(each.name)]


def _splits(folder: Path) -> list[Path]:
    """The folders of the classes: that of all, or those of the training and the test split."""
    if not (folder / "train").is_dir():
        return [folder]
    test = next((folder / name for name in TEST_FOLDERS if (folder / name).is_dir()), None)
    if test is None:
        raise ValueError(f"The folder {folder} has train, so it must also have one of: {', '.join(TEST_FOLDERS)}.")
    return [folder / "train", test]


def _files(folder: Path) -> list[Path]:
    return list_images(folder, ENDINGS)


def _given_size(size: Any) -> tuple[int, int]:
    sides = list(size) if isinstance(size, list | tuple) else [size, size]
    if len(sides) != 2:
        raise ValueError(f"dataset.size of {_NAME} must be a number of pixels or [height,width], got {size!r}.")
    height, width = (check_whole(_NAME, "size", side, 1, 1 << 14) for side in sides)
    return height, width


def _common_size(files: list[Path]) -> tuple[int, int]:
    """Height and width that all images have."""
    width, height = _size(files[0])
    for file in files:
        if _size(file) != (width, height):
            raise ValueError(
                f"The images of {_NAME} must have one size, but {files[0]} has {width}×{height} pixels and {file} has "
                f"{'×'.join(map(str, _size(file)))}; resize all of them with dataset.size=[{height},{width}]."
            )
    return height, width


def _size(file: Path) -> tuple[int, int]:
    """Width and height, from the beginning of the file."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            return image.size
    except Exception:  # whatever a damaged file makes Pillow raise: reading all of it says what is wrong
        return read_image(file).size
