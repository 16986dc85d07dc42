"""GloVe's vectors, found in the data folder, read from their text format once, then memory-mapped.

A line of the text format is a word and its numbers, separated by blanks; the file may be plain, compressed or in an
archive. What was read is kept as ``prepared/vectors_<name>.npy``, ``.txt`` and ``.json`` with a checksum, in the data
folder or, where that cannot be written, in the outputs folder.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import lzma
import os
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from data.dataset import content_checksum
from data.loading.options import HOW_TO_SET
from data.text.vectors import WordVectors
from scd.files import atomic_file, write_json, write_text

PAPER = "glove.6B.200d"
SOURCE = "https://nlp.stanford.edu/projects/glove/"
_ENDINGS = (".txt", ".txt.gz", ".txt.xz")
MEMBER = "::"
"""Parts an archive from its member in the name of a source."""

_LINES_AT_ONCE = 50_000
_OFFICIAL = re.compile(r"glove\.6B\.\d+d\.txt(\.gz|\.xz)?$")
_OFFICIAL_WORDS = 400_000


def load_vectors(which: str, data_dir: str | os.PathLike[str], outputs_dir: str | os.PathLike[str]) -> WordVectors:
    """Load word vectors, scaled to unit length.

    Parameters
    ----------
    which : str
        "auto": ``glove.6B.200d``, the paper's, where the data folder or a folder in it has it, else the first other
        GloVe file there by name; or the path of a file in GloVe's text format, plain, .gz or .xz, or of a .zip archive
        with one, or ``archive.zip::member.txt``.
    data_dir, outputs_dir : path
        ``paths.data`` and ``paths.outputs``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, truncated, of mixed dimension or of another encoding than UTF-8.
    """
    folder = Path(data_dir).expanduser()
    source = _find(folder) if which == "auto" else _given(which)
    path, _, member = source.partition(MEMBER)
    state = os.stat(path)
    about = {"file": Path(path).name, "member": member, "size": state.st_size, "modified": state.st_mtime_ns}
    name = "vectors_" + re.sub(r"\.(txt|gz|xz)\b", "", Path(member or path).name)
    places = [folder / "prepared", Path(outputs_dir).expanduser() / "prepared"]
    for place in places:
        found = _kept(place / name, about)
        if found is not None:
            return WordVectors(*found, file=source)
    words, table = read_glove(source)
    sha256 = _checksum(words, table)
    refused = []
    for place in places:
        try:
            place.mkdir(parents=place is places[-1], exist_ok=True)  # the data folder itself is the user's to make
            _keep(place / name, {**about, "sha256": sha256}, words, table)
        except OSError as error:
            refused.append(f"{place} ({error.strerror or error})")
        else:
            break
    else:
        warnings.warn(
            f"The word vectors cannot be kept in {' or '.join(refused)}; they are read anew next time.", stacklevel=2
        )
    return WordVectors(words, table, sha256, source)


def _find(folder: Path) -> str:
    """The GloVe file of the data folder, or of a folder in it, that comes closest to the paper's."""
    found = []
    for path in sorted([*folder.glob("glove*"), *folder.glob("*/glove*"), *folder.glob("*/glove*/glove*")]):
        if path.name.endswith(_ENDINGS) and path.is_file():
            found.append(str(path))
        elif path.suffix == ".zip":
            found += [f"{path}{MEMBER}{member}" for member in members(path)]
    if not found:
        raise FileNotFoundError(
            f"word vectors are missing: there is no GloVe file in {folder} or a folder in it; put glove.6B.zip "
            f"(862 MB) of {SOURCE}, or {PAPER}.txt out of it, into {folder / 'text'}, {HOW_TO_SET}, or "
            "give a file with dataset.vectors=/some/file.txt"
        )
    exact = [source for source in found if re.search(rf"{re.escape(PAPER)}\.txt(\.\w+)?$", source)]
    return (exact or found)[0]


def _given(which: Any) -> str:
    """The file that ``dataset.vectors`` names."""
    if not isinstance(which, str) or not which:
        raise ValueError(f"dataset.vectors must be auto or the path of a file in GloVe's text format, got {which!r}.")
    path, _, member = str(Path(which).expanduser()).partition(MEMBER)
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"dataset.vectors={which} is no file; give auto or a file in GloVe's text format, such as {PAPER}.txt "
            f"out of glove.6B.zip of {SOURCE}"
        )
    if not path.endswith(".zip"):
        return path
    inside = members(Path(path))
    if not inside or (member and member not in inside):
        listed = ", ".join(inside) or "none"
        raise ValueError(f"dataset.vectors={which} must be one of the archive's .txt files, which are: {listed}.")
    chosen = member or next((name for name in inside if PAPER in name), inside[0])
    return f"{path}{MEMBER}{chosen}"


def _checksum(words: tuple[str, ...], table: NDArray[np.float32]) -> str:
    return content_checksum(np.frombuffer("\n".join(words).encode(), dtype=np.uint8), table)


def _kept(stem: Path, about: dict[str, Any]) -> tuple[tuple[str, ...], NDArray[np.float32], str] | None:
    """Words, memory-mapped table and checksum as kept from this very file; None if they are not, or are damaged."""
    try:
        facts = json.loads(Path(f"{stem}.json").read_text(encoding="utf-8"))
        if not isinstance(facts, dict) or any(facts.get(key) != value for key, value in about.items()):
            return None
        words = tuple(Path(f"{stem}.txt").read_bytes().decode().split("\n"))
        # copy-on-write, because torch warns of arrays that cannot be written
        table = np.load(f"{stem}.npy", mmap_mode="c", allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError):
        table, words = np.zeros((0, 0), dtype=np.float32), ()
    if table.ndim != 2 or len(table) != 1 + len(words) or _checksum(words, table) != facts["sha256"]:
        warnings.warn(f"The word vectors kept in {stem}.npy are damaged; they are read anew.", stacklevel=3)
        return None
    return words, table, facts["sha256"]


def _keep(stem: Path, facts: dict[str, Any], words: tuple[str, ...], table: NDArray[np.float32]) -> None:
    """Write the three files, each whole or not at all, the one that vouches for the others last."""
    mark = stem.with_name(f".{stem.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(mark, "wb") as file:
            np.save(file, table, allow_pickle=False)
        os.replace(mark, f"{stem}.npy")
        for ending, content in ((".txt", "\n".join(words)), (".json", json.dumps(facts, indent=2) + "\n")):
            mark.write_bytes(content.encode())
            os.replace(mark, f"{stem}{ending}")
    finally:
        mark.unlink(missing_ok=True)


def members(archive: Path) -> list[str]:
    """Names of the text files in a zip archive, sorted.

    Raises
    ------
    ValueError
        If it is damaged, as after a download that was cut off.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            return sorted(name for name in file.namelist() if name.endswith(".txt"))
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{archive} cannot be read ({error}); get it again.") from None


def read_glove(source: str) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Read a file; of a word that occurs twice the first vector counts.

    Parameters
    ----------
    source : str
        A path, or archive, ``::`` and member.

    Returns
    -------
    words : tuple of V str
    table : (1 + V, d) float32 ndarray
        Zeros, then the vectors scaled to unit length.

    Raises
    ------
    ValueError
        If it is damaged, truncated, of mixed dimension or of another encoding than UTF-8.
    """
    try:
        words, vectors = _parsed(source)
    except UnicodeDecodeError as error:
        raise ValueError(f"{source} must be UTF-8 text, but it is not ({error.reason}).") from None
    except (EOFError, OSError, lzma.LZMAError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{source} is damaged or truncated ({error}); get it again.") from None
    if _OFFICIAL.search(source) and len(words) != _OFFICIAL_WORDS:
        raise ValueError(
            f"{source} must have {_OFFICIAL_WORDS:,} words, got {len(words):,}; it is truncated: get it again."
        )
    first: dict[str, int] = {}
    for row, word in enumerate(words):
        first.setdefault(word, row)
    if len(first) < len(words):
        words, vectors = list(first), vectors[list(first.values())]
    table = np.zeros((1 + len(words), vectors.shape[1]), dtype=np.float32)
    lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1))
    np.divide(vectors, lengths[:, None], out=table[1:], where=lengths[:, None] > 0, casting="same_kind")
    return tuple(words), table


@contextlib.contextmanager
def _opened(source: str) -> Iterator[IO[bytes]]:
    path, _, member = source.partition(MEMBER)
    if member:
        with zipfile.ZipFile(path) as archive, archive.open(member) as inside:
            yield inside
    elif path.endswith((".gz", ".xz")):
        with (gzip if path.endswith(".gz") else lzma).open(path, "rb") as file:
            yield file
    else:
        with open(path, "rb") as file:
            yield file


def _parsed(source: str) -> tuple[list[str], NDArray[np.float32]]:
    import pandas as pd  # its parser takes seconds where a loop over lines takes minutes

    with _opened(source) as file:
        first = file.readline()
    fields = len(first.split(b" "))
    words: list[str] = []
    blocks = []
    types: dict[int, Any] = {0: str, **dict.fromkeys(range(1, fields), np.float32)}
    try:
        if fields < 2:
            raise ValueError(f"the first line {first[:60]!r}")
        with _opened(source) as file, pd.read_csv(
            file, sep=" ", header=None, quoting=csv.QUOTE_NONE, na_filter=False, dtype=types,
            lineterminator="\n", encoding="utf-8", chunksize=_LINES_AT_ONCE,
        ) as chunks:  # fmt: skip
            for chunk in chunks:
                if chunk.shape[1] != fields:
                    raise ValueError(f"{fields} fields, then {chunk.shape[1]}")
                words += chunk[0].tolist()
                blocks.append(chunk.iloc[:, 1:].to_numpy(dtype=np.float32))
                if not np.isfinite(blocks[-1]).all():
                    raise ValueError("a number that is not finite")
    except UnicodeDecodeError:
        raise
    except ValueError as error:  # also pandas's: a field that is no number, one that is missing, one too many
        found = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise ValueError(
            f"{source} must hold lines of a word and as many numbers each, parted by single blanks, but it has: "
            f"{found}. It is truncated or of mixed dimension; get it again."
        ) from None
    return words, np.concatenate(blocks)
