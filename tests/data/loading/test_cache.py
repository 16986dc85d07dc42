"""The prepared cache: made once, found again, never half written, never trusted when its checksum disagrees."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.loading import cache
from data.loading.cache import Arrays, load_or_make

ROOT = Path(__file__).resolve().parents[3]


KEPT = ["data/prepared/toy.json", "data/prepared/toy.npz"]


def test_made_once_then_nothing_else_is_needed(folders: Any) -> None:
    folders.assert_right(folders.load()[0])
    arrays, provenance = folders.load(folders.cannot_make)
    folders.assert_right(arrays)
    assert folders.made == 1
    assert folders.files() == KEPT
    assert provenance["verified"]
    assert provenance["notes"] == []
    assert provenance["file"] == str(folders.npz)


def test_json_beside_it_has_checksum_source_and_counts(folders: Any) -> None:
    _, provenance = folders.load()
    about = json.loads(folders.json.read_text())
    assert about == {
        "file": "toy.npz",
        "sha256": provenance["sha256"],
        "source": "a source",
        "counts": {"train": [20, 20], "test": [3, 3]},
    }


def test_same_arrays_give_the_same_bytes_wherever_they_are_written(folders: Any, tmp_path: Path) -> None:
    folders.load()
    load_or_make("toy", tmp_path / "nowhere", tmp_path / "there", folders.make, "a source")
    assert (tmp_path / "there" / "prepared" / "toy.npz").read_bytes() == folders.npz.read_bytes()


def test_without_json_it_is_used_and_marked_unverified(folders: Any) -> None:
    folders.load()
    folders.json.unlink()
    arrays, provenance = folders.load(folders.cannot_make)
    folders.assert_right(arrays)
    assert not provenance["verified"]
    assert provenance["notes"] == [cache.UNVERIFIED]


@pytest.mark.parametrize("text", ["{", "[]", '{"sha256": 5}', "{}", "\x00\xff"])
def test_unreadable_json_verifies_nothing(folders: Any, text: str) -> None:
    folders.load()
    folders.json.write_text(text)
    arrays, provenance = folders.load(folders.cannot_make)
    folders.assert_right(arrays)
    assert not provenance["verified"]
    assert "toy.json cannot be read" in provenance["notes"][0]


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def another_npz(path: Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, images=np.zeros(3))


def encrypted(path: Path) -> None:
    """Set the bit of the archive's directory that says so."""
    content = bytearray(path.read_bytes())
    content[content.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


def one_array(path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))


DAMAGES = [flip_a_byte, truncate, empty, another_npz, one_array]


@pytest.mark.parametrize("with_json", [True, False])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_rebuilt_with_a_warning(folders: Any, damage: Any, with_json: bool) -> None:
    folders.load()
    damage(folders.npz)
    if not with_json:
        folders.json.unlink()
    with pytest.warns(UserWarning, match="toy.npz"):
        folders.assert_right(folders.load()[0])
    assert folders.made == 2
    folders.assert_right(folders.load(folders.cannot_make)[0])
    assert folders.files() == KEPT


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_file_that_cannot_be_rebuilt_ends_in_one_sentence(folders: Any, damage: Any) -> None:
    folders.load()
    damage(folders.npz)
    with pytest.raises(FileNotFoundError, match=r"toy\.npz is damaged .*outputs.* does not exist.* get them"):
        folders.load(folders.cannot_make)


def test_encrypted_and_exploding_files_are_rebuilt_with_a_warning(
    folders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders.load()
    folders.json.unlink()
    encrypted(folders.npz)
    with pytest.warns(UserWarning, match=r"toy\.npz cannot be read \(.*is encrypted .* it is rebuilt if possible"):
        folders.assert_right(folders.load()[0])
    monkeypatch.setattr("data.loading.archives.FREE_BYTES", 10_000)
    np.savez_compressed(folders.npz, **folders.make(), more=np.zeros(10_000_000, np.uint8))
    folders.json.unlink()
    with pytest.warns(UserWarning, match=r"toy\.npz cannot be read \(.*must unpack to at most .* bytes, got more"):
        folders.assert_right(folders.load()[0])


def test_an_array_of_impossible_size_is_no_prepared_file(folders: Any) -> None:
    """A header of a few bytes can promise more memory than there is."""
    folders.load()
    folders.json.unlink()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 60,)})
    with zipfile.ZipFile(folders.npz, "w") as archive:
        archive.writestr("x_train.npy", header.getvalue())
    with pytest.warns(UserWarning, match=r"toy\.npz cannot be read"):
        folders.assert_right(folders.load()[0])


def test_check_refuses_a_file_of_another_data_set(folders: Any) -> None:
    folders.load()

    def check(arrays: Arrays) -> None:
        raise ValueError("other shape")

    with pytest.warns(UserWarning, match="does not fit this data set"), pytest.raises(FileNotFoundError):
        load_or_make("toy", folders.data, folders.outputs, folders.cannot_make, "a source", check)


def test_data_folder_is_looked_into_first_then_outputs(folders: Any, tmp_path: Path) -> None:
    load_or_make("toy", tmp_path / "no such folder", folders.outputs, folders.make, "a source")
    assert folders.files() == ["outputs/prepared/toy.json", "outputs/prepared/toy.npz"]
    assert folders.load(folders.cannot_make)[1]["file"] == str(folders.outputs / "prepared" / "toy.npz")
    load_or_make("toy", folders.data, tmp_path / "other outputs", folders.make, "a source")
    assert folders.load(folders.cannot_make)[1]["file"] == str(folders.npz)


def test_goes_to_outputs_when_the_data_folder_takes_nothing(folders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir = Path.mkdir

    def refuse(path: Path, *args: Any, **kwargs: Any) -> None:
        if path.is_relative_to(folders.data):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        mkdir(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, provenance = folders.load()
    assert folders.files() == ["outputs/prepared/toy.json", "outputs/prepared/toy.npz"]
    assert "Permission denied" in provenance["notes"][0]


def _no_space(*args: Any, **kwargs: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _half_a_member(member: Any, *args: Any, **kwargs: Any) -> None:
    member.write(b"half of it")
    _no_space()


@pytest.mark.parametrize(("where", "name", "fault"), [(np, "save", _half_a_member), (os, "replace", _no_space)])
def test_full_disk_leaves_nothing_and_only_warns(
    folders: Any, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, fault: Any
) -> None:
    monkeypatch.setattr(where, name, fault)
    with pytest.warns(UserWarning, match="could not be kept .*No space left on device"):
        arrays, provenance = folders.load()
    folders.assert_right(arrays)
    assert provenance["file"] is None
    assert folders.files() == []


def test_file_size_limit_of_the_system_leaves_nothing(folders: Any) -> None:
    resource = pytest.importorskip("resource", reason="needs a POSIX system")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))  # the arrays take about 9000 bytes
    try:
        with pytest.warns(UserWarning, match="could not be kept"):
            arrays, _ = folders.load()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    folders.assert_right(arrays)
    assert folders.files() == []


def test_killed_between_the_two_files_the_next_run_makes_both(folders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def killed_at_the_npz(source: Any, target: Any) -> None:
        if str(target).endswith(".npz"):
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed_at_the_npz)
    with pytest.raises(KeyboardInterrupt):
        folders.load()
    monkeypatch.undo()
    assert folders.files() == KEPT[:1]
    assert folders.load()[1]["verified"]
    assert folders.files() == KEPT


PROCESS = """
import sys, numpy as np
from data.loading.cache import load_or_make
def make():
    x = np.arange(3_000_000, dtype=np.uint8)
    return {"x_train": x, "y_train": x % 2, "x_test": x, "y_test": x % 2}
for round in range(4):
    arrays, provenance = load_or_make(f"toy_{round}", sys.argv[1], sys.argv[1], make, "a source")
    assert provenance["verified"] and all((array == make()[key]).all() for key, array in arrays.items())
"""


def test_processes_at_once_do_not_corrupt_each_other(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", PROCESS, str(tmp_path)]
    running = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in running:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    kept = sorted(path.name for path in (tmp_path / "prepared").iterdir())
    assert kept == sorted(f"toy_{round}.{ending}" for round in range(4) for ending in ("json", "npz"))


def test_a_flipped_bit_changes_no_sample_silently(folders: Any) -> None:
    folders.load()
    for path in (folders.npz, folders.json):
        whole = path.read_bytes()
        for at in range(0, len(whole), max(1, len(whole) // 40)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x01]) + whole[at + 1 :])
            with warnings.catch_warnings(record=True):
                warnings.simplefilter("always")
                arrays, _ = folders.load()
            folders.assert_right(arrays)
            folders.npz.unlink()
            folders.json.unlink(missing_ok=True)
            folders.load()
            assert path.read_bytes() == whole
