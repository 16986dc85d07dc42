"""Synonyms of a word: its neighbours in the space of counter-fitted vectors (Mrkšić et al. 2016)."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from attacks.engine.checkpoint import load_state, save_state

VECTORS = "counter-fitted-vectors.txt"
LISTS = "counterfitted_neighbors.json.gz"


@dataclass(frozen=True)
class Synonyms:
    """Words that may stand for a word, nearest first.

    Attributes
    ----------
    neighbours : dict of str to list of str
        A word is never its own neighbour.
    sha256 : str
        Checksum of the file they come from, hex.
    note : str
        Which file it is and what it lacks, for a reader of the results.
    """

    neighbours: dict[str, list[str]]
    sha256: str
    note: str

    def of(self, word: str) -> list[str]:
        """Synonyms of a word, upper case aside; none for one that is not known."""
        return self.neighbours.get(word.lower(), [])


def find_synonyms(synonyms: str, data_dir: str | Path) -> Path:
    """The file that a setting means.

    Parameters
    ----------
    synonyms : str
        A path, or "auto": the vectors, else the given lists, in `data_dir` or its folder ``text``.

    Raises
    ------
    FileNotFoundError
        If there is none; says where it comes from and where to put it.
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


def load_synonyms(path: Path, most: int, threshold: float, outputs_dir: str | Path, verbose: bool = False) -> Synonyms:
    """Read synonyms from vectors (``.txt``) or from given lists (``.json``, ``.json.gz``).

    Parameters
    ----------
    path : Path
        Vectors: a line per word, the word and its numbers. Lists: a JSON object of word to neighbours, nearest first.
    most : int
        Most synonyms of a word.
    threshold : float
        Least cosine of a word and its synonym; given lists come without cosines and are taken as they are.
    outputs_dir : str or Path
        The neighbours of vectors are searched once (a minute or two of one core) and kept in
        ``<outputs_dir>/prepared``, with the checksums of the vectors and of the file itself.
    verbose : bool
        Show a bar of that search.

    Raises
    ------
    ValueError
        If the file is damaged or of another format.
    """
    sha256 = file_sha256(path)
    if path.name.endswith((".json", ".json.gz")):
        return _given(path, most, sha256)
    words, ids, cosines = _searched(path, most, sha256, Path(outputs_dir) / "prepared", verbose)
    kept = (cosines >= threshold).sum(axis=1)  # in each row the cosines fall
    rows = zip(words, ids.tolist(), kept.tolist(), strict=True)
    neighbours = {word: [words[k] for k in row[:n]] for word, row, n in rows if n}
    return Synonyms(neighbours, sha256, f"synonyms from {path.name}: cosine at least {threshold:g}, at most {most}")


def _given(path: Path, most: int, sha256: str) -> Synonyms:
    try:
        content = path.read_bytes()
        lists = json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
        right = isinstance(lists, dict) and all(
            isinstance(row, list) and all(isinstance(word, str) for word in row) for row in lists.values()
        )
    except (OSError, EOFError, ValueError) as damage:
        raise ValueError(f"The synonyms in {path} cannot be read ({damage}); fetch the file again.") from damage
    if not right:
        raise ValueError(f"The synonyms in {path} must be a JSON object of word to list of words.")
    neighbours = {w.lower(): [n for n in row if n != w][:most] for w, row in lists.items() if row}
    longest = max((len(row) for row in neighbours.values()), default=0)
    note = f"synonyms from {path.name}: given lists of at most {longest} neighbours, without cosines"
    return Synonyms(neighbours, sha256, note)


def _searched(
    path: Path, most: int, sha256: str, folder: Path, verbose: bool
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Words, and for each the numbers and cosines of its neighbours, from the file kept for these vectors if any."""
    kept = folder / f"synonyms_{sha256[:16]}_{most}.npz"
    known = load_state(kept, "The prepared file", "it is made again")
    if known is None or str(known["source"]) != sha256:
        words, vectors = read_vectors(path)
        ids, cosines = nearest_neighbours(vectors, most, verbose)
        known = {"words": np.array(words), "ids": ids, "cosines": cosines, "source": np.array(sha256)}
        folder.mkdir(parents=True, exist_ok=True)
        save_state(kept, known)
    return known["words"].tolist(), known["ids"], known["cosines"]


_ROWS = 256  # words whose cosines to all others are held at a time


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
