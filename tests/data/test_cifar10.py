"""CIFAR-10 pairs: pixels stand where the official files have them, and every way of getting them gives the same set."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
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


def test_all_classes(folder: Path, mini_cifar: Any) -> None:
    mini_cifar.write(folder)
    made, pair = load(folder, None), load(folder, (3, 5))
    assert made.class_names == cifar10.CLASS_NAMES
    np.testing.assert_array_equal(made.x_train[made.y_train == 5], pair.x_train[pair.y_train == 1])
    assert (folder / "prepared" / "cifar10_all.npz").is_file()


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


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def server(mini_cifar: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Serve the miniature archive on this machine; yields the list of downloads."""
    from torchvision.datasets import CIFAR10

    archive, requests = mini_cifar.archive(), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(archive)))
            self.end_headers()
            if self.headers["Method"] != "HEAD":  # torchvision first follows redirects, with a GET that says so
                requests.append(self.path)
                self.wfile.write(archive)

        def log_message(self, *args: Any) -> None:
            pass

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{httpd.server_port}/cifar-10-python.tar.gz")
    monkeypatch.setattr(CIFAR10, "tgz_md5", _md5(archive))
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
    thread.start()
    yield requests
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def test_downloaded_once_then_used_without_network(folder: Path, mini_cifar: Any, server: list[str]) -> None:
    downloaded = load(folder)
    again, other_pair = load(folder), load(folder, (0, 1))
    assert len(server) == 1
    assert again.checksum == downloaded.checksum != other_pair.checksum


def test_loads_at_once_download_once(folder: Path, server: list[str]) -> None:
    with ThreadPoolExecutor(3) as pool:
        loaded = list(pool.map(load, [folder] * 3, [(0, 1), (3, 5), (0, 1)]))
    assert len(server) == 1
    assert loaded[0].checksum == loaded[2].checksum != loaded[1].checksum


def test_archive_put_there_by_hand_is_used_without_network(folder: Path, mini_cifar: Any, server: list[str]) -> None:
    (folder / "cifar-10-python.tar.gz").write_bytes(mini_cifar.archive())
    from torchvision.datasets import CIFAR10

    CIFAR10.tgz_md5 = _md5((folder / "cifar-10-python.tar.gz").read_bytes())  # gzip stores a time; the fixture restores
    load(folder)
    assert server == []


def test_damaged_download_leaves_no_archive(folder: Path, server: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "tgz_md5", "0" * 32)
    with pytest.raises(FileNotFoundError, match="downloading it failed"):
        load(folder)
    assert not (folder / "cifar-10-python.tar.gz").exists()


def test_no_file_and_no_network_is_one_sentence(folder: Path, mini_cifar: Any) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        load(folder)
    sentence = str(caught.value)
    for expected in ("cifar10_3_5.npz does not exist", f"{mini_cifar.batches} is not there", "downloading it failed"):
        assert expected in sentence  # what is missing and where it was looked for
    for expected in (cifar10.SOURCE, "170,498,071 bytes", "paths.data", "SCD_DATA", str(folder)):
        assert expected in sentence  # how to get it
    assert "\n" not in sentence
    assert list(folder.glob("*.tar.gz")) == []


@pytest.mark.parametrize("damaged", ["data_batch_2", "test_batch"])
def test_damaged_official_files_are_not_used(folder: Path, mini_cifar: Any, damaged: str) -> None:
    mini_cifar.write(folder)
    (folder / mini_cifar.batches / damaged).write_bytes(b"not what the checksum says")
    with pytest.raises(FileNotFoundError, match=f"{mini_cifar.batches} is incomplete or damaged"):
        load(folder)


def test_damaged_cache_is_rebuilt_from_the_official_files(folder: Path, mini_cifar: Any) -> None:
    mini_cifar.write(folder)
    before = load(folder)
    path = folder / "prepared" / "cifar10_3_5.npz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="is damaged"):
        assert load(folder).checksum == before.checksum
    assert load(folder).provenance["verified"]


def test_prepared_file_of_another_shape_is_not_used(folder: Path, mini_cifar: Any) -> None:
    mini_cifar.write(folder)
    (folder / "prepared").mkdir()
    x, y = np.zeros((4, 3, 32, 32), np.uint8), np.array([0, 1, 0, 1], np.uint8)
    np.savez(folder / "prepared" / "cifar10_3_5.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.warns(UserWarning, match=r"x_train must be uint8 of shape \(n, 32, 32, 3\)"):
        assert load(folder).provenance["verified"]


@pytest.mark.parametrize("classes", [(0, 0), (0, 10), (1,), "ab"])
def test_a_pair_that_does_not_exist_is_refused(folder: Path, classes: Any) -> None:
    with pytest.raises(ValueError, match=r"dataset\.classes of cifar10"):
        load(folder, classes)


def test_missing_data_folder_outside_home_is_not_filled(
    folder: Path, mini_cifar: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(FileNotFoundError, match=r"typo does not exist; create it .*paths.data .*SCD_DATA"):
        load(tmp_path / "typo")
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME"])
def test_missing_default_folder_is_made(
    server: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path))
    default = tmp_path / ".cache" / "somewhere" / "data"
    load(default)
    assert (default / "prepared" / "cifar10_3_5.npz").is_file()


def test_outputs_cache_does_without_a_data_folder(folder: Path, mini_cifar: Any, tmp_path: Path) -> None:
    mini_cifar.write(folder)
    made = load(folder)
    (tmp_path / "outputs").mkdir()
    (folder / "prepared").rename(tmp_path / "outputs" / "prepared")
    assert load(tmp_path / "missing").checksum == made.checksum


def test_a_data_folder_that_is_a_file_unreadable_or_unset_is_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"got a file at .*paths.data.*SCD_DATA"):
        load(tmp_path / "file")
    with pytest.raises(ValueError, match=r"must be a path, got ''.*paths.data.*SCD_DATA"):
        cifar10.load(data_dir="", outputs_dir="outputs")

    def refuse(path: Any) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(ValueError, match=r"cannot be read \(Permission denied\).*paths.data.*SCD_DATA"):
        load(folder)
