"""Nearest neighbours among word vectors by cosine, read from the text format of GloVe and word2vec."""

import contextlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

_ROWS = 256  # words whose cosines to all others are held at a time


def read_vectors(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    """Words and vectors of a text file with a line per word, the word and its numbers; of a repeated word the first.

    Words may hold blanks, and a first line may say how many words and numbers follow (word2vec).

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
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                parts = line.rsplit(maxsplit=dimension) if dimension else line.split()
                if number == 1 and len(parts) == 2 and parts[0].isdigit() and parts[1].isdigit():
                    dimension = int(parts[1])
                    continue
                vector = _vector(parts)
                dimension = dimension or len(vector)
                if not len(vector) or len(vector) != dimension or not np.isfinite(vector).all():
                    what = "correct or remove it" if line.endswith("\n") else "the file is truncated, get it again"
                    raise ValueError(
                        f"Line {number} of the vectors {path} must be a word and {dimension or 'some'} numbers; {what}."
                    )
                found.setdefault(parts[0], vector)
    except UnicodeDecodeError as error:
        raise ValueError(f"The vectors {path} must be UTF-8 text: {error}.") from error
    if len(found) < 2:
        raise ValueError(f"The vectors {path} must have at least two words. Got {len(found)}.")
    return list(found), np.stack(list(found.values()))


def _vector(parts: list[str]) -> NDArray[np.float32]:
    """The numbers behind a word; none if they are no numbers, or if the word ends with a number after a blank."""
    try:
        if len(parts[0].split()) > 1:
            with contextlib.suppress(ValueError):
                float(parts[0].split()[-1])
                return np.zeros(0, dtype=np.float32)  # rather a line with too many numbers
        with np.errstate(over="ignore"):  # infinite ones are refused
            return np.array(parts[1:], dtype=np.float32)
    except (ValueError, IndexError):
        return np.zeros(0, dtype=np.float32)


def nearest_neighbours(
    vectors: NDArray[np.float32], most: int, verbose: bool = False
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The nearest others of every vector by cosine, nearest first, the lower number first among equals.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
    most : int
    verbose : bool
        Show a bar of words.

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
    for begin in tqdm(range(0, n, _ROWS), desc="Neighbours of all words, once", disable=not verbose):
        rows = slice(begin, min(begin + _ROWS, n))
        cosine = unit[rows] @ unit.T
        cosine[np.arange(len(cosine)), np.arange(rows.start, rows.stop)] = -np.inf  # a word is not its own synonym
        least = np.partition(cosine, n - most, axis=1)[:, n - most]  # no argpartition: three times as slow
        row, other = np.nonzero(cosine >= least[:, None])  # at least `most` a row, more where the last are equal
        value = cosine[row, other]
        order = np.lexsort((other, -value, row))
        begins = np.searchsorted(row, np.arange(len(cosine)))
        chosen = order[begins[:, None] + np.arange(most)]
        ids[rows], cosines[rows] = other[chosen], value[chosen]
    return ids, cosines
