"""mr, imdb, yelp and ag: the split, the order of the attacked documents, and the notes on what is missing."""

from __future__ import annotations

import csv
import gzip
import lzma
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from data.text.dataset import TextDataset
from data.text.textfooler_split import keys_of
from tests.mini_texts import GOOD, documents, write_table, write_texts, write_vectors

NAMES = ("mr", "imdb", "yelp", "ag")


def load(name: str, folder: Path, **more) -> TextDataset:
    return import_module(f"data.{name}").load(data_dir=str(folder), outputs_dir=str(folder / "outputs"), **more)


def attacked(folder: Path) -> list[list[str]]:
    with gzip.open(folder / "text" / "textfooler_1000.tsv.gz", "rt") as file:
        return [row["text"].split() for row in csv.DictReader(file, delimiter="\t")]


@pytest.mark.parametrize("name", NAMES)
def test_a_set_holds_the_documents_of_its_files(tmp_path, name):
    write_texts(tmp_path, name)
    dataset = load(name, tmp_path)
    assert (len(dataset.y_train), len(dataset.y_test)) == (40, 12)
    assert dataset.name == name
    assert dataset.feature_shape == (dataset.n_features,) == (6,)
    for split, y in (("train", dataset.y_train), ("test", dataset.y_test)):
        for tokens, label in zip(dataset.documents(split), y, strict=True):
            assert (label == 1) == any(word in GOOD for word in tokens)
    everyone = {" ".join(tokens) for split in ("train", "test") for tokens in dataset.documents(split)}
    assert len(everyone) == 52  # none in both splits
    assert any("paper's are glove.6B.200d" in note for note in dataset.provenance["notes"])


@pytest.mark.parametrize("name", NAMES)
def test_the_attacked_documents_come_first(tmp_path, name):
    write_texts(tmp_path, name)
    dataset, wanted = load(name, tmp_path), attacked(tmp_path)
    found = dataset.documents("test", range(len(wanted)))
    assert ["".join(tokens) for tokens in found] == ["".join(tokens) for tokens in wanted]


@pytest.mark.parametrize("name", NAMES)
def test_a_note_says_that_the_attacked_documents_are_missing(tmp_path, name):
    write_texts(tmp_path, name)
    (tmp_path / "text" / "textfooler_1000.tsv.gz").unlink()
    dataset = load(name, tmp_path)
    assert any("not those that TextFooler's authors attack" in note for note in dataset.provenance["notes"])
    assert len(dataset.y_train) + len(dataset.y_test) == 52


def test_the_published_file_of_attacked_documents_does_as_well(tmp_path):
    write_texts(tmp_path, "imdb")
    expected = load("imdb", tmp_path)
    (tmp_path / "textfooler").mkdir()
    pairs = documents(2, 12)[-6:]
    (tmp_path / "textfooler" / "imdb").write_text("".join(f"{label} {text}\n" for label, text in pairs))
    (tmp_path / "text" / "textfooler_1000.tsv.gz").unlink()
    assert load("imdb", tmp_path).checksum == expected.checksum


def test_inputs_are_the_mean_vectors(tmp_path):
    write_texts(tmp_path, "mr")
    dataset = load("mr", tmp_path)
    np.testing.assert_array_equal(dataset.flat("test"), dataset.features(dataset.documents("test")))
    np.testing.assert_array_equal(dataset.rows("train", [3, 1]), dataset.flat("train")[[3, 1]])
    words = dataset.words("test", 4, [5])[0].astype(int)
    shown = [token if token in dataset.vectors.words else None for token in dataset.documents("test", [5])[0][:4]]
    assert [dataset.vectors.words[row - 1] if row else None for row in words] == shown


def test_the_checksum_is_that_of_words_and_vectors(tmp_path):
    """The order of words and the vectors of words that no document has count: wordcnn and attacks see them."""
    write_texts(tmp_path, "mr")
    before = load("mr", tmp_path).checksum
    assert load("mr", tmp_path).checksum == before
    path = tmp_path / "text" / "glove.6B.6d.subset.txt"
    path.write_text(path.read_text() + "unheard 1 0 0 0 0 0\n")
    more = load("mr", tmp_path).checksum
    assert more != before
    sentences = tmp_path / "rt-polaritydata" / "rt-polarity.neg"
    first, *rest = sentences.read_text().splitlines()
    sentences.write_text("\n".join([" ".join([*first.split()[1::-1], *first.split()[2:]]), *rest]) + "\n")
    assert load("mr", tmp_path).checksum not in (before, more)


def test_mr_has_no_copy_of_a_test_sentence_in_training(tmp_path):
    write_texts(tmp_path, "mr")
    sentences = tmp_path / "rt-polaritydata" / "rt-polarity.pos"
    copied = next(text for label, text in documents(2, 12) if label == 1)
    sentences.write_text(sentences.read_text() + copied.upper().replace(" ", "  ") + "!\n")
    dataset = load("mr", tmp_path)
    assert len(dataset.y_train) == 40
    assert not set(keys_of(dataset.train_documents)) & set(keys_of(dataset.test_documents))


def test_the_table_of_mr_gives_the_set_of_its_files(tmp_path):
    write_texts(tmp_path, "mr")
    expected = load("mr", tmp_path).checksum
    (tmp_path / "rt-polaritydata").rename(tmp_path / "away")
    pairs = [*documents(1, 40), *documents(2, 12)]
    rows: list[list[object]] = [[label, text] for wanted in (1, 0) for label, text in pairs if label == wanted]
    write_table(tmp_path / "text" / "mr.tsv.gz", ["label", "text"], rows)
    assert load("mr", tmp_path).checksum == expected


def test_the_table_of_imdb_gives_the_set_of_its_files(tmp_path):
    write_texts(tmp_path, "imdb")
    expected = load("imdb", tmp_path).checksum
    for place in ("aclImdb", "prepared"):
        (tmp_path / place).rename(tmp_path / f"{place}.away")
    lines = ["split\tlabel\tid\trating\ttext"]
    for split, pairs in (("train", documents(1, 40)), ("test", documents(2, 12))):
        for wanted in (0, 1):
            lines += [f"{split}\t{label}\t0\t7\t{text}" for label, text in pairs if label == wanted]
    (tmp_path / "text" / "imdb.tsv.xz").write_bytes(lzma.compress(("\n".join(lines) + "\n").encode()))
    assert load("imdb", tmp_path).checksum == expected


def test_a_prepared_set_needs_no_other_file(tmp_path):
    write_texts(tmp_path, "imdb")
    before = load("imdb", tmp_path)
    (tmp_path / "aclImdb").rename(tmp_path / "away")
    assert load("imdb", tmp_path).checksum == before.checksum


def test_a_note_says_that_numbers_on_yelp_sentences_are_not_comparable(tmp_path):
    write_texts(tmp_path, "yelp")
    (tmp_path / "yelp_review_polarity_csv").rename(tmp_path / "away")
    lines = ["split\tlabel\ttext"] + [f"dev\t{label}\t{text}" for label, text in documents(3, 30)]
    lines += [f"test\t{label}\t{text}" for label, text in documents(4, 8)]
    (tmp_path / "text" / "yelp_sentences.tsv.xz").write_bytes(lzma.compress(("\n".join(lines) + "\n").encode()))
    dataset = load("yelp", tmp_path)
    assert any(note.startswith("not comparable: trained on 30 sentences") for note in dataset.provenance["notes"])
    assert [" ".join(tokens) for tokens in dataset.documents("test")] == [" ".join(t) for t in attacked(tmp_path)]


@pytest.mark.parametrize("name", NAMES)
def test_missing_files_are_named(tmp_path, name):
    write_vectors(tmp_path / "glove.6d.txt")
    with pytest.raises(FileNotFoundError, match=r"missing; .*https://.*SCD_DATA"):
        load(name, tmp_path)


def test_other_classes_are_refused(tmp_path):
    write_texts(tmp_path, "ag")
    with pytest.raises(ValueError, match="World"):
        load("ag", tmp_path, classes=["World", "Business"])


def test_a_damaged_file_is_refused_in_one_sentence(tmp_path):
    write_texts(tmp_path, "yelp")
    train = tmp_path / "yelp_review_polarity_csv" / "train.csv"
    good = train.read_text()
    for text, expected in (
        ('"3","x"\n', r"labels must be 1 or 2, got '3'"),
        ('"1","x","y"\n', "there must be 2 fields, got 3"),
    ):
        train.write_text(good + text)
        with pytest.raises(ValueError, match=expected):
            load("yelp", tmp_path)
    train.write_bytes(good.encode() + b'"1","caf\xe9"\n')
    with pytest.raises(ValueError, match="must be utf-8 text"):
        load("yelp", tmp_path)
    write_table(tmp_path / "text" / "mr.tsv.gz", ["text", "label"], [])
    with pytest.raises(ValueError, match="must begin with the line label text"):
        load("mr", tmp_path)


def test_attacked_sentences_of_another_set_are_refused(tmp_path):
    write_texts(tmp_path, "mr")
    write_table(tmp_path / "text" / "textfooler_1000.tsv.gz", ["dataset", "label", "text"], [["mr", 1, "another set"]])
    with pytest.raises(ValueError, match="none of the test sentences of TextFooler's authors is among"):
        load("mr", tmp_path)


def test_documents_without_a_known_word_are_zeros_and_counted(tmp_path):
    write_texts(tmp_path, "mr")
    sentences = tmp_path / "rt-polaritydata" / "rt-polarity.pos"
    sentences.write_text(sentences.read_text() + "xyzzy plugh\n")
    dataset = load("mr", tmp_path)
    row = dataset.documents("train").index(["xyzzy", "plugh"])
    assert not dataset.rows("train", [row]).any()
    assert "1 train documents have no word with a vector: their inputs are zeros" in dataset.provenance["notes"]
    write_vectors(tmp_path / "other.txt")
    (tmp_path / "other.txt").write_text("unheard 1 0\n")
    with pytest.raises(ValueError, match="no word of the training documents has a vector"):
        load("mr", tmp_path, vectors=str(tmp_path / "other.txt"))


@pytest.mark.parametrize("name", NAMES)
def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path, name):
    write_texts(tmp_path, name)
    expected = load(name, tmp_path).checksum
    if (tmp_path / "prepared" / f"{name}.npz").is_file():
        (tmp_path / "prepared" / f"{name}.npz").unlink()
    for path in [*tmp_path.rglob("*.csv"), *tmp_path.glob("aclImdb/*/*/*.txt"), *tmp_path.rglob("rt-polarity.*")]:
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    for path in (tmp_path / "text").glob("*.tsv.gz"):
        path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + gzip.decompress(path.read_bytes())))
    assert load(name, tmp_path).checksum == expected


@pytest.mark.parametrize(
    "odd", ["._0_9.txt", ".DS_Store", "Thumbs.db", "desktop.ini", "README.txt", "__MACOSX/._0_9.txt"]
)
def test_files_that_are_no_reviews_are_left_out(tmp_path, odd):
    write_texts(tmp_path, "imdb")
    expected = load("imdb", tmp_path).checksum
    (tmp_path / "prepared" / "imdb.npz").unlink()
    for split in ("train", "test"):
        path = tmp_path / "aclImdb" / split / "pos" / odd
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\x00\x05\x16\x07\xff")
    assert load("imdb", tmp_path).checksum == expected


def test_a_folder_without_reviews_is_named(tmp_path):
    write_texts(tmp_path, "imdb")
    for path in (tmp_path / "aclImdb" / "train" / "neg").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=r"train/neg must hold files <number>_<rating>\.txt, got none"):
        load("imdb", tmp_path)


def test_a_set_of_one_class_is_one_sentence(tmp_path):
    write_vectors(tmp_path / "glove.6d.txt")
    positive: list[list[object]] = [[1, text] for label, text in documents(1, 40) if label == 1]
    write_table(tmp_path / "text" / "mr.tsv.gz", ["label", "text"], positive)
    with pytest.raises(ValueError, match=r"train split: there must be two classes, labelled 0 and 1, got one only"):
        load("mr", tmp_path)
    write_table(tmp_path / "text" / "mr.tsv.gz", ["label", "text"], [])
    with pytest.raises(ValueError, match=r"train split: there must be at least one document, got none"):
        load("mr", tmp_path)


def test_empty_documents_are_kept_and_counted(tmp_path):
    write_texts(tmp_path, "imdb")
    for split, count in (("train", 3), ("test", 1)):
        for number in range(count):
            text = ("", " <br /> ", "\n")[number]
            (tmp_path / "aclImdb" / split / "pos" / f"{900 + number}_9.txt").write_text(text, encoding="utf-8")
    dataset = load("imdb", tmp_path)
    for split, count in (("train", 3), ("test", 1)):
        assert dataset.documents(split).count([]) == count
        note = f"{count} {split} documents are empty: their inputs are zeros, attacks on them fail"
        assert note in dataset.provenance["notes"]
    row = dataset.documents("train").index([])
    assert not dataset.rows("train", [row]).any()
    assert not dataset.words("train", 3, [row]).any()


def test_a_table_that_unpacks_to_far_more_than_texts_would_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("data.loading.archives.FREE_BYTES", 10_000)
    write_vectors(tmp_path / "glove.6d.txt")
    write_table(tmp_path / "text" / "mr.tsv.gz", ["label", "text"], [[1, "x" * 5_000_000]])
    with pytest.raises(ValueError, match=r"mr\.tsv\.gz must unpack to at most [\d,]+ bytes, got more"):
        load("mr", tmp_path)


def test_a_field_longer_than_any_review_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("data.text.files._LONGEST_FIELD", 1_000)
    write_texts(tmp_path, "ag")
    train = tmp_path / "ag_news_csv" / "train.csv"
    train.write_text('"1","' + "x" * 2_000 + '","y"\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"train\.csv must be a comma-separated table, but it is not \(field larger"):
        load("ag", tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("starts_train", None), ("vocabulary_test", None), ("y_train", np.full(40, 0.5)), ("y_test", np.full(12, 2))],
)
def test_a_prepared_set_that_is_incomplete_is_made_again(tmp_path, key, value):
    write_texts(tmp_path, "imdb")
    expected = load("imdb", tmp_path).checksum
    path = tmp_path / "prepared" / "imdb.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays.pop(key)
    np.savez(path, **arrays, **({} if value is None else {key: value}))
    path.with_suffix(".json").unlink()
    with pytest.warns(UserWarning, match=r"imdb\.npz (does not fit this data set|is not a prepared file)"):
        assert load("imdb", tmp_path).checksum == expected
