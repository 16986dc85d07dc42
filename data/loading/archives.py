"""Compressed files and archives from elsewhere, read with a limit on what they unpack to."""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ARCHIVE_ERRORS = (OSError, EOFError, lzma.LZMAError, zlib.error, zipfile.BadZipFile, RuntimeError)
"""What reading a damaged archive may raise; RuntimeError is zipfile's word for what it cannot decrypt or unpack."""

MAX_RATIO = 200  # unpacked to packed size: texts and word vectors have 2 to 10, pixels of one colour up to 100
FREE_BYTES = 256 << 20  # allowed at any ratio
_BUFFER = 1 << 20  # maximum number of bytes unpacked at a time


def size_limit(packed: int) -> int:
    """How many bytes a file of `packed` bytes may unpack to."""
    return max(FREE_BYTES, MAX_RATIO * packed)


def check_members(path: Path, members: Iterable[zipfile.ZipInfo]) -> None:
    """Refuse members of a zip archive that are encrypted or unpack to far more than any data set would.

    The sizes are those of the archive's directory, beyond which zipfile does not read.

    Raises
    ------
    ValueError
        One sentence that names the archive and the member.
    """
    packed = unpacked = 0
    for member in members:
        if member.flag_bits & 1:
            raise ValueError(
                f"{path} is encrypted ({member.filename}); unpack it with its password and use what is in it."
            )
        packed, unpacked = packed + member.compress_size, unpacked + member.file_size
    if unpacked > size_limit(packed):
        raise ValueError(_too_large(path, packed))


@contextlib.contextmanager
def open_packed(path: Path, member: str = "") -> Iterator[io.BufferedReader]:
    """Open a file to read its bytes, unpacked.

    Parameters
    ----------
    path : Path
        A plain file, a ``.gz`` or ``.xz`` file, or a zip archive.
    member : str
        Name of the file in the archive; empty for what is not a zip archive.

    Raises
    ------
    ValueError
        If the member is encrypted, or, at some read, if the file unpacks to more than :func:`size_limit` allows.
    One of `ARCHIVE_ERRORS`
        If it is damaged.
    """
    with contextlib.ExitStack() as stack:
        packed = path.stat().st_size
        opened: Any
        if member:
            archive = stack.enter_context(zipfile.ZipFile(path))
            info = archive.getinfo(member)
            check_members(path, [info])
            packed, opened = info.compress_size, stack.enter_context(archive.open(info))
        elif path.suffix == ".gz":
            opened = stack.enter_context(gzip.open(path, "rb"))
        elif path.suffix == ".xz":
            opened = stack.enter_context(lzma.open(path, "rb"))
        else:
            opened = stack.enter_context(open(path, "rb", buffering=0))
        yield stack.enter_context(io.BufferedReader(_Limited(opened, path, packed), min(_BUFFER, 8192 + packed)))


def unreadable(path: str | Path, error: Exception) -> str:
    """Say why one of `ARCHIVE_ERRORS` was raised, and what to do."""
    if isinstance(error, OSError) and error.strerror:
        return f"{path} cannot be read ({error.strerror}); change its permissions."
    return f"{path} is damaged or truncated ({error}); get it again."


class _Limited(io.RawIOBase):
    """Bytes of a file, up to the limit."""

    def __init__(self, file: Any, path: Path, packed: int) -> None:
        self._file, self._path, self._packed = file, path, packed
        self._left = size_limit(packed)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count: int = self._file.readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise ValueError(_too_large(self._path, self._packed))
        return count


def _too_large(path: Path, packed: int) -> str:
    return (
        f"{path} must unpack to at most {size_limit(packed):,} bytes, got more from {packed:,} packed bytes; "
        "it is damaged or not a data set."
    )
