"""The first run says that it compiles, and uses a second core for it."""

import pytest

from pipeline import compile_ahead as module


@pytest.fixture
def started(monkeypatch):
    """The words after `python -m` of the processes that are started."""
    parts = []
    monkeypatch.setattr(module.subprocess, "Popen", lambda command, **_: parts.append(" ".join(command[2:])))
    return parts


_PARTS = ["scd.search.cpu.ahead hidden", "scd.search.cpu.ahead output", "attacks.engine.kernels.ahead"]


@pytest.mark.parametrize(("empty", "cores", "parts"), [(True, 2, _PARTS), (True, 1, []), (False, 2, [])])
def test_processes_start_where_nothing_is_compiled_and_a_core_is_free(
    empty, cores, parts, started, monkeypatch, capsys
):
    monkeypatch.setattr(module, "is_empty", lambda: empty)
    monkeypatch.setattr(module, "cores", lambda: cores)
    module.compile_ahead()
    assert started == parts
    assert ("The first run compiles code" in capsys.readouterr().out) == empty
