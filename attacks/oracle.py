"""Access of an attack to a model: the oracles, which count every query and enforce the query budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .engine.validation import as_array

if TYPE_CHECKING:
    import torch

Batch = Union[NDArray[np.float32], "torch.Tensor"]
"""Model inputs, float32 (n, d): in memory, or on the device of a label function that has a `device`."""
LabelFunction = Callable[[Any], ArrayLike]
MemberFunction = Callable[[NDArray[np.float32], NDArray[np.int64]], ArrayLike]
SmoothFunction = Callable[["torch.Tensor", float, float], "torch.Tensor"]

LABEL = "label"
"""Access: predicted labels only."""
MEMBERS = "members"
"""Access: the label of each member of an ensemble, and the number of members `n_members`."""
SCORE = "score"
"""Access: probabilities of the classes or, for documents, given as lists of tokens, the score of class 1."""
GRADIENT = "gradient"
"""Access (white-box): labels, and `smooth`, a differentiable approximation of the model."""

WEIGHTS = "weights"
"""Access (white-box): labels, and `certified_radius`, which the model computes from its weights."""

TREES = "trees"
"""Access (white-box): labels, and the trees of a tree ensemble."""

VOTES = "votes"
"""Access (white-box): labels, and the weights of the votes of a hard-voting ensemble of sign networks."""

DEFAULT_MEMORY = 256 * 2**20
_MAX_ROWS = 4096  # a larger block makes no forward pass faster, it only leaves the cache
_GRADIENT_ROWS = 32  # twice as many make a gradient of 100 votes little faster, and the gradient of one input slower
_GRADIENT_ELEMENTS = 2**18  # maximum elements of a block: few large images at a time, because of their activations


class QueryBudgetExceeded(Exception):
    """A query was refused because it would exceed the query budget of an example."""


def rows_within(memory_budget: int, n_features: int) -> int:
    """Return the inputs per block: four float32 copies of it stay within `memory_budget` bytes (at least one input)."""
    return int(max(1, min(_MAX_ROWS, memory_budget // (16 * max(1, n_features)))))


class Oracle:
    """Count of the queries per example, with a budget; the base of all oracles.

    Parameters
    ----------
    n_examples : int
        Number of examples under attack.
    budget : int or None
        Maximum number of queries per example; None for no limit.

    Attributes
    ----------
    queries : ndarray of int64, shape (n_examples,)
        Queries so far for each example.
    """

    def __init__(self, n_examples: int, budget: int | None = None) -> None:
        self.budget = budget
        self.queries = np.zeros(n_examples, dtype=np.int64)

    def remaining(self, examples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the queries left for each of `examples`; the largest int64 without a budget."""
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
                f"and {after[worst] - self.queries[worst]} more were requested."
            )
        self.queries[:] = after


def check_callable(name: str, value: Any) -> None:
    """Raise ValueError if the model function `name` of an attack is no callable."""
    if not callable(value):
        raise ValueError(f"The '{name}' of an attack must be a callable. Got {value!r} instead.")


def keeps_inputs(model: Any) -> bool:
    """Return whether a label function promises never to write into its inputs, which then need not be copied.

    A method promises by the class attribute `keeps_inputs` of its object, any other callable by its attribute of that
    name. The attribute of a base class does not count: a subclass may write.
    """
    owner = getattr(model, "__self__", None)
    return bool(getattr(model, "keeps_inputs", False) if owner is None else vars(type(owner)).get("keeps_inputs"))


def check_one_per_input(answer: NDArray[Any], n_inputs: int, each: str) -> None:
    """Raise ValueError unless a model returned one value per input; `each` names them, e.g. "label per row"."""
    if answer.shape != (n_inputs,):
        raise ValueError(
            f"The model queried by an attack must return one {each}, shape ({n_inputs},). "
            f"Got shape {answer.shape} instead."
        )


class LabelOracle(Oracle):
    """A model that shows its predicted labels only, with a count of queries per example.

    The model gets its inputs in memory of its own. So a model that writes into them, for example one that scales in
    place, changes neither the inputs of the attack nor the caller's arrays. Only a model that promises not to write
    (`keeps_inputs`) gets the inputs themselves.

    Parameters
    ----------
    labels : callable
        Takes float32 inputs of shape (n, d), returns n integer labels. If it has an attribute `device`, a torch
        device, it must also accept tensors on that device.
    n_examples : int
        Number of examples under attack.
    n_features : int
        Number of features, d.
    budget : int or None
        Maximum number of queries per example; None for no limit.
    batch_rows : int or None
        Maximum number of inputs per call of `labels`; by default as many as `memory_budget` allows.
    memory_budget : int
        Bytes for the inputs of one call and their copies.
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
        check_callable("labels", labels)
        super().__init__(n_examples, budget)
        self.labels = labels
        self._keeps_inputs = keeps_inputs(labels)
        self.batch_rows = rows_within(memory_budget, n_features) if batch_rows is None else int(batch_rows)
        self._private = np.empty((0, n_features), dtype=np.float32)

    def __call__(self, rows: Batch, examples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Query the label of every input: arrays in blocks of `batch_rows`, a tensor in one call.

        Parameters
        ----------
        rows : ndarray or tensor of float32, shape (n, d)
        examples : ndarray of int64, shape (n,)
            The example that each query is counted for.

        Returns
        -------
        labels : ndarray of int64, shape (n,)

        Raises
        ------
        QueryBudgetExceeded
            Before the model is called.
        ValueError
            If the model does not return one integer label per input.
        """
        self.count(examples)
        return self.look(rows, examples)

    def look(self, rows: Batch, examples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return labels as a call does, without counting queries: for checks of the model and of a result."""
        size = self.batch_rows if isinstance(rows, np.ndarray) else max(1, len(rows))
        blocks = [slice(start, start + size) for start in range(0, len(rows), size)]
        labels = [self._query(rows[block], examples[block]) for block in blocks]
        return np.concatenate(labels) if labels else np.zeros(0, dtype=np.int64)

    def _predict(self, inputs: Any, examples: NDArray[np.int64]) -> ArrayLike:
        """Return the model's output for one block."""
        return self.labels(inputs)

    def _query(self, inputs: Batch, examples: NDArray[np.int64]) -> NDArray[np.int64]:
        labels = as_array(self._predict(self._copied(inputs), examples))
        check_one_per_input(labels, len(inputs), "label per row")
        if labels.dtype.kind not in "iub":
            whole = labels.dtype.kind == "f" and bool(np.all(np.isfinite(labels)) and np.all(labels == np.rint(labels)))
            if not whole:
                raise ValueError(
                    f"The model queried by an attack must return integer labels. Got {labels.dtype} values instead."
                )
        return labels.astype(np.int64)

    def _copied(self, rows: Batch) -> Batch:
        """Return a copy of the inputs, of an array in a buffer that the next call uses again; or the inputs."""
        if self._keeps_inputs:
            return rows
        if not isinstance(rows, np.ndarray):
            return rows.clone()
        if self._private.shape[1:] != rows.shape[1:] or len(self._private) < len(rows):
            self._private = np.empty(rows.shape, dtype=np.float32)
        copy = self._private[: len(rows)]
        np.copyto(copy, rows)
        return copy


class TargetOracle(LabelOracle):
    """A model whose labels are compared with a target: 1 for an input of its example's target class, else 0.

    Parameters
    ----------
    labels : callable
    target : ndarray of int64, shape (n_examples,)
    n_features : int
    **limits
        See `LabelOracle`.
    """

    def __init__(self, labels: LabelFunction, target: NDArray[np.int64], n_features: int, **limits: Any) -> None:
        super().__init__(labels, len(target), n_features, **limits)
        self.target = target

    def _predict(self, inputs: Any, examples: NDArray[np.int64]) -> ArrayLike:
        return (as_array(self.labels(inputs)) == self.target[examples]).astype(np.int64)


class MemberOracle(LabelOracle):
    """An ensemble whose single members are queried: example e attacks member ``members[e]`` alone.

    Parameters
    ----------
    labels : callable
        Takes float32 inputs of shape (n, d) and member numbers of shape (n,), returns n integer labels.
    members : ndarray of int64, shape (n_examples,)
        The member that each example attacks.
    n_features : int
    memory_budget : int
        Bytes for the inputs of one call and their copies.
    budget : int, optional
        See :class:`LabelOracle`.
    """

    def __init__(
        self,
        labels: Callable[..., ArrayLike],
        members: NDArray[np.int64],
        n_features: int,
        *,
        memory_budget: int = DEFAULT_MEMORY,
        budget: int | None = None,
    ) -> None:
        super().__init__(labels, len(members), n_features, memory_budget=memory_budget, budget=budget)
        self.member_labels: MemberFunction = labels
        self.members = members

    def _predict(self, inputs: Any, examples: NDArray[np.int64]) -> ArrayLike:
        return self.member_labels(inputs, self.members[examples])


class GradientOracle:
    """The gradient of a model's smoothed fractions of votes, with a count of evaluations per example.

    It points away from the example's class: of two classes it is that of the other one's fraction, of more that of
    the largest fraction of another class minus that of its own.

    All blocks have one size, the last one is padded with zeros. A matrix product rounds differently for another
    number of rows, so this makes the gradient of an input independent of the other inputs.

    Parameters
    ----------
    smooth : callable
        Takes a float32 tensor of inputs (n, d) and two sharpnesses beta and gamma, returns a tensor that is
        differentiable in the inputs: approximately the fraction of votes for label 1, shape (n,), or for each of K
        labels, shape (n, K).
    y : ndarray of int64, shape (n_examples,)
        Labels of the examples.
    n_features : int
    towards : bool
        Whether the gradient points towards the class `y` instead.

    Attributes
    ----------
    gradients : ndarray of int64, shape (n_examples,)
        Gradients evaluated so far for each example.
    """

    def __init__(self, smooth: SmoothFunction, y: NDArray[np.int64], n_features: int, towards: bool = False) -> None:
        check_callable("smooth", smooth)
        self.smooth, self.y, self.towards = smooth, y, towards
        self.block = (max(1, min(_GRADIENT_ROWS, _GRADIENT_ELEMENTS // n_features)), n_features)
        self.gradients = np.zeros(len(y), dtype=np.int64)

    def n_classes(self, x: NDArray[np.float32]) -> int:
        """Return the number of classes that the model distinguishes, by its output for one input, shape (1, d)."""
        import torch

        with torch.no_grad():
            fractions = self.smooth(torch.from_numpy(x.copy()), 1.0, 1.0)
        return 2 if fractions.ndim == 1 else int(fractions.shape[-1])

    def __call__(
        self, inputs: NDArray[np.float32], examples: NDArray[np.int64], beta: float, gamma: float
    ) -> NDArray[np.float32]:
        """Return the gradients (n, d) at inputs (n, d) of `examples` (n,), for which they are counted."""
        self.gradients += np.bincount(examples, minlength=len(self.gradients))
        out, size = np.empty_like(inputs), self.block[0]
        for start in range(0, len(inputs), size):
            part = slice(start, start + size)
            out[part] = self._gradient(inputs[part], self.y[examples[part]], beta, gamma)
        return out

    def _gradient(
        self, inputs: NDArray[np.float32], y: NDArray[np.int64], beta: float, gamma: float
    ) -> NDArray[np.float32]:
        import torch

        x = torch.zeros(self.block)
        x[: len(inputs)] = torch.from_numpy(inputs)
        fraction = self.smooth(x.requires_grad_(True), beta, gamma)
        if fraction.shape != (len(x),) and (fraction.ndim != 2 or len(fraction) != len(x)):
            raise ValueError(
                f"The smooth model of an attack must return one number per row, shape ({len(x)},), or one for each "
                f"class. Got shape {tuple(fraction.shape)} instead."
            )
        fraction_of_one = fraction.ndim == 1
        if not fraction_of_one:
            own = torch.zeros((len(x), 1), dtype=torch.int64, device=fraction.device)
            own[: len(y), 0] = torch.from_numpy(y)
            others = fraction.scatter(1, own, -torch.inf).amax(dim=1)
            fraction = others - fraction.gather(1, own)[:, 0]
        (gradient,) = torch.autograd.grad(fraction.sum(), x)
        values: NDArray[np.float32] = gradient[: len(inputs)].numpy()
        if fraction_of_one:
            values *= np.where(y == 0, np.float32(1), np.float32(-1))[:, None]
        values *= np.float32(-1 if self.towards else 1)
        if not np.isfinite(values).all():
            raise ValueError("The smooth model of an attack must have finite gradients. Got NaN or infinity instead.")
        return values
