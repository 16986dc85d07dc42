"""ImageNet pairs: which images, in which order, what geometry; what another set is called and what bad files end in."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from data import Dataset, imagenet

CONF = Path(__file__).resolve().parents[2] / "conf" / "dataset" / "imagenet.yaml"
NAMES = ("n03", "n01", "n02")  # as a file system may list them
SMALL = {"resize": 16, "crop": 12}  # so that the miniature is quick and its images are large enough


def write(folder: Path, train: int = 4, test: int = 2, size: tuple[int, int] = (20, 18)) -> None:
    """Write a tree of three classes, every image of one colour: red is the class, green the split, blue the number."""
    for part, count, green in (("train", train, 0), ("val", test, 200)):
        for name in NAMES:
            place = folder / "imagenet" / part / name
            place.mkdir(parents=True, exist_ok=True)
            for i in reversed(range(count)):
                colour = (int(name[2]) * 50, green, i * 10)
                Image.new("RGB", size, colour).save(place / f"{name}_{i:02}.png")
            (place / "notes.txt").write_text("no image")


def load(folder: Path, **options: Any) -> Dataset:
    return imagenet.load(**SMALL | options, data_dir=str(folder), outputs_dir=str(folder / "outputs"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path)
    return tmp_path


def colours(x: np.ndarray) -> list[list[int]]:
    """Red, green and blue of every image (n, 3, row, column) of one colour."""
    return x[:, :, 0, 0].tolist()


@pytest.mark.parametrize("classes", [None, [0, 1], ["n01", "n02"]])
def test_the_first_two_by_name_are_the_default_pair(folder: Path, classes: Any) -> None:
    dataset = load(folder, classes=classes)
    assert colours(dataset.x_train) == [[red, 0, 10 * i] for red in (50, 100) for i in range(4)]
    assert colours(dataset.x_test) == [[red, 200, 10 * i] for red in (50, 100) for i in range(2)]
    assert dataset.y_train.tolist() == [0] * 4 + [1] * 4
    assert dataset.y_test.tolist() == [0, 0, 1, 1]
    assert dataset.class_names == ("n01", "n02")
    assert dataset.x_train.dtype == np.uint8
    assert dataset.feature_shape == (3, 12, 12)


@pytest.mark.parametrize("classes", [[2, 0], ["n03", "n01"]])
def test_first_class_given_is_label_0(folder: Path, classes: Any) -> None:
    dataset = load(folder, classes=classes)
    assert [red for red, _, _ in colours(dataset.x_train)] == [150] * 4 + [50] * 4
    assert dataset.y_train.tolist() == [0] * 4 + [1] * 4
    assert dataset.class_names == ("n03", "n01")


@pytest.mark.parametrize(("size", "top", "left"), [((20, 16), 2, 4), ((16, 26), 7, 2)])
def test_middle_is_cut_out_of_an_image_that_needs_no_resizing(
    folder: Path, size: tuple[int, int], top: int, left: int
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "imagenet" / "train" / "n01" / "n01_00.png")
    expected = pixels[top : top + 12, left : left + 12].transpose(2, 0, 1)
    np.testing.assert_array_equal(load(folder).x_train[0], expected)
    dataset = load(folder)
    np.testing.assert_array_equal(dataset.rows("train", [0])[0], expected.ravel().astype(np.float32) / np.float32(255))


def test_shorter_side_decides_the_size(folder: Path) -> None:
    """A picture of 32×64, half black and half white, becomes one of 16×32: the border stays in the middle."""
    pixels = np.zeros((64, 32, 3), np.uint8)
    pixels[32:] = 255
    Image.fromarray(pixels).save(folder / "imagenet" / "train" / "n01" / "n01_00.png")
    image = load(folder).x_train[0]
    assert image[:, :5].max() == 0
    assert image[:, 7:].min() == 255


@pytest.mark.parametrize(("mode", "ending"), [("L", "JPEG"), ("CMYK", "jpg"), ("P", "png"), ("RGBA", "png")])
def test_every_kind_of_image_becomes_rgb(folder: Path, mode: str, ending: str) -> None:
    image = Image.new("RGB", (20, 20), (120, 120, 120)).convert(mode, palette=Image.Palette.ADAPTIVE)
    image.save(folder / "imagenet" / "train" / "n01" / f"a.{ending}")  # sorted before the others
    grey = load(folder).x_train[0].astype(int)
    assert np.abs(grey - 120).max() <= 2  # of JPEG's rounding


def test_other_counts_and_enlarged_images_are_noted(folder: Path) -> None:
    assert [note.split(":")[0] for note in load(folder).provenance["notes"]] == ["not the paper's set"]
    notes = load(folder, resize=19).provenance["notes"]  # the images have 20×18 pixels
    assert "8 training and 4 test images, the paper has 2580 and 100" in notes[0]
    assert "8 of 8 train images were enlarged, their shorter side has less than 19 pixels (the smallest 18)" in notes[1]
    assert "4 of 4 test images were enlarged" in notes[2]
    assert load(folder, resize=19).provenance["notes"] == notes  # from the cache, too


def test_as_many_images_as_the_paper_and_large_enough_need_no_note(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imagenet, "PAPER_COUNTS", {"train": 8, "test": 4})
    assert load(folder).provenance["notes"] == []


def test_caps_take_the_first_of_each_class(folder: Path) -> None:
    dataset = load(folder, n_train=4, n_test=2)
    assert colours(dataset.x_train) == [[red, 0, 10 * i] for red in (50, 100) for i in range(2)]
    assert colours(dataset.x_test) == [[50, 200, 0], [100, 200, 0]]
    assert load(folder, n_train=100).checksum == load(folder).checksum  # at most


def test_every_setting_that_changes_the_pixels_has_a_cache_of_its_own(folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (18, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "imagenet" / "train" / "n01" / "n01_00.png")
    variants: list[dict[str, Any]] = [
        {},
        {"classes": [1, 0]},
        {"classes": ["n01", "n03"]},
        {"resize": 17},
        {"crop": 11},
        {"n_train": 4},
        {"n_test": 2},
    ]
    made = [load(folder, **options) for options in variants]
    assert len(list((folder / "prepared").glob("*.npz"))) == len(variants)
    assert len({dataset.checksum for dataset in made}) == len(variants)
    assert [load(folder, **options).checksum for options in variants] == [dataset.checksum for dataset in made]


def test_cache_does_without_the_folders(folder: Path) -> None:
    made = load(folder)
    (folder / "imagenet").rename(folder / "elsewhere")
    cached = load(folder)
    assert cached.checksum == made.checksum
    assert cached.class_names == ("n01", "n02")
    assert cached.provenance["verified"]


@pytest.mark.parametrize(
    "change", ["train/n00/x.png", "train/n01/n01_09.png", "val/n02/n02_00.png"], ids=["class", "image", "size"]
)
def test_cache_is_rebuilt_when_the_folders_changed(folder: Path, change: str) -> None:
    before = load(folder)
    for path in {change, change.replace("train/n00", "val/n00")}:
        (folder / "imagenet" / path).parent.mkdir(exist_ok=True)
        for name in {path, path.replace("x.png", "y.png")}:  # a new class needs two images
            Image.new("RGB", (30, 30), (1, 2, 3)).save(folder / "imagenet" / name)
    with pytest.warns(UserWarning, match=r"the images in .*imagenet changed since it was made"):
        after = load(folder)
    assert [1, 2, 3] in colours(np.concatenate([after.x_train, after.x_test]))
    assert after.checksum != before.checksum


def test_prepared_file_of_another_shape_is_not_used(folder: Path) -> None:
    (folder / "prepared").mkdir()
    x, y = np.zeros((4, 3, 16, 16), np.uint8), np.array([0, 1, 0, 1], np.uint8)
    np.savez(folder / "prepared" / "imagenet_0_1_resize16_crop12.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.warns(UserWarning, match="x_train must be uint8 of shape"):
        assert load(folder).provenance["verified"]


def test_prepared_file_from_elsewhere_is_used_without_folders(tmp_path: Path) -> None:
    (tmp_path / "prepared").mkdir()
    x, y = np.zeros((4, 3, 12, 12), np.uint8), np.array([0, 1, 0, 1], np.uint8)
    np.savez(tmp_path / "prepared" / "imagenet_0_1_resize16_crop12.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    dataset = load(tmp_path)
    assert dataset.class_names == ("class 0", "class 1")
    assert not dataset.provenance["verified"]


def test_pixels_are_in_memory_once_and_as_bytes(tmp_path: Path) -> None:
    write(tmp_path, train=40, test=4)
    load(tmp_path)  # whatever is imported only once
    tracemalloc.start()
    dataset = load(tmp_path, resize=256, crop=224, classes=["n01", "n02"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * (dataset.x_train.nbytes + dataset.x_test.nbytes)  # one copy of it while it is written


def test_without_folders_the_sentence_says_where_to_put_them(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        load(tmp_path)
    for expected in (imagenet.SOURCE, "ILSVRC2012_img_train.tar (138 GB)", "/<class>/*.JPEG", "paths.data", "SCD_DATA"):
        assert expected in str(caught.value)
    assert str(tmp_path / "imagenet" / "val") in str(caught.value)


def test_a_single_class_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "imagenet" / "train" / "n01").mkdir(parents=True)
    (tmp_path / "imagenet" / "train" / ".hidden").mkdir()
    with pytest.raises(FileNotFoundError, match="must hold at least two class folders, got n01; "):
        load(tmp_path)


def test_a_class_without_validation_folder_or_images_is_named(folder: Path) -> None:
    val = folder / "imagenet" / "val" / "n02"
    for path in val.iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=f"{val} must hold .*jpg or .png files, got none"):
        load(folder)
    val.rmdir()
    with pytest.raises(FileNotFoundError, match=f"{val} does not exist"):
        load(folder)
    assert not (folder / "prepared").exists()


@pytest.mark.parametrize("content", [b"", b"no image", None], ids=["empty", "text", "half"])
def test_damaged_image_is_named(folder: Path, content: bytes | None) -> None:
    path = folder / "imagenet" / "train" / "n02" / "n02_03.png"
    noise = np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:1000] if content is None else content)
    with pytest.raises(ValueError, match=f"The image file {path} .*get it again") as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    assert not (folder / "prepared").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"classes": ["n01", "n09"]}, r"must be two of the folders in .*train, n01, n02, n03; got n09"),
        ({"classes": [0, 3]}, r"two different whole numbers in 0\.\.2, got \[0, 3\]"),
        ({"classes": [0, -1]}, r"must be null, two different names .* got \[0, -1\]"),
        ({"classes": [0, 0]}, r"must be null, two different names .* got \[0, 0\]"),
        ({"classes": ["n01"]}, r"must be null, two different names .* got \['n01'\]"),
        ({"classes": "n01"}, r"must be null, two different names .* got 'n01'"),
        ({"classes": [0, "n01"]}, r"must be null, two different names"),
        ({"classes": ["../train/n01", "n02"]}, r"must be null, two different names"),
        ({"classes": [True, False]}, r"must be null, two different names"),
        ({"classes": 5}, r"must be null, two different names .* got 5"),
        ({"resize": 0}, r"dataset\.resize of imagenet must be a whole number >= 1, got 0"),
        ({"crop": 17}, r"dataset\.crop of imagenet must be a whole number >= 1 and at most 16, .* got 17"),
        ({"crop": 12.0}, r"dataset\.crop of imagenet must be a whole number"),
        ({"n_train": 5}, r"dataset\.n_train of imagenet must be null or an even number >= 4, got 5"),
        ({"n_test": 0}, r"dataset\.n_test of imagenet must be null or an even number >= 2, got 0"),
    ],
)
def test_each_illegal_option_is_one_sentence_with_its_key(folder: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        load(folder, **options)
    assert str(caught.value).startswith("dataset.")


def test_the_config_composes_and_loads_the_set(folder: Path) -> None:
    paths = {"data": str(folder), "outputs": str(folder / "outputs")}
    config = OmegaConf.create({"dataset": OmegaConf.load(CONF), "paths": paths})
    loaded = instantiate({k: v for k, v in config.dataset.items() if k not in ("name", "training", "attack")})
    assert loaded.name == config.dataset.name == "imagenet"
    assert loaded.feature_shape == (3, 224, 224)
    assert loaded.checksum == load(folder, resize=256, crop=224).checksum
