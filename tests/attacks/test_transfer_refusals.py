"""What a user can get wrong with the transfer attack is answered by one sentence."""

import re

import numpy as np
import pytest

from attacks.transfer import Transfer


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("max_iter", -1, "an int >= 0"),
        ("members", 0, "an int >= 1"),
        ("overshoots", [], "a list of different numbers >= 0, at least one"),
        ("overshoots", [0.1, -0.1], "a list of different numbers >= 0, at least one"),
        ("overshoots", [0.1, 0.1], "a list of different numbers >= 0, at least one"),
        ("overshoots", 0.1, "a list of different numbers >= 0, at least one"),
        ("init_eval", 0, "an int >= 1"),
        ("memory_budget", "lots", "a positive number of bytes, as an int or a text such as '256MiB'"),
        ("verbose", 1, "True or False"),
    ],
)
def test_a_bad_parameter_is_refused_in_one_sentence(name, value, allowed):
    sentence = f"The '{name}' parameter of Transfer must be {allowed}. Got {value!r} instead."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Transfer(**{name: value})


@pytest.mark.parametrize(
    ("parameters", "call", "sentence"),
    [
        ({}, {"n_members": 1}, "'n_members' .* an int >= 2. Got 1"),
        ({"members": 4}, {"n_members": 3}, "'members' .* None or an int <= 3, the members of the ensemble. Got 4"),
        ({}, {"n_members": 3, "index": [1, 1]}, "'index' .* different numbers. Got a number twice"),
    ],
)
def test_what_does_not_fit_the_ensemble_is_refused_before_anything_is_asked(parameters, call, sentence):
    def never(rows, members):
        raise AssertionError("asked")

    with pytest.raises(ValueError, match=sentence):
        Transfer(**parameters)(never, np.full((2, 3), 0.5), [0, 0], **call)
