"""Checks on the real GTSRB and CelebA files, where the data folder (SCD_DATA) has them: ``make test-slow``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

FOLDER = Path(os.environ.get("SCD_DATA", Path.home() / ".cache" / "scd")).expanduser()
CONF = Path(__file__).resolve().parents[2] / "conf" / "dataset"

pytestmark = pytest.mark.slow


def load(name: str, tmp_path: Path, **options: Any) -> Any:
    """Load as configured, from the official files and not from a prepared one, without writing to the data folder."""
    official = FOLDER / name
    if not official.is_dir():
        pytest.skip(f"there is no {official}; point SCD_DATA at the folder that has it")
    (tmp_path / name).symlink_to(official.resolve(), target_is_directory=True)
    paths = {"data": str(tmp_path), "outputs": str(tmp_path / "outputs")}
    config = OmegaConf.create({"dataset": OmegaConf.load(CONF / f"{name}.yaml"), "paths": paths})
    arguments = {k: v for k, v in config.dataset.items() if k not in ("name", "training", "attack")}
    return instantiate({**arguments, **options})


def correlation(images: np.ndarray) -> float:
    """Mean correlation of neighbouring pixels, down the columns and along the rows."""
    grey = images.astype(np.float32).mean(axis=1)
    pairs = ((grey[:, 1:], grey[:, :-1]), (grey[:, :, 1:], grey[:, :, :-1]))
    return min(float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) for a, b in pairs)


def test_signs_are_all_there(tmp_path: Path) -> None:
    dataset = load("gtsrb", tmp_path)
    assert dataset.provenance["counts"] == {"train": [1410, 1410], "test": [450, 450]}
    assert not [note for note in dataset.provenance["notes"] if note.startswith("not the full set")]
    with np.load(dataset.provenance["file"]) as stored:
        tracks = [name.rsplit("_", 1)[0] for name in stored["file_train"]]
    assert set(np.unique(tracks, return_counts=True)[1]) == {30}  # frames of one physical sign
    assert correlation(dataset.x_train) > 0.9  # an image, not a reshaped one


def test_a_red_ring_surrounds_a_white_disc(tmp_path: Path) -> None:
    """Channels in the right order: on the mean image the ring is redder than the middle."""
    mean = load("gtsrb", tmp_path).x_train.mean(axis=0)
    redness = mean[0] - mean[1:].max(axis=0)
    rows, columns = np.mgrid[:48, :48] - 23.5
    radius = np.hypot(rows, columns)
    assert redness[(radius > 13) & (radius < 18)].mean() > redness[radius < 10].mean() + 5


def test_faces_are_balanced_disjoint_and_upright(tmp_path: Path) -> None:
    dataset = load("celeba", tmp_path)
    counts = dataset.provenance["counts"]
    assert counts["train"][0] == counts["train"][1] <= 500
    assert counts["test"][0] == counts["test"][1] <= 500
    if counts != {"train": [500, 500], "test": [500, 500]}:
        assert [note for note in dataset.provenance["notes"] if note.startswith("not the official partition")]
    with np.load(dataset.provenance["file"]) as stored:
        assert not set(stored["file_train"]) & set(stored["file_test"])
    assert correlation(dataset.x_train) > 0.9
    # Faces are aligned: the mean face is symmetric left to right, not top to bottom, and skin is red before blue.
    mean = dataset.x_train.mean(axis=0)
    assert np.abs(mean - mean[:, :, ::-1]).mean() < 0.5 * np.abs(mean - mean[:, ::-1]).mean()
    middle = mean[:, 30:70, 30:66].mean(axis=(1, 2))
    assert middle[0] > middle[1] > middle[2]


def test_black_hair_is_darker_than_brown_hair(tmp_path: Path) -> None:
    """Labels belong to their images: the top of the head differs in the expected direction."""
    dataset = load("celeba", tmp_path)
    top = dataset.x_train[:, :, 4:24, 30:66].mean(axis=(1, 2, 3))
    assert top[dataset.y_train == 0].mean() < top[dataset.y_train == 1].mean() - 5


def test_a_face_stands_where_its_file_has_it(tmp_path: Path) -> None:
    dataset = load("celeba", tmp_path, size=178)
    with np.load(dataset.provenance["file"]) as stored:
        name = str(stored["file_test"][0])
    with Image.open(FOLDER / "celeba" / "img_align_celeba" / name) as image:
        whole = np.asarray(image)
    np.testing.assert_array_equal(dataset.x_test[0], whole[20:198].transpose(2, 0, 1))
