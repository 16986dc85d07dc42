"""The label oracle counts every query per example, refuses before it calls the model, and calls it in blocks."""

import numpy as np
import pytest

from attacks import LabelOracle, QueryBudgetExceeded


def test_queries_are_counted_per_example_and_calls_are_cut_into_blocks():
    sizes = []

    def labels(rows):
        sizes.append(len(rows))
        return (rows[:, 0] > 0.5).astype(np.int32)

    oracle = LabelOracle(labels, 3, 2, batch_rows=4)
    rows = np.linspace(0, 1, 20, dtype=np.float32).reshape(10, 2)
    answer = oracle(rows, np.array([0, 0, 0, 2, 2, 2, 2, 2, 2, 0]))
    assert sizes == [4, 4, 2]
    assert oracle.queries.tolist() == [4, 0, 6]
    np.testing.assert_array_equal(answer, rows[:, 0] > 0.5)
    assert answer.dtype == np.int64


def test_a_query_over_the_budget_is_refused_before_the_model_is_called():
    def never(rows):
        raise AssertionError("queried")

    oracle = LabelOracle(never, 2, 1, budget=2)
    with pytest.raises(QueryBudgetExceeded, match="Example 1 has used 0 of its 2 queries and 3 more were requested"):
        oracle(np.zeros((3, 1), np.float32), np.array([1, 1, 1]))
    assert oracle.queries.tolist() == [0, 0]
    assert oracle.remaining(np.array([0, 1])).tolist() == [2, 2]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (np.zeros((2, 1), int), r"one label per row, shape \(2,\). Got shape \(2, 1\)"),
        (np.array([0.5, 1.0]), "integer labels. Got float64"),
        (np.array(["a", "b"]), "integer labels"),
    ],
)
def test_an_output_other_than_one_label_per_input_is_refused(answer, sentence):
    with pytest.raises(ValueError, match=sentence):
        LabelOracle(lambda rows: answer, 1, 1)(np.zeros((2, 1), np.float32), np.array([0, 0]))


def test_whole_float_labels_are_accepted():
    answer = LabelOracle(lambda rows: np.array([0.0, 1.0]), 1, 1)(np.zeros((2, 1), np.float32), np.array([0, 0]))
    assert answer.tolist() == [0, 1]


def test_a_small_memory_budget_still_asks_a_row_at_a_time():
    assert LabelOracle(lambda rows: rows, 1, 10**6, memory_budget=1).batch_rows == 1
