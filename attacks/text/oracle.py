"""Access of an attack on texts to a model: the score oracle, and the validation of what the user passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..engine.validation import Described, as_array, read_ints, refuse
from ..oracle import DEFAULT_MEMORY, Oracle, check_callable, check_one_per_input
from .result import Document

ScoreFunction = Callable[[list[Document]], ArrayLike]
Part = str | Callable[..., Any]
"""An exchangeable part of an attack: a name, the dotted path of a callable, or the callable."""

_BYTES_PER_TOKEN = 512  # in a model: the token, its number and its vector
_MAX_DOCUMENTS = 8192  # a larger block makes no model faster


class ScoreOracle(Oracle):
    """A model that shows its score only, with a count of queries per document under attack.

    The model gets copies of the documents, so one that changes its lists of tokens changes no text of the attack.

    Parameters
    ----------
    scores : callable
        Takes a list of n documents (lists of tokens), returns n scores of class 1 in [0, 1].
    n_documents : int
        Number of documents under attack.
    budget : int or None
        Maximum number of queries per document; None for no limit.
    memory_budget : int
        Bytes for the documents of one call.
    """

    def __init__(
        self,
        scores: ScoreFunction,
        n_documents: int,
        *,
        budget: int | None = None,
        memory_budget: int = DEFAULT_MEMORY,
    ) -> None:
        check_callable("scores", scores)
        super().__init__(n_documents, budget)
        self.scores = scores
        self.max_tokens = max(1, memory_budget // _BYTES_PER_TOKEN)

    def __call__(self, texts: Iterable[Document], documents: NDArray[np.int64]) -> NDArray[np.float64]:
        """Query the score of every text, many of them in one call of the model.

        Parameters
        ----------
        texts : iterable of n lists of tokens
            May be generated as they are needed: only those of one call are in memory.
        documents : ndarray of int64, shape (n,)
            The document that each query is counted for.

        Returns
        -------
        scores : ndarray of float64, shape (n,)

        Raises
        ------
        QueryBudgetExceeded
            Before the model is called.
        ValueError
            If the model does not return one number in [0, 1] per text.
        """
        self.count(documents)
        return self.look(texts)

    def look(self, texts: Iterable[Document]) -> NDArray[np.float64]:
        """Return scores as a call does, without counting queries: for checks of the model and of a result."""
        scores: list[NDArray[np.float64]] = []
        block: list[Document] = []
        tokens = 0
        for text in texts:
            if block and (tokens + len(text) > self.max_tokens or len(block) == _MAX_DOCUMENTS):
                scores.append(self._query(block))
                block, tokens = [], 0
            block.append(text)
            tokens += len(text)
        if block:
            scores.append(self._query(block))
        return np.concatenate(scores) if scores else np.zeros(0)

    def _query(self, texts: list[Document]) -> NDArray[np.float64]:
        scores = np.asarray(as_array(self.scores([list(text) for text in texts])), dtype=np.float64)
        check_one_per_input(scores, len(texts), "score per document")
        if not (np.all(scores >= 0) and np.all(scores <= 1)):  # also refuses NaN
            raise ValueError(
                "The model queried by an attack must return scores in [0, 1]. "
                f"Got values from {scores.min():g} to {scores.max():g} instead."
            )
        return scores


def read_documents(
    class_name: str, documents: Sequence[Sequence[str]], y: ArrayLike, index: ArrayLike | None
) -> tuple[list[Document], NDArray[np.int64], NDArray[np.int64]]:
    """Return the documents as lists of tokens, their labels and numbers.

    Raises
    ------
    ValueError
        If there is no document, one is empty or not a list of tokens, labels are not 0 and 1, or lengths differ.
    """
    if isinstance(documents, str) or not len(documents):
        raise refuse(class_name, "documents", "a list of documents, at least one", documents)
    numbers = read_ints(class_name, "index", np.arange(len(documents)) if index is None else index, len(documents))
    texts = []
    for number, document in zip(numbers, documents, strict=True):
        if isinstance(document, str) or not all(isinstance(token, str) for token in document):
            raise refuse(
                class_name, "documents", "lists of tokens", Described(f"{document!r:.60} as document {number}")
            )
        texts.append([str(token) for token in document])
    labels = read_ints(class_name, "y", y, len(texts))
    if not np.isin(labels, (0, 1)).all():
        raise refuse(class_name, "y", "labels 0 and 1", Described(str(np.unique(labels).tolist())))
    return texts, labels, numbers


def read_part(class_name: str, name: str, value: Any, default: str) -> Part:
    """Return a validated exchangeable part: `default`, "none", a dotted path or a callable."""
    if callable(value) or value in (default, "none"):
        given: Part = value
        return given
    allowed = f"'{default}', 'none', a callable or its dotted path such as 'package.module.function'"
    if not isinstance(value, str) or "." not in value.strip("."):
        raise refuse(class_name, name, allowed, value)
    try:
        part = imported(value)
    except (ImportError, AttributeError) as error:
        raise refuse(class_name, name, allowed, Described(f"{value!r}, which cannot be imported ({error}),")) from error
    if not callable(part):
        raise refuse(class_name, name, allowed, value)
    return str(value)


def imported(path: str) -> Any:
    """Return the object at a dotted path."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def called(part: Part) -> Callable[..., Any] | None:
    """Return the callable of a validated part other than the default; None for "none"."""
    if not isinstance(part, str):
        return part
    function: Callable[..., Any] | None = None if part == "none" else imported(part)
    return function


def described(part: Any) -> str:
    """Return a part or parameter as text that is the same in every process."""
    return f"{part.__module__}.{part.__qualname__}" if callable(part) and hasattr(part, "__qualname__") else repr(part)
