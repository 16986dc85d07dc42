"""GTSRB without its files: the published counts, the legal options, and how to get the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data import gtsrb


def test_official_counts() -> None:
    """Published sums; the frames of a sign are 30, but for one lost frame, and the test set is of whole tracks too."""
    assert (sum(gtsrb.COUNTS["train"]), sum(gtsrb.COUNTS["test"])) == (39209, 12630)
    assert [len(counts) for counts in gtsrb.COUNTS.values()] == [43, 43]
    assert [(c, n % 30) for c, n in enumerate(gtsrb.COUNTS["train"]) if n % 30] == [(33, 29)]
    assert not any(n % 30 for n in gtsrb.COUNTS["test"])
    assert [gtsrb.COUNTS[split][c] for split in ("train", "test") for c in (3, 8)] == [1410, 1410, 450, 450]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"classes": (3, 43)}, r"dataset\.classes of gtsrb must be two different whole numbers in 0\.\.42"),
        ({"size": 0}, r"dataset\.size of gtsrb must be a whole number in 1\.\.1024, got 0\."),
        ({"size": 48.0}, r"dataset\.size of gtsrb .* got 48\.0\."),
        ({"crop_to_roi": "no"}, r"dataset\.crop_to_roi of gtsrb must be true or false, got 'no'\."),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        gtsrb.load(**options, data_dir=str(tmp_path), outputs_dir=str(tmp_path / "outputs"))


def test_no_files_and_no_network_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gtsrb, "SERVER", "http://127.0.0.1:9/")  # nobody listens there
    with pytest.raises(FileNotFoundError) as caught:
        gtsrb.load(data_dir=str(tmp_path), outputs_dir=str(tmp_path / "outputs"))
    sentence = str(caught.value)
    for told in ("gtsrb_3_8_48.npz does not exist", "Final_Training/Images is not there", "downloading it failed"):
        assert told in sentence
    for told in (*gtsrb.MD5, gtsrb.SERVER, "paths.data", "SCD_DATA", str(tmp_path / "gtsrb")):
        assert told in sentence
    assert "\n" not in sentence
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [".gtsrb.lock"]
