"""MNIST pairs: pixels stand where the official files have them; damaged files and no network end in one sentence."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data import Dataset, mnist

PARTS = {"train": ("train", 60), "test": ("t10k", 20)}


class MiniMnist:
    """60 training and 20 test images, every digit 6 and 2 times, in the format of the official files."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(7)
        self.folder, self.raw = folder, folder / "MNIST" / "raw"
        self.images = {part: rng.integers(0, 256, (n, 28, 28), dtype=np.uint8) for part, (_, n) in PARTS.items()}
        self.labels = {part: rng.permutation(np.arange(n, dtype=np.uint8) % 10) for part, (_, n) in PARTS.items()}
        self.files: dict[str, bytes] = {}
        for part, (prefix, n) in PARTS.items():
            pixels, labels = self.images[part].tobytes(), self.labels[part].tobytes()
            self.files[f"{prefix}-images-idx3-ubyte"] = struct.pack(">4i", 0x803, n, 28, 28) + pixels
            self.files[f"{prefix}-labels-idx1-ubyte"] = struct.pack(">2i", 0x801, n) + labels
        self.packed = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in self.files.items()}

    def write(self, files: dict[str, bytes] | None = None) -> None:
        self.raw.mkdir(parents=True)
        for name, content in (files or self.files).items():
            (self.raw / name).write_bytes(content)


@pytest.fixture
def mini(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MiniMnist:
    """The miniature, and a torchvision that expects it and has no network."""
    from torchvision.datasets import MNIST

    (tmp_path / "data").mkdir()
    mini = MiniMnist(tmp_path / "data")
    md5 = {name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in mini.packed.items()}
    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/", "http://127.0.0.1:9/again/"])  # no server there
    monkeypatch.setattr(MNIST, "resources", [(name, md5[name]) for name, _ in MNIST.resources])
    return mini


def load(mini: MiniMnist, classes: Any = (3, 5)) -> Dataset:
    return mnist.load(classes, data_dir=str(mini.folder), outputs_dir=str(mini.folder.parent / "outputs"))


def test_rows_are_the_official_ones_in_the_original_order(mini: MiniMnist) -> None:
    mini.write()
    dataset = load(mini)
    assert dataset.feature_shape == (1, 28, 28)
    for part in ("train", "test"):
        chosen = np.isin(mini.labels[part], (3, 5))
        flat = mini.images[part][chosen].reshape(-1, 784)
        np.testing.assert_array_equal(dataset.flat(part), flat.astype(np.float32) / np.float32(255))
        np.testing.assert_array_equal(getattr(dataset, f"y_{part}"), mini.labels[part][chosen] == 5)
    assert dataset.class_names == ("digit 3", "digit 5")


def test_first_digit_is_label_0_and_pairs_have_files_of_their_own(mini: MiniMnist) -> None:
    mini.write()
    one, other = load(mini, (3, 5)), load(mini, (5, 3))
    np.testing.assert_array_equal(one.x_train, other.x_train)
    np.testing.assert_array_equal(one.y_train, 1 - other.y_train)
    assert load(mini, (0, 1)).checksum != one.checksum


def test_archives_put_there_by_hand_need_no_network(mini: MiniMnist) -> None:
    mini.write(mini.packed)
    packed = load(mini)
    (mini.folder / "prepared").rename(mini.folder.parent / "away")
    (mini.folder / "MNIST").rename(mini.folder.parent / "away2")
    mini.write()
    assert load(mini).checksum == packed.checksum


def test_prepared_file_alone_is_enough(mini: MiniMnist) -> None:
    mini.write()
    made = load(mini)
    (mini.folder / "MNIST").rename(mini.folder.parent / "away")
    assert load(mini).checksum == made.checksum


def test_published_counts_add_up_and_a_subset_is_called_a_subset(
    mini: MiniMnist, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [sum(counts) for counts in mnist.COUNTS.values()] == [60000, 10000]
    mini.write()
    notes = load(mini, (0, 1)).provenance["notes"]
    assert "not the full set: 6 and 6 train images of the two classes, MNIST has 5923 and 6742" in notes
    assert "not the full set: 2 and 2 test images of the two classes, MNIST has 980 and 1135" in notes
    monkeypatch.setattr(mnist, "COUNTS", {"train": [6] * 10, "test": [2] * 10})
    assert load(mini, (0, 1)).provenance["notes"] == []


def test_no_file_and_no_network_is_one_sentence(mini: MiniMnist) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        load(mini)
    sentence = str(caught.value)
    for expected in ("mnist_3_5.npz does not exist", f"{mini.raw} is not there", "downloading it failed"):
        assert expected in sentence
    for expected in (*mnist.ARCHIVES, mnist.MIRROR, "11.6 MB", "paths.data", "SCD_DATA"):
        assert expected in sentence
    assert "\n" not in sentence
    assert [path.name for path in mini.raw.iterdir()] == []


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("left", [0, 3, 500])
def test_damaged_files_are_not_used(mini: MiniMnist, name: str, left: int) -> None:
    mini.write({**mini.files, name: mini.files[name][: left if "images" in name else min(left, 15)]})
    with pytest.raises(FileNotFoundError, match=r"raw is (incomplete or )?damaged .*where nothing damaged may remain"):
        load(mini)


def test_images_of_another_size_are_not_used(mini: MiniMnist) -> None:
    wrong = struct.pack(">4i", 0x803, 20, 14, 56) + mini.images["test"].tobytes()
    mini.write({**mini.files, "t10k-images-idx3-ubyte": wrong})
    with pytest.raises(FileNotFoundError, match=r"raw is damaged \(test images of shape \(20, 14, 56\), 20 labels\)"):
        load(mini)


def test_prepared_file_of_another_shape_is_not_used(mini: MiniMnist) -> None:
    mini.write()
    (mini.folder / "prepared").mkdir()
    x, y = np.zeros((4, 28, 28), np.uint8), np.array([0, 1, 0, 1], np.uint8)
    np.savez(mini.folder / "prepared" / "mnist_3_5.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.warns(UserWarning, match=r"x_train must be uint8 of shape \(n, 1, 28, 28\)"):
        assert load(mini).provenance["verified"]


@pytest.mark.parametrize("classes", [(0, 0), (0, 10), "01"])
def test_digits_that_do_not_exist_are_refused(mini: MiniMnist, classes: Any) -> None:
    with pytest.raises(ValueError, match=r"dataset\.classes of mnist"):
        load(mini, classes)
