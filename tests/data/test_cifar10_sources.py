"""Where CIFAR-10 comes from: cache, official files, archive, download; and what is said when there is none of them."""

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
    for told in ("cifar10_3_5.npz does not exist", f"{mini_cifar.batches} is not there", "downloading it failed"):
        assert told in sentence  # what is missing and where it was looked for
    for told in (cifar10.SOURCE, "170,498,071 bytes", "paths.data", "SCD_DATA", str(folder)):
        assert told in sentence  # how to get it
    assert "\n" not in sentence
    assert list(folder.glob("*.tar.gz")) == []


@pytest.mark.parametrize("damaged", ["data_batch_2", "test_batch"])
def test_damaged_official_files_are_not_used(folder: Path, mini_cifar: Any, damaged: str) -> None:
    mini_cifar.write(folder)
    (folder / mini_cifar.batches / damaged).write_bytes(b"not what the checksum says")
    with pytest.raises(FileNotFoundError, match=f"{mini_cifar.batches} is incomplete or damaged"):
        load(folder)


def test_damaged_cache_is_made_anew_from_the_official_files(folder: Path, mini_cifar: Any) -> None:
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
def test_a_pair_that_does_not_exist(folder: Path, classes: Any) -> None:
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


def test_data_folder_that_is_a_file_unreadable_or_unset(
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
