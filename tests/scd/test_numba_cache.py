"""Compiled code is that of today's sources, whatever file changed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import scd.numba_cache

_INNER = "from numba import njit\n\n\n@njit(cache=True)\ndef inner():\n    return {value}\n"
_IMPORT = "from numba import njit\nfrom scd.inner import inner"
_OUTER = _INNER.format(value="inner()").replace("from numba import njit", _IMPORT).replace("inner():", "outer():")


def _run(root, first=""):
    code = f"{first}import scd; from scd.outer import outer; print(outer(), sum(outer.stats.cache_hits.values()))"
    environment = {**os.environ, "PYTHONPATH": str(root)}
    environment.pop("NUMBA_CACHE_DIR", None)
    run = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return tuple(map(int, run.stdout.split()))


@pytest.mark.parametrize("first", ["", "import numba; "])
def test_a_change_in_the_file_of_a_called_function_is_seen(tmp_path, first):
    (tmp_path / "scd").mkdir()
    for name in ("__init__.py", "numba_cache.py"):
        shutil.copy(Path(scd.numba_cache.__file__).parent / name, tmp_path / "scd")
    (tmp_path / "scd" / "outer.py").write_text(_OUTER)
    for value in (1, 2):
        (tmp_path / "scd" / "inner.py").write_text(_INNER.format(value=value))
        assert _run(tmp_path, first) == (value, 0)
    assert _run(tmp_path, first) == (2, 1)


def test_the_code_of_sources_long_gone_is_removed(tmp_path, monkeypatch):
    (tmp_path / "scd").mkdir()
    (tmp_path / "scd" / "a.py").write_text("")
    base = tmp_path / "cache"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(base))
    monkeypatch.setattr("numba.config.CACHE_DIR", "")
    for name, days in (("numba-old", 40), ("numba-new", 4), ("other", 40)):
        (base / name).mkdir(parents=True)
        at = (base / name).stat().st_mtime - 86400 * days
        os.utime(base / name, (at, at))
    scd.numba_cache.keep_apart(tmp_path)
    ours = Path(os.environ["NUMBA_CACHE_DIR"]).name
    assert {path.name for path in base.iterdir()} == {"numba-new", "other", ours}
    scd.numba_cache.keep_apart(tmp_path)  # as in a process that this one starts
    assert Path(os.environ["NUMBA_CACHE_DIR"]) == base / ours


def test_where_no_folder_can_be_made_numba_looks_for_itself(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    scd.numba_cache.keep_apart(tmp_path)
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path / "file")
