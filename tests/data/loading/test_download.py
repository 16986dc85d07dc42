"""Downloads: one at a time, nothing half left behind, and nothing fetched that is there."""

from __future__ import annotations

import hashlib
import io
import socket
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from data.loading.download import DOWNLOAD_ERRORS, NETWORK_TIMEOUT, guarded_download, unpack_part


def _pack(**files: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return packed.getvalue()


class Server:
    """Serves one archive on this machine, whole or only its beginning."""

    def __init__(self) -> None:
        self.content, self.sent, self.requests = _pack(set__train__a="1", set__train__b="2", set__test="3"), 1.0, 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(server.content)))
                self.end_headers()
                if self.headers["Method"] != "HEAD":  # torchvision first follows redirects, with a GET that says so
                    server.requests += 1
                    self.wfile.write(server.content[: int(server.sent * len(server.content))])

            def log_message(self, *args: Any) -> None:
                pass

        self.httpd = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.httpd.server_port}/all.zip"

    @property
    def md5(self) -> str:
        return hashlib.md5(self.content, usedforsecurity=False).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.httpd.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.httpd.shutdown()
    thread.join()
    server.httpd.server_close()


def fetch(server: Server, folder: Path, md5: str | None = None) -> None:
    with guarded_download(folder, "set", [folder / "base" / "all.zip"]):
        if not (folder / "base" / "set" / "train").exists():
            unpack_part(server.url, md5 or server.md5, folder / "base", "set/train")


def files(folder: Path) -> list[str]:
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.endswith(".lock"))


WHOLE = ["base/all.zip", "base/set/train/a", "base/set/train/b"]


def test_only_the_part_is_unpacked_and_the_archive_kept(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path)
    assert files(tmp_path) == WHOLE
    assert (tmp_path / "base" / "set" / "train" / "b").read_text() == "2"


def test_at_once_it_is_downloaded_once(server: Server, tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: fetch(server, tmp_path), range(3)))
    assert server.requests == 1
    assert files(tmp_path) == WHOLE


def test_archive_put_there_by_hand_needs_no_network(server: Server, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "all.zip").write_bytes(server.content)
    fetch(server, tmp_path)
    assert server.requests == 0
    assert files(tmp_path) == WHOLE


def test_download_that_breaks_off_leaves_nothing(server: Server, tmp_path: Path) -> None:
    server.sent = 0.5
    with pytest.raises(DOWNLOAD_ERRORS):
        fetch(server, tmp_path)
    assert files(tmp_path) == []
    server.sent = 1.0
    fetch(server, tmp_path)
    assert files(tmp_path) == WHOLE


def test_other_content_than_promised_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DOWNLOAD_ERRORS):
        fetch(server, tmp_path, md5="0" * 32)
    assert files(tmp_path) == []


@pytest.mark.parametrize("content", [b"no archive", _pack(other="4")])
def test_archive_without_the_part_leaves_nothing_unpacked(server: Server, tmp_path: Path, content: bytes) -> None:
    server.content = content
    with pytest.raises(DOWNLOAD_ERRORS):
        fetch(server, tmp_path)
    assert files(tmp_path) == []


def test_half_unpacked_by_a_killed_process_is_not_taken_for_whole(server: Server, tmp_path: Path) -> None:
    left = tmp_path / "base" / ".train.unpacked" / "set" / "train"
    left.mkdir(parents=True)
    (left / "half").touch()
    fetch(server, tmp_path)
    assert files(tmp_path) == WHOLE


def test_a_file_that_was_there_before_stays_when_a_download_fails(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("mine")

    def interrupted() -> None:
        with guarded_download(tmp_path, "set", [old, new]):
            new.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert files(tmp_path) == ["old"]


def test_silent_network_fails_and_the_default_comes_back(tmp_path: Path) -> None:
    before = socket.getdefaulttimeout()
    with guarded_download(tmp_path, "set", []):
        assert socket.getdefaulttimeout() == NETWORK_TIMEOUT
    assert socket.getdefaulttimeout() == before
