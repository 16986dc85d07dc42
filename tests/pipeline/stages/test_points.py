"""The point rules choose what they say."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from data.dataset import Dataset
from pipeline.errors import UserError


@dataclass
class Judge:
    """A stand-in for a fitted ensemble whose labels are given."""

    labels: np.ndarray
    name: str = "judge"
    key: str = "key"
    model: object = field(init=False)

    def __post_init__(self) -> None:
        labels = self.labels

        class Model:
            takes = "rows"

            def predict(self, X):
                return labels[X[:, 0].astype(int)]

        self.model = Model()


@pytest.fixture
def dataset():
    """Rows are their own numbers, so that a stand-in can tell which it is asked for."""
    x = np.arange(40, dtype=np.float32)[:, None]
    y = np.arange(40) % 2
    return Dataset("toy", x, y, x, y, (1,), (0.0, 40.0), ("even", "odd"))


def chosen(dataset, judge, judges=(), **points):
    from pipeline.stages.points import choose

    points = {"rule": "correct", "count": 5, "seed": 0, "indices": None, "models": [], **points}
    return choose(points, dataset, judge, list(judges))


def test_first_random_and_indices_ignore_the_model(dataset):
    none = Judge(1 - dataset.y_test)
    assert chosen(dataset, none, rule="first").tolist() == [0, 1, 2, 3, 4]
    assert chosen(dataset, none, rule="indices", indices=[7, 3]).tolist() == [7, 3]
    draw = chosen(dataset, none, rule="random")
    assert len(set(draw.tolist())) == 5
    assert draw.tolist() == chosen(dataset, none, rule="random").tolist()
    assert draw.tolist() != chosen(dataset, none, rule="random", seed=1).tolist()


def test_correct_takes_the_right_ones_in_the_order_of_the_random_draw(dataset):
    right = np.arange(40) % 3 == 0
    judge = Judge(np.where(right, dataset.y_test, 1 - dataset.y_test))
    order = chosen(dataset, judge, rule="random", count=40)
    assert chosen(dataset, judge).tolist() == [i for i in order if right[i]][:5]


def test_correct_for_all_takes_what_every_model_gets_right(dataset):
    a, b = np.arange(40) % 2 == 0, np.arange(40) % 3 == 0
    judges = [Judge(np.where(ok, dataset.y_test, 1 - dataset.y_test)) for ok in (a, b)]
    got = chosen(dataset, judges[0], judges, rule="correct_for_all", count=4)
    assert all(i % 6 == 0 for i in got)


def test_fewer_right_than_asked_for_is_said(dataset):
    labels = 1 - dataset.y_test
    labels[9] = dataset.y_test[9]
    with pytest.warns(UserWarning, match=r"Only 1 test rows"):
        assert chosen(dataset, Judge(labels)).tolist() == [9]


def test_none_right_ends_the_run(dataset):
    with pytest.raises(UserError, match="no test row of toy that judge classifies correctly"):
        chosen(dataset, Judge(1 - dataset.y_test))


def test_given_starts_are_the_first_right_row_of_the_other_class(dataset):
    from pipeline.stages.points import given_starts

    labels = dataset.y_train.copy()
    labels[[0, 1]] = 1 - labels[[0, 1]]  # the first of each class is wrong
    starts = given_starts(dataset, [Judge(labels)])
    assert (starts[0][0], starts[1][0]) == (3, 2)
