"""AG News, World against Sports: titles and descriptions of news articles (Zhang, Zhao, LeCun 2015)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from data.loading.options import HOW_TO_SET, check_data_folder, check_fixed_classes
from data.text.dataset import TextDataset, TextSource, load_official_split
from data.text.files import Splits, complete_folder, label_of, labelled, rows_of_csv, splits_of_table

SOURCE = "https://github.com/mhjabreel/CharCnn_Keras/tree/master/data/ag_news_csv"
FOLDERS = ("ag_news_csv", "text/ag_news_csv")
FILES = {"train": "train.csv", "test": "test.csv"}
TABLE = "text/ag.tsv.gz"
CLASS_NAMES = ("World", "Sports")
AG = TextSource("ag", "AG News", CLASS_NAMES, "articles", {"train": 30_000, "test": 1_900})


def load(
    classes: Iterable[str] = CLASS_NAMES, vectors: str = "auto", *, data_dir: str, outputs_dir: str
) -> TextDataset:
    """Load the articles of two classes in the official split, those that TextFooler's authors attack at its beginning.

    Parameters
    ----------
    classes : two str
        Always ("World", "Sports"): label 0 and label 1.
    vectors : str
        Word vectors: see :func:`data.text.glove.load_vectors`.
    data_dir : str
        Folder with ``ag_news_csv/train.csv`` and ``test.csv`` (label 1 to 4, title, description), or with
        ``text/ag.tsv.gz`` (columns split, source, label 0 to 3, text).
    outputs_dir : str
        Where the vectors that were read are kept, when `data_dir` cannot be written.

    Raises
    ------
    FileNotFoundError
        If the articles or the word vectors are missing.
    ValueError
        If a file is damaged.
    """
    check_fixed_classes(classes, CLASS_NAMES, "ag")
    folder = check_data_folder(data_dir)
    return load_official_split(AG, partial(_articles, folder), vectors, folder, outputs_dir)


def _articles(folder: Path) -> tuple[Splits, dict[str, Any]]:
    """The articles of both splits, and their provenance."""
    place, table = complete_folder(folder, FOLDERS, FILES.values()), folder / TABLE
    if place is not None:
        splits = {split: labelled(_of_two_classes(place / name)) for split, name in FILES.items()}
    elif table.is_file():
        parts = {"train": ("train",), "test": ("test",)}
        splits = splits_of_table(table, ("split", "source", "label", "text"), (0, 1, 2, 3), parts)
    else:
        raise FileNotFoundError(
            f"the articles are missing; put train.csv and test.csv of {SOURCE} (29 MB) into {folder / FOLDERS[0]}, "
            f"or the table {TABLE}, or {HOW_TO_SET}"
        )
    return splits, {"source": SOURCE, "file": str(place or table), "notes": []}


def _of_two_classes(file: Path) -> list[tuple[int, str]]:
    """Labels 0 and 1, and title and description as one text, of World (1 in the file) and Sports (2)."""
    rows = ((label_of(file, label, (1, 2, 3, 4)), f"{title} {text}") for label, title, text in rows_of_csv(file, 3))
    return [(label - 1, text) for label, text in rows if label < 3]
