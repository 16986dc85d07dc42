"""The prepared cache: made once, found again, never half written, never trusted when its checksum disagrees."""

from __future__ import annotations

import json
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


def test_json_beside_it_tells_checksum_source_and_counts(folders: Any) -> None:
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


def one_array(path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))


DAMAGES = [flip_a_byte, truncate, empty, another_npz, one_array]


@pytest.mark.parametrize("with_json", [True, False])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_made_anew_with_a_warning(folders: Any, damage: Any, with_json: bool) -> None:
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
def test_damaged_file_that_cannot_be_made_anew_ends_in_one_sentence(folders: Any, damage: Any) -> None:
    folders.load()
    damage(folders.npz)
    with pytest.raises(FileNotFoundError, match=r"toy\.npz is damaged .*outputs.* does not exist.* get them"):
        folders.load(folders.cannot_make)


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
