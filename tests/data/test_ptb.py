"""PTB beats: rows stand as the files have them, the split is the published one, bad files end in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from sklearn.model_selection import train_test_split

from data import Dataset, ptb

CONF = Path(__file__).resolve().parents[2] / "conf" / "dataset" / "ptb.yaml"
RNG = np.random.default_rng(187)
TABLES = [np.column_stack([RNG.random((n, 187)), np.full(n, label)]) for label, n in enumerate((20, 40))]


def write(folder: Path, tables: list[np.ndarray] = TABLES) -> None:
    """Write miniatures of the two files, in the number format of the published ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in zip(ptb.FILES, tables, strict=True):
        np.savetxt(folder / name, table, delimiter=",", fmt="%.18e")


def load(folder: Path, **options: Any) -> Dataset:
    return ptb.load(**options, data_dir=str(folder), outputs_dir=str(folder / "outputs"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "ptb")
    return tmp_path


def test_rows_are_those_of_the_authors_split_of_normal_then_abnormal(folder: Path) -> None:
    dataset = load(folder)
    table = np.concatenate(TABLES)
    x_train, x_test, y_train, y_test = train_test_split(
        table[:, :187], table[:, 187], train_size=0.9, random_state=5947
    )
    np.testing.assert_array_equal(dataset.flat("train"), x_train.astype(np.float32))
    np.testing.assert_array_equal(dataset.flat("test"), x_test.astype(np.float32))
    np.testing.assert_array_equal(dataset.y_train, y_train)
    np.testing.assert_array_equal(dataset.y_test, y_test)
    assert dataset.clip == (0.0, 1.0)
    assert dataset.class_names == ("normal", "abnormal")


def test_published_files_give_the_papers_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ptb, "_beats", lambda path, label: np.zeros(((4046, 10506)[label], 187), np.float32))
    dataset = load(folder)
    assert (len(dataset.x_train), len(dataset.x_test)) == (13096, 1456)
    assert all("is not the published file" in note for note in dataset.provenance["notes"])  # but as many rows


def test_files_may_be_in_the_data_folder_itself(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "flat")
    assert load(tmp_path / "flat").checksum == load(folder).checksum


def test_a_subset_is_called_one_and_the_published_files_are_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(folder).provenance["notes"] == [
        "not the full set: 20 normal and 40 abnormal beats, the published files have 4046 and 10506"
    ]
    monkeypatch.setattr(ptb, "COUNTS", (20, 40))
    monkeypatch.setattr(ptb, "SHA256", tuple(ptb.file_sha256(folder / "ptb" / name) for name in ptb.FILES))
    assert load(folder).provenance["notes"] == []


def test_cache_does_without_the_files_but_not_against_them(folder: Path) -> None:
    first = load(folder)
    write(folder / "ptb", [TABLES[0][:10], TABLES[1]])
    with pytest.warns(UserWarning, match=r"ptb\.npz .*ptbdb_normal\.csv .* changed since it was made"):
        changed = load(folder)
    assert changed.provenance["counts"] != first.provenance["counts"]
    for name in ptb.FILES:
        (folder / "ptb" / name).unlink()
    cached = load(folder)
    assert cached.checksum == changed.checksum
    assert cached.provenance["verified"]


def test_standardised_by_two_numbers_of_the_training_part(folder: Path) -> None:
    plain, scaled = load(folder), load(folder, standardize=True)
    train = scaled.flat("train").astype(float)
    assert train.mean() == pytest.approx(0, abs=1e-6)
    assert train.std() == pytest.approx(1, abs=1e-6)
    mean, std = plain.flat("train").astype(float).mean(), plain.flat("train").astype(float).std()
    for split in ("train", "test"):
        np.testing.assert_allclose(scaled.flat(split) * std + mean, plain.flat(split), atol=1e-6)
    np.testing.assert_allclose(np.array(scaled.clip) * std + mean, (0, 1), atol=1e-9)
    assert len(list((folder / "prepared").glob("*.npz"))) == 1  # what is kept is never standardised


def test_values_of_0_and_1_are_within_the_standardised_bounds(folder: Path) -> None:
    tables = [table.copy() for table in TABLES]
    tables[0][:, :90], tables[1][:, 90:187] = 0, 1
    write(folder / "ptb", tables)
    dataset = load(folder, standardize=True)  # Dataset refuses a value beyond a bound by as little as rounding
    assert dataset.flat("train").min() == np.float32(dataset.clip[0])
    assert dataset.flat("train").max() == np.float32(dataset.clip[1])


def cell(row: int, column: int, value: str) -> Callable[[list[list[str]]], None]:
    """Put a text into a cell."""

    def edit(rows: list[list[str]]) -> None:
        rows[row][column] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (cell(2, 5, "abc"), r"row 3, column 6: there must be a number, got the text 'abc'"),
        (cell(2, 5, ""), r"row 3, column 6: there must be a number, got the text ''"),
        (cell(0, 0, "nan"), r"row 1, column 1: there must be a finite number, got nan"),
        (cell(1, 186, "-inf"), r"row 2, column 187: there must be a finite number, got -inf"),
        (cell(7, 9, "1.5"), r"row 8, column 10: there must be a value in \[0, 1\], got 1.5"),
        (cell(4, 187, "1"), r"row 5, column 188: there must be the label 0 \(normal\), got 1"),
        (cell(4, 187, "0.5"), r"row 5, column 188: there must be the label 0 \(normal\), got 0.5"),
        (lambda rows: rows[3].pop(), r"row 4: there must be 188 columns, got 187"),
        (lambda rows: rows[0].append("0"), r"row 1: there must be 188 columns, got 189"),
        (lambda rows: [row.pop(0) for row in rows], r"row 1: there must be 188 columns, got 187"),
        (lambda rows: rows.insert(0, [f"t{i}" for i in range(188)]), r"row 1, column 1: .* the text 't0'"),
        (lambda rows: rows.clear(), r"must hold 188 numbers in each row, got no row"),
    ],
)
def test_bad_file_ends_in_one_sentence(folder: Path, edit: Any, sentence: str) -> None:
    path = folder / "ptb" / "ptbdb_normal.csv"
    rows = [line.split(",") for line in path.read_text().splitlines()]
    edit(rows)
    path.write_text("".join(",".join(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match=sentence) as caught:
        load(folder)
    assert str(caught.value).startswith(str(path))
    assert ptb.SOURCE in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (folder / "prepared").exists()


def test_files_with_swapped_names_are_refused(folder: Path) -> None:
    write(folder / "ptb", TABLES[::-1])
    with pytest.raises(ValueError, match=r"ptbdb_normal\.csv, row 1, column 188: .*label 0 \(normal\), got 1"):
        load(folder)


@pytest.mark.parametrize("gone", [ptb.FILES[:1], ptb.FILES[1:], ptb.FILES])
def test_missing_files_are_named_with_all_that_is_needed(folder: Path, gone: tuple[str, ...]) -> None:
    for name in gone:
        (folder / "ptb" / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{' and '.join(gone)} (is|are) not in {folder / 'ptb'}") as caught:
        load(folder)
    for expected in (ptb.SOURCE, "19,016,200 bytes", "49,378,200 bytes", "paths.data", "SCD_DATA"):
        assert expected in str(caught.value)


def test_prepared_file_of_another_shape_is_not_used(folder: Path) -> None:
    (folder / "prepared").mkdir()
    x, y = np.zeros((4, 96), np.float32), np.array([0, 1, 0, 1], np.uint8)
    np.savez(folder / "prepared" / "ptb.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.warns(UserWarning, match=r"x_train must be float32 of shape \(n, 187\)"):
        assert load(folder).provenance["verified"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"classes": ["abnormal", "normal"]}, r"dataset\.classes of ptb must be \[normal, abnormal\]"),
        ({"classes": [0, 1]}, r"dataset\.classes of ptb .* got \[0, 1\]"),
        ({"classes": None}, r"dataset\.classes of ptb .* got None"),
        ({"standardize": "yes"}, r"dataset\.standardize of ptb must be true or false, got 'yes'"),
    ],
)
def test_each_illegal_option_is_one_sentence_with_its_key(folder: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        load(folder, **options)


def test_equal_values_cannot_be_standardised(folder: Path) -> None:
    write(folder / "ptb", [np.column_stack([np.ones((20, 187)), np.full(20, label)]) for label in (0, 1)])
    with pytest.raises(ValueError, match="cannot be standardised: all training values are equal"):
        load(folder, standardize=True)


def test_the_config_composes_and_loads_the_set(folder: Path) -> None:
    paths = {"data": str(folder), "outputs": str(folder / "outputs")}
    config = OmegaConf.create({"dataset": OmegaConf.load(CONF), "paths": paths})
    loaded = instantiate({k: v for k, v in config.dataset.items() if k not in ("name", "training", "attack")})
    assert loaded.name == config.dataset.name == "ptb"
    assert loaded.checksum == load(folder).checksum
