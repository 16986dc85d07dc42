"""A model that writes into its inputs changes no number and no array of the caller."""

from __future__ import annotations

import numpy as np
import pytest

from attacks import (
    CGBA,
    BoundaryAttack,
    HopSkipJump,
    LabelOracle,
    NoiseSearch,
    RayS,
    SignOPT,
    SmoothedBoundary,
    SurFree,
)

ATTACKS = [
    HopSkipJump(max_iter=3, restarts=1, init_eval=10, max_eval=30),
    BoundaryAttack(max_iter=5, restarts=1),
    RayS(query_budget=200),
    SurFree(max_iter=3, restarts=1),
    CGBA(max_iter=3, restarts=1),
    SignOPT(max_iter=3, probes=20),
    SmoothedBoundary(max_iter=3, query_budget=300),
    NoiseSearch(),
]


def labels(rows):
    return (rows.sum(axis=1) > 4.0).astype(np.int64)


def in_place(rows):
    rows -= 0.5
    rows *= 2.0
    return ((rows / 2.0 + 0.5).sum(axis=1) > 4.0).astype(np.int64)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: type(attack).__name__)
def test_a_model_that_writes_into_its_inputs_gets_the_result_of_one_that_does_not(attack):
    x = np.random.default_rng(0).random((3, 8), dtype=np.float32)
    y, before = labels(x), x.copy()
    plain, writing = attack(labels, x, y), attack(in_place, x, y)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(writing.success, plain.success)
    np.testing.assert_allclose(writing.l2, plain.l2, rtol=1e-3)
    fooled = writing.success
    assert (labels(writing.adversarials[fooled]) != y[fooled]).all()


class Keeps:
    """A model that promises not to write, and records whether its inputs are the caller's."""

    keeps_inputs = True

    def __init__(self, given):
        self.given, self.shared = given, []

    def predict(self, rows):
        self.shared.append(np.shares_memory(rows, self.given))
        return labels(rows)

    def __call__(self, rows):
        return self.predict(rows)


class BreaksThePromise(Keeps):
    pass


@pytest.mark.parametrize(("kind", "shared"), [(Keeps, True), (BreaksThePromise, False)])
def test_only_a_class_that_promises_by_itself_gets_inputs_that_are_not_copied(kind, shared):
    rows = np.full((4, 8), 0.5, dtype=np.float32)
    model = kind(rows)
    LabelOracle(model.predict, 1, 8)(rows, np.zeros(4, dtype=np.int64))
    assert model.shared == [shared]


def test_a_callable_promises_by_its_attribute():
    rows = np.full((4, 8), 0.5, dtype=np.float32)
    model = Keeps(rows)
    LabelOracle(model, 1, 8)(rows, np.zeros(4, dtype=np.int64))
    assert model.shared == [True]
