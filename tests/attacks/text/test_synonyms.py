"""Synonyms from vectors and from given lists; a damaged file is one sentence."""

import gzip
import json

import numpy as np
import pytest

from attacks.text import synonyms as synonyms_module
from attacks.text.synonyms import LISTS, VECTORS, find_synonyms, load_synonyms, nearest_neighbours, read_vectors


def vectors_file(folder, n=30, d=5, seed=0):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, d)).astype(np.float32)
    path = folder / VECTORS
    path.write_text("".join(f"w{k} {' '.join(map(repr, map(float, row)))}\n" for k, row in enumerate(vectors)))
    return path, vectors


@pytest.mark.parametrize("max_neighbours", [1, 4, 29, 50])
def test_neighbours_are_those_of_all_pairs(max_neighbours, monkeypatch):
    monkeypatch.setattr(synonyms_module, "_ROWS", 7)
    vectors = np.random.default_rng(1).normal(size=(30, 5)).astype(np.float32)
    ids, cosines = nearest_neighbours(vectors, max_neighbours)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for k in range(30):
        cosine = unit @ unit[k]
        order = [j for j in np.argsort(-cosine) if j != k][:max_neighbours]
        assert ids[k].tolist() == order
        assert cosines[k] == pytest.approx(cosine[order], abs=1e-6)


def test_of_equal_neighbours_the_first_come_first():
    ids, cosines = nearest_neighbours(np.ones((5, 3), dtype=np.float32), 2)
    assert ids.tolist() == [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1]]
    assert np.allclose(cosines, 1)


def test_synonyms_of_vectors_have_the_cosine_and_come_nearest_first(tmp_path):
    path, vectors = vectors_file(tmp_path)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = load_synonyms(path, 5, 0.3, tmp_path)
    for k in range(30):
        cosine = unit @ unit[k]
        expected = [f"w{j}" for j in np.argsort(-cosine) if j != k and cosine[j] >= 0.3][:5]
        assert found.of(f"w{k}") == expected
    assert found.of("W1") == found.of("w1")
    assert found.of("absent") == []
    assert "cosine at least 0.3" in found.note


def test_neighbours_are_searched_once_and_kept_for_any_threshold(tmp_path, monkeypatch):
    path, _ = vectors_file(tmp_path)
    first = load_synonyms(path, 5, 0.3, tmp_path)
    (kept,) = (tmp_path / "prepared").iterdir()
    monkeypatch.setattr(synonyms_module, "nearest_neighbours", None)
    assert load_synonyms(path, 5, 0.3, tmp_path).neighbours == first.neighbours
    stricter = load_synonyms(path, 5, 0.6, tmp_path).neighbours
    assert all(words == first.neighbours[word][: len(words)] for word, words in stricter.items())
    monkeypatch.undo()
    kept.write_bytes(kept.read_bytes()[:-50])
    with pytest.warns(RuntimeWarning, match=r"The prepared file .* is damaged .*; it is rebuilt"):
        assert load_synonyms(path, 5, 0.3, tmp_path).neighbours == first.neighbours


def test_other_vectors_are_searched_again(tmp_path):
    path, _ = vectors_file(tmp_path)
    first = load_synonyms(path, 5, 0.0, tmp_path)
    path, _ = vectors_file(tmp_path, seed=1)
    assert load_synonyms(path, 5, 0.0, tmp_path).neighbours != first.neighbours


def test_given_lists_are_taken_as_they_are_up_to_the_maximum_number(tmp_path):
    path = tmp_path / LISTS
    path.write_bytes(gzip.compress(json.dumps({"good": ["fine", "good", "nice"], "lone": []}).encode()))
    found = load_synonyms(path, 1, 0.99, tmp_path)
    assert found.neighbours == {"good": ["fine"]}
    assert "without cosines" in found.note
    assert load_synonyms(path, 50, 0.99, tmp_path).of("good") == ["fine", "nice"]


def test_auto_prefers_vectors_and_names_what_is_missing(tmp_path):
    (tmp_path / "text").mkdir()
    with pytest.raises(FileNotFoundError, match=r"counter-fitted-vectors.txt \(from https://github.com/nmrksic"):
        find_synonyms("auto", tmp_path)
    (tmp_path / "text" / LISTS).write_bytes(b"")
    assert find_synonyms("auto", tmp_path).name == LISTS
    vectors_file(tmp_path / "text")
    assert find_synonyms("auto", tmp_path).name == VECTORS
    with pytest.raises(FileNotFoundError, match="does not exist"):
        find_synonyms(str(tmp_path / "absent.txt"), tmp_path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a 1 2\nb 1\n", "Line 2 of the vectors .* a word and 2 numbers"),
        (b"a 1 2\nb 1 x\n", "Line 2"),
        (b"a\n", "Line 1 .* a word and some numbers"),
        (b"a 1 2\nb nan 1\n", "Line 2"),
        (b"a 1 2\n\xff 1 2\n", "must be UTF-8"),
        (b"a 1 2\n", "at least two words. Got 1"),
    ],
)
def test_damaged_vectors_are_one_sentence(tmp_path, content, sentence):
    path = tmp_path / VECTORS
    path.write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        read_vectors(path)


@pytest.mark.parametrize(
    "content",
    [
        b"not gzip",
        gzip.compress(b"[1", mtime=0)[:-3],
        gzip.compress(b"[1]", mtime=0),
        gzip.compress(b'{"a": 1}', mtime=0),
    ],
)
def test_damaged_lists_are_one_sentence(tmp_path, content):
    path = tmp_path / LISTS
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"The synonyms in .*(cannot be read|must be a JSON object)"):
        load_synonyms(path, 5, 0.5, tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfgood 1 2\nfine 1 3\n",
        b"good 1 2 \nfine 1 3 \n",
        b"2 2\ngood 1 2\nfine 1 3\n",
        b"good 1 2\r\nfine 1 3",
    ],
    ids=["BOM", "blank at the end", "word2vec", "Windows"],
)
def test_vectors_are_read_as_they_are_published(tmp_path, content):
    (tmp_path / VECTORS).write_bytes(content)
    words, vectors = read_vectors(tmp_path / VECTORS)
    assert words == ["good", "fine"]
    assert vectors.tolist() == [[1, 2], [1, 3]]


def test_a_word_of_vectors_may_hold_blanks(tmp_path):
    (tmp_path / VECTORS).write_text("good 1 2\n. . . 1 3\nat home 1 4\n", encoding="utf-8")
    assert read_vectors(tmp_path / VECTORS)[0] == ["good", ". . .", "at home"]
    for line, advice in (("more 1 2 3\n", "correct or remove it"), ("more 1", "truncated, get it again")):
        (tmp_path / VECTORS).write_text("good 1 2\n" + line, encoding="utf-8")
        with pytest.raises(ValueError, match=f"Line 2 .* must be a word and 2 numbers; .*{advice}"):
            read_vectors(tmp_path / VECTORS)
