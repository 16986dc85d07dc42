"""CelebA without its files: how images are drawn from a list, which options are legal, and how to get the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data import celeba
from data.celeba import Face


def listed(*counts: tuple[int, int, int]) -> list[Face]:
    """So many faces of each (partition, label), shuffled."""
    faces = [(partition, label) for n, partition, label in counts for _ in range(n)]
    order = np.random.default_rng(1).permutation(len(faces))
    return [Face(f"{i:06d}.jpg", faces[j][1], faces[j][0]) for i, j in enumerate(order)]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([(50, 0, 0), (60, 0, 1), (30, 2, 0), (20, 2, 1)], (40, 20)),  # both partitions hold enough
        ([(50, 0, 0), (60, 0, 1), (30, 2, 0), (19, 2, 1)], (40, 20)),  # one too few, but enough in all
        ([(70, 0, 0), (37, 0, 1)], (18, 18)),  # the rarer class has 37: half of it each
        ([(70, 0, 0), (50, 1, 1)], (25, 20)),  # half of it is more than is wanted for testing
    ],
)
def test_draw_is_balanced_disjoint_and_in_order(counts: Any, expected: tuple[int, int]) -> None:
    faces = listed(*counts)
    chosen, notes = celeba.draw(faces, 40, 20, seed=0)
    assert bool(notes) == (counts[-1] != (20, 2, 1))
    for split, of_each in zip(("train", "test"), expected, strict=True):
        assert [sum(face.label == label for face in chosen[split]) for label in (0, 1)] == [of_each, of_each]
        assert chosen[split] == sorted(chosen[split], key=lambda face: face.name)
        if not notes:
            assert {face.partition for face in chosen[split]} == {{"train": 0, "test": 2}[split]}
    assert not set(chosen["train"]) & set(chosen["test"])
    assert celeba.draw(faces, 40, 20, seed=0)[0] == chosen != celeba.draw(faces, 40, 20, seed=1)[0]


def test_nothing_there_says_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        celeba.load(data_dir=str(tmp_path), outputs_dir=str(tmp_path / "outputs"))
    for told in (
        "img_align_celeba",
        "list_attr_celeba.txt",
        "list_eval_partition.txt",
        "1.4 GB",
        str(tmp_path / "celeba"),
    ):
        assert told in str(caught.value)
    for told in ("https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html", "paths.data", "SCD_DATA"):
        assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"classes": ["Black_Hair", "Black_Hair"]}, r"dataset\.classes of celeba must be two different attributes of"),
        ({"classes": [0, 1]}, r"dataset\.classes of celeba .* got \[0, 1\]"),
        ({"classes": "Male"}, r"dataset\.classes of celeba .* got 'Male'"),
        ({"n_train": 5}, r"dataset\.n_train of celeba must be even, half for each class, got 5\."),
        ({"n_test": 0}, r"dataset\.n_test of celeba must be a whole number in 2\.\.200000, got 0\."),
        ({"crop": 200}, r"dataset\.crop of celeba must be a whole number in 1\.\.178, got 200\."),
        ({"size": "96"}, r"dataset\.size of celeba .* got '96'\."),
        ({"seed": -1}, r"dataset\.seed of celeba .* got -1\."),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        celeba.load(**options, data_dir=str(tmp_path), outputs_dir=str(tmp_path / "outputs"))
