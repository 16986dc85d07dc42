"""One command runs the sweeps in order and makes the tables; what is absent is no failure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scripts.reproduce import ORDER, ROOT, main


@pytest.fixture
def miniature(tmp_path, monkeypatch):
    """A data folder with a small CIFAR-10, and nothing else."""
    rng, arrays = np.random.default_rng(0), {}
    for part, n in {"train": 40, "test": 12}.items():
        y = np.arange(n, dtype=np.uint8) % 2
        x = 128 * rng.random((n, 32, 32, 3)) + 127 * y.reshape(n, 1, 1, 1)
        arrays |= {f"x_{part}": x.astype(np.uint8), f"y_{part}": y}
    (tmp_path / "prepared").mkdir()
    np.savez(tmp_path / "prepared" / "cifar10_0_1.npz", **arrays)
    monkeypatch.setenv("SCD_DATA", str(tmp_path))


def test_every_experiment_of_the_paper_has_its_turn():
    there = {path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")}
    assert sorted(ORDER) == sorted(there - {"certificates", "frontier", "intervals"})


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--scale", "huge"], "one of cpu, paper, smoke. Got 'huge'"), (["--only", "table9"], "Got 'table9'")],
)
def test_an_unknown_scale_or_experiment_is_a_sentence(words, said, capsys):
    assert main(words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.thorough
def test_the_tables_hold_what_the_sweeps_ran(miniature, tmp_path, capsys):
    outputs = tmp_path / "outputs"
    words = ["--outputs", str(outputs), "--only", "table3,table8", "model=rf", "points.models=[rf]", "verbose=false"]
    assert main(words) == 0, "table8's data are absent, which is no failure"
    said = capsys.readouterr().out
    assert "table8: some jobs were refused, because data or an extra are missing" in said
    assert "table3: " not in said
    three = pd.read_csv(outputs / "tables" / "table3.csv").set_index("model")
    assert three.loc["rf", "succeeded"] + three.loc["rf", "already_wrong"] == 2
    assert three.loc["scd01", "command"].startswith("python run.py dataset=cifar10 model=scd01")
    assert len(list((outputs / "runs").glob("ecg200-rf-hsj-*/failed.json"))) == 1
