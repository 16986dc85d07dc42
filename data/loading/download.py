"""Official files through torchvision: read where they are, else downloaded, with locks, timeouts and clean-up.

torchvision neither waits for another process that downloads the same file, nor removes half a file, nor gives up on a
network that does not answer.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.loading.options import ensure_data_folder

NETWORK_TIMEOUT = 30.0  # seconds without an answer
DOWNLOAD_ERRORS = (
    OSError,
    RuntimeError,
    EOFError,
    http.client.HTTPException,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What downloading, checking and unpacking an archive may raise."""

_UNREADABLE = (RuntimeError, OSError, ValueError, AssertionError, TypeError, KeyError)
"""What torchvision's readers raise on missing or damaged files."""


def train_and_test(name: str, folder: Path, files: Path, products: Sequence[Path], how_to_get: str) -> tuple[Any, Any]:
    """Read both parts of a data set of ``torchvision.datasets``, downloading it first where it is missing or damaged.

    Parameters
    ----------
    name : str
        Name of the class there, such as ``CIFAR10``; it takes ``(root, train=..., download=...)``.
    folder : Path
        The data folder, torchvision's ``root``.
    files : Path
        Where torchvision keeps the official files, for the error message.
    products : sequence of Path
        Files that an interrupted download may leave incomplete.
    how_to_get : str
        Clause for the error message: what to put where by hand.

    Returns
    -------
    train, test
        Two objects of that class.

    Raises
    ------
    FileNotFoundError
        If there are no usable files and they cannot be downloaded; a clause for `data.loading.cache.load_or_make`.
    """
    ensure_data_folder(folder)
    official = getattr(import_torchvision_datasets(), name)
    root = str(folder)
    try:
        return official(root, train=True), official(root, train=False)
    except _UNREADABLE:
        state = f"{files} is {'incomplete or damaged' if files.is_dir() else 'not there'}"
    try:
        with guarded_download(folder, name.lower(), products):
            return official(root, train=True, download=True), official(root, train=False)
    except (*DOWNLOAD_ERRORS, *_UNREADABLE) as error:
        raise FileNotFoundError(f"{state} and downloading it failed ({on_one_line(error)}); {how_to_get}") from error


def import_torchvision_datasets() -> Any:
    """Import ``torchvision.datasets``, only where it is needed: it is slow to import and the cache does not need it."""
    try:
        import torchvision.datasets
    except ImportError as error:
        raise FileNotFoundError(f"torchvision is not installed ({error}); pip install torchvision") from error
    return torchvision.datasets


def on_one_line(error: BaseException) -> str:
    """Give an error's text, or its kind where it has none, without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


def unpack_part(url: str, md5: str, base: Path, part: str) -> None:
    """Download a zip archive into `base`, unless it is there, and put one part of it there, whole or not at all.

    To be called within :func:`guarded_download`.

    Parameters
    ----------
    url : str
        The archive; the last part of the address is its file name.
    md5 : str
        Checksum (hex) of the archive.
    base : Path
        Folder, made where it is missing.
    part : str
        Path of a file or folder in the archive, which becomes ``base / part``.

    Raises
    ------
    One of `DOWNLOAD_ERRORS`, or FileNotFoundError if torchvision is not installed.
    """
    utils = import_torchvision_datasets().utils
    unpacked = base / f".{Path(part).name}.unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)  # of a process that was killed
    try:
        utils.download_and_extract_archive(url, str(base), extract_root=str(unpacked), md5=md5)
        (base / part).parent.mkdir(parents=True, exist_ok=True)
        os.replace(unpacked / part, base / part)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


@contextmanager
def guarded_download(folder: Path, name: str, products: Sequence[Path]) -> Iterator[None]:
    """Download into a folder: one process at a time, no incomplete files, no endless waiting.

    Parameters
    ----------
    folder : Path
        Where the lock file ``.<name>.lock`` is put; the lock is released when its process ends.
    name : str
        Processes that give the same name wait for each other.
    products : sequence of Path
        Files removed when the block fails, unless they were there before and have not changed.
    """
    from filelock import FileLock

    with FileLock(str(folder / f".{name}.lock")), _no_incomplete_files(products), _network_timeout(NETWORK_TIMEOUT):
        yield


@contextmanager
def _no_incomplete_files(products: Sequence[Path]) -> Iterator[None]:
    """Remove incomplete files of an interrupted download or a full disk; files that were there before stay."""
    before = [_stamp(path) for path in products]
    try:
        yield
    except BaseException:
        for path, stamp in zip(products, before, strict=True):
            if _stamp(path) != stamp:
                path.unlink(missing_ok=True)
        raise


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    """Let a silent network fail instead of hanging."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
