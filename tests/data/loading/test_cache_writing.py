"""Writing the prepared cache: whole or not at all, whatever happens to the disk, the folder or the process."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
KEPT = ["data/prepared/toy.json", "data/prepared/toy.npz"]


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
