"""Yelp reviews by polarity (Zhang, Zhao, LeCun 2015): 560,000 for training, 38,000 for testing."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from data.loading.options import HOW_TO_SET, check_data_folder, check_fixed_classes
from data.text.dataset import TextDataset, TextSource, from_documents, load_official_split
from data.text.files import (
    Labelled,
    Splits,
    complete_folder,
    label_of,
    labelled,
    load_or_tokenise,
    rows_of_csv,
    splits_of_table,
)
from data.text.glove import load_vectors
from data.text.textfooler_split import attacked_documents

SOURCE = "https://huggingface.co/datasets/fancyzhx/yelp_polarity"
FOLDERS = ("yelp_review_polarity_csv", "text/yelp_review_polarity_csv")
FILES = {"train": "train.csv", "test": "test.csv"}
TABLE = "text/yelp_sentences.tsv.xz"
CLASS_NAMES = ("negative", "positive")
YELP = TextSource("yelp", "Yelp", CLASS_NAMES, "reviews", {"train": 280_000, "test": 19_000})


def load(
    classes: Iterable[str] = CLASS_NAMES, vectors: str = "auto", *, data_dir: str, outputs_dir: str
) -> TextDataset:
    """Load all reviews in the official split, those that TextFooler's authors attack at the beginning of the test set.

    Where only the table of sentences is available, the training set is its sentences, and the test set the reviews of
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
        If the reviews or the word vectors are missing.
    ValueError
        If a file is damaged.
    """
    check_fixed_classes(classes, CLASS_NAMES, "yelp")
    folder = check_data_folder(data_dir)
    official = complete_folder(folder, FOLDERS, FILES.values())
    if (folder / TABLE).is_file() and official is None and not (folder / "prepared" / "yelp.npz").is_file():
        train, test, provenance = _of_sentences(folder, outputs_dir)
        return from_documents("yelp", CLASS_NAMES, train, test, load_vectors(vectors, folder, outputs_dir), provenance)
    read = partial(load_or_tokenise, "yelp", folder, outputs_dir, partial(_reviews, folder, official), SOURCE)
    return load_official_split(YELP, read, vectors, folder, outputs_dir)


def _reviews(folder: Path, official: Path | None) -> Splits:
    """The reviews of both splits."""
    if official is None:
        raise FileNotFoundError(
            f"the reviews are missing; unpack yelp_review_polarity_csv.tgz (166 MB, linked from {SOURCE}) into "
            f"{folder}, so that {folder / FOLDERS[0] / 'train.csv'} exists, or put the table {TABLE} there, "
            f"or {HOW_TO_SET}"
        )
    return {
        split: labelled(
            (label_of(official / name, label, (1, 2)) - 1, text) for label, text in rows_of_csv(official / name, 2)
        )
        for split, name in FILES.items()
    }


def _of_sentences(folder: Path, outputs_dir: str) -> tuple[Labelled, Labelled, dict[str, Any]]:
    """Training set, test set and provenance where only the table of sentences is available."""
    splits, provenance = load_or_tokenise(
        "yelp_sentences", folder, outputs_dir, partial(_sentences, folder), "sentences of Yelp reviews by sentiment"
    )
    reviews = attacked_documents(folder, "yelp")
    test, tested = (splits["test"], "sentences")
    if reviews is not None:
        test, tested = reviews, "of the reviews that TextFooler's authors attack"
    provenance["notes"].append(
        f"not comparable: trained on {len(splits['train'][1]):,} sentences of Yelp reviews, not on the 560,000 reviews "
        f"of the paper; tested on {len(test[1]):,} {tested}"
    )
    return splits["train"], test, provenance


def _sentences(folder: Path) -> Splits:
    parts = {"train": ("train", "dev"), "test": ("test",)}
    return splits_of_table(folder / TABLE, ("split", "label", "text"), (0, 1), parts)
