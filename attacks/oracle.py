"""What an attack may ask of a model: the label oracle, which counts every question."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

LabelFunction = Callable[[NDArray[np.float32]], ArrayLike]

LABEL = "label"
"""An attack whose `requires` is this needs an oracle that answers with predicted labels only."""

DEFAULT_MEMORY = 256 * 2**20
_MOST_ROWS = 4096  # beyond this a larger block makes no forward pass faster, it only leaves the cache


class QueryBudgetExceeded(Exception):
    """A question was refused because it would exceed the query budget of an example."""


def rows_within(memory_budget: int, n_features: int) -> int:
    """Rows of one block: four float32 copies of it stay within `memory_budget` bytes (at least one row)."""
    return int(max(1, min(_MOST_ROWS, memory_budget // (16 * max(1, n_features)))))


class LabelOracle:
    """A model of which only the predicted label can be seen, with a count of queries per example.

    Parameters
    ----------
    labels : callable
        Takes float32 rows of shape (n, d), returns n integer labels.
    n_examples : int
        Number of examples under attack.
    n_features : int
        Features of a row, d.
    budget : int or None
        Most queries that each example may cost; None for no limit.
    batch_rows : int or None
        Most rows of one call of `labels`; by default as many as `memory_budget` allows.
    memory_budget : int
        Bytes for the rows of one call and their copies.

    Attributes
    ----------
    queries : ndarray of int64, shape (n_examples,)
        Rows asked so far for each example.
    """

    def __init__(
        self,
        labels: LabelFunction,
        n_examples: int,
        n_features: int,
        *,
        budget: int | None = None,
        batch_rows: int | None = None,
        memory_budget: int = DEFAULT_MEMORY,
    ) -> None:
        if not callable(labels):
            raise ValueError(f"The 'labels' of an attack must be a callable. Got {labels!r} instead.")
        self.labels = labels
        self.budget = budget
        self.batch_rows = rows_within(memory_budget, n_features) if batch_rows is None else int(batch_rows)
        self.queries = np.zeros(n_examples, dtype=np.int64)

    def remaining(self, examples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Queries that are left for each of `examples`; the largest int64 where there is no budget."""
        if self.budget is None:
            return np.full(len(examples), np.iinfo(np.int64).max, dtype=np.int64)
        return self.budget - self.queries[examples]

    def count(self, examples: NDArray[np.int64]) -> None:
        """Count one query for each entry of `examples`.

        Raises
        ------
        QueryBudgetExceeded
            If that would exceed the budget of an example; then nothing is counted.
        """
        after = self.queries + np.bincount(examples, minlength=len(self.queries))
        if self.budget is not None and np.any(after > self.budget):
            worst = int(np.argmax(after))
            raise QueryBudgetExceeded(
                f"Example {worst} has used {self.queries[worst]} of its {self.budget} queries "
                f"and {after[worst] - self.queries[worst]} more were asked."
            )
        self.queries[:] = after

    def __call__(self, rows: NDArray[np.float32], examples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ask the label of every row, in blocks of `batch_rows`.

        Parameters
        ----------
        rows : ndarray of float32, shape (n, d)
        examples : ndarray of int64, shape (n,)
            The example that each row is asked for.

        Returns
        -------
        labels : ndarray of int64, shape (n,)

        Raises
        ------
        QueryBudgetExceeded
            Before anything is asked.
        ValueError
            If the model does not answer with one integer label per row.
        """
        self.count(examples)
        answers = [self._ask(rows[start : start + self.batch_rows]) for start in range(0, len(rows), self.batch_rows)]
        return np.concatenate(answers) if answers else np.zeros(0, dtype=np.int64)

    def _ask(self, rows: NDArray[np.float32]) -> NDArray[np.int64]:
        answer = np.asarray(self.labels(rows))
        if answer.shape != (len(rows),):
            raise ValueError(
                f"The model asked by an attack must return one label per row, shape ({len(rows)},). "
                f"Got shape {answer.shape} instead."
            )
        if answer.dtype.kind not in "iub":
            whole = answer.dtype.kind == "f" and bool(np.all(np.isfinite(answer)) and np.all(answer == np.rint(answer)))
            if not whole:
                raise ValueError(
                    f"The model asked by an attack must return integer labels. Got {answer.dtype} values instead."
                )
        return answer.astype(np.int64)
