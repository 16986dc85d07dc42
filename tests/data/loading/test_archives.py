"""Compressed files from elsewhere: the same bytes from every kind, a limit on their number, one sentence for damage."""

from __future__ import annotations

import gzip
import lzma
import zipfile
from pathlib import Path

import pytest

from data.loading.archives import ARCHIVE_ERRORS, FREE_BYTES, MAX_RATIO, open_packed, size_limit, unreadable

TEXT = b"one two\nthree\n"


def write(folder: Path, kind: str, content: bytes = TEXT) -> tuple[Path, str]:
    path = folder / f"file.txt{kind}"
    if kind == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inside.txt", content)
        return path, "inside.txt"
    path.write_bytes({"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[kind](content))
    return path, ""


@pytest.mark.parametrize("kind", ["", ".gz", ".xz", ".zip"])
def test_every_kind_gives_the_same_bytes(tmp_path: Path, kind: str) -> None:
    with open_packed(*write(tmp_path, kind)) as file:
        assert (file.readline(), file.read()) == (b"one two\n", b"three\n")


def test_small_files_may_have_any_ratio_and_large_ones_a_bounded_one() -> None:
    assert size_limit(1) == FREE_BYTES
    assert size_limit(1 << 40) == MAX_RATIO << 40


@pytest.mark.parametrize("kind", [".gz", ".xz", ".zip"])
def test_no_more_than_the_limit_is_unpacked(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.loading.archives.FREE_BYTES", 10_000)
    path, member = write(tmp_path, kind, bytes(5_000_000))
    with (
        pytest.raises(ValueError, match=r"must unpack to at most [\d,]+ bytes, got more"),
        open_packed(path, member) as file,
    ):
        file.read()


def test_a_plain_file_has_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.loading.archives.FREE_BYTES", 10)
    with open_packed(*write(tmp_path, "", TEXT * 1000)) as file:
        assert file.read() == TEXT * 1000


@pytest.mark.parametrize("kind", [".gz", ".xz", ".zip"])
def test_damage_is_one_of_the_named_errors(tmp_path: Path, kind: str) -> None:
    path, member = write(tmp_path, kind, bytes(range(256)) * 100)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ARCHIVE_ERRORS) as caught, open_packed(path, member) as file:
        file.read()
    assert unreadable(path, caught.value).endswith("; get it again.")


def test_a_file_that_may_not_be_read_is_not_to_be_fetched_again() -> None:
    assert unreadable("a.txt", PermissionError(13, "Permission denied")) == (
        "a.txt cannot be read (Permission denied); change its permissions."
    )
