"""Choosing two classes: which pairs are legal, and that their order is the order of the labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from data.loading.options import check_pair, select_pair


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


def test_first_class_is_label_0_and_rows_keep_their_order() -> None:
    labels = np.array([5, 3, 0, 3, 5])
    positions, y = select_pair(labels, (3, 5))
    np.testing.assert_array_equal(positions, [0, 1, 3, 4])
    np.testing.assert_array_equal(y, [1, 0, 0, 1])
    np.testing.assert_array_equal(select_pair(labels, (5, 3))[1], 1 - y)
