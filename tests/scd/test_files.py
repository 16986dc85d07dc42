"""A file is there as a whole or not at all."""

import contextlib
import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from scd.files import atomic_file, file_sha256, write_bytes, write_json, write_text


def _no_space(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_is_written_is_what_is_read(tmp_path):
    write_bytes(tmp_path / "a", b"\x00\xff")
    write_text(str(tmp_path / "b"), "é\n")
    write_json(tmp_path / "c", {"path": Path("x"), "n": 1})
    assert (tmp_path / "a").read_bytes() == b"\x00\xff"
    assert (tmp_path / "b").read_bytes() == b"\xc3\xa9\n"
    assert json.loads((tmp_path / "c").read_text()) == {"path": "x", "n": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("fault", ["fsync", "replace"])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, fault):
    write_bytes(tmp_path / "a", b"old")
    monkeypatch.setattr(os, fault, _no_space)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(tmp_path / "a", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}


def test_an_interruption_leaves_nothing(tmp_path):
    with contextlib.suppress(KeyboardInterrupt), atomic_file(tmp_path / "a") as file:
        file.write(b"half")
        assert not (tmp_path / "a").exists()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_the_checksum_is_that_of_all_bytes_of_a_path_or_an_open_file(tmp_path):
    expected = hashlib.sha256(b"abc" * 100_000).hexdigest()
    with atomic_file(tmp_path / "a") as file:
        file.write(b"abc" * 100_000)
        assert file_sha256(file) == expected
    assert file_sha256(tmp_path / "a") == file_sha256(str(tmp_path / "a")) == expected
    with pytest.raises(FileNotFoundError):
        file_sha256(tmp_path / "missing")
