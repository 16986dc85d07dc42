"""Image files to pixels: decoding, cropping and resizing, shared by all sets that come as image files.

The geometry is torchvision's for PIL images (``Resize`` with antialias, ``CenterCrop``), because the authors'
program and most published numbers use it. It needs nothing but Pillow.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.loading.archives import ARCHIVE_ERRORS
from data.loading.options import is_system_file

if TYPE_CHECKING:
    from PIL.Image import Image

ImageFile = Path | zipfile.Path
"""A file in a folder, or a member of a zip archive."""


def list_images(folder: Path, endings: Collection[str]) -> list[Path]:
    """List the image files of a folder by name, so that their order is the same on every system.

    Parameters
    ----------
    folder : Path
        The folder; folders in it are not searched, and files of the operating system are left out.
    endings : collection of str
        Lower-case endings of image files such as ``{".jpg", ".jpeg"}``; case does not matter in the file names.

    Raises
    ------
    FileNotFoundError
        If the folder is missing; a clause for `data.loading.cache.load_or_make`, which makes a sentence of it.
    ValueError
        If it holds no such file, or cannot be read.
    """
    try:
        files = [path for path in folder.iterdir() if path.suffix.lower() in endings and not is_system_file(path.name)]
        files.sort(key=lambda path: path.name)
    except FileNotFoundError:
        raise FileNotFoundError(f"the folder {folder} does not exist") from None
    except OSError as error:
        raise ValueError(
            f"The image folder {folder} cannot be read ({error.strerror}); change its permissions."
        ) from None
    if not files:
        raise ValueError(
            f"The image folder {folder} must hold {' or '.join(sorted(endings))} files, got none; extract it again."
        )
    return files


def read_image(file: ImageFile) -> Image:
    """Decode an image file to RGB, all of its pixels; grey, CMYK and palette images are converted.

    An orientation tag is ignored, as the usual loaders of these sets do.

    Raises
    ------
    FileNotFoundError
        If there is no such file; a clause for `data.loading.cache.load_or_make`, which makes a sentence of it.
    ValueError
        If it is damaged, cut off, or no image.
    """
    from PIL import Image, UnidentifiedImageError  # here, because a prepared file needs no Pillow

    # All that Pillow's decoders are known to raise on damaged files; SyntaxError is its word for a broken header.
    damages = (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, OverflowError)
    try:
        with file.open("rb") as stream, Image.open(stream) as image:
            return image.convert("RGB")
    except FileNotFoundError:
        raise FileNotFoundError(f"the image file {file} does not exist") from None
    except UnidentifiedImageError:
        raise ValueError(f"The image file {file} is no image, or its beginning is damaged; get it again.") from None
    except (*damages, *ARCHIVE_ERRORS, struct.error, MemoryError, Image.DecompressionBombError) as error:
        raise ValueError(f"The image file {file} cannot be decoded ({error}); get it again.") from None


def resize(image: Image, height: int, width: int) -> Image:
    """Resize to `height` × `width` pixels: bilinear, and averaging over all source pixels where it shrinks."""
    from PIL import Image

    return image.resize((width, height), Image.Resampling.BILINEAR)


def resize_shorter_side(image: Image, size: int) -> Image:
    """Resize so that the shorter side has `size` pixels; the longer one is cut to a whole number of pixels."""
    width, height = image.size
    shorter = min(width, height)
    return resize(image, size * height // shorter, size * width // shorter)


def centre_crop(image: Image, height: int, width: int) -> Image:
    """Cut `height` × `width` pixels out of the middle; where half a pixel is left over, the even neighbour is taken.

    Raises
    ------
    ValueError
        If the image is smaller: nothing is padded.
    """
    has_width, has_height = image.size
    if height > has_height or width > has_width:
        raise ValueError(f"cannot crop {width}×{height} pixels out of {has_width}×{has_height}")
    top, left = round((has_height - height) / 2), round((has_width - width) / 2)
    return image.crop((left, top, left + width, top + height))


def stack_images(
    files: Sequence[ImageFile], fit: Callable[[int, Image], Image], height: int, width: int
) -> NDArray[np.uint8]:
    """Decode files into one array, one image in memory at a time.

    Parameters
    ----------
    files : sequence of n files
        Read in this order.
    fit : callable
        ``fit(i, image)`` crops and resizes the image of ``files[i]`` to `height` × `width`; it may raise ValueError
        with a clause that says why it cannot.
    height, width : int
        Pixels.

    Returns
    -------
    ndarray of shape (n, 3, height, width), uint8
        Channel (red, green, blue), row, column.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_image`; ValueError also if an image does not fit.
    """
    stacked = np.empty((len(files), 3, height, width), np.uint8)
    for i, file in enumerate(files):
        image = read_image(file)
        try:
            fitted = fit(i, image)
        except ValueError as error:
            raise ValueError(f"The image file {file} does not fit this data set ({error}); get it again.") from None
        stacked[i] = np.asarray(fitted).transpose(2, 0, 1)
    return stacked
