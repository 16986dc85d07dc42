"""Checks on the real PTB, ECG200 and ImageNet files, those that the data folder (SCD_DATA) has: ``make test-slow``."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from data import Dataset, ecg200, imagenet, ptb

FOLDER = Path(os.environ.get("SCD_DATA", "~/.cache/scd")).expanduser().resolve()

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the same official files and without prepared ones, so that nothing is written beside the former."""
    folder = tmp_path_factory.mktemp("linked")
    for name in ("ptb", *ptb.FILES, "ecg", "ECG200", "imagenet"):
        if (FOLDER / name).exists():
            (folder / name).symlink_to(FOLDER / name)
    return folder


def twice(load, folder: Path) -> Dataset:
    """Load from the official files, then from the cache, which must be the same; skip where there are no files."""
    options = {"data_dir": str(folder), "outputs_dir": str(folder / "outputs")}
    try:
        first = load(**options)
    except FileNotFoundError as error:
        pytest.skip(f"{error} (looked for in {FOLDER})")
    again = load(**options)
    assert first.checksum == again.checksum
    assert first.provenance["notes"] == again.provenance["notes"]
    return again


def nearest_neighbour_accuracy(dataset: Dataset) -> float:
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(1, algorithm="brute").fit(dataset.flat("train"), dataset.y_train)
    return float(model.score(dataset.flat("test"), dataset.y_test))


def test_ptb_has_the_papers_counts(linked):
    dataset = twice(ptb.load, linked)
    assert (len(dataset.x_train), len(dataset.x_test)) == (13096, 1456)
    assert dataset.provenance["notes"] == []
    assert dataset.provenance["counts"] == {"train": [3643, 9453], "test": [403, 1053]}  # 4,046 and 10,506 in all


def test_ecg200_is_the_archives_set(linked):
    """The archive publishes an error of 0.120 for the nearest neighbour by Euclidean distance."""
    dataset = twice(ecg200.load, linked)
    assert dataset.provenance["notes"] == []
    assert nearest_neighbour_accuracy(dataset) == pytest.approx(0.88, abs=1e-9)
    assert [round(value, 3) for value in dataset.clip] == [-3.014, 4.199]


def test_votes_learn_ecg200(linked):
    """Thirty votes are better than always answering `normal`, which is right on 64 of the 100 test beats."""
    dataset = twice(ecg200.load, linked)
    from scd import SCDClassifier

    model = SCDClassifier(n_votes=30, batch_fraction=0.25, random_state=0).fit(dataset.flat("train"), dataset.y_train)
    assert model.score(dataset.flat("test"), dataset.y_test) >= 0.74


def test_imagenet_pixels_are_those_of_torchvision(linked):
    """On every fortieth image, against the authors' transforms: Resize(256) and CenterCrop(224)."""
    dataset = twice(imagenet.load, linked)
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import CenterCrop, Compose, Resize

    transform = Compose([Resize(256), CenterCrop(224)])
    for part, x, y in (("train", dataset.x_train, dataset.y_train), ("val", dataset.x_test, dataset.y_test)):
        official = ImageFolder(str(linked / "imagenet" / part), transform)
        first_two = [i for i, (_, label) in enumerate(official.samples) if label < 2]
        assert len(x) == len(first_two)
        for row in range(0, len(x), 40):
            image, label = official[first_two[row]]
            np.testing.assert_array_equal(x[row], np.asarray(image).transpose(2, 0, 1))
            assert y[row] == label


def test_imagenet_that_is_not_the_papers_is_called_so(linked):
    dataset = twice(imagenet.load, linked)
    same_counts = (len(dataset.x_train), len(dataset.x_test)) == (2580, 100)
    assert same_counts or any("the paper has 2580 and 100" in note for note in dataset.provenance["notes"])
