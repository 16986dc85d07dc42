"""Options of all loaders: legal class pairs and their labels, files of operating systems, prepared pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from data.loading.options import check_classes, check_pair, check_pixels, is_system_file, select_classes


@pytest.mark.parametrize("classes", [[3, 5], (3, 5), np.array([3, 5])])
def test_any_sequence_of_two_classes(classes: Any) -> None:
    assert check_pair(classes, 10, "cifar10") == (3, 5)


@pytest.mark.parametrize(
    "classes", [[0], [0, 1, 2], [1, 1], [0, 10], [-1, 0], [0.0, 1.0], ["0", "1"], [True, False], "01", 3, None]
)
def test_other_pairs_end_in_a_sentence_naming_the_key(classes: Any) -> None:
    with pytest.raises(ValueError, match=r"dataset.classes of cifar10 .* 0\.\.9, got ") as caught:
        check_pair(classes, 10, "cifar10")
    assert repr(classes) in str(caught.value)


@pytest.mark.parametrize("classes", [[0], [1, 2, 1], [0, 10], [-1, 0], ["0", "1"], "01", 3])
def test_two_or_more_different_classes_or_all(classes: Any) -> None:
    assert check_classes([7, 3, 5], 10, "cifar10") == (7, 3, 5)
    assert check_classes(None, 4, "cifar10") == (0, 1, 2, 3)
    with pytest.raises(ValueError, match=r"dataset.classes of cifar10 .* 0\.\.9, got "):
        check_classes(classes, 10, "cifar10")


def test_first_class_is_label_0_and_rows_keep_their_order() -> None:
    labels = np.array([5, 3, 0, 3, 5])
    assert select_classes(labels, (5, 0, 3))[1].tolist() == [0, 2, 1, 2, 0]
    positions, y = select_classes(labels, (3, 5))
    np.testing.assert_array_equal(positions, [0, 1, 3, 4])
    np.testing.assert_array_equal(y, [1, 0, 0, 1])
    np.testing.assert_array_equal(select_classes(labels, (5, 3))[1], 1 - y)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *[(name, True) for name in ("._0_9.txt", ".DS_Store", "Thumbs.db", "THUMBS.DB", "desktop.ini", "@eaDir")],
        *[(name, True) for name in ("__MACOSX/glove.txt", "a/__MACOSX/b/c.txt", "__MACOSX\\a.txt", "$RECYCLE.BIN")],
        *[(name, False) for name in ("glove.6B.200d.txt", "n01440764", "a/0_9.txt", "thumbs.dbx", "MACOSX")],
    ],
)
def test_files_of_operating_systems_are_known_by_name(name: str, expected: bool) -> None:
    assert is_system_file(name) is expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"x_train": np.zeros((4, 3), np.uint8)}, r"x_train must be uint8 of shape \(n, 2, 2\)"),
        ({"y_test": np.array([0, 2], np.uint8)}, "y_test must be one label 0 or 1 per image"),
        ({"y_test": np.array([0.0, 1.0])}, "y_test must be one label 0 or 1 per image"),
        ({"notes": np.array("one")}, "notes must be a list of sentences"),
    ],
)
def test_prepared_pixels_that_do_not_fit_are_refused(change: dict[str, Any], expected: str) -> None:
    arrays = {f"x_{split}": np.zeros((2, 2, 2), np.uint8) for split in ("train", "test")}
    arrays |= {f"y_{split}": np.array([0, 1], np.uint8) for split in ("train", "test")}
    check_pixels(arrays, (2, 2))
    with pytest.raises(ValueError, match=expected):
        check_pixels({**arrays, **change}, (2, 2))
