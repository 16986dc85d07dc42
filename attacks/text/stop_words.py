"""Words that are never replaced."""

from collections.abc import Collection

from attacks.engine.validation import refuse


def stop_words(owner: str, chosen: str | Collection[str]) -> frozenset[str]:
    """The words of a list of stop words, in lower case.

    Parameters
    ----------
    owner : str
        Who asks, for the error.
    chosen : str or collection of str
        "spacy": spaCy's English list; "sklearn": scikit-learn's; "none"; or the words themselves.

    Raises
    ------
    ImportError
        Where spaCy is asked for and not installed.
    ValueError
        For anything else.
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
        raise refuse(owner, "stop_words", "'spacy', 'sklearn', 'none' or a list of words", chosen)
    return frozenset(word.lower() for word in chosen)
