"""Laws of the Dataset record: its views agree, its checksum is of the data alone, bad data end in one sentence."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from data import Dataset

RNG = np.random.default_rng(1)
PIXELS = RNG.integers(0, 256, (6, 3, 4, 5), dtype=np.uint8)
SIGNALS = RNG.random((6, 7), dtype=np.float32)
LABELS = np.array([0, 1, 1, 0, 1, 0])


def make(x: Any = PIXELS, y: Any = LABELS, **changes: Any) -> Dataset:
    shape = x.shape[1:] if isinstance(x, np.ndarray) else (1,)
    fields: dict[str, Any] = {
        "name": "made-up",
        "x_train": x,
        "y_train": y,
        "x_test": x[:4],
        "y_test": y[:4],
        "feature_shape": shape,
        "clip": (0.0, 1.0),
        "class_names": ("no", "yes"),
    }
    return Dataset(**{**fields, **changes})


def test_flat_images_and_rows_are_the_same_numbers() -> None:
    dataset = make()
    flat, images = dataset.flat("train"), dataset.images("train")
    assert flat.shape == (6, dataset.n_features) == (6, 60)
    assert images.shape == PIXELS.shape
    np.testing.assert_array_equal(images.reshape(6, -1), flat)
    np.testing.assert_array_equal(dataset.rows("train", [5, 0, 0]), flat[[5, 0, 0]])
    np.testing.assert_array_equal(dataset.flat("test"), flat[:4])
    for array in (flat, images, dataset.rows("test", [1])):
        assert array.dtype == np.float32
        assert array.flags.c_contiguous


def test_pixels_are_divided_by_255_and_float_values_kept() -> None:
    np.testing.assert_array_equal(make().images("train"), PIXELS.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(make(SIGNALS).flat("train"), SIGNALS)


@pytest.mark.parametrize("x", [PIXELS, SIGNALS], ids=["uint8", "float32"])
def test_views_are_copies_so_that_a_caller_cannot_change_the_data(x: np.ndarray) -> None:
    dataset = make(x.copy())
    dataset.flat("train")[:] = 0
    np.testing.assert_array_equal(dataset.x_train, x)


def test_contiguous_views_of_rows_stored_in_another_order() -> None:
    channels_last = np.ascontiguousarray(PIXELS.transpose(0, 2, 3, 1))
    dataset = make(channels_last.transpose(0, 3, 1, 2))
    assert dataset.x_train.flags.c_contiguous
    np.testing.assert_array_equal(dataset.flat("train"), make().flat("train"))


def test_no_indices_give_no_rows() -> None:
    assert make().rows("train", []).shape == (0, 60)


def test_checksum_depends_on_content_only() -> None:
    dataset = make()
    same = make(
        np.asfortranarray(PIXELS), LABELS.astype(np.uint8), name="other", provenance={"file": "/elsewhere/made-up.npz"}
    )
    assert len(dataset.checksum) == 64
    assert same.checksum == dataset.checksum
    assert make(PIXELS.copy(), checksum=dataset.checksum).checksum == dataset.checksum


def _one_changed(array: np.ndarray, position: tuple[int, ...], value: int) -> np.ndarray:
    changed = array.copy()
    changed[position] = value
    return changed


@pytest.mark.parametrize(
    "other",
    [
        make(_one_changed(PIXELS, (0, 0, 0, 0), (int(PIXELS[0, 0, 0, 0]) + 1) % 256)),
        make(y=_one_changed(LABELS, (5,), 1)),
        make(x_test=PIXELS[:3], y_test=LABELS[:3]),
        make(PIXELS.reshape(6, 3, 5, 4)),
        make((PIXELS == 0).astype(np.float32)),
    ],
    ids=["pixel", "label", "rows", "shape", "dtype"],
)
def test_checksum_sees_every_change(other: Dataset) -> None:
    assert other.checksum != make().checksum


def test_a_stale_checksum_is_refused_when_rows_are_replaced() -> None:
    dataset = make()
    with pytest.raises(ValueError, match="checksum must be that of its arrays"):
        dataclasses.replace(dataset, x_train=PIXELS[:5], y_train=LABELS[:5])
    fewer = dataclasses.replace(dataset, x_train=PIXELS[:5], y_train=LABELS[:5], checksum="")
    assert fewer.provenance["counts"] == {"train": [2, 3], "test": [2, 2]}


def test_provenance_is_json_and_counts_the_classes() -> None:
    provenance = make(provenance={"source": "here", "verified": True}).provenance
    assert json.loads(json.dumps(provenance)) == provenance
    assert provenance["counts"] == {"train": [3, 3], "test": [2, 2]}
    with pytest.raises(ValueError, match="JSON values only"):
        make(provenance={"x": PIXELS})


def test_repr_is_one_line_without_arrays() -> None:
    assert len(repr(make())) < 200


def test_infinite_clip_bounds_are_legal() -> None:
    make(SIGNALS * 100 - 50, clip=(-np.inf, np.inf))


NAN = SIGNALS.copy()
NAN[2, 3] = NAN[4, 0] = np.nan
INFINITE = SIGNALS.copy()
INFINITE[0, 6] = -np.inf


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"x": NAN}, r"train split: .* got 2 NaN or infinite, the first \(nan\) at sample 2, feature 3"),
        ({"x": INFINITE}, r"got 1 NaN or infinite, the first \(-inf\) at sample 0, feature 6"),
        ({"y": np.zeros(6, int)}, r"got one only \(all 6 samples have label 0\)"),
        ({"y": np.ones(6, int)}, r"got one only \(all 6 samples have label 1\)"),
        ({"y": np.array([0, 1, 2, 0, 1, 2])}, r"exactly two classes.* got 3 \(0, 1, 2\)"),
        ({"y": np.array([-1, 1, 1, -1, 1, -1])}, "labels must be 0 and 1, got -1, 1"),
        ({"y": np.array([0, 1, 1, 1, 1, 1])}, "at least 2 samples of each class, got 1 of class 0 and 5 of class 1"),
        ({"y": LABELS.astype(float)}, "labels must be .* integers"),
        ({"y": LABELS[:5]}, "one label per sample, 6 in all"),
        ({"x": SIGNALS * 2}, r"within clip \(0.0, 1.0\), got values from"),
        ({"clip": (0.0, 0.5)}, r"pixels become inputs in \[0, 1\]"),
        ({"clip": (1.0, 0.0)}, "clip must be two numbers"),
        ({"clip": (0.0, np.nan)}, "clip must be two numbers"),
        ({"feature_shape": (3, 5, 4)}, r"shape \(3, 5, 4\), got an array of shape \(6, 3, 4, 5\)"),
        ({"x_test": PIXELS[:4, :2]}, "test split: samples must have the shape"),
        ({"x_test": PIXELS[:0], "y_test": LABELS[:0]}, "test split: there must be at least one sample"),
        ({"x": SIGNALS.astype(np.float64)}, "uint8 or float32, got float64"),
        ({"x": [[0.5], [0.5]]}, "uint8 or float32, got list"),
        ({"class_names": ("a",)}, "class_names must be two or more different names"),
        ({"class_names": ("a", "b", "a")}, "class_names must be two or more different names"),
        ({"class_names": ("a", "b", "c")}, "at least 2 samples of each of 3 classes, got 0 of class 2"),
        ({"class_names": ("a", "b", "c"), "y": np.array([0, 1, 3, 0, 1, 3])}, "labels must be 0 to 2, got 0, 1, 3"),
    ],
)
def test_bad_data_end_in_one_sentence(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        make(**arguments)
    assert str(caught.value).startswith("Data set made-up")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("indices", "sentence"),
    [([6], "0..5, got 6"), ([-1], "got -1"), ([0.5], "whole numbers"), ([[0]], "whole numbers"), ([True], "whole")],
)
def test_indices_outside_the_split_are_refused(indices: list[Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make().rows("train", indices)


def test_images_of_signals_and_unknown_splits_are_refused() -> None:
    with pytest.raises(ValueError, match="holds no images"):
        make(SIGNALS).images("train")
    with pytest.raises(ValueError, match="'train' or 'test', got 'validation'"):
        make().flat("validation")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [3e38, -3e38, 2e15])
def test_values_whose_squares_overflow_are_refused(value: float) -> None:
    """Finite values near the end of float32, of which a fit or a distance would make infinity."""
    signals = SIGNALS.copy()
    signals[2, 1] = value
    with pytest.raises(
        ValueError, match=r"train split: all values must be within ±1e\+15, .* got \d.*; rescale"
    ) as caught:
        make(signals, clip=(-np.inf, np.inf))
    assert "\n" not in str(caught.value)
    signals[2, 1] = value / abs(value) * 1e15
    assert make(signals, clip=(-np.inf, np.inf)).x_train[2, 1] == signals[2, 1]
