"""Tokens, documents and their vectors: what a document becomes does not depend on its source or its company."""

from __future__ import annotations

import numpy as np
import pytest

from data.text.tokens import Documents, letters_and_digits, tokenise
from data.text.vectors import WordVectors


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("It's GOOD, isn't it?!", ["it", "'s", "good", ",", "is", "n't", "it", "?", "!"]),
        ("We ca n't", ["we", "ca", "n't"]),
        ("We can't", ["we", "ca", "n't"]),
        ("Fine.<br /><br />Long-winded... 6.5 of 10", ["fine", ".", "long", "-", "winded", "...", "6.5", "of", "10"]),
        ("the U.S. team", ["the", "u.s.", "team"]),
        ("Sears #39;s shares,  quot;up quot;", ["sears", "'s", "shares", ",", '"', "up", '"']),
        ("one\\ntwo \\\\ three \\u00e9t\\u00e9", ["one", "two", "three", "été"]),
        ("  \t ", []),
        (r"warm \ud83d\ude00 film", ["warm", "😀", "film"]),
        (r"warm \\UD83D\\UDE00\u00e9t", ["warm", "😀", "ét"]),
        (r"half \ud83d a \ude00 pair \ude00\ud83d", ["half", "a", "pair"]),
    ],
)
def test_a_text_is_cut_into_words_clitics_and_signs(text, tokens):
    assert tokenise(text) == tokens


def test_a_tokenised_text_is_tokenised_to_itself():
    text = "The film doesn't care -- it's Co-written (badly) for 1,000 fans in the U.S. , I'd say ..."
    once = tokenise(text)
    assert tokenise(" ".join(once)) == once
    assert letters_and_digits(once) == letters_and_digits([text.lower()])


def test_documents_are_what_they_were_made_of():
    texts = [["a", "b", "a"], [], ["c"]]
    documents = Documents.of(texts)
    assert list(documents) == texts
    assert list(documents.select([2, 0, 0])) == [texts[2], texts[0], texts[0]]
    assert list(Documents.from_arrays(documents.to_arrays("train"), "train")) == texts
    with pytest.raises(IndexError):
        documents[-1]


def test_arrays_that_are_no_documents_are_refused():
    arrays = Documents.of([["a", "b"], ["c"]]).to_arrays("train")
    with pytest.raises(ValueError, match="do not belong together"):
        Documents.from_arrays({**arrays, "starts_train": arrays["starts_train"][:-1]}, "train")
    for bad in ([-1, 0, 1], [0, 1, 9]):
        with pytest.raises(ValueError, match="do not belong together"):
            Documents.from_arrays({**arrays, "x_train": np.array(bad, dtype=np.int32)}, "train")
    with pytest.raises(ValueError, match="do not belong together"):
        Documents.from_arrays({**arrays, "starts_train": np.array([1, 2, 3])}, "train")
    with pytest.raises(ValueError, match="no documents"):
        Documents.from_arrays({}, "train")


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(31, 7)).astype(np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    table[0] = 0
    return WordVectors(tuple(f"w{i}" for i in range(30)), table, "", "somewhere")


def test_means_are_the_definition(vectors):
    """The sum of the known words' vectors over the number of all words; unknown and empty documents are zeros."""
    texts = [["w3", "w4", "what", "w3"], ["what"], []]
    expected = (2 * vectors.table[4] + vectors.table[5]) / 4
    means = vectors.means(texts)
    np.testing.assert_allclose(means[0], expected, rtol=1e-6)
    assert not means[1:].any()
    assert means.dtype == np.float32


def test_a_mean_does_not_depend_on_its_company(vectors, monkeypatch):
    """To the bit, whether asked alone, among others, or as documents of a data set, and in blocks of any size."""
    rng = np.random.default_rng(1)
    texts = [[f"w{i}" for i in rng.integers(0, 35, rng.integers(0, 60))] for _ in range(40)]
    together = vectors.means(texts)
    alone = np.concatenate([vectors.means([text]) for text in texts])
    assert np.array_equal(together, alone)
    assert np.array_equal(together, vectors.means(Documents.of(texts)))
    wide = vectors.padded(texts, 50)
    monkeypatch.setattr("data.text.vectors._AT_ONCE", 7)
    assert np.array_equal(together, vectors.means(Documents.of(texts)))
    assert np.array_equal(wide, vectors.padded(texts, 50))


def test_padded_rows_name_the_first_words(vectors):
    texts = [["w0", "what", "w29"], [], ["w1"] * 9]
    expected = [[1, 0, 30, 0], [0, 0, 0, 0], [2, 2, 2, 2]]
    assert vectors.padded(texts, 4).tolist() == expected
    assert vectors.padded(Documents.of(texts), 4).tolist() == expected
