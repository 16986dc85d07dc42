"""What `make` compiles while it installs packages is what the default experiment needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_CODE = """
import sys
from scripts.precompile import main

main()
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "hydra", "matplotlib"}))
"""


@pytest.mark.thorough
def test_nothing_is_left_to_compile_and_no_package_is_needed_that_may_not_be_there_yet(tmp_path):
    def run(*words):
        command, environment = [sys.executable, *words], {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=_ROOT, env=environment).stdout

    assert run("-c", _CODE).strip() == ""
    compiled = {file.name for file in tmp_path.rglob("*.nbc")}
    assert "The first run compiles" not in run("run.py", "scale=smoke", f"paths.outputs={tmp_path / 'outputs'}")
    assert {file.name for file in tmp_path.rglob("*.nbc")} == compiled
