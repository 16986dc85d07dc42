"""TextFooler compared with a plain version, with exhaustive search, and on models with known results."""

from itertools import product

import numpy as np
import pytest

from attacks import TextFooler
from attacks.result import ALREADY_MISCLASSIFIED, BUDGET_SPENT, NOT_FOOLED
from attacks.text.result import EMPTY_DOCUMENT, NO_SYNONYM
from tests.attacks.text.text_models import PLAIN, BagOfWords, World, plain_textfooler, same_texts, written


@pytest.mark.parametrize("keep_equal", [False, True])
@pytest.mark.parametrize("shares", [None, 8, 1], ids=["soft", "votes", "label"])
@pytest.mark.parametrize("seed", range(6))
def test_equals_the_procedure_written_plainly(tmp_path, seed, shares, keep_equal):
    """Tagging and encoding only what may be taken, many documents at once, changes neither texts nor queries."""
    world, threshold = World(seed, shares=shares), 0.6
    attack = world.attack(tmp_path, similarity_threshold=threshold, keep_equal=keep_equal)
    result = attack(world.model, world.documents, world.y)
    for i, (document, label) in enumerate(zip(world.documents, world.y, strict=True)):
        text, queries = plain_textfooler(world, document, label, threshold, keep_equal)
        assert result.adversarial[i] == text
        assert result.queries[i] == queries
        assert result.success[i] == (text is not None)
        if text is not None:
            assert result.score_after[i] == world.model.score(text)
    assert result.reason[0] == ALREADY_MISCLASSIFIED
    assert result.queries[0] == 1


def test_both_outcomes_occur_in_the_comparison(tmp_path):
    results = [world.attack(tmp_path)(world.model, world.documents, world.y) for world in map(World, range(6))]
    assert {NOT_FOOLED, ALREADY_MISCLASSIFIED, ""} <= {str(reason) for r in results for reason in r.reason}


@pytest.mark.parametrize("seed", range(8))
def test_finds_a_text_that_fools_exactly_where_exhaustive_search_does(tmp_path, seed):
    """The sum of weights falls word by word: with one lowering synonym of each word the greedy way is the best."""
    rng = np.random.default_rng(seed)
    words = [f"w{k}" for k in range(5)]
    neighbours = {word: [f"{word}-a", f"{word}-b"] for word in words}
    weights = {word: rng.uniform(0.5, 1.0) for word in words}
    weights |= {f"{word}-a": weights[word] - rng.uniform(0, 0.6) for word in words}
    weights |= {f"{word}-b": weights[word] + rng.uniform(-0.6, 0.6) for word in words}
    model = BagOfWords(weights, bias=-rng.uniform(1.0, 2.4))
    attack = TextFooler(synonyms=written(tmp_path, neighbours), **PLAIN)
    if model.score(words) <= 0.5:
        pytest.skip("the model misclassifies the original")
    least = min(model.score(list(text)) for text in product(*([word, *neighbours[word]] for word in words)))
    result = attack(model, [words], [1])
    assert result.success[0] == (least <= 0.5)
    if result.success[0]:
        assert model.score(result.adversarial[0]) == result.score_after[0] <= 0.5 < result.score_before[0]


@pytest.mark.parametrize("seed", range(5))
def test_words_are_tried_in_the_order_of_brute_force_importance(tmp_path, seed):
    """All synonyms raise the score, so the text stays as it is and each query shows the position tried."""
    rng = np.random.default_rng(seed)
    document = [f"w{k}" for k in rng.integers(0, 9, 14)]
    weights = {word: rng.integers(1, 64) / 64 for word in document}
    model = BagOfWords({**weights, "high": 2.0}, bias=-sum(weights[word] for word in document) + 0.5)
    TextFooler(synonyms=written(tmp_path, {word: ["high"] for word in document}), **PLAIN)(model, [document], [1])
    tried = [next(k for k in range(14) if text[k] != document[k]) for text in model.queried[1 + 14 :]]
    share = {k: model.score([*document[:k], *document[k + 1 :]]) for k in range(14)}
    before = model.score(document)
    importance = {k: (before - s) * (2 if s <= 0.5 else 1) for k, s in share.items()}  # with the authors' term
    assert tried == sorted(range(14), key=lambda k: (-importance[k], k))


def test_queries_count_every_text_and_nothing_else(tmp_path):
    world = World(2)
    result = world.attack(tmp_path)(world.model, world.documents, world.y)
    assert result.queries.sum() + result.success.sum() == len(world.model.queried)  # each success is confirmed


def test_a_constant_model_is_queried_at_all_candidates_and_never_fooled(tmp_path):
    world = World(3)
    result = world.attack(tmp_path)(lambda documents: np.full(len(documents), 0.75), world.documents, [1] * 12)
    for document, queries, reason in zip(world.documents, result.queries, result.reason, strict=True):
        candidates = sum(len(world.neighbours[word]) for word in document if word not in ("w3", "w7"))
        assert queries == 1 + len(document) + candidates
        assert reason == (NOT_FOOLED if candidates else NO_SYNONYM)


@pytest.mark.parametrize("memory", [1, 10_000, "1MiB"])
def test_other_documents_and_the_size_of_calls_do_not_change_a_document(tmp_path, memory):
    world = World(4)
    whole = world.attack(tmp_path)(world.model, world.documents, world.y, index=range(100, 112))
    parts = world.attack(tmp_path, memory_budget=memory)(world.model, world.documents, world.y, index=range(100, 112))
    assert same_texts(whole, parts)
    for i in (0, 5, 11):
        alone = world.attack(tmp_path)(world.model, [world.documents[i]], [world.y[i]], index=[100 + i])
        assert alone.adversarial == [whole.adversarial[i]]
        assert (alone.queries[0], alone.reason[0]) == (whole.queries[i], whole.reason[i])


def test_many_documents_share_the_calls_of_the_model(tmp_path):
    world = World(5, n_documents=300)
    result = world.attack(tmp_path)(world.model, world.documents, world.y)
    assert world.model.calls < result.queries.sum() / 100


@pytest.mark.parametrize("budget", [1, 5, 20, 31, 60, 200])
def test_the_query_budget_is_never_exceeded(tmp_path, budget):
    world = World(6)
    free = world.attack(tmp_path)(world.model, world.documents, world.y)
    bound = world.attack(tmp_path, query_budget=budget)(world.model, world.documents, world.y)
    assert bound.queries.max() <= budget
    enough = free.queries <= budget
    assert np.array_equal(bound.queries[enough], free.queries[enough])
    assert [bound.adversarial[i] for i in np.flatnonzero(enough)] == [
        free.adversarial[i] for i in np.flatnonzero(enough)
    ]
    assert (bound.reason[~enough & ~bound.success] == BUDGET_SPENT).all()


def test_stop_words_are_never_replaced(tmp_path):
    world = World(7, n_documents=60)
    stops = world.words[::2]
    result = world.attack(tmp_path, stop_words=stops)(world.model, world.documents, world.y)
    replaced = {world.documents[i][k] for i, changed in enumerate(result.changed) for k in changed}
    assert replaced
    assert not replaced & set(stops)


def test_upper_case_hides_neither_a_stop_word_nor_a_synonym(tmp_path):
    model = BagOfWords({"The": 1.0, "Good": 1.0, "fair": -3.0, "a": -3.0})
    attack = TextFooler(
        synonyms=written(tmp_path, {"the": ["a"], "good": ["fair"]}), **{**PLAIN, "stop_words": ["the"]}
    )
    assert attack(model, [["The", "Good"]], [1]).adversarial == [["The", "fair"]]


def test_only_nouns_and_verbs_may_replace_each_other(tmp_path):
    world = World(8, n_documents=60)
    result = world.attack(tmp_path)(world.model, world.documents, world.y)
    pairs = {
        (world.class_of[world.documents[i][k]], world.class_of[result.adversarial[i][k]])
        for i, changed in enumerate(result.changed)
        for k in changed
    }
    assert ("NOUN", "VERB") in pairs
    assert all(a == b or "ADJ" not in (a, b) for a, b in pairs)


def test_the_most_similar_of_those_that_fool_is_taken_and_none_below_the_threshold(tmp_path):
    """One word replaced in 15: its vector turns from (1, 0) by a known angle, beside 14 words that have none."""
    angles = {"near": 0.2, "far": 0.4, "farther": 0.45}
    vectors = {"word": (1.0, 0.0), **{name: (np.cos(a), np.sin(a)) for name, a in angles.items()}}

    def encode(texts):
        return [np.sum([vectors.get(word, (0.0, 0.0)) for word in text.split()], axis=0) for text in texts]

    model = BagOfWords({"word": 1.0, "near": -1.0, "far": -2.0, "farther": -3.0})
    path = written(tmp_path, {"word": ["farther", "far", "near"]})
    document = ["word", *["the"] * 14]

    def attacked(threshold, text=document):
        settings = {**PLAIN, "similarity": encode, "similarity_threshold": threshold}
        return TextFooler(synonyms=path, **settings)(model, [text], [1])

    assert attacked(0.5).adversarial[0][0] == "near"
    assert attacked(0.5).similarity[0] == pytest.approx(0.8)
    assert attacked(0.79).success[0]
    assert attacked(0.81).reason[0] == NOT_FOOLED
    assert attacked(0.81, document[:14]).success[0]  # shorter than the window: the threshold is 0.1


def test_with_a_hard_label_one_word_is_replaced_or_none(tmp_path):
    world = World(9, n_documents=60)
    result = world.attack(tmp_path, score="label")(
        lambda documents: [float(world.model.score(d) > 0.5) for d in documents], world.documents, world.y
    )
    assert set(result.words_changed[result.success]) == {1}
    assert set(result.words_changed[~result.success]) == {0}


def test_keeping_equal_scores_finds_what_needs_several_words_at_once(tmp_path):
    """The label turns when three words are replaced, and nothing shows before."""
    attack = {"synonyms": written(tmp_path, {"a": ["b"]}), "score": "label", **PLAIN}

    def label(documents):
        return [float(document.count("b") < 3) for document in documents]

    assert TextFooler(**attack)(label, [["a"] * 5], [1]).reason[0] == NOT_FOOLED
    assert TextFooler(**attack, keep_equal=True)(label, [["a"] * 5], [1]).adversarial == [["b"] * 3 + ["a"] * 2]


def test_a_score_of_one_half_is_class_0(tmp_path):
    """As in the majority of an ensemble: half of the votes for class 1 are not enough."""
    attack = TextFooler(synonyms=written(tmp_path, {"b": ["a"]}), **PLAIN)

    def halves(documents):
        return [0.5 if "a" in document else 0.75 for document in documents]

    assert attack(halves, [["a"], ["b"]], [1, 1]).reason.tolist() == [ALREADY_MISCLASSIFIED, ""]
    assert attack(halves, [["a"]], [0]).reason.tolist() == [NO_SYNONYM]


def test_an_empty_document_fails_and_changes_no_other_result(tmp_path):
    """It costs one query, that of its own label; where the model misclassifies it, that is the reason."""
    world = World(3)
    alone = world.attack(tmp_path)(world.model, world.documents, world.y)
    label = int(world.model.score([]) > 0.5)
    documents, y = [[], *world.documents, []], [label, *world.y, 1 - label]
    result = world.attack(tmp_path)(world.model, documents, y)
    assert (result.reason[0], result.reason[-1]) == (EMPTY_DOCUMENT, ALREADY_MISCLASSIFIED)
    assert (result.queries[0], result.words[0], result.success[0]) == (1, 0, False)
    assert result.adversarial[1:-1] == alone.adversarial
    for name in ("success", "reason", "queries"):
        assert np.array_equal(getattr(result, name)[1:-1], getattr(alone, name))
    assert world.attack(tmp_path)(world.model, [[]], [label]).reason.tolist() == [EMPTY_DOCUMENT]
