"""TextFooler with real neighbour lists, encoder and tagger on real documents: SCD_DATA=/some/folder make test-slow."""

from __future__ import annotations

import csv
import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from attacks import TextFooler
from attacks.text.constraints import SpacyTagger, WordClasses, same_class, spacy_version
from attacks.text.similarity import Similarity, encoder_version, joined, universal_sentence_encoder, window
from attacks.text.synonyms import LISTS

TEXT = Path(os.environ.get("SCD_DATA", "~/.cache/scd")).expanduser() / "text"
DOCUMENTS, REVIEWS = TEXT / "textfooler_1000.tsv.gz", TEXT / "mr.tsv.gz"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(path.is_file() for path in (DOCUMENTS, REVIEWS, TEXT / LISTS)), reason=f"no texts and lists in {TEXT}"
    ),
    pytest.mark.skipif(not (spacy_version() and encoder_version()), reason="needs the extra text"),
]


def rows(path):
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


@pytest.fixture(scope="module")
def attacked():
    """The first 60 documents of MR under a naive Bayes score."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    reviews = [row for row in rows(REVIEWS) if row["label"] in ("0", "1")]
    counts = CountVectorizer(analyzer=str.split)
    model = MultinomialNB().fit(
        counts.fit_transform(row["text"] for row in reviews), [int(r["label"]) for r in reviews]
    )

    def scores(documents):
        return model.predict_proba(counts.transform(" ".join(d) for d in documents))[:, 1]

    first = [row for row in rows(DOCUMENTS) if row["dataset"] == "mr"][:60]
    documents, labels = [row["text"].split() for row in first], [int(row["label"]) for row in first]
    attack = TextFooler(synonyms=str(TEXT / LISTS))
    return scores, documents, attack(scores, documents, labels)


def test_most_documents_are_fooled_and_a_fresh_score_confirms_it(attacked):
    scores, _, result = attacked
    found = np.flatnonzero(result.success)
    assert len(found) > 0.5 * (result.reason != "already misclassified").sum()
    fresh = scores([result.adversarial[i] for i in found])
    assert np.array_equal(fresh > 0.5, result.label[found] == 0)
    assert fresh == pytest.approx(result.score_after[found])


def test_replacements_are_listed_synonyms(attacked):
    _, documents, result = attacked
    lists = json.loads(gzip.decompress((TEXT / LISTS).read_bytes()))
    pairs = [(documents[i][k], result.adversarial[i][k]) for i, where in enumerate(result.changed) for k in where]
    assert len(pairs) == result.words_changed.sum() > 60
    assert all(new in lists[word] for word, new in pairs)


def test_a_lone_replacement_keeps_the_class_and_its_neighbourhood_similar(attacked):
    """With one word replaced, what was compared is known: the original and the adversarial around it."""
    _, documents, result = attacked
    tagger, similarity = SpacyTagger(), Similarity(universal_sentence_encoder())
    classes = WordClasses(tagger)
    lone = [i for i in np.flatnonzero(result.words_changed == 1) if len(documents[i]) >= 15]
    assert lone
    for i in lone:
        (k,), part = result.changed[i], window(len(documents[i]), result.changed[i][0], 15)
        here, there = documents[i], result.adversarial[i]
        assert similarity([joined(here, part)], [joined(there, part)])[0] >= 0.5
        assert same_class(tagger([here])[0][k], classes.of_words([there], [k])[0])
