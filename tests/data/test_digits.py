"""The embedded digits: every image of the pair is in exactly one split, and the split never changes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from data import digits


def test_splits_partition_the_pair_in_order() -> None:
    bunch = load_digits()
    dataset = digits.load((3, 8))
    for label, digit in enumerate((3, 8)):
        stored = np.concatenate([dataset.x_train[dataset.y_train == label], dataset.x_test[dataset.y_test == label]])
        official = bunch.images[bunch.target == digit][:, None] / 16
        assert sorted(map(bytes, stored)) == sorted(map(bytes, official.astype(np.float32)))
    assert dataset.feature_shape == (1, 8, 8)
    assert dataset.class_names == ("digit 3", "digit 8")
    np.testing.assert_array_equal(dataset.images("train")[0, 0], dataset.flat("train")[0].reshape(8, 8))


@pytest.mark.parametrize("classes", [(3, 8), (0, 1), (9, 4)])
def test_split_is_stratified(classes: tuple[int, int]) -> None:
    counts = digits.load(classes).provenance["counts"]
    for train, test in zip(counts["train"], counts["test"], strict=True):
        assert train == round(0.7 * (train + test))


def test_split_is_fixed_by_a_constant() -> None:
    assert digits.load().checksum == digits.load(seed=0).checksum != digits.load(seed=1).checksum
    state = np.random.get_state()[1].tolist()  # type: ignore[index,union-attr]
    digits.load()
    assert np.random.get_state()[1].tolist() == state  # type: ignore[index,union-attr]


def test_order_of_the_pair_is_the_order_of_the_labels() -> None:
    bunch = load_digits()
    eights = {bytes(image) for image in (bunch.images[bunch.target == 8] / 16).astype(np.float32)}
    for classes, label in (((3, 8), 1), ((8, 3), 0)):
        dataset = digits.load(classes)
        assert {bytes(x) for x in dataset.x_train[dataset.y_train == label]} <= eights
        assert dataset.class_names[label] == "digit 8"


def test_provenance_is_verified() -> None:
    provenance = digits.load().provenance
    assert provenance["verified"]
    assert provenance["notes"] == []


def test_digits_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match=r"dataset\.classes of digits"):
        digits.load((3, 10))
