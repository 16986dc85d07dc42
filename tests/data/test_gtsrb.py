"""GTSRB pairs: pixels, labels and crops as the official files have them, in every layout; each fault is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data import Dataset, gtsrb
from data.loading.images import resize

HEAD = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"
CLASSES = (2, 3, 8)
OFFICIAL = (".", "GTSRB/Final_Training/Images", "GT-final_test.csv")  # base, training images, test labels
TORCHVISION = ("gtsrb", "GTSRB/Training", "GT-final_test.csv")
LAYOUTS = [OFFICIAL, TORCHVISION, (".", "GTSRB/Training", "GTSRB/GT-final_test.csv")]


class MiniGtsrb:
    """Four training images (two tracks) and two test images of each class, of several sizes."""

    def __init__(self, folder: Path, sizes: tuple[int, ...] = (15, 20, 48)) -> None:
        rng = np.random.default_rng(3)
        self.folder = folder
        self.pixels: dict[str, np.ndarray] = {}
        for c in CLASSES:
            for name in ("00000_00000", "00000_00001", "00001_00000", "00001_00001"):
                self.pixels[f"{c:05d}/{name}.ppm"] = self._image(rng, sizes)
        self.truth = {f"{i:05d}.ppm": CLASSES[i % 3] for i in range(6)}
        self.pixels |= {f"Images/{name}": self._image(rng, sizes) for name in self.truth}

    @staticmethod
    def _image(rng: Any, sizes: tuple[int, ...]) -> np.ndarray:
        height, width = rng.choice(sizes, 2)
        return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)

    def _row(self, key: str, class_id: int) -> str:
        height, width, _ = self.pixels[key].shape
        return f"{key.split('/')[1]};{width};{height};3;4;{width - 2};{height - 1};{class_id}"

    def write(self, layout: tuple[str, str, str] = TORCHVISION) -> None:
        base = self.folder / layout[0]
        self.train, self.test, self.csv = base / layout[1], base / "GTSRB/Final_Test/Images", base / layout[2]
        self.test.mkdir(parents=True)
        for c in CLASSES:
            (self.train / f"{c:05d}").mkdir(parents=True)
            rows = [self._row(key, c) for key in self.pixels if key.startswith(f"{c:05d}/")]
            self.table(c).write_text("\n".join([HEAD, *rows[::-1]]) + "\n")
        for key, x in self.pixels.items():
            Image.fromarray(x).save((self.test.parent if key.startswith("Images") else self.train) / key)
        self.csv.write_text("\n".join([HEAD, *(self._row(f"Images/{n}", c) for n, c in self.truth.items())]) + "\n")

    def table(self, class_id: int) -> Path:
        return self.train / f"{class_id:05d}" / f"GT-{class_id:05d}.csv"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gtsrb, "SERVER", "http://127.0.0.1:9/")  # no server there


@pytest.fixture
def mini(tmp_path: Path) -> MiniGtsrb:
    (tmp_path / "data").mkdir()
    return MiniGtsrb(tmp_path / "data")


def load(mini: MiniGtsrb, classes: Any = (3, 8), **options: Any) -> Dataset:
    folder = mini.folder
    return gtsrb.load(classes, **options, data_dir=str(folder), outputs_dir=str(folder.parent / "outputs"))


def test_pixels_stay_where_they_are_when_nothing_is_to_be_resized(tmp_path: Path) -> None:
    mini = MiniGtsrb(tmp_path, sizes=(16,))
    mini.write()
    dataset = load(mini, size=16)
    train = [x for key, x in mini.pixels.items() if key.startswith(("00003/", "00008/"))]
    test = [x for key, x in mini.pixels.items() if mini.truth.get(key.removeprefix("Images/")) in (3, 8)]
    np.testing.assert_array_equal(dataset.x_train, np.stack(train).transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(dataset.x_test, np.stack(test).transpose(0, 3, 1, 2))
    assert dataset.y_train.tolist() == [0] * 4 + [1] * 4
    assert dataset.y_test.tolist() == [0, 1, 0, 1]  # 00001 is a 3, 00002 an 8, 00004 a 3, 00005 an 8
    assert dataset.class_names == ("60 km/h", "120 km/h")


def test_every_layout_gives_the_same_set(tmp_path: Path) -> None:
    checksums = set()
    for number, layout in enumerate(LAYOUTS):
        mini = MiniGtsrb(tmp_path / str(number))
        mini.write(layout)
        checksums.add(load(mini).checksum)
    assert len(checksums) == 1


def test_label_is_that_of_the_class_id_not_of_its_position(mini: MiniGtsrb) -> None:
    mini.write()
    one, other = load(mini, (2, 8)), load(mini, (8, 2))
    np.testing.assert_array_equal(one.x_train, other.x_train)
    np.testing.assert_array_equal(one.y_train, 1 - other.y_train)
    np.testing.assert_array_equal(one.y_test, 1 - other.y_test)
    assert one.class_names == other.class_names[::-1] == ("50 km/h", "120 km/h")
    assert one.y_train.tolist() == [0] * 4 + [1] * 4  # class 2 is the first folder, class 8 the third


def test_more_classes_than_two_keep_their_images_and_have_a_file_of_their_own(mini: MiniGtsrb) -> None:
    mini.write()
    pair, three = load(mini), load(mini, (8, 2, 3))
    assert three.class_names == ("120 km/h", "50 km/h", "60 km/h")
    for label, name in ((0, 1), (2, 0)):
        np.testing.assert_array_equal(three.x_train[three.y_train == label], pair.x_train[pair.y_train == name])
        np.testing.assert_array_equal(three.x_test[three.y_test == label], pair.x_test[pair.y_test == name])
    assert (mini.folder / "prepared" / "gtsrb_8_2_3_48.npz").is_file()
    assert load(mini, (8, 2, 3)).checksum == three.checksum


def test_the_whole_image_is_resized_to_a_square(mini: MiniGtsrb) -> None:
    mini.write()
    dataset = load(mini)
    assert dataset.feature_shape == (3, 48, 48)
    expected = resize(Image.fromarray(mini.pixels["00008/00001_00001.ppm"]), 48, 48)
    np.testing.assert_array_equal(dataset.x_train[-1], np.asarray(expected).transpose(2, 0, 1))


def test_crop_to_roi_resizes_the_inside_only(tmp_path: Path) -> None:
    mini = MiniGtsrb(tmp_path, sizes=(21,))  # the Roi is columns 3..18 and rows 4..19: 16 × 16 pixels
    mini.write()
    dataset = load(mini, size=16, crop_to_roi=True)
    x = mini.pixels["00003/00000_00000.ppm"][4:20, 3:19]
    np.testing.assert_array_equal(dataset.x_train[0][:, :, :16], x.transpose(2, 0, 1))
    np.testing.assert_array_equal(load(mini, size=16).x_train.shape, dataset.x_train.shape)
    assert load(mini, size=16).checksum != dataset.checksum


def test_prepared_files_of_other_options_are_not_mixed_up(mini: MiniGtsrb) -> None:
    mini.write()
    options: list[dict[str, Any]] = [{}, {"size": 24}, {"crop_to_roi": True}, {"classes": (8, 3)}, {"classes": (2, 3)}]
    checksums = [load(mini, **chosen).checksum for chosen in options]
    assert len(set(checksums)) == len(options)
    kept = sorted(path.name for path in (mini.folder / "prepared").glob("*.npz"))
    assert kept == [
        "gtsrb_2_3_48.npz",
        "gtsrb_3_8_24.npz",
        "gtsrb_3_8_48.npz",
        "gtsrb_3_8_48_roi.npz",
        "gtsrb_8_3_48.npz",
    ]
    assert [load(mini, **chosen).checksum for chosen in options] == checksums


def test_prepared_file_alone_is_enough_and_keeps_notes_and_file_names(tmp_path: Path) -> None:
    mini = MiniGtsrb(tmp_path / "there", sizes=(32,))
    mini.write()
    made = load(mini)
    mini.folder = tmp_path / "elsewhere"
    mini.folder.mkdir()
    (tmp_path / "there" / "prepared").rename(mini.folder / "prepared")
    moved = load(mini)
    assert (moved.checksum, moved.provenance["notes"]) == (made.checksum, made.provenance["notes"])
    with np.load(mini.folder / "prepared" / "gtsrb_3_8_48.npz") as stored:
        assert stored["file_train"][4] == "00008/00000_00000.ppm"
        assert stored["file_test"].tolist() == [f"Images/{i:05d}.ppm" for i in (1, 2, 4, 5)]


def test_a_subset_is_called_a_subset(mini: MiniGtsrb, monkeypatch: pytest.MonkeyPatch) -> None:
    mini.write()
    notes = load(mini).provenance["notes"]
    assert "not the full set: 4 and 4 train images of the two classes, GTSRB has 1410 of each" in notes
    assert "not the full set: 2 and 2 test images of the two classes, GTSRB has 450 of each" in notes
    assert [note for note in notes if "competition" in note]  # the images are where torchvision puts the smaller set
    monkeypatch.setattr(gtsrb, "COUNTS", {"train": [4] * 43, "test": [2] * 43})
    assert load(mini, (2, 3)).provenance["notes"] == []


def test_one_size_for_all_is_noted(tmp_path: Path) -> None:
    mini = MiniGtsrb(tmp_path, sizes=(32,))
    mini.write()
    assert [
        note for note in load(mini).provenance["notes"] if "32×32: the images were rescaled by their source" in note
    ]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


FAULTS: dict[str, tuple[Callable[[MiniGtsrb], Any], type[Exception], str]] = {
    "no column": (
        lambda mini: edit(mini.table(3), "Roi.X2;", ""),
        ValueError,
        r"GT-00003\.csv must have the columns .* Roi\.X2 missing, got Filename;",
    ),
    "short row": (
        lambda mini: mini.table(3).write_text(f"{HEAD}\n00000_00000.ppm;15;15\n"),
        ValueError,
        r"GT-00003\.csv must have 8 values a row, .* in row 2;",
    ),
    "long row": (
        lambda mini: mini.csv.write_text(f"{HEAD}\n00000.ppm;15;15;1;1;9;9;3;7\n"),
        ValueError,
        r"GT-final_test\.csv must have 8 values a row, .* in row 2;",
    ),
    "word for a number": (
        lambda mini: edit(mini.csv, ";8\n", ";eight\n"),
        ValueError,
        r"GT-final_test\.csv must have 8 values a row, whole numbers .* got .*;eight in row 4;",
    ),
    "table of another class": (
        lambda mini: mini.table(3).write_text(mini.table(2).read_text()),
        ValueError,
        r"GT-00003\.csv must list images of class 3 only, got class 2 for",
    ),
    "image not listed": (
        lambda mini: mini.table(8).write_text("\n".join(mini.table(8).read_text().splitlines()[:-1])),
        ValueError,
        r"GT-00008\.csv must list every image .* 1 are missing from it, the first 00000_00000\.ppm",
    ),
    "empty class folder": (
        lambda mini: [file.unlink() for file in mini.table(8).parent.glob("*.ppm")],
        ValueError,
        r"00008 must hold \.ppm files, got none",
    ),
    "no class folder": (
        lambda mini: mini.table(8).parent.rename(mini.folder / "away"),
        FileNotFoundError,
        r"the folder of class 8, .*00008, does not exist; extract",
    ),
    "no table": (lambda mini: mini.table(8).unlink(), FileNotFoundError, r"GT-00008\.csv does not exist; extract"),
    "no training image": (
        lambda mini: (mini.table(8).parent / "00001_00000.ppm").unlink(),
        FileNotFoundError,
        r"00008 lacks 1 of the 4 images .* the first 00001_00000\.ppm; extract",
    ),
    "no test image": (
        lambda mini: (mini.test / "00004.ppm").unlink(),
        FileNotFoundError,
        r"Images lacks 1 of the 4 images .* the first 00004\.ppm; extract",
    ),
    "no test image of a class": (
        lambda mini: edit(mini.csv, ";8\n", ";9\n"),
        ValueError,
        r"GT-final_test\.csv must list test images of class 8, got none",
    ),
    "cut-off image": (
        lambda mini: (mini.test / "00004.ppm").write_bytes(b"P6 20 20 255\n" + bytes(100)),
        ValueError,
        r"00004\.ppm cannot be decoded",
    ),
    "table that is no text": (
        lambda mini: mini.csv.write_bytes(bytes(range(256))),
        ValueError,
        r"GT-final_test\.csv cannot be read",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_of_the_files_is_one_sentence(mini: MiniGtsrb, name: str) -> None:
    break_it, kind, sentence = FAULTS[name]
    mini.write()
    break_it(mini)
    with pytest.raises(kind, match=sentence) as caught:
        load(mini)
    assert "\n" not in str(caught.value)
    assert not (mini.folder / "prepared").exists()


def test_roi_outside_its_image_matters_only_when_it_is_used(mini: MiniGtsrb) -> None:
    mini.write()
    mini.table(3).write_text(mini.table(3).read_text().replace(";3;4;", ";3;99;"))
    load(mini)
    with pytest.raises(ValueError, match=r"00000_00000\.ppm does not fit .*its Roi \(3, 99, .* is not within"):
        load(mini, crop_to_roi=True)


def test_only_what_is_missing_is_downloaded(mini: MiniGtsrb, monkeypatch: pytest.MonkeyPatch) -> None:
    mini.write(OFFICIAL)
    there = mini.test.rename(mini.folder / "away")
    fetched = []

    def unpack_part(url: str, md5: str, base: Path, part: str) -> None:
        fetched.append((url, md5))
        (base / part).parent.mkdir(parents=True)
        there.rename(base / part)

    monkeypatch.setattr(gtsrb, "unpack_part", unpack_part)
    load(mini)
    load(mini, size=24)
    assert fetched == [(gtsrb.SERVER + gtsrb.TEST, gtsrb.MD5[gtsrb.TEST])]


def test_counts_are_the_published_sums() -> None:
    """Published sums; the frames of a sign are 30, but for one lost frame, and the test set is of whole tracks too."""
    assert (sum(gtsrb.COUNTS["train"]), sum(gtsrb.COUNTS["test"])) == (39209, 12630)
    assert [len(counts) for counts in gtsrb.COUNTS.values()] == [43, 43]
    assert [(c, n % 30) for c, n in enumerate(gtsrb.COUNTS["train"]) if n % 30] == [(33, 29)]
    assert not any(n % 30 for n in gtsrb.COUNTS["test"])
    assert [gtsrb.COUNTS[split][c] for split in ("train", "test") for c in (3, 8)] == [1410, 1410, 450, 450]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"classes": (3, 43)}, r"dataset\.classes of gtsrb must be two or more different whole numbers in 0\.\.42"),
        ({"size": 0}, r"dataset\.size of gtsrb must be a whole number in 1\.\.1024, got 0\."),
        ({"size": 48.0}, r"dataset\.size of gtsrb .* got 48\.0\."),
        ({"crop_to_roi": "no"}, r"dataset\.crop_to_roi of gtsrb must be true or false, got 'no'\."),
    ],
)
def test_each_illegal_option_is_one_sentence_with_its_key(
    tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        gtsrb.load(**options, data_dir=str(tmp_path), outputs_dir=str(tmp_path / "outputs"))


def test_no_files_and_no_network_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gtsrb, "SERVER", "http://127.0.0.1:9/")  # no server there
    with pytest.raises(FileNotFoundError) as caught:
        gtsrb.load(data_dir=str(tmp_path), outputs_dir=str(tmp_path / "outputs"))
    sentence = str(caught.value)
    for expected in ("gtsrb_3_8_48.npz does not exist", "Final_Training/Images is not there", "downloading it failed"):
        assert expected in sentence
    for expected in (*gtsrb.MD5, gtsrb.SERVER, "paths.data", "SCD_DATA", str(tmp_path / "gtsrb")):
        assert expected in sentence
    assert "\n" not in sentence
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [".gtsrb.lock"]
