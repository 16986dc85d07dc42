"""A killed TextFooler continues and ends with the record of one that was not killed; what it refuses."""

import shutil

import numpy as np
import pytest

from attacks import TextFooler, TextResult
from attacks.engine import checkpoint
from attacks.text import word_search
from tests.attacks.attack_laws import Counting
from tests.attacks.text.text_models import PLAIN, World, same_texts, written


@pytest.fixture
def small_steps(monkeypatch):
    monkeypatch.setattr(word_search, "_STEP_QUERIES", 40)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("after", [0, 1, 2, 4, 7, 10])
def test_killed_and_resumed_equals_uninterrupted(tmp_path, after):
    world = World(0)
    attack = world.attack(tmp_path)
    whole = attack(world.model, world.documents, world.y)
    with pytest.raises(KeyboardInterrupt):
        attack(Counting(world.model, after), world.documents, world.y, state=tmp_path / "state.npz")
    assert same_texts(whole, attack(world.model, world.documents, world.y, state=tmp_path / "state.npz"))


@pytest.mark.usefixtures("small_steps")
def test_killed_again_and_again_equals_uninterrupted(tmp_path):
    world = World(1)
    attack = world.attack(tmp_path, query_budget=70)
    whole = attack(world.model, world.documents, world.y)
    kills = 0
    while True:
        try:
            resumed = attack(Counting(world.model, 2), world.documents, world.y, state=tmp_path / "state.npz")
            break
        except KeyboardInterrupt:
            kills += 1
            assert kills < 1000
    assert kills > 3
    assert same_texts(whole, resumed)


@pytest.mark.usefixtures("small_steps")
def test_a_kill_without_warning_loses_only_the_queries_since_the_last_save(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", 0.0)
    world, path, kept = World(6), tmp_path / "state.npz", tmp_path / "kept.npz"
    attack, calls = world.attack(tmp_path), 0

    def scores(documents):
        nonlocal calls
        calls += 1
        if calls == 9:
            shutil.copy(path, kept)  # what a kill -9 at this moment would leave
        return world.model(documents)

    whole = attack(scores, world.documents, world.y, state=path)
    world.model.queried.clear()
    assert same_texts(whole, attack(world.model, world.documents, world.y, state=kept))
    checks = len(world.documents) + whole.success.sum()  # is it the same model; are the adversarials confirmed
    assert 0 < len(world.model.queried) - checks < whole.queries.sum()


def test_a_finished_attack_returns_its_record_after_one_look_at_the_model(tmp_path):
    world = World(2)
    attack = world.attack(tmp_path)
    whole = attack(world.model, world.documents, world.y, state=tmp_path / "state.npz")
    again = attack(Counting(world.model, 1), world.documents, world.y, state=tmp_path / "state.npz")
    assert same_texts(whole, again)


@pytest.mark.parametrize("change", ["threshold", "documents", "y", "synonyms", "score"])
def test_the_state_of_another_attack_is_refused(tmp_path, change):
    world, path = World(3), tmp_path / "state.npz"
    world.attack(tmp_path)(world.model, world.documents, world.y, state=path)
    documents = world.documents[::-1] if change == "documents" else world.documents
    y = 1 - world.y if change == "y" else world.y
    if change == "synonyms":
        world.neighbours["w0"] = ["w1"]
    more = {"threshold": {"similarity_threshold": 0.7}, "score": {"score": "label"}}.get(change, {})
    with pytest.raises(ValueError, match="belongs to an attack with other parameters"):
        world.attack(tmp_path, **more)(world.model, documents, y, state=path)


def test_the_record_survives_a_file_without_pickle(tmp_path):
    world = World(4)
    whole = world.attack(tmp_path)(world.model, world.documents, world.y)
    np.savez(tmp_path / "record.npz", **whole.to_arrays())
    with np.load(tmp_path / "record.npz", allow_pickle=False) as file:
        again = TextResult.from_arrays(dict(file))
    assert same_texts(whole, again)
    assert list(again.documents()) == list(whole.documents())


def test_the_lines_of_the_record_say_what_was_replaced(tmp_path):
    world = World(5)
    whole = world.attack(tmp_path)(world.model, world.documents, world.y, index=range(7, 19))
    for line, document in zip(whole.documents(), world.documents, strict=True):
        assert line["original"] == document
        if not line["success"]:
            assert line["adversarial"] is line["similarity"] is line["score_after"] is None
            assert line["reason"]
            continue
        pairs = enumerate(zip(document, line["adversarial"], strict=True))
        assert line["changed"] == [k for k, (a, b) in pairs if a != b] != []
    assert [line["index"] for line in whole.documents()] == list(range(7, 19))


@pytest.mark.parametrize(
    ("documents", "y", "sentence"),
    [
        ([], [], "a list of documents, at least one"),
        (["a film"], [0], "lists of tokens. Got 'a film' as document 0"),
        ([["a"]], [2], r"labels 0 and 1. Got \[2\]"),
        ([["a"]], [0, 1], "an array of 1 integers"),
    ],
)
def test_bad_documents_are_one_sentence(tmp_path, documents, y, sentence):
    attack = TextFooler(synonyms=written(tmp_path, {"a": ["b"]}), **PLAIN)
    with pytest.raises(ValueError, match=sentence):
        attack(lambda texts: np.zeros(len(texts)), documents, y)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [(np.zeros((1, 2)), "one score per document"), ([np.nan], r"scores in \[0, 1\]"), ([1.5], r"scores in \[0, 1\]")],
)
def test_bad_scores_are_one_sentence(tmp_path, answer, sentence):
    attack = TextFooler(synonyms=written(tmp_path, {"a": ["b"]}), **PLAIN)
    with pytest.raises(ValueError, match=sentence):
        attack(lambda texts: answer, [["a"]], [0])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"score": "logits"}, "'score' parameter of TextFooler must be one of 'votes', 'soft', 'label'"),
        ({"max_candidates": 0}, "an int >= 1"),
        ({"query_budget": 0}, "an int >= 1"),
        ({"similarity": "bert"}, "'similarity' parameter of TextFooler must be 'use', 'none', a callable"),
        ({"similarity": "absent.encode"}, "cannot be imported"),
        ({"part_of_speech": "math.pi"}, "'part_of_speech' parameter"),
        ({"stop_words": "german"}, "'spacy', 'sklearn', 'none' or a list of words"),
    ],
)
def test_bad_parameters_are_one_sentence(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        TextFooler(**settings)


def test_the_state_of_another_model_is_refused(tmp_path):
    world, path = World(0), tmp_path / "state.npz"
    attack = world.attack(tmp_path)
    attack(world.model, world.documents, world.y, state=path)
    with pytest.raises(ValueError, match=r"belongs to another model: .* to 12 of 12 fixed inputs"):
        attack(lambda documents: 1.0 - world.model(documents), world.documents, world.y, state=path)
