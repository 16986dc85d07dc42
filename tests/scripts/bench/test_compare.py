"""``make bench-check`` fails exactly when a ratio has lost more than a fifth."""

import json

import pytest

from scripts.bench.attacks import NOT_MEASURED, runs
from scripts.bench.compare import main


def _file(path, **ratios):
    path.write_text(json.dumps({"ratios": ratios}), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(("after", "status"), [(1.0, 0), (0.81, 0), (0.79, 1), (3.0, 0)])
def test_a_loss_of_more_than_a_fifth_fails(tmp_path, capsys, after, status):
    old = _file(tmp_path / "old.json", forward=2.0, training=5.0)
    assert main([old, _file(tmp_path / "new.json", forward=2.0 * after, training=5.0)]) == status
    assert ("REGRESSION forward" in capsys.readouterr().out) == bool(status)


def test_a_peer_that_is_absent_is_said_and_is_no_regression(tmp_path, capsys):
    old, new = _file(tmp_path / "old.json", forward=1.0, art=1.0), _file(tmp_path / "new.json", forward=1.0, surfree=1)
    assert main([old, new]) == 0
    shown = capsys.readouterr().out
    assert "only old   art" in shown
    assert "only new   surfree" in shown


def test_files_that_cannot_be_compared_are_refused_in_a_sentence(tmp_path, capsys):
    good, other = _file(tmp_path / "a.json", forward=1.0), _file(tmp_path / "b.json", training=1.0)
    (tmp_path / "c.json").write_text("[]", encoding="utf-8")
    for second, said in ((other, "no ratio in common"), (str(tmp_path / "none.json"), "There is no file"),
                         (str(tmp_path / "c.json"), "is not a file of `make bench`")):  # fmt: skip
        assert main([good, second]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.thorough
def test_what_bench_attacks_with_is_what_can_be_configured(compose_config):
    for name in [*runs(), *NOT_MEASURED]:
        assert compose_config(f"attack={name}")["attack"]["name"] == name
