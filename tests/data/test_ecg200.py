"""ECG200: normal is label 0 whatever the file format, the bounds hold every beat, bad files end in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from data import Dataset, ecg200

CONF = Path(__file__).resolve().parents[2] / "conf" / "dataset" / "ecg200.yaml"
RNG = np.random.default_rng(200)
BEATS = {split: RNG.normal(size=(100, 96)).round(6).astype(np.float32) for split in ("train", "test")}
LABELS = {  # as many of each as in the archive
    "train": RNG.permutation(np.repeat([1, -1], [69, 31])).astype(np.int8),
    "test": RNG.permutation(np.repeat([1, -1], [64, 36])).astype(np.int8),
}


def bundle(folder: Path, **changes: Any) -> Path:
    """Write the npz file; a change of None leaves an array out."""
    arrays: dict[str, Any] = {f"ecg200_x_{split}": x for split, x in BEATS.items()}
    arrays |= {f"ecg200_y_{split}": y for split, y in LABELS.items()}
    arrays |= {"ecg5000_x_train": np.zeros((5, 140), np.float32)} | changes
    path = folder / "ecg" / "ecg200_ecg5000train.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
    return path


def tables(folder: Path, rows: slice = slice(None)) -> None:
    """Write the archive's two tables."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, x in BEATS.items():
        lines = [
            "\t".join([str(label), *(f"{v:.8g}" for v in beat)])
            for label, beat in zip(LABELS[split][rows], x[rows], strict=True)
        ]
        (folder / f"ECG200_{split.upper()}.tsv").write_text("\n".join(lines) + "\n")


def load(folder: Path, **options: Any) -> Dataset:
    return ecg200.load(**options, data_dir=str(folder), outputs_dir=str(folder / "outputs"))


def test_the_133_normal_beats_are_label_0(tmp_path: Path) -> None:
    # The archive's label 1 is the commoner one; 133 of the 200 beats are normal.
    bundle(tmp_path)
    dataset = load(tmp_path)
    assert sum(counts[0] for counts in dataset.provenance["counts"].values()) == 133
    for split, y in (("train", dataset.y_train), ("test", dataset.y_test)):
        np.testing.assert_array_equal(dataset.flat(split), BEATS[split])
        np.testing.assert_array_equal(y, LABELS[split] == -1)
    assert dataset.class_names == ("normal", "infarction")
    assert dataset.provenance["notes"] == []


@pytest.mark.parametrize("place", ["ECG200", "ecg"])
def test_bundle_and_tables_are_the_same_set(tmp_path: Path, place: str) -> None:
    bundle(tmp_path / "one")
    tables(tmp_path / "other" / place)
    assert load(tmp_path / "one").checksum == load(tmp_path / "other").checksum


def test_bounds_are_reached_and_never_left(tmp_path: Path) -> None:
    x = {split: beats.copy() for split, beats in BEATS.items()}
    x["test"][3, 4], x["train"][5, 6] = -9, 11  # one bound by a test beat, the other by a training beat
    bundle(tmp_path, ecg200_x_train=x["train"], ecg200_x_test=x["test"])
    assert load(tmp_path).clip == (-9.0, 11.0)


def test_a_subset_is_called_a_subset(tmp_path: Path) -> None:
    tables(tmp_path / "ECG200", slice(0, 50))
    notes = load(tmp_path).provenance["notes"]
    assert len(notes) == 2
    assert all(note.startswith("not the full set: ") for note in notes)
    assert "the archive has 69 and 31" in notes[0]


def test_cache_does_without_the_files_but_not_against_them(tmp_path: Path) -> None:
    path = bundle(tmp_path)
    first = load(tmp_path)
    bundle(tmp_path, ecg200_x_train=-BEATS["train"])
    with pytest.warns(UserWarning, match=r"ecg200\.npz .*ecg200_ecg5000train\.npz changed since it was made"):
        changed = load(tmp_path)
    path.unlink()
    assert load(tmp_path).checksum == changed.checksum != first.checksum


WITH_NAN = BEATS["test"].copy()
WITH_NAN[4, 7] = np.nan
TOO_LARGE = BEATS["test"].astype(np.float64)
TOO_LARGE[4, 7] = 1e300


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ecg200_y_test": None}, "must hold the arrays ecg200_x_train, .* got none called ecg200_y_test"),
        ({"ecg200_x_test": WITH_NAN}, "ecg200_x_test must be finite numbers, got nan in row 5, column 8"),
        ({"ecg200_x_test": TOO_LARGE}, "ecg200_x_test must be finite numbers, got inf in row 5, column 8"),
        ({"ecg200_x_test": BEATS["test"][:, :90]}, r"shape \(n, 96\) .* got float32 of \(100, 90\)"),
        ({"ecg200_y_train": LABELS["train"][:7]}, r"one label for each row, got .* int8 of \(7,\)"),
        ({"ecg200_y_train": LABELS["train"].astype(str)}, "must be numbers of shape"),
        (
            {"ecg200_y_train": LABELS["train"] + 3},
            r"train split must be 1 \(normal\) or -1 \(infarction\), got [24] in",
        ),
        ({"ecg200_y_test": np.full(100, 1)}, r"test split must be both 1 \(normal\) and -1 .* got only 1"),
        ({"ecg200_x_train": np.array([{}])}, r"cannot be read \(Object arrays"),
    ],
)
def test_bad_bundle_ends_in_one_sentence(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    path = bundle(tmp_path, **changes)
    with pytest.raises(ValueError, match=sentence) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "prepared").exists()


def test_a_bundle_that_is_no_npz_file_is_one_sentence(tmp_path: Path) -> None:
    bundle(tmp_path).write_bytes(b"not a zip archive")
    with pytest.raises(ValueError, match="must be an npz file of arrays"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("\t", ",", r"row 1, column 1: there must be a number, got the text"),
        ("\n", "\tx\n", r"row 1, column 98: there must be a number, got the text 'x'"),
        ("\n", "\t0\n", r"row 1: there must be 97 columns, got 98"),
        ("-1\t", "0\t", r"must be 1 \(normal\) or -1 \(infarction\), got 0 in row \d+"),
        ("-1\t", "NaN\t", r"column 1: there must be a finite number, got nan"),
        ("-1\t", "1\t", r"must be both 1 \(normal\) and -1 \(infarction\), got only 1"),
    ],
)
def test_bad_table_ends_in_one_sentence(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    tables(tmp_path / "ECG200")
    path = tmp_path / "ECG200" / "ECG200_TEST.tsv"
    lines = path.read_text().splitlines(keepends=True)
    at_start = [line.replace(old, new, 1) if line.startswith(old) else line for line in lines]
    path.write_text("".join(at_start if old == "-1\t" else [line.replace(old, new) for line in lines]))
    with pytest.raises(ValueError, match=sentence) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(str(path))


def test_missing_files_are_named_with_all_that_is_needed(tmp_path: Path) -> None:
    tables(tmp_path / "ECG200")
    (tmp_path / "ECG200" / "ECG200_TEST.tsv").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        load(tmp_path)
    for expected in ("ECG200_TRAIN.tsv", "ECG200_TEST.tsv", ecg200.SOURCE, "107 kB", "paths.data", "SCD_DATA"):
        assert expected in str(caught.value)


@pytest.mark.parametrize("classes", [["infarction", "normal"], [1, -1], "normal", None])
def test_other_classes_are_refused(tmp_path: Path, classes: Any) -> None:
    with pytest.raises(ValueError, match=r"dataset\.classes of ecg200 must be \[normal, infarction\]"):
        load(tmp_path, classes=classes)


def test_the_config_composes_and_loads_the_set(tmp_path: Path) -> None:
    bundle(tmp_path)
    paths = {"data": str(tmp_path), "outputs": str(tmp_path / "outputs")}
    config = OmegaConf.create({"dataset": OmegaConf.load(CONF), "paths": paths})
    loaded = instantiate({k: v for k, v in config.dataset.items() if k not in ("name", "training", "attack")})
    assert loaded.name == config.dataset.name == "ecg200"
    assert loaded.checksum == load(tmp_path).checksum
