"""GloVe's text format: every way to have the file gives the same vectors; what is wrong with one is said."""

from __future__ import annotations

import gzip
import lzma
import os
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
def test_damaged_kept_vectors_are_read_anew(tmp_path, ending):
    path = write(tmp_path, "")
    load_vectors(str(path), tmp_path, tmp_path / "outputs")
    kept = tmp_path / "prepared" / f"vectors_glove.x.3d.{ending}"
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="damaged; they are read anew"):
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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TEXT + b"more 1 2", "truncated or of mixed dimension"),
        (b"more 1 2 3 4\n" + TEXT, "truncated or of mixed dimension"),
        (TEXT + b"more 1 2 3 4\n", "truncated or of mixed dimension"),
        (TEXT + b"more 1 2 x\n", "truncated or of mixed dimension"),
        (TEXT + b"more 1 2 inf\n", "not finite"),
        (TEXT + b"caf\xe9 1 2 3\n", "must be UTF-8 text"),
        (b"", "truncated or of mixed dimension"),
        (b"\n", "truncated or of mixed dimension"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, content, said):
    path = write(tmp_path, "", content)
    with pytest.raises(ValueError, match=said) as raised:
        load_vectors(str(path), tmp_path, tmp_path)
    assert str(path) in str(raised.value)


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
