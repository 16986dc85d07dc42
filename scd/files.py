"""Files on disk: written whole or not at all, and told apart by their sha256."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file that appears at `path`, whole, when the block ends without an error.

    It is written under the name ``.<name>.<random>.tmp`` in the same folder, flushed to the disk and renamed. After an
    error, nothing of it is left and what was at `path` before is unchanged.

    Yields
    ------
    file : binary file, open for reading and writing

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written.
    """
    path = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename is None:  # a full disk does not say whose
            error.filename = str(path)
        raise


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content` to `path` by :func:`atomic_file`."""
    with atomic_file(path) as file:
        file.write(content)


def write_text(path: str | Path, content: str) -> None:
    """Write `content` to `path`, in UTF-8, by :func:`atomic_file`."""
    write_bytes(path, content.encode())


def write_json(path: str | Path, value: Any, indent: int = 1) -> None:
    """Write `value` to `path` as JSON by :func:`atomic_file`; what JSON has no type for becomes its ``str``."""
    write_text(path, json.dumps(value, indent=indent, default=str) + "\n")


def file_sha256(file: str | Path | IO[bytes]) -> str:
    """sha256 (hex) of a file, given by its path or open for reading; an open one is read from its beginning.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    if isinstance(file, (str, Path)):
        with open(file, "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # any file open for reading


def needs_pyarrow(path: str | Path, error: ImportError) -> str:
    """Return the sentence for a Parquet file that cannot be read without pyarrow, which is missing or too new."""
    import numpy as np  # here, because nothing else in this module needs it

    wanted = "pyarrow" if int(np.__version__.split(".")[0]) >= 2 else "'pyarrow<26'"  # 26 needs NumPy 2
    return f"Reading {path} needs pyarrow; run: pip install {wanted} ({str(error).splitlines()[0].rstrip('.')})."
