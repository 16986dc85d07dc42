"""IMDB: 25,000 training and 25,000 test film reviews, half of them positive (Maas et al. 2011)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from data.loading.options import HOW_TO_SET, check_data_folder, check_fixed_classes
from data.text.dataset import TextDataset, TextSource, load_official_split
from data.text.files import Splits, complete_folder, labelled, lines_of, load_or_tokenise, splits_of_table

SOURCE = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
FOLDERS = ("aclImdb", "text/aclImdb")
PARTS = ("neg", "pos")  # folders of class 0 and of class 1
REVIEW = re.compile(r"(\d+)(_\d+)?\.txt")  # number and rating
TABLE = "text/imdb.tsv.xz"
CLASS_NAMES = ("negative", "positive")
IMDB = TextSource("imdb", "IMDB", CLASS_NAMES, "reviews", {"train": 12_500, "test": 12_500})


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
        Folder with ``aclImdb/{train,test}/{neg,pos}/<number>_<rating>.txt``, or with ``text/imdb.tsv.xz`` (columns
        split, label, id, rating, text), or with ``prepared/imdb.npz``, which is made from them. Other files in the
        folders of reviews are left out.
    outputs_dir : str
        Second place for the prepared files, when `data_dir` cannot be written.

    Raises
    ------
    FileNotFoundError
        If the reviews or the word vectors are missing.
    ValueError
        If a file is damaged, or a folder holds no review.
    """
    check_fixed_classes(classes, CLASS_NAMES, "imdb")
    folder = check_data_folder(data_dir)
    read = partial(load_or_tokenise, "imdb", folder, outputs_dir, partial(_reviews, folder), SOURCE)
    return load_official_split(IMDB, read, vectors, folder, outputs_dir)


def _reviews(folder: Path) -> Splits:
    """The reviews of both splits."""
    place = complete_folder(folder, FOLDERS, [f"{split}/{part}" for split in IMDB.counts for part in PARTS])
    if place is not None:
        return {split: labelled(_of_files(place / split)) for split in IMDB.counts}
    table = folder / TABLE
    if table.is_file():
        columns = ("split", "label", "id", "rating", "text")
        return splits_of_table(table, columns, (0, 1), {"train": ("train",), "test": ("test",)})
    raise FileNotFoundError(
        f"the reviews are missing; unpack {SOURCE} (84 MB) into {folder}, so that "
        f"{folder / FOLDERS[0] / 'train' / 'pos'} exists, or put the table {TABLE} there, or {HOW_TO_SET}"
    )


def _of_files(split: Path) -> Iterator[tuple[int, str]]:
    """Labels and texts of a split, negative ones first, in the order of the files' numbers."""
    for label, part in enumerate(PARTS):
        try:
            names = [name for path in (split / part).iterdir() if (name := REVIEW.fullmatch(path.name))]
        except OSError as error:
            raise ValueError(f"{split / part} must be a folder of reviews ({error.strerror}).") from None
        if not names:
            raise ValueError(f"The folder {split / part} must hold files <number>_<rating>.txt, got none.")
        for name in sorted(names, key=lambda name: (int(name[1]), name[0])):
            yield label, "".join(lines_of(split / part / name[0]))
