"""The store of finished work under ``outputs/``: keys, locks, atomic writes, checksums."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from pipeline.errors import UserError
from scd.files import file_sha256, write_bytes, write_json

_CHECKSUM = "checksum"
_IN_YAML = b"# checksum: "
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_SHARD = re.compile(r"votes_(\d+)-(\d+)")


def key_of(**parts: Any) -> str:
    """16 hex digits that depend on the JSON of `parts` alone."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Stored:
    """What a file of the store holds."""

    content: dict[str, Any] | None
    """Without the checksum; None for a file that is missing or damaged."""
    damage: str = ""
    """What is wrong with a file that is there, as ``provenance.json does not match its checksum``; else ''."""
    verified: bool = False
    """Whether a checksum was there and matched: files of versions before checksums have none."""


def is_plain_name(name: Any) -> bool:
    """Whether `name` can be part of a folder's name: letters, digits, ``_`` and ``-``."""
    return isinstance(name, str) and _PLAIN.fullmatch(name) is not None


def write_checked(path: Path, value: dict[str, Any]) -> None:
    """Write a mapping as JSON with a checksum of its content, atomically; read it by :func:`read_checked`."""
    content = json.loads(json.dumps(value, default=str))  # as it will be read
    write_json(path, {**content, _CHECKSUM: key_of(**content)})


def read_checked(path: Path) -> Stored:
    """The mapping in a file of :func:`write_checked`, with its checksum compared."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return Stored(None)
    except (OSError, ValueError, RecursionError):
        return Stored(None, f"{path.name} cannot be read")
    if not isinstance(content, dict):
        return Stored(None, f"{path.name} does not hold a mapping")
    known = content.pop(_CHECKSUM, None)
    if known is None:
        return Stored(content)
    if known != key_of(**content):
        return Stored(None, f"{path.name} does not match its checksum")
    return Stored(content, verified=True)


def write_config(path: Path, value: dict[str, Any]) -> None:
    """Write a mapping as YAML whose last line is a comment with the checksum of the others, atomically."""
    content = yaml.safe_dump(value, sort_keys=False).encode()
    write_bytes(path, content + _IN_YAML + hashlib.sha256(content).hexdigest().encode() + b"\n")


def read_config(path: Path) -> Stored:
    """The mapping in a file of :func:`write_config`, with its checksum compared."""
    try:
        whole = path.read_bytes()
        lines, mark, known = whole.rpartition(_IN_YAML)
        if mark and known.strip() != hashlib.sha256(lines).hexdigest().encode():
            return Stored(None, f"{path.name} does not match its checksum")
        content = yaml.safe_load(whole)  # not by the C loader, which deep nesting crashes
    except FileNotFoundError:
        return Stored(None)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return Stored(None, f"{path.name} cannot be read")
    if not isinstance(content, dict):
        return Stored(None, f"{path.name} does not hold a mapping")
    return Stored(content, verified=bool(mark))


def read_shard_facts(shard: Path) -> Stored:
    """The description of a shard of votes, given by its npz or json: its name must agree with the numbers in it."""
    stored = read_checked(shard.with_suffix(".json"))
    if stored.content is None:
        return stored
    facts, name = stored.content, _SHARD.fullmatch(shard.stem)
    numbers = [int(number) for number in name.groups()] if name else []
    seconds = facts.get("seconds")
    if numbers != [facts.get("first"), facts.get("last")] or not isinstance(seconds, (int, float)):
        return Stored(None, f"{shard.with_suffix('.json').name} does not agree with its name")
    return stored


def read_evaluation(path: Path) -> Stored:
    """An evaluation of a fit; its ``key``, the checksum of versions before :func:`write_checked`, is compared too."""
    stored = read_checked(path)
    if stored.content is None:
        return stored
    content = dict(stored.content)
    key = content.pop("key", None)
    if key is not None and key != key_of(**content):
        return Stored(None, f"{path.name} does not match its checksum")
    named = re.match(r"evaluation_(\d+)(_mean)?", path.name)
    voting = "mean" if named and named[2] else "hard"
    if not named or content.get("n_votes") != int(named[1]) or content.get("voting", "hard") != voting:
        return Stored(None, f"{path.name} does not agree with its name")
    return Stored(content, verified=stored.verified or key is not None)


def read_json(path: Path) -> Any:
    """The JSON in `path`, of a file without a checksum; None if there is no file or it is damaged."""
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
    write_checked(folder / "done.json", {**facts, "sha256": {name: file_sha256(folder / name) for name in names}})


def sealed(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """The facts of a complete folder (else None), and the damage of one that was complete (else '')."""
    stored = read_checked(folder / "done.json")
    if stored.content is None:
        return None, stored.damage
    digests = stored.content.get("sha256")
    if not isinstance(digests, dict):
        return None, "done.json is damaged"
    for name, digest in digests.items():
        path = folder / name
        if Path(name).name != name or path.is_symlink():
            return None, f"{name} is not a file of this folder"
        if not path.is_file() or file_sha256(path) != digest:
            return None, f"{name} is damaged or missing"
    return stored.content, ""
