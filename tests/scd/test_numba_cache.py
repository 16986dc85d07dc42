"""Compiled code is that of today's sources, and neither damage nor a folder that cannot be written ends a run."""

import importlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scd import cache_folder, numba_cache

_INNER = "from scd.numba_cache import njit\n\n\n@njit()\ndef inner():\n    return {value}\n"
_OUTER = "from toy.inner import inner\n" + _INNER.format(value="inner()").replace("inner():", "outer():")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `toy` with a compiled function that contains another file's."""
    for module in (numba_cache, cache_folder):
        monkeypatch.setattr(module, "_ROOT", tmp_path)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "inner.py").write_text(_INNER.format(value=1))
    (tmp_path / "toy" / "outer.py").write_text(_OUTER)
    yield tmp_path / "toy"
    _forget()


def _forget():
    for name in ("cache_folder", "source_digest", "_read", "_warn_once", "_lock_file"):
        getattr(numba_cache, name).cache_clear()
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


@pytest.mark.parametrize("statement", ["from .inner import inner", "from . import inner\ninner = inner.inner"])
def test_a_change_in_a_file_that_is_imported_relatively_is_seen(package, statement):
    (package / "outer.py").write_text(_OUTER.replace("from toy.inner import inner", statement))
    assert _start() == (1, 0)
    (package / "inner.py").write_text(_INNER.format(value=2))
    assert _start() == (2, 0)


def test_a_change_in_a_file_that_is_not_imported_compiles_nothing_again(package):
    assert _start() == (1, 0)
    (package / "other.py").write_text("# a comment\n")
    assert _start() == (1, 1)


@pytest.mark.thorough
def test_code_compiled_under_one_name_is_not_read_under_the_other(tmp_path):
    """As where an editable install is used from another folder: Numba's files import their module by its name."""
    for name in ("toy", "alias"):
        (tmp_path / name).mkdir()
    (tmp_path / "toy" / "inner.py").write_text(_INNER.format(value=1))
    (tmp_path / "alias" / "inner.py").symlink_to(tmp_path / "toy" / "inner.py")
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    for path, module in ((tmp_path, "toy.inner"), (tmp_path / "alias", "inner")):
        program = f"from {module} import inner; print(inner())"
        words = [sys.executable, "-c", program]
        known = {**environment, "PYTHONPATH": os.pathsep.join([str(path), str(Path(numba_cache.__file__).parents[1])])}
        done = subprocess.run(words, cwd=path, env=known, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:100], lambda data: data[:-1] + b"\0"])
def test_a_damaged_file_is_compiled_again(package, ending, damage):
    assert _start() == (1, 0)
    (file,) = package.parent.rglob(f"outer*.{ending}")
    file.write_bytes(damage(file.read_bytes()))
    assert _start()[0] == 1
    assert _start() == (1, 1)


_HOLDER = """
import sys
from scd import cache_folder, numba_cache
numba_cache._ROOT = cache_folder._ROOT = numba_cache.Path(sys.argv[1])
with numba_cache._alone("toy.outer.outer()"):
    print("at it", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def another(package):
    """Another process that compiles `toy.outer.outer`."""
    pytest.importorskip("fcntl")
    command = [sys.executable, "-c", _HOLDER, str(package.parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "at it\n"
        yield process
        process.kill()


@pytest.mark.thorough
def test_what_another_process_compiles_is_waited_for(package, another):
    threading.Timer(1, another.kill).start()  # the system then frees the lock
    assert _start() == (1, 0)
    assert another.poll() is not None


def test_a_process_that_is_suspended_is_not_waited_for_without_end(package, another, monkeypatch):
    monkeypatch.setattr(numba_cache, "_PATIENCE", 0.2)
    assert _start() == (1, 0)
    assert another.poll() is None


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
    monkeypatch.setattr(cache_folder, "__file__", str(package / "cache_folder.py"))
    assert _start() == (1, 0)
    assert _start() == (1, 1)
    assert list((package / "__pycache__").glob("scd-*/toy.outer/outer*.nbc"))


def test_where_no_folder_can_be_written_functions_are_compiled_at_each_start(package, monkeypatch):
    monkeypatch.setattr(cache_folder, "_candidates", lambda name: iter([Path("/dev/null") / name]))
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
