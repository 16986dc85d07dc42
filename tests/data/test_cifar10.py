"""CIFAR-10 pairs: pixels stand where the official files have them, and every way of getting them gives the same set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data import Dataset, cifar10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def load(folder: Path, classes: Any = (3, 5)) -> Dataset:
    return cifar10.load(classes, data_dir=str(folder), outputs_dir=str(folder.parent / "outputs"))


def test_rows_are_channel_row_column_in_the_original_order(folder: Path, mini_cifar: Any) -> None:
    # The official files store a row as 1024 red, 1024 green, 1024 blue values, each plane row by row.
    mini_cifar.write(folder)
    dataset = load(folder)
    for split in ("train", "test"):
        chosen = np.isin(mini_cifar.labels[split], (3, 5))
        official = mini_cifar.images[split][chosen].reshape(-1, 3072)
        np.testing.assert_array_equal(dataset.flat(split), official.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(
        dataset.y_train, mini_cifar.labels["train"][np.isin(mini_cifar.labels["train"], (3, 5))] == 5
    )
    assert dataset.class_names == ("cat", "dog")


def test_prepared_file_is_row_column_channel(folder: Path) -> None:
    # One lit value at row 2, column 7, channel 1 of the prepared file is pixel 1·1024 + 2·32 + 7 of a flat row.
    arrays = {f"x_{split}": np.zeros((4, 32, 32, 3), np.uint8) for split in ("train", "test")}
    arrays["x_train"][3, 2, 7, 1] = 255
    labels = np.array([0, 1, 0, 1], np.uint8)
    (folder / "prepared").mkdir()
    np.savez(folder / "prepared" / "cifar10_0_1.npz", **arrays, y_train=labels, y_test=labels)
    dataset = load(folder, (0, 1))
    assert np.argwhere(dataset.flat("train")).tolist() == [[3, 1024 + 2 * 32 + 7]]
    assert dataset.flat("train").max() == 1
    assert dataset.images("train")[3, 1, 2, 7] == 1
    assert not dataset.provenance["verified"]


def test_first_class_is_label_0(folder: Path, mini_cifar: Any) -> None:
    mini_cifar.write(folder)
    one, other = load(folder, (3, 5)), load(folder, (5, 3))
    np.testing.assert_array_equal(one.x_train, other.x_train)
    np.testing.assert_array_equal(one.y_train, 1 - other.y_train)


def test_prepared_file_keeps_keys_types_and_positions(folder: Path, mini_cifar: Any) -> None:
    mini_cifar.write(folder)
    load(folder)
    with np.load(folder / "prepared" / "cifar10_3_5.npz") as stored:
        arrays = dict(stored)
    assert {key: array.dtype.name for key, array in arrays.items()} == {
        "x_train": "uint8",
        "y_train": "uint8",
        "idx_train": "int32",
        "x_test": "uint8",
        "y_test": "uint8",
        "idx_test": "int32",
    }
    hwc = mini_cifar.images["train"].transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(arrays["x_train"], hwc[arrays["idx_train"]])


def test_cache_official_files_and_another_folder_give_one_checksum(
    tmp_path: Path, folder: Path, mini_cifar: Any
) -> None:
    mini_cifar.write(folder)
    made = load(folder)
    cached = load(folder)
    elsewhere = tmp_path / "elsewhere"
    (folder / "prepared").rename(tmp_path / "prepared")
    elsewhere.mkdir()
    (tmp_path / "prepared").rename(elsewhere / "prepared")
    moved = load(elsewhere)  # has no official files: the cache is all that is needed
    assert made.checksum == cached.checksum == moved.checksum
    assert moved.provenance["verified"]


def test_a_subset_is_called_a_subset(folder: Path, mini_cifar: Any) -> None:
    mini_cifar.write(folder)
    notes = load(folder).provenance["notes"]
    assert len([note for note in notes if note.startswith("not the full set: ")]) == 2


@pytest.mark.slow
def test_real_airplanes_and_automobiles(tmp_path: Path) -> None:
    data_dir = os.environ.get("SCD_DATA", "")
    if not (Path(data_dir) / "prepared" / "cifar10_0_1.npz").is_file():
        pytest.skip("the environment variable SCD_DATA names no folder with prepared/cifar10_0_1.npz")
    dataset = cifar10.load((0, 1), data_dir=data_dir, outputs_dir=str(tmp_path))
    assert dataset.provenance["counts"] == {"train": [5000, 5000], "test": [1000, 1000]}
    # Mean pixels of the official files of these two classes, whose published md5 sums were checked.
    assert dataset.x_train.mean() == pytest.approx(129.53, abs=0.005)
    assert dataset.x_test.mean() == pytest.approx(131.13, abs=0.005)
