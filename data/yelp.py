"""Yelp reviews by polarity (Zhang, Zhao, LeCun 2015): 560,000 for training, 38,000 for testing."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from data.loading.options import HOW_TO_SET, check_data_folder, check_fixed_classes
from data.text.dataset import TextDataset, from_documents
from data.text.files import Labelled, label_of, labelled, load_or_tokenise, rows_of_csv, rows_of_table
from data.text.glove import load_vectors
from data.text.textfooler_split import attacked_documents, attacked_first

CLASS_NAMES = ("negative", "positive")
SOURCE = "https://huggingface.co/datasets/fancyzhx/yelp_polarity"
FOLDERS = ("yelp_review_polarity_csv", "text/yelp_review_polarity_csv")
TABLE = "text/yelp_sentences.tsv.xz"
PROMISED = {"train": 280_000, "test": 19_000}  # of each class


def load(
    classes: Iterable[str] = CLASS_NAMES, vectors: str = "auto", *, data_dir: str, outputs_dir: str
) -> TextDataset:
    """Load all reviews in the official split, those that TextFooler's authors attack at the beginning of the test set.

    Where only the table of sentences is there, the training set is its sentences, and the test set the reviews of
    TextFooler's authors or, without these, the table's own test sentences. The provenance then says that the numbers
    are not comparable with the paper's.

    Parameters
    ----------
    classes : two str
        Always ("negative", "positive"): label 0 and label 1.
    vectors : str
        Word vectors: see :func:`data.text.glove.load_vectors`.
    data_dir : str
        Folder with ``yelp_review_polarity_csv/train.csv`` and ``test.csv`` (label 1 or 2, text), or with
        ``text/yelp_sentences.tsv.xz`` (columns split, label, text), or with what is made from them,
        ``prepared/yelp.npz`` or ``prepared/yelp_sentences.npz``.
    outputs_dir : str
        Second place for the prepared files, when `data_dir` cannot be written.

    Raises
    ------
    FileNotFoundError
        If there are neither these files nor word vectors.
    ValueError
        If a file is damaged.
    """
    check_fixed_classes(classes, CLASS_NAMES, "yelp")
    folder = check_data_folder(data_dir)
    table = folder / TABLE
    if table.is_file() and not _official(folder) and not (folder / "prepared" / "yelp.npz").is_file():
        train, test, provenance = _of_sentences(folder, table, outputs_dir)
    else:
        splits, provenance = load_or_tokenise("yelp", folder, outputs_dir, partial(_reviews, folder), SOURCE)
        for split, promised in PROMISED.items():
            counts = np.bincount(splits[split][1], minlength=2).tolist()
            if counts != [promised, promised]:
                provenance["notes"].append(
                    f"not the full set: {counts[0]} and {counts[1]} {split} reviews of the two classes, "
                    f"Yelp has {promised}"
                )
        train, test = splits["train"], attacked_first(folder, "yelp", splits["test"], provenance)
    return from_documents("yelp", CLASS_NAMES, train, test, load_vectors(vectors, folder, outputs_dir), provenance)


def _official(folder: Path) -> dict[str, Path]:
    """The two official files; empty if they are not there."""
    for place in FOLDERS:
        files = {split: folder / place / f"{split}.csv" for split in PROMISED}
        if all(file.is_file() for file in files.values()):
            return files
    return {}


def _reviews(folder: Path) -> dict[str, Labelled]:
    """The reviews of both splits."""
    files = _official(folder)
    if not files:
        raise FileNotFoundError(
            f"the reviews are missing; unpack yelp_review_polarity_csv.tgz (166 MB, linked from {SOURCE}) into "
            f"{folder}, so that {folder / FOLDERS[0] / 'train.csv'} exists, or put the table {TABLE} there, "
            f"or {HOW_TO_SET}"
        )
    return {
        split: labelled((label_of(file, label, (1, 2)) - 1, text) for label, text in rows_of_csv(file, 2))
        for split, file in files.items()
    }


def _of_sentences(folder: Path, table: Path, outputs_dir: str) -> tuple[Labelled, Labelled, dict[str, Any]]:
    """Training set, test set and provenance where there are sentences only."""
    splits, provenance = load_or_tokenise(
        "yelp_sentences", folder, outputs_dir, partial(_sentences, table), "sentences of Yelp reviews by sentiment"
    )
    test = attacked_documents(folder, "yelp") or splits["test"]
    tested = "sentences" if test is splits["test"] else "the reviews that TextFooler's authors attack"
    provenance["notes"].append(
        f"not comparable: trained on {len(splits['train'][1]):,} sentences of Yelp reviews, not on the 560,000 reviews "
        f"of the paper; tested on {len(test[1]):,} {'' if tested == 'sentences' else 'of '}{tested}"
    )
    return splits["train"], test, provenance


def _sentences(table: Path) -> dict[str, Labelled]:
    rows = list(rows_of_table(table, ("split", "label", "text")))
    named = {"train": ("train", "dev"), "test": ("test",)}
    return {
        split: labelled([(label_of(table, label, (0, 1)), text) for part, label, text in rows if part in parts])
        for split, parts in named.items()
    }
