"""The search of TextFooler on many documents at once: rank the words of each, then replace them one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..result import ALREADY_MISCLASSIFIED, BUDGET_SPENT, NOT_FOOLED
from .checkpoint import CORRECT, ENDED, NEW, RANKED, TextProgress
from .constraints import WordClasses, same_class
from .oracle import ScoreOracle
from .result import EMPTY_DOCUMENT, NO_SYNONYM, Document
from .similarity import Similarity, joined, window
from .synonyms import Synonyms

UNKNOWN = "<oov>"
"""Replaces a word that is left out, as in the authors' program: the document keeps its length."""
SHORT_THRESHOLD = 0.1
"""Minimum similarity for a document shorter than the window, as in the authors' program."""

_STEP_QUERIES = 2048  # between two snapshots: seconds of work, and enough to fill the model's calls


@dataclass(frozen=True)
class Rules:
    """The constraints of word replacements.

    Attributes
    ----------
    synonyms : Synonyms
    stop_words : frozenset of str
        Never replaced.
    classes : WordClasses
    similarity : Similarity
    threshold : float
        Minimum similarity of the window before and after a replacement.
    window : int
        Number of tokens of the window.
    keep_equal : bool
        Also keep a replacement that does not fool the model if its score equals the original's.
    """

    synonyms: Synonyms
    stop_words: frozenset[str]
    classes: WordClasses
    similarity: Similarity
    threshold: float
    window: int
    keep_equal: bool

    def replaceable(self, word: str) -> bool:
        """Return whether a word is no stop word and has a synonym."""
        return word.lower() not in self.stop_words and bool(self.synonyms.of(word))


@dataclass
class Turn:
    """The next word of a document, and the queried candidates for it."""

    document: int
    position: int
    words: list[str]
    cut: bool
    """Whether the query budget excluded some candidates."""
    scores: NDArray[np.float64]
    """Score of class 1 with each candidate; `true` is that of the true class."""
    true: NDArray[np.float64]
    fools: NDArray[np.bool_]


class TextSearch:
    """The documents under attack. `step` continues the attack and returns whether it is unfinished.

    Parameters
    ----------
    rules : Rules
    oracle : ScoreOracle
    original : list of list of str
    y : ndarray of int64, shape (n,)
        True labels, 0 or 1. A text is of class 1 if its score is above 0.5.
    progress : TextProgress
        Changed by every step.
    """

    def __init__(
        self, rules: Rules, oracle: ScoreOracle, original: list[Document], y: NDArray[np.int64], progress: TextProgress
    ) -> None:
        self.rules, self.oracle, self.original, self.y, self.progress = rules, oracle, original, y, progress
        self.lengths = np.array([len(text) for text in original])

    def step(self) -> bool:
        """Query the next few thousand texts and update the documents."""
        stage = self.progress.stage
        if (stage == NEW).any():
            self._query_originals(np.flatnonzero(stage == NEW))
        elif (stage == CORRECT).any():
            waiting = np.flatnonzero(stage == CORRECT)
            self._rank(self._few(waiting, self.lengths[waiting]))
        elif (stage == RANKED).any():
            waiting = np.flatnonzero(stage == RANKED)
            waiting = waiting[np.argsort(self.progress.cursor[waiting], kind="stable")]  # documents advance together
            self._replace(self._few(waiting, np.array([len(self._synonyms(d)) for d in waiting])))
        return bool((stage != ENDED).any())

    def _few(self, documents: NDArray[np.int64], n_queries: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first of the documents, at least one, that need about as many queries as one step does."""
        return documents[: max(1, int(np.searchsorted(np.cumsum(n_queries), _STEP_QUERIES, side="right")))]

    def _true(self, scores: NDArray[np.float64], documents: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the scores of the true class."""
        return np.where(self.y[documents] == 1, scores, 1.0 - scores)

    def _fools(self, scores: NDArray[np.float64], documents: NDArray[np.int64]) -> NDArray[np.bool_]:
        return (scores > 0.5) != (self.y[documents] == 1)

    def _query_originals(self, documents: NDArray[np.int64]) -> None:
        scores = self.oracle((self.original[d] for d in documents), documents)
        self.progress.before[documents] = scores
        misclassified = self._fools(scores, documents)
        for document in documents[misclassified]:
            self.progress.end(document, ALREADY_MISCLASSIFIED)
        self.progress.stage[documents[~misclassified]] = CORRECT
        for document in documents[~misclassified & (self.lengths[documents] == 0)]:
            self.progress.end(document, EMPTY_DOCUMENT)

    def _rank(self, documents: NDArray[np.int64]) -> None:
        """Order the words of each document by their importance: how much the score falls without the word."""
        short = self.oracle.remaining(documents) < self.lengths[documents]
        for document in documents[short]:
            self.progress.end(document, BUDGET_SPENT)
        documents = documents[~short]
        queried = np.repeat(documents, self.lengths[documents])
        scores = self.oracle((t for d in documents for t in _without_each(self.original[d])), queried)
        # If the label changes, the authors add the gain of the other class. With two classes that is the fall
        # again, and such a fall is above all others anyway: the order is the same without it.
        falls = self._true(self.progress.before[queried], queried) - self._true(scores, queried)
        parts = np.split(falls, np.cumsum(self.lengths[documents])[:-1]) if len(documents) else []
        tagged = self.rules.classes.of_documents([self.original[d] for d in documents])
        for document, part, classes in zip(documents, parts, tagged, strict=True):
            words = self.original[document]
            order = [int(k) for k in np.argsort(-part, kind="stable") if self.rules.replaceable(words[k])]
            self.progress.rank(document, order, classes)
            if not order:
                self.progress.end(document, NO_SYNONYM)
            elif not self.oracle.remaining(documents[documents == document])[0]:
                self.progress.end(document, BUDGET_SPENT)

    def _synonyms(self, document: int) -> list[str]:
        """Return the candidates for the document's next word."""
        position = self.progress.position(document)
        return self.rules.synonyms.of(self.original[document][position])

    def _replace(self, documents: NDArray[np.int64]) -> None:
        """Query all candidates for each document's next word; keep the best if it lowers the score."""
        left = self.oracle.remaining(documents)
        wanted = [self._synonyms(d) for d in documents]
        words = [candidates[:n] for candidates, n in zip(wanted, left.tolist(), strict=True)]
        counts = [len(candidates) for candidates in words]
        positions = [self.progress.position(d) for d in documents]
        queried = np.repeat(documents, counts)
        scores = self.oracle(
            (
                _with(self.progress.texts[d], k, word)
                for d, k, candidates in zip(documents, positions, words, strict=True)
                for word in candidates
            ),
            queried,
        )
        cuts = np.cumsum(counts)[:-1]
        values = (np.split(a, cuts) for a in (scores, self._true(scores, queried), self._fools(scores, queried)))
        rows = zip(documents.tolist(), positions, words, wanted, *values, strict=True)
        turns = [Turn(d, k, part, len(part) < len(full), *value) for d, k, part, full, *value in rows]
        for turn, chosen in zip(turns, self._choose(turns), strict=True):
            self._act(turn, chosen)

    def _act(self, turn: Turn, chosen: int) -> None:
        progress, document = self.progress, turn.document
        if chosen >= 0:
            text = _with(progress.texts[document], turn.position, turn.words[chosen])
            progress.change(document, text, float(turn.scores[chosen]))
        progress.cursor[document] += 1
        if chosen >= 0 and turn.fools[chosen]:
            progress.end(document, "")
        elif turn.cut:
            progress.end(document, BUDGET_SPENT)
        elif progress.cursor[document] == len(progress.orders[document]):
            progress.end(document, NOT_FOOLED)
        elif not self.oracle.remaining(np.array([document]))[0]:
            progress.end(document, BUDGET_SPENT)

    def _choose(self, turns: list[Turn]) -> list[int]:
        """Return the candidate that each turn keeps, -1 for none.

        Of the allowed ones that fool the model the most similar; else the allowed one with the minimum score, if its
        score is below the original's. The classes and similarities of candidates that can be neither are not computed.
        """
        chosen = [-1] * len(turns)
        fooling = [(t, k) for t, turn in enumerate(turns) for k in np.flatnonzero(turn.fools)]
        best: dict[int, float] = {}
        for (t, k), similarity in zip(fooling, self._allowed(turns, fooling), strict=True):
            if similarity > best.get(t, -np.inf):
                best[t], chosen[t] = similarity, int(k)
        queues = {t: self._by_score(turn) for t, turn in enumerate(turns) if t not in best}
        while queues:
            first = [(t, k) for t, queue in queues.items() if (k := next(queue, None)) is not None]
            queues = {t: queues[t] for t, _ in first}
            for (t, k), similarity in zip(first, self._allowed(turns, first), strict=True):
                if similarity > -np.inf:
                    chosen[t] = k
                    del queues[t]
        return chosen

    def _by_score(self, turn: Turn) -> Iterator[int]:
        """Yield candidates that do not fool the model but lower the score (or keep it), the lowest score first."""
        document = np.array([turn.document])
        before = self._true(self.progress.before[document], document)[0]
        low = (turn.true <= before if self.rules.keep_equal else turn.true < before) & ~turn.fools
        return (int(k) for k in np.argsort(turn.true, kind="stable") if low[k])

    def _allowed(self, turns: list[Turn], candidates: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
        """Return the similarity of each candidate (turn, number) to the current text; -inf if it is not allowed."""
        allowed = np.full(len(candidates), -np.inf)
        chosen = [(turns[t], turns[t].words[k]) for t, k in candidates]
        now = [self.progress.texts[turn.document] for turn, _ in chosen]
        then = [_with(text, turn.position, word) for text, (turn, word) in zip(now, chosen, strict=True)]
        tagged = self.rules.classes.of_words(then, [turn.position for turn, _ in chosen])
        same = [
            i
            for i, ((turn, _), name) in enumerate(zip(chosen, tagged, strict=True))
            if same_class(self.progress.classes[turn.document][turn.position], name)
        ]
        parts = [window(len(now[i]), chosen[i][0].position, self.rules.window) for i in same]
        similarity = self.rules.similarity(
            [joined(now[i], part) for i, part in zip(same, parts, strict=True)],
            [joined(then[i], part) for i, part in zip(same, parts, strict=True)],
        )
        for i, value in zip(same, similarity, strict=True):
            short = len(now[i]) < self.rules.window
            if value >= (min(SHORT_THRESHOLD, self.rules.threshold) if short else self.rules.threshold):
                allowed[i] = value
        return allowed


def _with(text: Document, position: int, word: str) -> Document:
    return [*text[:position], word, *text[position + 1 :]]


def _without_each(text: Document) -> Iterator[Document]:
    return (_with(text, k, UNKNOWN) for k in range(len(text)))
