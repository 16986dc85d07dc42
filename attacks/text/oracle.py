"""What an attack on texts may ask of a model: the score oracle, which counts every document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attacks.engine.validation import Described, read_ints, refuse
from attacks.oracle import DEFAULT_MEMORY, QueryCount
from attacks.text.result import Document

ScoreFunction = Callable[[list[Document]], ArrayLike]

_BYTES_A_TOKEN = 512  # of a document on its way through a model: the token, its number and its vector
_MOST_DOCUMENTS = 8192  # beyond this a larger block makes no model faster


class ScoreOracle(QueryCount):
    """A model of which only a score can be seen, with a count of queries per document under attack.

    Parameters
    ----------
    scores : callable
        Takes a list of n documents (lists of tokens), returns n scores of class 1 in [0, 1].
    n_documents : int
        Number of documents under attack.
    budget : int or None
        Most queries that each document may cost; None for no limit.
    memory_budget : int
        Bytes for the documents of one call.

    Attributes
    ----------
    queries : ndarray of int64, shape (n_documents,)
        Texts asked so far for each document.
    """

    def __init__(
        self,
        scores: ScoreFunction,
        n_documents: int,
        *,
        budget: int | None = None,
        memory_budget: int = DEFAULT_MEMORY,
    ) -> None:
        if not callable(scores):
            raise ValueError(f"The 'scores' of an attack must be a callable. Got {scores!r} instead.")
        super().__init__(n_documents, budget)
        self.scores = scores
        self.most_tokens = max(1, memory_budget // _BYTES_A_TOKEN)

    def __call__(self, texts: Iterable[Document], documents: NDArray[np.int64]) -> NDArray[np.float64]:
        """Ask the score of every text, many of them in one call of the model.

        Parameters
        ----------
        texts : iterable of n lists of tokens
            May be made as they are needed: no more than one call's are held.
        documents : ndarray of int64, shape (n,)
            The document that each text is asked for.

        Returns
        -------
        scores : ndarray of float64, shape (n,)

        Raises
        ------
        QueryBudgetExceeded
            Before anything is asked.
        ValueError
            If the model does not answer with one number in [0, 1] per text.
        """
        self.count(documents)
        answers: list[NDArray[np.float64]] = []
        block: list[Document] = []
        tokens = 0
        for text in texts:
            if block and (tokens + len(text) > self.most_tokens or len(block) == _MOST_DOCUMENTS):
                answers.append(self._ask(block))
                block, tokens = [], 0
            block.append(text)
            tokens += len(text)
        if block:
            answers.append(self._ask(block))
        return np.concatenate(answers) if answers else np.zeros(0)

    def _ask(self, texts: list[Document]) -> NDArray[np.float64]:
        answer = np.asarray(self.scores(texts), dtype=np.float64)
        if answer.shape != (len(texts),):
            raise ValueError(
                f"The model asked by an attack must return one score per document, shape ({len(texts)},). "
                f"Got shape {answer.shape} instead."
            )
        if not (np.all(answer >= 0) and np.all(answer <= 1)):  # also refuses NaN
            raise ValueError(
                "The model asked by an attack must return scores in [0, 1]. "
                f"Got values from {answer.min():g} to {answer.max():g} instead."
            )
        return answer


Part = str | Callable[..., Any]
"""A part of an attack that can be exchanged: a name, the dotted path of a callable, or the callable."""


def read_documents(
    owner: str, documents: Sequence[Sequence[str]], y: ArrayLike, index: ArrayLike | None
) -> tuple[list[Document], NDArray[np.int64], NDArray[np.int64]]:
    """The documents as lists of tokens, their labels and numbers.

    Raises
    ------
    ValueError
        No document, one that is empty or not a list of tokens, labels other than 0 and 1, lengths that differ.
    """
    if isinstance(documents, str) or not len(documents):
        raise refuse(owner, "documents", "a list of documents, at least one", documents)
    numbers = read_ints(owner, "index", np.arange(len(documents)) if index is None else index, len(documents))
    texts = []
    for number, document in zip(numbers, documents, strict=True):
        if isinstance(document, str) or not all(isinstance(token, str) for token in document):
            raise refuse(owner, "documents", "lists of tokens", Described(f"{document!r:.60} as document {number}"))
        if not len(document):
            raise refuse(owner, "documents", "lists of at least one token", Described(f"an empty document {number}"))
        texts.append([str(token) for token in document])
    labels = read_ints(owner, "y", y, len(texts))
    if not np.isin(labels, (0, 1)).all():
        raise refuse(owner, "y", "labels 0 and 1", Described(str(np.unique(labels).tolist())))
    return texts, labels, numbers


def read_part(owner: str, name: str, value: Any, own: str) -> Part:
    """Check an exchangeable part: `own`, "none", a dotted path or a callable."""
    if callable(value) or value in (own, "none"):
        part: Part = value
        return part
    allowed = f"'{own}', 'none', a callable or its dotted path such as 'package.module.function'"
    if not isinstance(value, str) or "." not in value.strip("."):
        raise refuse(owner, name, allowed, value)
    try:
        found = imported(value)
    except (ImportError, AttributeError) as error:
        raise refuse(owner, name, allowed, Described(f"{value!r}, which cannot be imported ({error}),")) from error
    if not callable(found):
        raise refuse(owner, name, allowed, value)
    return str(value)


def imported(path: str) -> Any:
    """What a dotted path names."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def called(part: Part) -> Callable[..., Any] | None:
    """The callable of a checked part that is not the attack's own; None for "none"."""
    if not isinstance(part, str):
        return part
    found: Callable[..., Any] | None = None if part == "none" else imported(part)
    return found


def described(part: Any) -> str:
    """A part or parameter as text that is the same in every process."""
    return f"{part.__module__}.{part.__qualname__}" if callable(part) and hasattr(part, "__qualname__") else repr(part)
