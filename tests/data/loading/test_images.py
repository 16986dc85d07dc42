"""Image files: the geometry is torchvision's, colours and rows keep their places, damaged files are named."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data.loading.images import centre_crop, list_images, read_image, resize, resize_shorter_side, stack_images


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    """Smooth enough for JPEG, different in every channel and direction."""
    rows, columns = np.mgrid[:height, :width]
    wave = [np.sin(rows / (3 + c) + seed) + np.cos(columns / (5 + c)) for c in range(3)]
    return Image.fromarray(((np.stack(wave, -1) + 2) * 63).astype(np.uint8))


def same(_: int, image: Image.Image) -> Image.Image:
    return image


@pytest.mark.parametrize("shape", [(15, 15), (31, 47), (250, 243), (48, 48)])
def test_resizing_and_cropping_are_torchvisions(shape: tuple[int, int]) -> None:
    from torchvision.transforms import CenterCrop, Resize

    image = picture(*shape)
    pairs = [
        (resize(image, 48, 40), Resize((48, 40))(image)),
        (resize_shorter_side(image, 32), Resize(32)(image)),
        (resize_shorter_side(image, 64), Resize(64)(image)),
    ]
    for size in ((15, 15), (14, 11), (9, 12)):
        pairs.append((centre_crop(image, *size), CenterCrop(size)(image)))
    for ours, theirs in pairs:
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_shrinking_averages_over_all_pixels() -> None:
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255  # without antialias some would stay black or white
    small = np.asarray(resize(Image.fromarray(board.astype(np.uint8)).convert("RGB"), 8, 8))
    assert np.abs(small.astype(int) - 127).max() <= 2


def test_stacked_rows_are_channel_row_column(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), dtype=np.uint8)
    files = [tmp_path / f"{i}.ppm" for i in range(3)]
    for file, x in zip(files, pixels, strict=True):
        Image.fromarray(x).save(file)
    stacked = stack_images(files[::-1], same, 5, 7)
    np.testing.assert_array_equal(stacked, pixels[::-1].transpose(0, 3, 1, 2))
    assert stacked.dtype == np.uint8


@pytest.mark.parametrize(
    ("mode", "colour", "rgb"),
    [("L", 90, (90, 90, 90)), ("CMYK", (0, 255, 255, 0), (255, 0, 0)), ("RGBA", (1, 2, 3, 0), (1, 2, 3))],
)
def test_other_colour_models_become_rgb(tmp_path: Path, mode: str, colour: Any, rgb: tuple[int, ...]) -> None:
    file = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    Image.new(mode, (4, 4), colour).save(file)
    assert read_image(file).getpixel((1, 2)) == rgb


def test_member_of_an_archive_is_read_like_a_file(tmp_path: Path) -> None:
    picture(20, 30).save(tmp_path / "a.jpg")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(tmp_path / "a.jpg", "inside/a.jpg")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        member = zipfile.Path(archive, "inside/") / "a.jpg"
        packed = stack_images([member], same, 20, 30)
    np.testing.assert_array_equal(packed, stack_images([tmp_path / "a.jpg"], same, 20, 30))


@pytest.mark.parametrize("kind", ["jpg", "png", "ppm"])
@pytest.mark.parametrize("left", [0.0, 0.03, 0.5, 0.9])
def test_file_cut_off_is_named(tmp_path: Path, kind: str, left: float) -> None:
    file = tmp_path / f"00012.{kind}"
    picture(60, 60).save(file)
    content = file.read_bytes()
    file.write_bytes(content[: int(left * len(content))])
    with pytest.raises(ValueError, match=r"00012\.\w+ (is no image|cannot be decoded)") as caught:
        read_image(file)
    assert "\n" not in str(caught.value)


def test_file_that_is_no_image_or_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    with pytest.raises(ValueError, match=r"page\.jpg is no image"):
        read_image(tmp_path / "page.jpg")
    with pytest.raises(FileNotFoundError, match=r"gone\.jpg does not exist"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(ValueError, match="cannot be decoded"):
        read_image(tmp_path)  # a folder


def test_image_too_small_for_the_crop_is_named(tmp_path: Path) -> None:
    picture(20, 30).save(tmp_path / "small.png")
    with pytest.raises(ValueError, match=r"small\.png does not fit this data set \(cannot crop 25×25 .* 30×20\)"):
        stack_images([tmp_path / "small.png"], lambda _, image: centre_crop(image, 25, 25), 25, 25)


def test_files_are_listed_by_name_whatever_the_case_of_their_ending(tmp_path: Path) -> None:
    for name in ("b.JPEG", "a.jpg", "c.txt", "._a.jpg", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path, {".jpg", ".jpeg"})] == ["a.jpg", "b.JPEG"]
    with pytest.raises(ValueError, match=r"must hold \.ppm files, got none"):
        list_images(tmp_path, {".ppm"})
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist"):
        list_images(tmp_path / "nowhere", {".ppm"})
    with pytest.raises(ValueError, match=r"a\.jpg cannot be read"):
        list_images(tmp_path / "a.jpg", {".ppm"})
