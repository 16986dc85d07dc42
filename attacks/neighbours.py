"""Nearest neighbours among word vectors by cosine, read from the text format of GloVe and word2vec."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_ROWS = 1024  # words whose cosines to all others are held at a time


def read_vectors(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    """Words and vectors of a text file with a line per word, the word and its numbers; of a repeated word the first.

    Returns
    -------
    words : list of str
    vectors : ndarray of float32, shape (words, dimension)

    Raises
    ------
    ValueError
        Naming the line that is damaged.
    """
    found: dict[str, NDArray[np.float32]] = {}
    dimension = 0
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                word, _, numbers = line.rstrip().partition(" ")
                try:
                    vector = np.array(numbers.split(), dtype=np.float32)
                except ValueError:
                    vector = np.zeros(0, dtype=np.float32)
                dimension = dimension or len(vector)
                if not len(vector) or len(vector) != dimension or not np.isfinite(vector).all():
                    raise ValueError(
                        f"Line {number} of the vectors {path} must be a word and {dimension or 'some'} numbers; "
                        "the file is cut or damaged, fetch it again."
                    )
                found.setdefault(word, vector)
    except UnicodeDecodeError as error:
        raise ValueError(f"The vectors {path} must be UTF-8 text: {error}.") from error
    if len(found) < 2:
        raise ValueError(f"The vectors {path} must have at least two words. Got {len(found)}.")
    return list(found), np.stack(list(found.values()))


def nearest_neighbours(vectors: NDArray[np.float32], most: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The nearest others of every vector by cosine, nearest first, the lower number first among equals.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
    most : int

    Returns
    -------
    ids : ndarray of int32, shape (n, min(most, n - 1))
    cosines : ndarray of float32, of the same shape
    """
    n = len(vectors)
    most = min(most, n - 1)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(norms > 0, norms, 1)
    ids, cosines = np.empty((n, most), dtype=np.int32), np.empty((n, most), dtype=np.float32)
    for begin in range(0, n, _ROWS):
        rows = slice(begin, min(begin + _ROWS, n))
        cosine = unit[rows] @ unit.T
        cosine[np.arange(len(cosine)), np.arange(rows.start, rows.stop)] = -np.inf  # a word is not its own synonym
        nearest = np.argpartition(-cosine, most - 1, axis=1)[:, :most]
        values = np.take_along_axis(cosine, nearest, axis=1)
        order = np.lexsort((nearest, -values), axis=1)
        ids[rows] = np.take_along_axis(nearest, order, axis=1)
        cosines[rows] = np.take_along_axis(values, order, axis=1)
    return ids, cosines
