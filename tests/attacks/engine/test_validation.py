"""Invalid arguments are refused with one sentence: what, where, allowed, got."""

import re
import subprocess
import sys

import numpy as np
import pytest

from attacks import HopSkipJump
from attacks.engine.validation import check_memory


def labels(rows):
    return np.zeros(len(rows), dtype=int)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("max_iter", "x", "an int >= 0"),
        ("max_iter", -1, "an int >= 0"),
        ("max_iter", True, "an int >= 0"),
        ("restarts", 0, "an int >= 1"),
        ("max_eval", 0, "an int >= 1"),
        ("init_eval", 1.5, "an int >= 1"),
        ("init_size", None, "an int >= 1"),
        ("query_budget", 0, "an int >= 1"),
        ("seed", "a", "an int"),
        ("norm", 2, "one of 'l2', 'linf'"),
        ("start", "zero", "one of 'noise', 'nearest', 'given'"),
        ("memory_budget", "lots", "a positive number of bytes, as an int or a text such as '256MiB'"),
        ("memory_budget", 0, "a positive number of bytes, as an int or a text such as '256MiB'"),
        ("verbose", 1, "True or False"),
    ],
)
def test_a_bad_parameter_is_refused_by_the_constructor(name, value, allowed):
    sentence = f"The '{name}' parameter of HopSkipJump must be {allowed}. Got {value!r} instead."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        HopSkipJump(**{name: value})


@pytest.mark.parametrize(
    ("text", "size"), [("256MiB", 2**28), ("1.5 GB", 1_500_000_000), ("64kib", 65536), ("10", 10), (77, 77)]
)
def test_memory_sizes_are_understood(text, size):
    assert check_memory("A", "memory_budget", text) == size


GOOD = np.full((2, 3), 0.5)


@pytest.mark.parametrize(
    ("x", "y", "options", "sentence"),
    [
        (np.zeros(3), [0, 0, 0], {}, r"'x' .* shape \(n, \*shape of a sample\).*Got float64 of shape \(3,\)"),
        (np.full((2, 3, 3), 1.5), None, {}, r"'x' .* within the clip bounds \[0, 1\]"),
        (np.zeros((0, 3)), [], {}, "'x' .* none of them 0"),
        (np.array([["a", "b"]]), [0], {}, "'x' .* numeric"),
        (np.array([[0.5, np.nan]]), [0], {}, "'x' .* finite. Got NaN or infinity in row 0"),
        (np.array([[0.5], [np.inf]]), [0, 0], {}, "row 1"),
        (np.array([[0.5, 1.5]]), [0], {}, r"'x' .* within the clip bounds \[0, 1\]"),
        (GOOD, [0], {}, "'y' .* an array of 2 integers"),
        (GOOD, [0.0, 1.0], {}, "'y' .* an array of 2 integers"),
        (GOOD, [0, 0], {"index": [1]}, "'index' .* an array of 2 integers"),
        (GOOD, [0, 0], {"clip": (1.0, 0.0)}, "'clip' .* two finite numbers, the lower first"),
        (GOOD, [0, 0], {"clip": 3}, "'clip' .* two finite numbers"),
    ],
)
def test_bad_points_are_refused_before_any_query(x, y, options, sentence):
    def never(rows):
        raise AssertionError("queried")

    with pytest.raises(ValueError, match=sentence):
        HopSkipJump()(never, x, y, **options)


@pytest.mark.parametrize(
    ("start", "options", "sentence"),
    [
        ("nearest", {}, "'pool' .* if start='nearest'"),
        ("nearest", {"pool": np.zeros((4, 2))}, "'pool' .* rows of 3 features like x"),
        ("nearest", {"pool": np.zeros((4, 3)), "pool_labels": [0]}, "'pool_labels' .* 4 integers"),
        ("given", {}, "'starts' .* if start='given'"),
        ("given", {"starts": {1: np.zeros(3)}}, r"'starts' .* every label in y, also for \[0\]"),
        ("given", {"starts": {0: np.zeros(2)}}, "'starts' .* 3 features like x"),
        ("given", {"starts": np.zeros((1, 3))}, r"'starts' .* one row per point of x \(2\)"),
        ("given", {"starts": np.full((2, 3), 2.0)}, "'starts' .* within the clip bounds"),
    ],
)
def test_bad_starts_are_refused(start, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        HopSkipJump(start=start)(labels, GOOD, [0, 0], **options)


def test_importing_the_room_loads_no_heavy_package():
    code = (
        "import sys, attacks\n"
        "heavy = {'torch', 'art', 'sklearn', 'numba'} & set(sys.modules); assert not heavy, heavy\n"
        "from attacks import HopSkipJump, HopSkipJumpART\n"
        "heavy = {'torch', 'art', 'sklearn'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_bounds_of_each_feature_are_ordered_and_one_pair_of_them_must_differ():
    attack = HopSkipJump()
    for clip in ((np.zeros(2), np.ones(2)), (np.ones(3), np.zeros(3)), (np.zeros(3), np.zeros(3)), (np.zeros(3),)):
        with pytest.raises(ValueError, match="'clip' parameter of HopSkipJump must be two finite numbers"):
            attack(labels, GOOD, [0, 0], clip=clip)


def test_a_value_outside_the_bounds_of_its_feature_names_the_feature():
    with pytest.raises(ValueError, match=r"clip bounds of feature 2 \[0, 0\.4\]\. Got values in \[0\.5, 0\.5\]"):
        HopSkipJump()(labels, GOOD, [0, 0], clip=(0, np.array([1, 1, 0.4])))
