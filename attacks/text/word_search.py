"""The search of TextFooler on many documents at once: rank the words of each, then replace one word after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attacks.result import ALREADY_WRONG, BUDGET_SPENT, NOT_FOOLED
from attacks.text.checkpoint import ENDED, NEW, RANKED, RIGHT, Progress
from attacks.text.constraints import WordClasses, same_class
from attacks.text.oracle import ScoreOracle
from attacks.text.result import EMPTY_DOCUMENT, NO_SYNONYM, Document
from attacks.text.similarity import Similarity, joined, window
from attacks.text.synonyms import Synonyms

UNKNOWN = "<oov>"
"""Stands for a word that is left out, as in the authors' program: the document keeps its length."""
SHORT_THRESHOLD = 0.1
"""Least similarity within a document shorter than the window, as in the authors' program."""

_QUESTIONS = 2048  # asked between two snapshots: seconds of work, and enough to fill a model's calls


@dataclass(frozen=True)
class Rules:
    """What may replace a word.

    Attributes
    ----------
    synonyms : Synonyms
    stop_words : frozenset of str
        Never replaced.
    classes : WordClasses
    similarity : Similarity
    threshold : float
        Least similarity of the window before and after a replacement.
    window : int
        Tokens of the window.
    keep_equal : bool
        Keep a replacement that fools nobody also if its score equals the original's.
    """

    synonyms: Synonyms
    stop_words: frozenset[str]
    classes: WordClasses
    similarity: Similarity
    threshold: float
    window: int
    keep_equal: bool

    def replaceable(self, word: str) -> bool:
        """Whether a word is no stop word and has a synonym."""
        return word.lower() not in self.stop_words and bool(self.synonyms.of(word))


@dataclass
class Turn:
    """One document's next word and the candidates asked for it."""

    document: int
    position: int
    words: list[str]
    cut: bool
    """Whether the budget left some candidates out."""
    scores: NDArray[np.float64]
    """With each candidate; `true` of the true class."""
    true: NDArray[np.float64]
    fools: NDArray[np.bool_]


class TextSearch:
    """The documents under attack. `step` takes them a bit further and returns whether anything is left to do.

    Parameters
    ----------
    rules : Rules
    oracle : ScoreOracle
    original : list of list of str
    y : ndarray of int64, shape (n,)
        True labels, 0 or 1. A text is of class 1 when its score is above 0.5.
    progress : Progress
        Changed by every step.
    """

    def __init__(
        self, rules: Rules, oracle: ScoreOracle, original: list[Document], y: NDArray[np.int64], progress: Progress
    ) -> None:
        self.rules, self.oracle, self.original, self.y, self.progress = rules, oracle, original, y, progress
        self.lengths = np.array([len(text) for text in original])

    def step(self) -> bool:
        """Ask for the next few thousand texts and act on the answers."""
        stage = self.progress.stage
        if (stage == NEW).any():
            self._ask_originals(np.flatnonzero(stage == NEW))
        elif (stage == RIGHT).any():
            waiting = np.flatnonzero(stage == RIGHT)
            self._rank(self._few(waiting, self.lengths[waiting]))
        elif (stage == RANKED).any():
            waiting = np.flatnonzero(stage == RANKED)
            waiting = waiting[np.argsort(self.progress.cursor[waiting], kind="stable")]  # they advance together
            self._replace(self._few(waiting, np.array([len(self._synonyms(d)) for d in waiting])))
        return bool((stage != ENDED).any())

    def _few(self, documents: NDArray[np.int64], questions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first of the documents, at least one, that need about as many questions as a step should ask."""
        return documents[: max(1, int(np.searchsorted(np.cumsum(questions), _QUESTIONS, side="right")))]

    def _true(self, scores: NDArray[np.float64], documents: NDArray[np.int64]) -> NDArray[np.float64]:
        """Scores of the true class."""
        return np.where(self.y[documents] == 1, scores, 1.0 - scores)

    def _fools(self, scores: NDArray[np.float64], documents: NDArray[np.int64]) -> NDArray[np.bool_]:
        return (scores > 0.5) != (self.y[documents] == 1)

    def _ask_originals(self, documents: NDArray[np.int64]) -> None:
        scores = self.oracle((self.original[d] for d in documents), documents)
        self.progress.before[documents] = scores
        wrong = self._fools(scores, documents)
        for document in documents[wrong]:
            self.progress.end(document, ALREADY_WRONG)
        self.progress.stage[documents[~wrong]] = RIGHT
        for document in documents[~wrong & (self.lengths[documents] == 0)]:
            self.progress.end(document, EMPTY_DOCUMENT)

    def _rank(self, documents: NDArray[np.int64]) -> None:
        """Order the words of each document by what leaving one out does to the score."""
        short = self.oracle.remaining(documents) < self.lengths[documents]
        for document in documents[short]:
            self.progress.end(document, BUDGET_SPENT)
        documents = documents[~short]
        asked = np.repeat(documents, self.lengths[documents])
        scores = self.oracle((t for d in documents for t in _without_each(self.original[d])), asked)
        # The authors add, where the label changes, what the other class gained. With two classes that is the fall
        # again, and such a fall is above all others anyway: the order is the same without it.
        falls = self._true(self.progress.before[asked], asked) - self._true(scores, asked)
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
        """Candidates for the document's next word."""
        position = self.progress.position(document)
        return self.rules.synonyms.of(self.original[document][position])

    def _replace(self, documents: NDArray[np.int64]) -> None:
        """Ask for all candidates of each document's next word; keep the best if it helps."""
        left = self.oracle.remaining(documents)
        wanted = [self._synonyms(d) for d in documents]
        words = [some[:most] for some, most in zip(wanted, left.tolist(), strict=True)]
        counts = [len(some) for some in words]
        positions = [self.progress.position(d) for d in documents]
        asked = np.repeat(documents, counts)
        scores = self.oracle(
            (
                _with(self.progress.texts[d], k, word)
                for d, k, some in zip(documents, positions, words, strict=True)
                for word in some
            ),
            asked,
        )
        cuts = np.cumsum(counts)[:-1]
        answers = (np.split(a, cuts) for a in (scores, self._true(scores, asked), self._fools(scores, asked)))
        rows = zip(documents.tolist(), positions, words, wanted, *answers, strict=True)
        turns = [Turn(d, k, some, len(some) < len(every), *answer) for d, k, some, every, *answer in rows]
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
        """The candidate that each turn keeps, -1 for none.

        Of those that fool the model and may stand for the word, the most similar one; else the one of least score
        that may stand for it, if its score is below the original's. The classes and similarities of candidates that
        can be neither are not computed.
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
        """Candidates that fool nobody but have a lower score than the original (or an equal one), lowest first."""
        document = np.array([turn.document])
        before = self._true(self.progress.before[document], document)[0]
        low = (turn.true <= before if self.rules.keep_equal else turn.true < before) & ~turn.fools
        return (int(k) for k in np.argsort(turn.true, kind="stable") if low[k])

    def _allowed(self, turns: list[Turn], candidates: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
        """Similarity of each candidate (turn, number) to the text as it stands; -inf where it may not stand for it."""
        found = np.full(len(candidates), -np.inf)
        chosen = [(turns[t], turns[t].words[k]) for t, k in candidates]
        now = [self.progress.texts[turn.document] for turn, _ in chosen]
        then = [_with(text, turn.position, word) for text, (turn, word) in zip(now, chosen, strict=True)]
        tagged = self.rules.classes.of_words(then, [turn.position for turn, _ in chosen])
        kept = [
            i
            for i, ((turn, _), name) in enumerate(zip(chosen, tagged, strict=True))
            if same_class(self.progress.classes[turn.document][turn.position], name)
        ]
        parts = [window(len(now[i]), chosen[i][0].position, self.rules.window) for i in kept]
        similarity = self.rules.similarity(
            [joined(now[i], part) for i, part in zip(kept, parts, strict=True)],
            [joined(then[i], part) for i, part in zip(kept, parts, strict=True)],
        )
        for i, value in zip(kept, similarity, strict=True):
            short = len(now[i]) < self.rules.window
            if value >= (min(SHORT_THRESHOLD, self.rules.threshold) if short else self.rules.threshold):
                found[i] = value
        return found


def _with(text: Document, position: int, word: str) -> Document:
    return [*text[:position], word, *text[position + 1 :]]


def _without_each(text: Document) -> Iterator[Document]:
    return (_with(text, k, UNKNOWN) for k in range(len(text)))
