"""What is stored in ``outputs/``: every fit, attack and run, whether it is finished, and how to go on with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.run_log import BEGUN, FAILED, RECORD
from pipeline.store import is_locked, read_json, sealed
from scd.files import file_sha256
from scripts.records.settings import read_yaml

FINISHED, RUNNING, STOPPED, FAILED_RUN, DAMAGED = "finished", "running", "stopped", "failed", "damaged"


@dataclass(frozen=True)
class Entry:
    """A fit, an attack or a run of the store."""

    folder: Path
    state: str
    """finished, running, stopped (killed or interrupted: goes on with its command), failed (a run), damaged."""
    seconds: float
    """Wall time spent so far."""
    size: int
    """Bytes."""
    progress: str
    """How much there is, or what is damaged."""
    command: str
    """What finishes or repeats it; '' where it is not known."""


def fit_entries(outputs: Path) -> list[Entry]:
    """The fits, by name."""
    return [_fit(folder) for folder in folders(outputs / "fits")]


def attack_entries(outputs: Path) -> list[Entry]:
    """The attacks, by name."""
    return [_attack(folder) for folder in folders(outputs / "attacks")]


def unfinished_runs(outputs: Path) -> list[Entry]:
    """Runs that failed, and those at work or killed, by name."""
    return [entry for folder in folders(outputs / "runs") if (entry := _run(folder)) is not None]


def damaged_votes(folder: Path) -> list[Path]:
    """Shards of a fit that nobody is at work on, whose description is missing or whose checksum does not match."""
    if is_locked(folder):
        return []
    return [path for path in sorted(folder.glob("votes_*.npz")) if not path.is_symlink() and not _whole(path)]


def _whole(shard: Path) -> bool:
    facts = read_json(shard.with_suffix(".json"))
    return isinstance(facts, dict) and facts.get("sha256") == file_sha256(shard)


def _fit(folder: Path) -> Entry:
    config, facts = read_yaml(folder / "config.yaml") or {}, [read_json(p) for p in folder.glob("votes_*.json")]
    known = [f for f in facts if isinstance(f, dict) and {"first", "last", "seconds"} <= set(f)]
    votes = sum(f["last"] - f["first"] + 1 for f in known)
    model = config.get("model", {})
    wanted = model.get("n_votes", votes)
    seconds = sum(f["seconds"] for f in known) + sum(_number(p) for p in folder.glob("unfinished_*.json"))
    state = RUNNING if is_locked(folder) else FINISHED if 0 < wanted <= votes else STOPPED
    words = f"python run.py dataset={config.get('dataset', {}).get('name')} model={model.get('name')} attack=none"
    command = _command(folder / BEGUN) or (words if config and state == STOPPED else "")
    return Entry(folder, state, seconds, size(folder), f"{votes} of {max(wanted, votes)} votes", command)


def _attack(folder: Path) -> Entry:
    facts, damage = sealed(folder)
    if facts is not None:
        return Entry(folder, FINISHED, float(facts.get("seconds", 0.0)), size(folder), "", "")
    command = _command(folder / BEGUN)
    saved = "goes on from its saved state" if (folder / "state.npz").exists() else "nothing saved yet"
    state = RUNNING if is_locked(folder) else DAMAGED if damage else STOPPED
    return Entry(folder, state, _number(folder / "elapsed.json"), size(folder), damage or saved, command)


def _run(folder: Path) -> Entry | None:
    failed, begun = read_json(folder / FAILED), read_json(folder / BEGUN)
    if isinstance(begun, dict):
        state = RUNNING if is_locked(folder) else STOPPED
        doing = "attacks or evaluates" if "fit" in begun else "fits"
        at = f"{doing}, on {begun.get('host')}, process {begun.get('pid')}"
        return Entry(folder, state, 0.0, size(folder), at, str(begun.get("command", "")))
    if isinstance(failed, dict):
        return Entry(folder, FAILED_RUN, 0.0, size(folder), str(failed.get("error")), str(failed.get("command", "")))
    return None


def references(outputs: Path) -> set[str]:
    """Names of the fits and attacks that a run led to, is at work on, or was judged by."""
    found = set()
    for folder in folders(outputs / "runs"):
        for name in (RECORD, BEGUN, FAILED):
            record = read_json(folder / name)
            if isinstance(record, dict):
                found |= {str(record[key]) for key in ("fit", "attack") if record.get(key)}
                found |= set(map(str, record.get("judges") or []))
    for folder in folders(outputs / "attacks"):
        facts = read_json(folder / "provenance.json")
        if isinstance(facts, dict) and folder.name in found:
            found |= {str(facts.get("fit")), *map(str, facts.get("judged_by") or [])}
    return found


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_symlink() or path.is_file())


def shown_size(count: int) -> str:
    """Bytes for a reader."""
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count = count // 1000
    return f"{count} GB"


def shown_time(seconds: float) -> str:
    """Seconds for a reader."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def folders(parent: Path) -> list[Path]:
    """The folders in `parent`, by name; links are not followed."""
    if parent.is_symlink():
        return []
    return sorted(path for path in parent.glob("*") if path.is_dir() and not path.is_symlink())


def _command(path: Path) -> str:
    facts = read_json(path)
    return str(facts.get("command", "")) if isinstance(facts, dict) else ""


def _number(path: Path) -> float:
    value: Any = read_json(path)
    return float(value) if isinstance(value, (int, float)) else 0.0
