"""AG News, World against Sports: titles and descriptions of news articles (Zhang, Zhao, LeCun 2015)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from data.loading.options import HOW_TO_SET, check_data_folder, check_fixed_classes
from data.text.dataset import TextDataset, from_documents
from data.text.files import Labelled, label_of, labelled, rows_of_csv, rows_of_table
from data.text.glove import load_vectors
from data.text.textfooler_split import attacked_first

CLASS_NAMES = ("World", "Sports")
SOURCE = "https://github.com/mhjabreel/CharCnn_Keras/tree/master/data/ag_news_csv"
FOLDERS = ("ag_news_csv", "text/ag_news_csv")
TABLE = "text/ag.tsv.gz"
PROMISED = {"train": 30_000, "test": 1_900}  # of each class


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
        Where what was read of the vectors is kept, when `data_dir` cannot be written.

    Raises
    ------
    FileNotFoundError
        If there are neither these files nor word vectors.
    ValueError
        If a file is damaged.
    """
    check_fixed_classes(classes, CLASS_NAMES, "ag")
    folder = check_data_folder(data_dir)
    splits, file = _articles(folder)
    provenance: dict[str, Any] = {"source": SOURCE, "file": str(file), "notes": []}
    for split, promised in PROMISED.items():
        counts = np.bincount(splits[split][1], minlength=2).tolist()
        if counts != [promised, promised]:
            provenance["notes"].append(
                f"not the full set: {counts[0]} and {counts[1]} {split} articles of the two classes, "
                f"AG News has {promised}"
            )
    test = attacked_first(folder, "ag", splits["test"], provenance)
    return from_documents(
        "ag", CLASS_NAMES, splits["train"], test, load_vectors(vectors, folder, outputs_dir), provenance
    )


def _articles(folder: Path) -> tuple[dict[str, Labelled], Path]:
    """The articles of both splits, and where they were found."""
    for place in FOLDERS:
        files = {split: folder / place / f"{split}.csv" for split in PROMISED}
        if all(file.is_file() for file in files.values()):
            return {split: labelled(_of_two_classes(file)) for split, file in files.items()}, folder / place
    table = folder / TABLE
    if table.is_file():
        rows = list(rows_of_table(table, ("split", "source", "label", "text")))
        every = (0, 1, 2, 3)
        return {
            split: labelled(
                [
                    (int(label), text)
                    for part, _, label, text in rows
                    if part == split and label_of(table, label, every) < 2
                ]
            )
            for split in PROMISED
        }, table
    raise FileNotFoundError(
        f"the articles are missing; put train.csv and test.csv of {SOURCE} (29 MB) into {folder / FOLDERS[0]}, or the "
        f"table {TABLE}, or {HOW_TO_SET}"
    )


def _of_two_classes(file: Path) -> list[tuple[int, str]]:
    """Labels 0 and 1, and title and description as one text, of World (1 in the file) and Sports (2)."""
    rows = ((label_of(file, label, (1, 2, 3, 4)), f"{title} {text}") for label, title, text in rows_of_csv(file, 3))
    return [(label - 1, text) for label, text in rows if label < 3]
