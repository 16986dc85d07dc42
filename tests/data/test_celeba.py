"""CelebA: images with exactly one of two attributes, a fixed balanced draw, and a note where the files hold too few."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data import Dataset, celeba
from data.celeba import NAMES, Face
from data.loading.images import centre_crop, resize

BLACK, BROWN = NAMES.index("Black_Hair"), NAMES.index("Brown_Hair")
HAIR = {"black": (1, -1), "brown": (-1, 1), "both": (1, 1), "neither": (-1, -1)}


class MiniCeleba:
    """Twelve images: two of each hair in the training and in the test partition, one for validation, three unclear."""

    hair = ("black", "brown", "both", "neither", "brown", "black", "brown", "black", "brown", "black", "brown", "both")
    partition = (0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2)

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "data" / "celeba"
        self.folder.mkdir(parents=True)
        self.names = [f"{i + 1:06d}.jpg" for i in range(12)]
        self.attributes, self.parts = self.folder / "list_attr_celeba.txt", self.folder / "list_eval_partition.txt"
        self.images = self.folder / "img_align_celeba"

    def write(self, partition: tuple[int, ...] = partition) -> None:
        rows = []
        for name, hair in zip(self.names, self.hair, strict=True):
            values = np.where(np.arange(40) % 3, 1, -1)
            values[[BLACK, BROWN]] = HAIR[hair]
            rows.append(f"{name} " + " ".join(f"{value:2d}" for value in values))
        self.attributes.write_text("\n".join(["12", " ".join(NAMES) + " ", *rows]) + "\n")
        pairs = zip(self.names, partition, strict=True)
        self.parts.write_text("".join(f"{name} {part}\n" for name, part in pairs))
        self.images.mkdir()
        rng = np.random.default_rng(5)
        for name in self.names:
            low = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)
            Image.fromarray(low).resize((178, 218), Image.Resampling.BICUBIC).save(self.images / name)

    def pack(self) -> None:
        with zipfile.ZipFile(self.folder / "img_align_celeba.zip", "w") as archive:
            for name in self.names:
                archive.write(self.images / name, f"img_align_celeba/{name}")
        self.images.rename(self.root / "away")


@pytest.fixture
def mini(tmp_path: Path) -> MiniCeleba:
    return MiniCeleba(tmp_path)


def load(mini: MiniCeleba, **options: Any) -> Dataset:
    small: dict[str, Any] = {"n_train": 4, "n_test": 4, **options}
    return celeba.load(**small, data_dir=str(mini.folder.parent), outputs_dir=str(mini.root / "outputs"))


def numbers_drawn(mini: MiniCeleba) -> dict[str, list[int]]:
    (path,) = (mini.folder.parent / "prepared").glob("*.npz")
    with np.load(path) as stored:
        return {split: [int(name[:6]) for name in stored[f"file_{split}"]] for split in ("train", "test")}


def test_official_partitions_give_the_splits_and_hair_the_labels(mini: MiniCeleba) -> None:
    mini.write()
    dataset = load(mini)
    assert numbers_drawn(mini) == {"train": [1, 2, 5, 6], "test": [8, 9, 10, 11]}
    assert dataset.y_train.tolist() == [0, 1, 1, 0]
    assert dataset.y_test.tolist() == [0, 1, 0, 1]
    assert dataset.class_names == ("black hair", "brown hair")
    assert dataset.provenance["notes"] == []


def test_rows_are_the_centre_square_resized(mini: MiniCeleba) -> None:
    mini.write()
    with Image.open(mini.images / "000009.jpg") as image:
        whole = np.asarray(image)
        fitted = resize(centre_crop(image, 178, 178), 96, 96)
    np.testing.assert_array_equal(load(mini).x_test[1], np.asarray(fitted).transpose(2, 0, 1))
    unresized = load(mini, size=178).x_test[1]
    np.testing.assert_array_equal(unresized, whole[20:198].transpose(2, 0, 1))  # 20 rows off the top, 20 off the bottom
    inner = load(mini, size=100, crop=100).x_test[1]
    np.testing.assert_array_equal(inner, whole[59:159, 39:139].transpose(2, 0, 1))


def test_order_of_the_attributes_is_the_order_of_the_labels(mini: MiniCeleba) -> None:
    mini.write()
    one, other = load(mini), load(mini, classes=["Brown_Hair", "Black_Hair"])
    np.testing.assert_array_equal(one.x_train, other.x_train)
    np.testing.assert_array_equal(one.y_train, 1 - other.y_train)


def test_archive_is_read_without_unpacking_it(mini: MiniCeleba) -> None:
    mini.write()
    unpacked = load(mini)
    mini.pack()
    with zipfile.ZipFile(mini.folder / "img_align_celeba.zip", "a") as archive:  # as the Finder of macOS adds them
        archive.writestr("__MACOSX/img_align_celeba/._000001.jpg", b"\x00\x05\x16\x07")
        archive.writestr("img_align_celeba/._000001.jpg", b"\x00\x05\x16\x07")
    (mini.folder.parent / "prepared").rename(mini.root / "away2")
    assert load(mini).checksum == unpacked.checksum


def test_line_ends_of_another_system_change_nothing(mini: MiniCeleba) -> None:
    mini.write()
    before = load(mini)
    for table in (mini.attributes, mini.parts):
        table.write_bytes(table.read_bytes().replace(b"\n", b"\r\n"))
    (mini.folder.parent / "prepared").rename(mini.root / "away")
    assert load(mini).checksum == before.checksum


def test_prepared_file_alone_is_enough_and_keeps_its_notes(mini: MiniCeleba) -> None:
    mini.write(partition=(0,) * 12)
    made = load(mini)
    mini.folder.rename(mini.root / "away")
    again = load(mini)
    assert again.checksum == made.checksum
    assert again.provenance["notes"] == made.provenance["notes"] != []


def test_prepared_files_of_other_options_are_not_mixed_up(mini: MiniCeleba) -> None:
    mini.write(partition=(0,) * 12)
    options: list[dict[str, Any]] = [{}, {"seed": 1}, {"size": 48}, {"crop": 90}, {"n_test": 2}]
    options += [{"n_train": 6, "n_test": 2}, {"classes": ["Brown_Hair", "Black_Hair"]}]
    checksums = [load(mini, **chosen).checksum for chosen in options]
    assert len(set(checksums)) == len(options) == len(list((mini.folder.parent / "prepared").glob("*.npz")))
    assert [load(mini, **chosen).checksum for chosen in options] == checksums


def test_too_few_images_are_split_evenly_with_a_note(mini: MiniCeleba) -> None:
    mini.write(partition=(0,) * 12)  # 4 black and 5 brown, none for testing
    dataset = load(mini, n_train=6, n_test=6)
    assert dataset.provenance["counts"] == {"train": [2, 2], "test": [2, 2]}
    (note,) = dataset.provenance["notes"]
    assert note.startswith("not the official partition, which has 4 and 5 training and 0 and 0 test images")
    assert "3 and 3 of each are wanted: all 4 and 5 were pooled and 2 of each class drawn for training, 2 for" in note


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def encrypt(path: Path) -> None:
    """Set the bit that says so in the archive's directory."""
    content, at = bytearray(path.read_bytes()), -1
    while (at := content.find(b"PK\x01\x02", at + 1)) >= 0:
        content[at + 8] |= 1
    path.write_bytes(content)


def explode(path: Path) -> None:
    """Let the archive's directory say that each image has 2 GB."""
    content, at = bytearray(path.read_bytes()), -1
    while (at := content.find(b"PK\x01\x02", at + 1)) >= 0:
        content[at + 24 : at + 28] = (1 << 31).to_bytes(4, "little")
    path.write_bytes(content)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


FAULTS: dict[str, tuple[Callable[[MiniCeleba], Any], type[Exception], str]] = {
    "no column": (
        lambda mini: edit(mini.attributes, "Brown_Hair", "Brown"),
        ValueError,
        r"list_attr_celeba\.txt must name its attributes in line 2, Brown_Hair among them, got 40",
    ),
    "wrong number of rows": (
        lambda mini: edit(mini.attributes, "12\n", "202599\n"),
        ValueError,
        r"must say in line 1 how many rows follow the names, 12 here, got '202599'",
    ),
    "short row": (
        lambda mini: edit(mini.attributes, " -1\n000004", "\n000004"),
        ValueError,
        r"must have a file name and 40 values -1 or 1 a row, got 39 values, .* in line 5",
    ),
    "another value": (
        lambda mini: edit(mini.attributes, "000002.jpg -1", "000002.jpg  0"),
        ValueError,
        r"must have a file name and 40 values -1 or 1 a row, got 40 values, '0' among them, in line 4",
    ),
    "commas": (
        lambda mini: mini.attributes.write_text(mini.attributes.read_text().replace(" ", ",")),
        ValueError,
        r"must name its attributes in line 2, Black_Hair among them, got 1 names",
    ),
    "empty table": (
        lambda mini: mini.attributes.write_text(""),
        ValueError,
        r"list_attr_celeba\.txt must have a row for each image, got an empty file",
    ),
    "table that is no text": (
        lambda mini: mini.attributes.write_bytes(bytes(range(256))),
        ValueError,
        r"list_attr_celeba\.txt cannot be read",
    ),
    "no table": (
        lambda mini: mini.attributes.unlink(),
        FileNotFoundError,
        r"list_attr_celeba\.txt does not exist; get img_align_celeba\.zip \(1\.4 GB",
    ),
    "no partition": (
        lambda mini: mini.parts.unlink(),
        FileNotFoundError,
        r"list_eval_partition\.txt does not exist; get img_align_celeba\.zip",
    ),
    "wrong partition": (
        lambda mini: edit(mini.parts, "000003.jpg 0", "000003.jpg 3"),
        ValueError,
        r"must have a file name and 0, 1 or 2 a row, got '000003\.jpg 3' in line 3",
    ),
    "row missing from the partition": (
        lambda mini: edit(mini.parts, "000010.jpg 2\n", ""),
        ValueError,
        r"list_eval_partition\.txt must list every image of .* it lacks 000010\.jpg",
    ),
    "class with too few images": (
        lambda mini: mini.attributes.write_text(
            re.sub(r"(?m)^(0000(?!01).*?jpg).*", r"\1" + " 1" * 40, mini.attributes.read_text())
        ),
        ValueError,
        r"must list at least 4 images of each class of dataset\.classes, got 1 and 0",
    ),
    "no images": (
        lambda mini: mini.images.rename(mini.root / "away"),
        FileNotFoundError,
        r"neither .*img_align_celeba nor img_align_celeba\.zip exists; get",
    ),
    "no image": (
        lambda mini: (mini.images / "000010.jpg").unlink(),
        FileNotFoundError,
        r"img_align_celeba lacks 1 of the 8 images drawn .* the first 000010\.jpg; get",
    ),
    "cut-off image": (
        lambda mini: halve(mini.images / "000010.jpg"),
        ValueError,
        r"000010\.jpg cannot be decoded",
    ),
    "image of another size": (
        lambda mini: Image.new("RGB", (409, 687)).save(mini.images / "000010.jpg"),
        ValueError,
        r"000010\.jpg does not fit .*it must have 178×218 pixels, got 409×687",
    ),
    "encrypted archive": (
        lambda mini: (mini.pack(), encrypt(mini.folder / "img_align_celeba.zip")),
        ValueError,
        r"img_align_celeba\.zip is encrypted \(img_align_celeba/0000\d\d\.jpg\); unpack it with its password",
    ),
    "archive that explodes": (
        lambda mini: (mini.pack(), explode(mini.folder / "img_align_celeba.zip")),
        ValueError,
        r"img_align_celeba\.zip must unpack to at most [\d,]+ bytes, got more from [\d,]+ packed bytes",
    ),
    "half an archive": (
        lambda mini: (mini.pack(), halve(mini.folder / "img_align_celeba.zip")),
        ValueError,
        r"img_align_celeba\.zip cannot be read",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_of_the_files_is_one_sentence(mini: MiniCeleba, name: str) -> None:
    break_it, kind, sentence = FAULTS[name]
    mini.write()
    break_it(mini)
    with pytest.raises(kind, match=sentence) as caught:
        load(mini)
    assert "\n" not in str(caught.value)
    assert not (mini.folder.parent / "prepared").exists()


def listed(*counts: tuple[int, int, int]) -> list[Face]:
    """So many faces of each (partition, label), shuffled."""
    faces = [(partition, label) for n, partition, label in counts for _ in range(n)]
    order = np.random.default_rng(1).permutation(len(faces))
    return [Face(f"{i:06d}.jpg", faces[j][1], faces[j][0]) for i, j in enumerate(order)]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([(50, 0, 0), (60, 0, 1), (30, 2, 0), (20, 2, 1)], (40, 20)),  # both partitions hold enough
        ([(50, 0, 0), (60, 0, 1), (30, 2, 0), (19, 2, 1)], (40, 20)),  # one too few, but enough in all
        ([(70, 0, 0), (37, 0, 1)], (18, 18)),  # the rarer class has 37: half of it each
        ([(70, 0, 0), (50, 1, 1)], (25, 20)),  # half of it is more than is wanted for testing
    ],
)
def test_draw_is_balanced_disjoint_and_in_order(counts: Any, expected: tuple[int, int]) -> None:
    faces = listed(*counts)
    chosen, notes = celeba.draw(faces, 40, 20, seed=0)
    assert bool(notes) == (counts[-1] != (20, 2, 1))
    for split, of_each in zip(("train", "test"), expected, strict=True):
        assert [sum(face.label == label for face in chosen[split]) for label in (0, 1)] == [of_each, of_each]
        assert chosen[split] == sorted(chosen[split], key=lambda face: face.name)
        if not notes:
            assert {face.partition for face in chosen[split]} == {{"train": 0, "test": 2}[split]}
    assert not set(chosen["train"]) & set(chosen["test"])
    assert celeba.draw(faces, 40, 20, seed=0)[0] == chosen != celeba.draw(faces, 40, 20, seed=1)[0]


def test_without_files_the_sentence_says_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        celeba.load(data_dir=str(tmp_path), outputs_dir=str(tmp_path / "outputs"))
    for expected in (
        "img_align_celeba",
        "list_attr_celeba.txt",
        "list_eval_partition.txt",
        "1.4 GB",
        str(tmp_path / "celeba"),
    ):
        assert expected in str(caught.value)
    for expected in ("https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html", "paths.data", "SCD_DATA"):
        assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"classes": ["Black_Hair", "Black_Hair"]}, r"dataset\.classes of celeba must be two different attributes of"),
        ({"classes": [0, 1]}, r"dataset\.classes of celeba .* got \[0, 1\]"),
        ({"classes": "Male"}, r"dataset\.classes of celeba .* got 'Male'"),
        ({"n_train": 5}, r"dataset\.n_train of celeba must be even, half for each class, got 5\."),
        ({"n_test": 0}, r"dataset\.n_test of celeba must be a whole number in 2\.\.200000, got 0\."),
        ({"crop": 200}, r"dataset\.crop of celeba must be a whole number in 1\.\.178, got 200\."),
        ({"size": "96"}, r"dataset\.size of celeba .* got '96'\."),
        ({"seed": -1}, r"dataset\.seed of celeba .* got -1\."),
    ],
)
def test_each_illegal_option_is_one_sentence_with_its_key(
    tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        celeba.load(**options, data_dir=str(tmp_path), outputs_dir=str(tmp_path / "outputs"))
