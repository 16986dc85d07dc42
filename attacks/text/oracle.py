"""What an attack on texts may ask of a model: the score oracle, which counts every document."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
