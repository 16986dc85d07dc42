"""The store of finished work under ``outputs/``: keys, locks, atomic writes, checksums."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from pipeline.errors import UserError
from scd.files import file_sha256, write_bytes, write_json


def key_of(**parts: Any) -> str:
    """16 hex digits that depend on the JSON of `parts` alone."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_yaml(path: Path, value: Any) -> None:
    """Write `value` as YAML, atomically."""
    write_bytes(path, yaml.safe_dump(value, sort_keys=False).encode())


def read_json(path: Path) -> Any:
    """The JSON in `path`; None if there is no file or it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def outputs_folder(path: str) -> Path:
    """The outputs folder, created and tested for writing.

    Raises
    ------
    UserError
        It cannot be created or written.
    """
    folder = Path(path).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"paths.outputs={path} must be a folder that can be written, but: {error.strerror or error}. "
            "Choose another one with paths.outputs=/some/folder."
        ) from error
    return folder


@contextlib.contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Lock `folder` against all processes, on all machines that share it; the system frees the lock of a killed one.

    Raises
    ------
    UserError
        The file system has no file locks.
    """
    lock = FileLock(str(folder / ".lock"))
    try:
        lock.acquire(timeout=0)
    except NotImplementedError as error:  # what filelock says where flock is missing, as on some network mounts
        raise UserError(
            f"{folder} is on a file system without file locks, which keep two processes from doing the same work: "
            "mount it with locks, or choose another folder with paths.outputs=/some/folder."
        ) from error
    except Timeout:
        print(f"Another process is working on {what} ({folder}); waiting for it.", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> bool:
    """Whether a process holds the lock of `folder`; creates nothing there."""
    if not (folder / ".lock").exists():
        return False
    lock = FileLock(str(folder / ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:  # no process works in a store that cannot be written
        return False
    lock.release()
    return False


def remove_temporaries(folder: Path) -> None:
    """Remove the temporary files of a killed process; call it with the folder locked."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def seal(folder: Path, names: list[str], facts: dict[str, Any]) -> None:
    """Declare a folder complete: write the checksums of its files and `facts`, after everything else."""
    write_json(folder / "done.json", {**facts, "sha256": {name: file_sha256(folder / name) for name in names}})


def sealed(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """The facts of a complete folder (else None), and the damage of one that was complete (else '')."""
    if not (folder / "done.json").exists():
        return None, ""
    facts = read_json(folder / "done.json")
    if not isinstance(facts, dict) or not isinstance(facts.get("sha256"), dict):
        return None, "done.json is damaged"
    for name, digest in facts["sha256"].items():
        path = folder / name
        if not path.is_file() or file_sha256(path) != digest:
            return None, f"{name} is damaged or missing"
    return facts, ""
