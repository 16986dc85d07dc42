"""The 1,000 test documents of each set that the authors of TextFooler attack, found in the full sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.text.files import Labelled, label_of, labelled, lines_of, rows_of_table, select
from data.text.tokens import Documents, letters_and_digits

SOURCE = "https://github.com/jind11/TextFooler/tree/master/data"
TABLE = "text/textfooler_1000.tsv.gz"


def attacked_documents(folder: Path, name: str, labels: tuple[int, ...] = (0, 1)) -> Labelled | None:
    """Read them; None where the data folder has no such file.

    Parameters
    ----------
    folder : Path
        The data folder, with ``textfooler/<name>`` as published (a line is a label, a blank and the text) or
        ``text/textfooler_1000.tsv.gz`` (columns dataset, label, text).
    name : {"mr", "imdb", "yelp", "ag"}
    labels : tuple of int
        Documents with others are left out (AG News has four).

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    published, table = folder / "textfooler" / name, folder / TABLE
    every = (0, 1, 2, 3)
    if published.is_file():
        parts = [line.partition(" ") for line in lines_of(published) if line.strip()]
        pairs = [(label_of(published, label, every), text) for label, _, text in parts]
    elif table.is_file():
        rows = rows_of_table(table, ("dataset", "label", "text"))
        pairs = [(label_of(table, label, every), text) for dataset, label, text in rows if dataset == name]
    else:
        return None
    return labelled([(label, text) for label, text in pairs if label in labels])


def keys_of(documents: Documents) -> list[str]:
    """Letters and digits of each document; two versions of one document have the same."""
    return [letters_and_digits(tokens) for tokens in documents]


def positions(documents: Documents, wanted: Documents) -> NDArray[np.int64]:
    """(k,) positions in `documents` of the `wanted` ones, in the order of these; those that do not occur are left out.

    Of several copies the first is used, and the next one where the same document is wanted a second time.
    """
    rows: dict[str, list[int]] = {}
    for row, key in enumerate(keys_of(documents)):
        rows.setdefault(key, []).append(row)
    found = [rows[key].pop(0) for key in keys_of(wanted) if rows.get(key)]
    return np.array(found, dtype=np.int64)


def attacked_first(folder: Path, name: str, test: Labelled, provenance: dict[str, Any]) -> Labelled:
    """The test set with the documents that TextFooler's authors attack at its beginning, in their order.

    The provenance gets their number, and a note where some or all of them are missing.
    """
    wanted = attacked_documents(folder, name)
    if wanted is None:
        provenance["notes"].append(missing(name, "the test documents are in their own order"))
        return test
    front = positions(test[0], wanted[0])
    order = np.concatenate([front, np.setdiff1d(np.arange(len(test[1])), front)])
    provenance["attacked_first"] = len(front)
    what = f"the first {len(front)} test documents are those of TextFooler's authors"
    if len(front) < len(wanted[1]):
        provenance["notes"].append(f"{what}; {len(wanted[1]) - len(front)} of theirs are not in the test set")
    else:
        provenance["order"] = what
    return select(test, order)


def missing(name: str, instead: str) -> str:
    """A note that the file of TextFooler's documents is missing, and what is used instead."""
    return f"no file textfooler/{name} ({SOURCE}): {instead}, not those that TextFooler's authors attack"
