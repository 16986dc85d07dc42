"""IMDB: 25,000 training and 25,000 test film reviews, half of them positive (Maas et al. 2011)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from data.loading.options import HOW_TO_SET, check_data_folder, check_fixed_classes
from data.text.dataset import TextDataset, from_documents
from data.text.files import Labelled, label_of, labelled, load_or_tokenise, rows_of_table
from data.text.glove import load_vectors
from data.text.textfooler_split import attacked_first

CLASS_NAMES = ("negative", "positive")
SOURCE = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
FOLDERS = ("aclImdb", "text/aclImdb")
PARTS = ("neg", "pos")
TABLE = "text/imdb.tsv.xz"
PROMISED = 12_500  # of each class and split


def load(
    classes: Iterable[str] = CLASS_NAMES, vectors: str = "auto", *, data_dir: str, outputs_dir: str
) -> TextDataset:
    """Load all reviews in the official split, those that TextFooler's authors attack at the beginning of the test set.

    Parameters
    ----------
    classes : two str
        Always ("negative", "positive"): label 0 and label 1.
    vectors : str
        Word vectors: see :func:`data.text.glove.load_vectors`.
    data_dir : str
        Folder with ``aclImdb/{train,test}/{neg,pos}/*.txt``, or with ``text/imdb.tsv.xz`` (columns split, label, id,
        rating, text), or with ``prepared/imdb.npz``, which is made from them.
    outputs_dir : str
        Second place for the prepared files, when `data_dir` cannot be written.

    Raises
    ------
    FileNotFoundError
        If there are neither these files nor word vectors.
    ValueError
        If a file is damaged.
    """
    check_fixed_classes(classes, CLASS_NAMES, "imdb")
    folder = check_data_folder(data_dir)
    splits, provenance = load_or_tokenise("imdb", folder, outputs_dir, partial(_reviews, folder), SOURCE)
    for split, (_, y) in splits.items():
        counts = np.bincount(y, minlength=2).tolist()
        if counts != [PROMISED, PROMISED]:
            provenance["notes"].append(
                f"not the full set: {counts[0]} and {counts[1]} {split} reviews of the two classes, IMDB has {PROMISED}"
            )
    test = attacked_first(folder, "imdb", splits["test"], provenance)
    return from_documents(
        "imdb", CLASS_NAMES, splits["train"], test, load_vectors(vectors, folder, outputs_dir), provenance
    )


def _reviews(folder: Path) -> dict[str, Labelled]:
    """The reviews of both splits."""
    for place in FOLDERS:
        if all((folder / place / split / part).is_dir() for split in ("train", "test") for part in PARTS):
            return {split: labelled(_of_files(folder / place / split)) for split in ("train", "test")}
    table = folder / TABLE
    if table.is_file():
        rows = list(rows_of_table(table, ("split", "label", "id", "rating", "text")))
        return {
            split: labelled(
                [(label_of(table, label, (0, 1)), text) for part, label, _, _, text in rows if part == split]
            )
            for split in ("train", "test")
        }
    raise FileNotFoundError(
        f"the reviews are missing; unpack {SOURCE} (84 MB) into {folder}, so that "
        f"{folder / FOLDERS[0] / 'train' / 'pos'} exists, or put the table {TABLE} there, or {HOW_TO_SET}"
    )


def _of_files(split: Path) -> Iterator[tuple[int, str]]:
    """Labels and texts of a split, negative ones first, in the order of the files' numbers."""
    for label, part in enumerate(PARTS):
        for path in sorted((split / part).glob("*.txt"), key=lambda path: (int(path.stem.split("_")[0]), path.name)):
            try:
                yield label, path.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(f"{path} must be UTF-8 text, but it is not ({error.reason}).") from None
