"""What an attack may ask of a model: the label oracle, which counts every question."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import torch

Rows = Union[NDArray[np.float32], "torch.Tensor"]
"""Rows of a question, float32 (n, d): in memory, or on the device of a label function that has a `device`."""
LabelFunction = Callable[[Any], ArrayLike]
MemberFunction = Callable[[NDArray[np.float32], NDArray[np.int64]], ArrayLike]
SmoothFunction = Callable[["torch.Tensor", float, float], "torch.Tensor"]

LABEL = "label"
"""An attack whose `requires` is this needs an oracle that answers with predicted labels only."""
MEMBERS = "members"
"""An attack whose `requires` is this needs the labels of an ensemble's single members, and their number `n_members`."""
SCORE = "score"
"""An attack whose `requires` is this needs probabilities of the classes or, of documents, the score of class 1."""
GRADIENT = "gradient"
"""An attack whose `requires` is this is not black-box: besides labels it needs `smooth`, a differentiable stand-in."""

DEFAULT_MEMORY = 256 * 2**20
_MOST_ROWS = 4096  # beyond this a larger block makes no forward pass faster, it only leaves the cache
_GRADIENT_ROWS = 32  # twice as many make a gradient of 100 votes only a little faster, and a lone one slower
_GRADIENT_NUMBERS = 2**18  # most features of a block: large images come a few at a time, for their activations


class QueryBudgetExceeded(Exception):
    """A question was refused because it would exceed the query budget of an example."""


def rows_within(memory_budget: int, n_features: int) -> int:
    """Rows of one block: four float32 copies of it stay within `memory_budget` bytes (at least one row)."""
    return int(max(1, min(_MOST_ROWS, memory_budget // (16 * max(1, n_features)))))


class QueryCount:
    """A count of queries per example, with a budget.

    Parameters
    ----------
    n_examples : int
        Number of examples under attack.
    budget : int or None
        Most queries that each example may cost; None for no limit.

    Attributes
    ----------
    queries : ndarray of int64, shape (n_examples,)
        Questions asked so far for each example.
    """

    def __init__(self, n_examples: int, budget: int | None = None) -> None:
        self.budget = budget
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


class LabelOracle(QueryCount):
    """A model of which only the predicted label can be seen, with a count of queries per example.

    Parameters
    ----------
    labels : callable
        Takes float32 rows of shape (n, d), returns n integer labels. If it has an attribute `device`, a torch device,
        it takes tensors there, too.
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
        super().__init__(n_examples, budget)
        self.labels = labels
        self.batch_rows = rows_within(memory_budget, n_features) if batch_rows is None else int(batch_rows)

    def __call__(self, rows: Rows, examples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ask the label of every row, in blocks of `batch_rows`; rows on a device come in blocks and are asked at once.

        Parameters
        ----------
        rows : ndarray or tensor of float32, shape (n, d)
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
        size = self.batch_rows if isinstance(rows, np.ndarray) else max(1, len(rows))
        blocks = [slice(start, start + size) for start in range(0, len(rows), size)]
        answers = [self._ask(rows[block], examples[block]) for block in blocks]
        return np.concatenate(answers) if answers else np.zeros(0, dtype=np.int64)

    def _answer(self, rows: Any, examples: NDArray[np.int64]) -> ArrayLike:
        """What the model says of one block."""
        return self.labels(rows)

    def _ask(self, rows: Rows, examples: NDArray[np.int64]) -> NDArray[np.int64]:
        answer = np.asarray(self._answer(rows, examples))
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


class MemberOracle(LabelOracle):
    """An ensemble of which single members are asked: a row of example e is a question to member ``members[e]`` alone.

    Parameters
    ----------
    labels : callable
        Takes float32 rows of shape (n, d) and member numbers of shape (n,), returns n integer labels.
    members : ndarray of int64, shape (n_examples,)
        The member that each example attacks.
    n_features : int
    memory_budget : int
        Bytes for the rows of one call and their copies.
    """

    def __init__(
        self,
        labels: Callable[..., ArrayLike],
        members: NDArray[np.int64],
        n_features: int,
        *,
        memory_budget: int = DEFAULT_MEMORY,
    ) -> None:
        super().__init__(labels, len(members), n_features, memory_budget=memory_budget)
        self.member_labels: MemberFunction = labels
        self.members = members

    def _answer(self, rows: Any, examples: NDArray[np.int64]) -> ArrayLike:
        return self.member_labels(rows, self.members[examples])


class GradientOracle:
    """The gradient of a model's smoothed share of votes, with a count of evaluations per example.

    Rows are evaluated in blocks of one size, the last one filled up with zeros: a product rounds differently for
    another number of rows, and so a row's gradient does not depend on how many are asked for beside it.

    Parameters
    ----------
    smooth : callable
        Takes a float32 tensor of rows (n, d) and two sharpnesses beta and gamma, returns a tensor (n,) that is
        differentiable in the rows: about the share of votes for label 1.
    n_examples : int
    n_features : int

    Attributes
    ----------
    gradients : ndarray of int64, shape (n_examples,)
        Gradients evaluated so far for each example.
    """

    def __init__(self, smooth: SmoothFunction, n_examples: int, n_features: int) -> None:
        if not callable(smooth):
            raise ValueError(f"The 'smooth' of an attack must be a callable. Got {smooth!r} instead.")
        self.smooth = smooth
        self.block = (max(1, min(_GRADIENT_ROWS, _GRADIENT_NUMBERS // n_features)), n_features)
        self.gradients = np.zeros(n_examples, dtype=np.int64)

    def __call__(
        self, rows: NDArray[np.float32], examples: NDArray[np.int64], beta: float, gamma: float
    ) -> NDArray[np.float32]:
        """Gradients, shape (n, d), of the smoothed share at rows (n, d) asked for `examples` (n,)."""
        self.gradients += np.bincount(examples, minlength=len(self.gradients))
        out, size = np.empty_like(rows), self.block[0]
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            out[start : start + size] = self._gradient(part, beta, gamma)
        return out

    def _gradient(self, rows: NDArray[np.float32], beta: float, gamma: float) -> NDArray[np.float32]:
        import torch

        x = torch.zeros(self.block)
        x[: len(rows)] = torch.from_numpy(rows)
        share = self.smooth(x.requires_grad_(True), beta, gamma)
        if share.shape != (len(x),):
            raise ValueError(
                f"The smooth model of an attack must return one number per row, shape ({len(x)},). "
                f"Got shape {tuple(share.shape)} instead."
            )
        (gradient,) = torch.autograd.grad(share.sum(), x)
        found: NDArray[np.float32] = gradient[: len(rows)].numpy()
        if not np.isfinite(found).all():
            raise ValueError("The smooth model of an attack must have finite gradients. Got NaN or infinity instead.")
        return found
