"""Points, labels, starts and devices may be objects of torch; a model may change what it is given."""

import warnings

import numpy as np
import pytest
import torch

import tests.attacks.attack_laws as laws
from attacks.substitute import Substitute
from tests.attacks.half_space import same_result
from tests.attacks.test_decision_laws import CASES
from tests.attacks.text.text_models import World, same_texts


@pytest.mark.parametrize(
    "given",
    [
        lambda x: torch.from_numpy(x).requires_grad_(),
        lambda x: torch.from_numpy(x).double(),
        lambda x: list(torch.from_numpy(x).requires_grad_()),
        lambda x: x.tolist(),
        lambda x: list(x),
    ],
    ids=["requires_grad", "double", "list of tensors", "list of lists", "list of arrays"],
)
def test_points_may_be_tensors_and_lists(given):
    x, y = laws.points(2), torch.zeros(2, dtype=torch.int64)
    attack = CASES["hsj"]()
    result = attack(laws.outside_ball, given(x), y, index=torch.arange(2))
    assert same_result(result, attack(laws.outside_ball, x, [0, 0]))
    assert same_result(result, attack(lambda rows: torch.from_numpy(laws.outside_ball(rows)), x, [0, 0]))


def test_starts_may_be_tensors():
    x, far = laws.points(2), torch.ones(12, requires_grad=True)
    attack = CASES["hsj"](start="given")
    result = attack(laws.outside_ball, x, [0, 0], starts={0: far})
    assert same_result(result, attack(laws.outside_ball, x, [0, 0], starts={0: np.ones(12)}))


def test_a_torch_device_is_a_device():
    cpu = Substitute(rounds=1, epochs=1, hidden_nodes=2, noise_draws=1, device=torch.device("cpu"))
    assert cpu.device == torch.device("cpu")

    class OnCpu:
        device = torch.device("cpu")

        def __call__(self, rows):
            assert isinstance(rows, np.ndarray)
            return laws.outside_ball(rows)

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # inputs are generated on the CPU because that is the device
        CASES["hsj"]()(OnCpu(), laws.points(1), [0])


def test_the_originals_are_those_at_the_call_although_the_caller_changes_them():
    x = laws.points(2)
    kept = x.copy()

    def labels(rows):
        x[:] = 0.9
        return laws.outside_ball(rows)

    assert same_result(CASES["hsj"]()(labels, x, [0, 0]), CASES["hsj"]()(laws.outside_ball, kept, [0, 0]))


def test_a_model_that_changes_its_documents_changes_no_number(tmp_path):
    world = World(2)
    attack = world.attack(tmp_path)
    whole = attack(world.model, world.documents, world.y)

    def emptied(documents):
        scores = world.model(documents)
        for document in documents:
            document.clear()
        return scores

    assert same_texts(whole, attack(emptied, world.documents, world.y))
