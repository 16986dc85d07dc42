"""MR: 5,331 positive and 5,331 negative sentences of film reviews (Pang and Lee 2005)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.dataset import class_counts
from data.loading.options import HOW_TO_SET, check_data_folder, check_fixed_classes
from data.text.dataset import TextDataset, from_documents
from data.text.files import Labelled, complete_folder, label_of, labelled, lines_of, rows_of_table, select
from data.text.glove import load_vectors
from data.text.textfooler_split import attacked_documents, keys_of, missing, positions

CLASS_NAMES = ("negative", "positive")
SOURCE = "https://www.cs.cornell.edu/people/pabo/movie-review-data/rt-polaritydata.tar.gz"
FOLDERS = ("rt-polaritydata", "text/rt-polaritydata", "mr")
FILES = ("rt-polarity.neg", "rt-polarity.pos")
TABLE = "text/mr.tsv.gz"
COUNTS = [5331, 5331]  # of each class
N_TEST = 1000
SPLIT_SEED = 0


def load(
    classes: Iterable[str] = CLASS_NAMES, vectors: str = "auto", *, data_dir: str, outputs_dir: str
) -> TextDataset:
    """Load all sentences; the 1,000 that TextFooler's authors attack are the test set, the others the training set.

    Two sentences are the same if their letters and digits are. Without the file of those 1,000, as many sentences are
    drawn with a fixed seed, with a note in the provenance.

    Parameters
    ----------
    classes : two str
        Always ("negative", "positive"): label 0 and label 1.
    vectors : str
        Word vectors: see :func:`data.text.glove.load_vectors`.
    data_dir : str
        Folder with ``rt-polaritydata/rt-polarity.neg`` and ``.pos`` (a sentence a line, windows-1252), or with
        ``text/mr.tsv.gz`` (columns label, text); and with the documents of
        :func:`data.text.textfooler_split.attacked_documents`.
    outputs_dir : str
        Where the vectors that were read are kept, when `data_dir` cannot be written.

    Raises
    ------
    FileNotFoundError
        If the sentences or the word vectors are missing.
    ValueError
        If a file is damaged.
    """
    check_fixed_classes(classes, CLASS_NAMES, "mr")
    folder = check_data_folder(data_dir)
    every, file = _sentences(folder)
    provenance: dict[str, Any] = {"source": SOURCE, "file": str(file), "notes": []}
    counts = class_counts(every[1])
    if counts != COUNTS:
        provenance["notes"].append(
            f"not the full set: {counts[0]} and {counts[1]} sentences of the two classes, MR has 5331"
        )
    wanted = attacked_documents(folder, "mr")
    if wanted is None:
        drawn = np.random.default_rng(SPLIT_SEED).permutation(len(every[1]))
        test = drawn[: min(N_TEST, len(drawn) // 10)]
        provenance["notes"].append(missing("mr", f"{len(test)} sentences drawn at random are the test set"))
    else:
        test = positions(every[0], wanted[0])
        if not len(test):
            raise ValueError(
                f"none of the test sentences of TextFooler's authors is among those of {file}; one of the two files "
                "belongs to another data set."
            )
        if len(test) < len(wanted[1]):
            lost = len(wanted[1]) - len(test)
            provenance["notes"].append(f"{lost} of the test sentences of TextFooler's authors are not in the set")
    known = load_vectors(vectors, folder, outputs_dir)
    return from_documents("mr", CLASS_NAMES, _without(every, test), select(every, test), known, provenance)


def _sentences(folder: Path) -> tuple[Labelled, Path]:
    """All sentences, positive ones first, and where they were found."""
    place = complete_folder(folder, FOLDERS, FILES)
    if place is not None:
        lines = ((label, line) for label in (1, 0) for line in lines_of(place / FILES[label], "windows-1252"))
        return labelled((label, line) for label, line in lines if line.strip()), place
    table = folder / TABLE
    if table.is_file():
        return labelled(
            (label_of(table, label, (0, 1)), text) for label, text in rows_of_table(table, ("label", "text"))
        ), table
    raise FileNotFoundError(
        f"the sentences are missing; unpack {SOURCE} (0.5 MB) into {folder}, so that {folder / FOLDERS[0] / FILES[0]} "
        f"exists, or put the table {TABLE} there, or {HOW_TO_SET}"
    )


def _without(every: Labelled, test: NDArray[np.int64]) -> Labelled:
    """The documents without those at the positions `test` and their copies."""
    keys = keys_of(every[0])
    taken = {keys[row] for row in test}
    return select(every, np.array([row for row, key in enumerate(keys) if key not in taken], dtype=np.int64))
