"""Invalid arguments of the transfer attack are refused with one sentence."""

import re

import numpy as np
import pytest

from attacks.transfer import Transfer


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("max_iter", -1, "an int >= 0"),
        ("members", 0, "an int >= 1"),
        ("overshoots", [], "a list of distinct numbers >= 0, at least one"),
        ("overshoots", [0.1, -0.1], "a list of distinct numbers >= 0, at least one"),
        ("overshoots", [0.1, 0.1], "a list of distinct numbers >= 0, at least one"),
        ("overshoots", 0.1, "a list of distinct numbers >= 0, at least one"),
        ("init_eval", 0, "an int >= 1"),
        ("memory_budget", "lots", "a positive number of bytes, as an int or a text such as '256MiB'"),
        ("verbose", 1, "True or False"),
    ],
)
def test_a_bad_parameter_is_refused_by_the_constructor(name, value, allowed):
    sentence = f"The '{name}' parameter of Transfer must be {allowed}. Got {value!r} instead."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Transfer(**{name: value})


@pytest.mark.parametrize(
    ("parameters", "call", "sentence"),
    [
        ({}, {"n_members": 1}, "'n_members' .* an int >= 2. Got 1"),
        ({"members": 4}, {"n_members": 3}, "'members' .* None or an int <= 3, the members of the ensemble. Got 4"),
        ({}, {"n_members": 3, "index": [1, 1]}, "'index' .* distinct numbers. Got a number twice"),
    ],
)
def test_arguments_that_do_not_fit_the_ensemble_are_refused_before_any_query(parameters, call, sentence):
    def never(rows, members):
        raise AssertionError("queried")

    with pytest.raises(ValueError, match=sentence):
        Transfer(**parameters)(never, np.full((2, 3), 0.5), [0, 0], **call)
