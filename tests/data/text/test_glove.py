"""GloVe's text format: every kind of file gives the same vectors; faults end in one sentence."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data.text import glove
from data.text.glove import load_vectors

TEXT = b'the 3 4 0\n" 0 0.5 0\nnan 0 0 -1e-2\nnull 0 0 0\nthe 0 0 7\n'
WORDS = ("the", '"', "nan", "null")
UNIT = [[0, 0, 0], [0.6, 0.8, 0], [0, 1, 0], [0, 0, -1], [0, 0, 0]]


def write(folder: Path, kind: str, content: bytes = TEXT, name: str = "glove.x.3d.txt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name + kind)
    if kind == ".zip":
        path = folder / "glove.x.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("glove.other.3d.txt", b"a 1 0 0\n")
            archive.writestr("glove.6B.200d.txt.wrong", b"a 1 0 0\n")
            archive.writestr(name, content)
    else:
        pack = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[kind]
        path.write_bytes(pack(content))
    return path


@pytest.mark.parametrize("kind", ["", ".gz", ".xz", ".zip"])
def test_every_kind_of_file_gives_the_same_unit_vectors(tmp_path, kind):
    """Words such as null and quotation marks are words; of equal ones the first counts."""
    path = write(tmp_path / "there", kind)
    which = f"{path}::glove.x.3d.txt" if kind == ".zip" else str(path)
    first = load_vectors(which, tmp_path / "data", tmp_path / "outputs")
    again = load_vectors(which, tmp_path / "data", tmp_path / "outputs")
    for vectors in (first, again):
        assert vectors.words == WORDS
        np.testing.assert_allclose(vectors.table, UNIT, rtol=1e-6)
    assert isinstance(again.table, np.memmap)
    assert first.sha256 == again.sha256
    assert load_vectors(str(write(tmp_path / "x", "")), tmp_path, tmp_path / "other").sha256 == first.sha256


def test_auto_prefers_the_papers_vectors(tmp_path, monkeypatch):
    monkeypatch.setattr("data.text.glove._OFFICIAL_WORDS", 5)
    write(tmp_path / "text", "", name="glove.6B.100d.txt")
    assert load_vectors("auto", tmp_path, tmp_path).file.endswith("glove.6B.100d.txt")
    write(tmp_path / "vectors" / "glove.6B", ".xz", name="glove.6B.200d.txt")
    assert load_vectors("auto", tmp_path, tmp_path).file.endswith("glove.6B.200d.txt.xz")


def test_auto_takes_a_member_of_the_archive(tmp_path, monkeypatch):
    monkeypatch.setattr("data.text.glove._OFFICIAL_WORDS", 5)
    write(tmp_path, ".zip", name="glove.6B.200d.txt")
    assert load_vectors("auto", tmp_path, tmp_path).file.endswith("glove.x.zip::glove.6B.200d.txt")


def test_another_file_of_the_same_name_is_read(tmp_path):
    path = write(tmp_path, "")
    before = load_vectors(str(path), tmp_path, tmp_path)
    path.write_bytes(TEXT.replace(b"3 4 0", b"4 3 0"))
    os.utime(path, ns=(1, 1))
    assert load_vectors(str(path), tmp_path, tmp_path).sha256 != before.sha256


@pytest.mark.parametrize("ending", ["npy", "txt"])
def test_damaged_kept_vectors_are_read_again(tmp_path, ending):
    path = write(tmp_path, "")
    load_vectors(str(path), tmp_path, tmp_path / "outputs")
    kept = tmp_path / "prepared" / f"vectors_glove.x.3d.{ending}"
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="damaged; they are read again"):
        vectors = load_vectors(str(path), tmp_path, tmp_path / "outputs")
    np.testing.assert_allclose(vectors.table, UNIT, rtol=1e-6)


def test_vectors_are_kept_among_the_outputs_where_the_data_folder_refuses(tmp_path, monkeypatch):
    path, data = write(tmp_path / "there", ""), tmp_path / "data"
    keep = glove._keep

    def refusing(stem, *rest):
        if data in stem.parents:
            raise OSError(30, "Read-only file system")
        keep(stem, *rest)

    data.mkdir()
    monkeypatch.setattr(glove, "_keep", refusing)
    load_vectors(str(path), data, tmp_path / "outputs")
    assert (tmp_path / "outputs" / "prepared" / "vectors_glove.x.3d.npy").is_file()
    monkeypatch.setattr(glove, "read_glove", lambda source: pytest.fail("read again"))
    assert load_vectors(str(path), data, tmp_path / "outputs").words == WORDS


NUMBERS = b" 1 2 2\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"the" + NUMBERS + b". . ." + NUMBERS + b"at name@domain.com" + NUMBERS,
            ["the", ". . .", "at name@domain.com"],
        ),
        (b". . ." + NUMBERS + b"5" + NUMBERS + b"the" + NUMBERS, [". . .", "5", "the"]),
        (b"the 1 2 2 \nof 1 2 2 \n", ["the", "of"]),
        (b"the 1 2 2\r\nof 1 2 2\r\n", ["the", "of"]),
        (b"2 3\nthe 1 2 2 \nof 1 2 2 \n", ["the", "of"]),
        (b"\xef\xbb\xbfthe" + NUMBERS + b"of" + NUMBERS, ["the", "of"]),
        (b"the\t1\t2\t2\nof\t1\t2\t2", ["the", "of"]),
        (b"the  1 2 2\n\n\nof 1 2 2\n", ["the", "of"]),
        (b"in\xc2\xa0it 1 2 2\n'2 1 2 2\nnan 1 2 2\n", ["in\xa0it", "'2", "nan"]),
    ],
    ids=["blanks", "blanks first", "blank at the end", "Windows", "word2vec", "BOM", "tabs", "gaps", "odd words"],
)
def test_vectors_are_read_as_they_are_published(tmp_path, content, words):
    vectors = load_vectors(str(write(tmp_path, "", content)), tmp_path, tmp_path)
    assert list(vectors.words) == words
    np.testing.assert_allclose(vectors.table[1:], [[1 / 3, 2 / 3, 2 / 3]] * len(words), rtol=1e-6)


def test_a_line_with_blanks_in_its_word_changes_no_other_vector(tmp_path, monkeypatch):
    """To the bit, whether it is in the same block of lines or in another one."""
    rng = np.random.default_rng(0)
    lines = [f"w{i} " + " ".join(f"{x:.5g}" for x in rng.normal(size=8)) for i in range(60)]
    plain = load_vectors(str(write(tmp_path / "a", "", "\n".join(lines).encode())), tmp_path, tmp_path / "x")
    lines.insert(30, "a b " + lines[0].partition(" ")[2])
    for size in (7, 50_000):
        monkeypatch.setattr(glove, "_LINES_AT_ONCE", size)
        path = write(tmp_path / str(size), "", "\n".join(lines).encode())
        found = load_vectors(str(path), tmp_path, tmp_path / "y")
        assert found.words[30] == "a b"
        assert np.array_equal(np.delete(found.table, 31, axis=0), plain.table)
        assert np.array_equal(found.table[31], found.table[1])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (TEXT + b"more 1 2", r"line 6: .* a word and 3 numbers, .* got 2 numbers; it is truncated: get it again"),
        (TEXT + b"more 1 2\n", r"line 6: .* got 2 numbers; correct or remove this line"),
        (b"more 1 2 3 4\n" + TEXT, r"line 1: .* a word and 3 numbers, .* got 4 numbers; correct or remove this line"),
        (TEXT + b"more 1 2 3 4\n", r"line 6: .* got 4 numbers; correct or remove this line"),
        (TEXT + b"more 1 2 x\n", r"line 6: .* got 0 numbers; correct or remove this line"),
        (TEXT + b"more 1 2 inf\n", r"line 6: all numbers must be finite"),
        (TEXT + b"more 1 2 1e39\n", r"line 6: all numbers must be finite"),
        (TEXT + b"caf\xe9 1 2 3\n", "must be UTF-8 text"),
        (TEXT + b"caf\xe9 noir 1 2 3\n", "must be UTF-8 text"),
        (b"9 3\n" + TEXT, r"must have 9 words, as its first line says, got 5; it is truncated: get it again"),
        (b"", r"must hold lines of a word and its numbers, separated by blanks, got ''; give a file"),
        (b"\n", r"must hold lines of a word and its numbers, separated by blanks, got ''; give a file"),
        (b"<html>\nno vectors here\n", r"must hold lines of a word and its numbers, .* got '<html>'"),
    ],
)
def test_a_bad_line_is_named_and_only_a_truncated_file_is_to_be_fetched_again(tmp_path, content, expected):
    path = write(tmp_path, "", content)
    with pytest.raises(ValueError, match=expected) as raised:
        load_vectors(str(path), tmp_path, tmp_path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert ("get it again" in str(raised.value)) == ("again" in expected)


def test_companion_files_of_macos_are_no_vectors(tmp_path):
    """Neither beside the archive nor, as in archives that its Finder makes, inside it."""
    path = tmp_path / "glove.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__MACOSX/._glove.x.3d.txt", b"\x00\x05\x16\x07")
        archive.writestr("._glove.x.3d.txt", b"\x00\x05\x16\x07")
        archive.writestr("glove.x.3d.txt", TEXT)
    (tmp_path / "._glove.txt").write_bytes(b"\x00\x05\x16\x07")
    assert load_vectors("auto", tmp_path, tmp_path).words == WORDS
    assert load_vectors(str(path), tmp_path, tmp_path).file.endswith("::glove.x.3d.txt")


@pytest.mark.parametrize("kind", [".gz", ".xz", ".zip"])
def test_a_file_that_unpacks_to_far_more_than_vectors_would_is_refused(tmp_path, kind, monkeypatch):
    monkeypatch.setattr("data.loading.archives.FREE_BYTES", 10_000)
    content = TEXT + b"a 0 0 0\n" * 500_000
    path = write(tmp_path, kind, content)
    if kind == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("glove.x.3d.txt", content)
    with pytest.raises(ValueError, match=r"must unpack to at most [\d,]+ bytes, got more from [\d,]+ packed bytes"):
        load_vectors(str(path), tmp_path, tmp_path)


def test_an_encrypted_archive_is_refused_in_one_sentence(tmp_path):
    path = write(tmp_path, ".zip")
    content = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the bit "encrypted" of each member
        at = -1
        while (at := content.find(signature, at + 1)) >= 0:
            content[at + flags] |= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is encrypted \(glove\.other\.3d\.txt\); unpack it with its password"):
        load_vectors(str(path), tmp_path, tmp_path)


@pytest.mark.parametrize("facts", ["[]", "{}", "{", '{"sha256": 7}'])
def test_kept_vectors_with_an_incomplete_description_are_read_again(tmp_path, facts):
    path = write(tmp_path, "")
    load_vectors(str(path), tmp_path, tmp_path / "outputs")
    kept = tmp_path / "prepared" / "vectors_glove.x.3d.json"
    about = json.loads(kept.read_text(encoding="utf-8"))
    del about["sha256"]
    kept.write_text(facts if facts != "{}" else json.dumps(about), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert load_vectors(str(path), tmp_path, tmp_path / "outputs").words == WORDS
    assert "sha256" in json.loads(kept.read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", [".gz", ".xz", ".zip"])
def test_a_compressed_file_that_was_cut_off_is_refused(tmp_path, kind):
    path = write(tmp_path, kind, TEXT * 50)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"damaged or truncated|cannot be read"):
        load_vectors(str(path), tmp_path, tmp_path)


def test_an_official_file_must_be_whole(tmp_path):
    path = write(tmp_path, "", name="glove.6B.200d.txt")
    with pytest.raises(ValueError, match=r"must have 400,000 words, got 5; it is truncated"):
        load_vectors(str(path), tmp_path, tmp_path)


def test_what_to_do_without_vectors_is_said(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"glove\.6B\.zip \(862 MB\) of https://nlp\.stanford\.edu/projects/glove/"
    ):
        load_vectors("auto", tmp_path, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"dataset\.vectors=nowhere\.txt is no file"):
        load_vectors("nowhere.txt", tmp_path, tmp_path)
    with pytest.raises(ValueError, match=r"must be auto or the path of a file"):
        load_vectors(200, tmp_path, tmp_path)  # type: ignore[arg-type]
    path = write(tmp_path, ".zip")
    with pytest.raises(ValueError, match=r"which are: glove\.other\.3d\.txt, glove\.x\.3d\.txt"):
        load_vectors(f"{path}::other.txt", tmp_path, tmp_path)
