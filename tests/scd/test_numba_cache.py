"""Compiled code is that of today's sources, and neither damage nor a folder that cannot be written ends a run."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scd import numba_cache

_INNER = "from scd.numba_cache import njit\n\n\n@njit()\ndef inner():\n    return {value}\n"
_OUTER = "from toy.inner import inner\n" + _INNER.format(value="inner()").replace("inner():", "outer():")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `toy` with a compiled function that contains another file's."""
    monkeypatch.setattr(numba_cache, "_ROOT", tmp_path)
    monkeypatch.setattr(numba_cache.config, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "inner.py").write_text(_INNER.format(value=1))
    (tmp_path / "toy" / "outer.py").write_text(_OUTER)
    yield tmp_path / "toy"
    _forget()


def _forget():
    for function in (numba_cache.cache_folder, numba_cache.source_digest, numba_cache._read, numba_cache._warn_once):
        function.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "toy"]:
        del sys.modules[name]


def _start():
    """What the function returns in a new start, and how often compiled code was read instead of made."""
    _forget()
    importlib.invalidate_caches()
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode  # sources change within a second
    try:
        outer = importlib.import_module("toy.outer").outer
    finally:
        sys.dont_write_bytecode = before
    return outer(), sum(outer.stats.cache_hits.values())


def test_a_change_in_the_file_of_a_called_function_is_seen(package):
    assert _start() == (1, 0)
    assert _start() == (1, 1)
    (package / "inner.py").write_text(_INNER.format(value=2))
    assert _start() == (2, 0)
    assert _start() == (2, 1)


def test_a_change_in_a_file_that_is_not_imported_compiles_nothing_again(package):
    assert _start() == (1, 0)
    (package / "other.py").write_text("# a comment\n")
    assert _start() == (1, 1)


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:100], lambda data: data[:-1] + b"\0"])
def test_a_damaged_file_is_compiled_again(package, ending, damage):
    assert _start() == (1, 0)
    (file,) = package.parent.rglob(f"outer*.{ending}")
    file.write_bytes(damage(file.read_bytes()))
    assert _start()[0] == 1
    assert _start() == (1, 1)


def test_nothing_else_in_the_given_folder_is_touched(package):
    mine = package.parent / "cache" / "numba-thesis" / "chapter.tex"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    os.utime(mine.parent, (0, 0))
    assert _start() == (1, 0)
    assert mine.read_text() == "mine"
    assert len(list((package.parent / "cache").iterdir())) == 2


def test_where_the_given_folder_cannot_be_made_another_is_used(package, monkeypatch):
    (package.parent / "cache").write_text("a file")
    monkeypatch.setattr(numba_cache, "__file__", str(package / "numba_cache.py"))
    assert _start() == (1, 0)
    assert _start() == (1, 1)
    assert list((package / "__pycache__").glob("scd-*/toy.outer/outer*.nbc"))


def test_where_no_folder_can_be_written_functions_are_compiled_at_each_start(package, monkeypatch):
    monkeypatch.setattr(numba_cache, "_candidates", lambda name: iter([Path("/dev/null") / name]))
    assert _start() == (1, 0)
    assert _start() == (1, 0)


def test_a_full_disk_costs_a_warning_that_names_the_folder(package, monkeypatch):
    def full(self, name, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(numba_cache._Files, "_save_data", full)
    with pytest.warns(RuntimeWarning, match=rf"could not be stored in {package.parent / 'cache'}.*No space left"):
        assert _start() == (1, 0)
    monkeypatch.undo()


def test_the_users_own_code_keeps_numbas_cache():
    code = "import os, numba, scd.numba_cache; print(os.environ.get('NUMBA_CACHE_DIR'), repr(numba.config.CACHE_DIR))"
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout == "None ''\n"
