"""Synonyms of a word: its neighbours in the space of counter-fitted vectors (Mrkšić et al. 2016)."""

from __future__ import annotations

import contextlib
import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scd.files import file_sha256
from scd.progress import progress_bar

from ..engine.checkpoint import load_state, save_state

VECTORS = "counter-fitted-vectors.txt"
LISTS = "counterfitted_neighbors.json.gz"


@dataclass(frozen=True)
class Synonyms:
    """Words that may replace a word, nearest first.

    Attributes
    ----------
    neighbours : dict of str to list of str
        A word is never its own neighbour.
    sha256 : str
        Checksum of their file, hex.
    note : str
        Which file it is and which limitation it has, for a reader of the results.
    """

    neighbours: dict[str, list[str]]
    sha256: str
    note: str

    def of(self, word: str) -> list[str]:
        """Return the synonyms of a word, ignoring case; none for an unknown word."""
        return self.neighbours.get(word.lower(), [])


def find_synonyms(synonyms: str, data_dir: str | Path) -> Path:
    """Return the file of a setting.

    Parameters
    ----------
    synonyms : str
        A path, or "auto": the vectors, else the given lists, in `data_dir` or its folder ``text``.

    Raises
    ------
    FileNotFoundError
        If there is none; the message says where to get it and where to put it.
    """
    if synonyms != "auto":
        if not Path(synonyms).expanduser().is_file():
            raise FileNotFoundError(f"The 'synonyms' file {synonyms} of TextFooler does not exist.")
        return Path(synonyms).expanduser()
    folder = Path(data_dir).expanduser() / "text"
    places = [place / name for name in (VECTORS, LISTS) for place in (folder, folder.parent)]
    for path in places:
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"TextFooler needs the synonyms of counter-fitted vectors: put {VECTORS} "
        f"(from https://github.com/nmrksic/counter-fitting) or neighbour lists {LISTS} into {folder}, "
        "or give attack.synonyms=/some/file."
    )


def load_synonyms(
    path: Path, max_synonyms: int, threshold: float, outputs_dir: str | Path, verbose: bool = False
) -> Synonyms:
    """Read synonyms from vectors (``.txt``) or from given lists (``.json``, ``.json.gz``).

    Parameters
    ----------
    path : Path
        Vectors: a line per word, the word and its numbers. Lists: a JSON object of word to neighbours, nearest first.
    max_synonyms : int
        Maximum number of synonyms of a word.
    threshold : float
        Minimum cosine of a word and its synonym; lists have no cosines and are used as they are.
    outputs_dir : str or Path
        The neighbours of vectors are searched once (one or two minutes on one core) and stored in
        ``<outputs_dir>/prepared``, with the checksums of the vectors and of the file itself.
    verbose : bool
        Show a progress bar of that search.

    Raises
    ------
    ValueError
        If the file is damaged or of another format.
    """
    sha256 = file_sha256(path)
    if path.name.endswith((".json", ".json.gz")):
        return _from_lists(path, max_synonyms, sha256)
    words, ids, cosines = _from_vectors(path, max_synonyms, sha256, Path(outputs_dir) / "prepared", verbose)
    n_kept = (cosines >= threshold).sum(axis=1)  # the cosines of each row are in descending order
    rows = zip(words, ids.tolist(), n_kept.tolist(), strict=True)
    neighbours = {word: [words[k] for k in row[:n]] for word, row, n in rows if n}
    note = f"synonyms from {path.name}: cosine at least {threshold:g}, at most {max_synonyms}"
    return Synonyms(neighbours, sha256, note)


def _from_lists(path: Path, max_synonyms: int, sha256: str) -> Synonyms:
    try:
        content = path.read_bytes()
        lists = json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
        valid = isinstance(lists, dict) and all(
            isinstance(row, list) and all(isinstance(word, str) for word in row) for row in lists.values()
        )
    except (OSError, EOFError, ValueError) as damage:
        raise ValueError(f"The synonyms in {path} cannot be read ({damage}); download the file again.") from damage
    if not valid:
        raise ValueError(f"The synonyms in {path} must be a JSON object of word to list of words.")
    neighbours = {w.lower(): [n for n in row if n != w][:max_synonyms] for w, row in lists.items() if row}
    longest = max((len(row) for row in neighbours.values()), default=0)
    note = f"synonyms from {path.name}: given lists of at most {longest} neighbours, without cosines"
    return Synonyms(neighbours, sha256, note)


def _from_vectors(
    path: Path, max_synonyms: int, sha256: str, folder: Path, verbose: bool
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the words, and the indices and cosines of their neighbours, from the stored file if there is one."""
    stored = folder / f"synonyms_{sha256[:16]}_{max_synonyms}.npz"
    known = load_state(stored, "The prepared file", "it is rebuilt")
    if known is None or str(known["source"]) != sha256:
        words, vectors = read_vectors(path)
        ids, cosines = nearest_neighbours(vectors, max_synonyms, verbose)
        known = {"words": np.array(words), "ids": ids, "cosines": cosines, "source": np.array(sha256)}
        folder.mkdir(parents=True, exist_ok=True)
        save_state(stored, known)
    return known["words"].tolist(), known["ids"], known["cosines"]


_ROWS = 256  # words whose cosines to all others are in memory at a time


def read_vectors(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    """Return words and vectors of a text file: one line per word, the word and its numbers; the first of duplicates.

    Words may hold blanks, and a first line may say how many words and numbers follow (word2vec).

    Returns
    -------
    words : list of str
    vectors : ndarray of float32, shape (words, dimension)

    Raises
    ------
    ValueError
        If a line is damaged; the message names it.
    """
    vectors: dict[str, NDArray[np.float32]] = {}
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
                vectors.setdefault(parts[0], vector)
    except UnicodeDecodeError as error:
        raise ValueError(f"The vectors {path} must be UTF-8 text: {error}.") from error
    if len(vectors) < 2:
        raise ValueError(f"The vectors {path} must have at least two words. Got {len(vectors)}.")
    return list(vectors), np.stack(list(vectors.values()))


def _vector(parts: list[str]) -> NDArray[np.float32]:
    """Return the numbers behind a word; none if they are not numbers, or if the word ends in one."""
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
    vectors: NDArray[np.float32], max_neighbours: int, verbose: bool = False
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the nearest other vectors of each by cosine, nearest first, the lower index first among equals.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
    max_neighbours : int
    verbose : bool
        Show a progress bar of words.

    Returns
    -------
    ids : ndarray of int32, shape (n, min(max_neighbours, n - 1))
    cosines : ndarray of float32, of the same shape
    """
    n = len(vectors)
    max_neighbours = min(max_neighbours, n - 1)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(norms > 0, norms, 1)
    ids, cosines = np.empty((n, max_neighbours), dtype=np.int32), np.empty((n, max_neighbours), dtype=np.float32)
    with progress_bar(n, desc="Neighbours of all words (once)", unit="word", verbose=verbose) as bar:
        for begin in range(0, n, _ROWS):
            rows = slice(begin, min(begin + _ROWS, n))
            cosine = unit[rows] @ unit.T
            cosine[np.arange(len(cosine)), np.arange(rows.start, rows.stop)] = -np.inf  # a word is not its own synonym
            # argpartition is 3 times slower
            minimum = np.partition(cosine, n - max_neighbours, axis=1)[:, n - max_neighbours]
            row, other = np.nonzero(
                cosine >= minimum[:, None]
            )  # more than `max_neighbours` per row if the last are equal
            value = cosine[row, other]
            order = np.lexsort((other, -value, row))
            begins = np.searchsorted(row, np.arange(len(cosine)))
            chosen = order[begins[:, None] + np.arange(max_neighbours)]
            ids[rows], cosines[rows] = other[chosen], value[chosen]
            bar.update(len(cosine))
    return ids, cosines
