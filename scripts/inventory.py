"""What is stored in ``outputs/``: every fit, attack and run, whether it is finished, and how to go on with it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from pipeline.run_log import BEGUN, FAILED, RECORD
from pipeline.stages.timer import read_seconds
from pipeline.store import (
    is_locked,
    is_plain_name,
    read_checked,
    read_config,
    read_evaluation,
    read_shard_facts,
    sealed,
)
from scd.files import file_sha256

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
    facts = read_shard_facts(shard).content
    return facts is not None and facts.get("sha256") == file_sha256(shard)


def _fit(folder: Path) -> Entry:
    stored_config = read_config(folder / "config.yaml")
    stored = [read_shard_facts(path) for path in sorted(folder.glob("votes_*.json"))]
    read = [stored_config, *stored, *map(read_evaluation, sorted(folder.glob("evaluation_*.json")))]
    damage = "; ".join(each.damage for each in read if each.damage)
    config, known = stored_config.content or {}, [each.content for each in stored if each.content is not None]
    votes = len({number for facts in known for number in range(facts["first"], facts["last"] + 1)})
    model = config.get("model", {})
    wanted = model.get("n_votes", votes)
    seconds = sum(facts["seconds"] for facts in known)
    seconds += sum(read_seconds(path)[0] for path in folder.glob("unfinished_*.json"))
    state = DAMAGED if damage else FINISHED if 0 < wanted <= votes else STOPPED
    state = RUNNING if is_locked(folder) else state
    names = config.get("dataset", {}).get("name"), model.get("name")
    words = f"python run.py dataset={names[0]} model={names[1]} attack=none"
    command = _command(folder / BEGUN) or (
        words if all(map(is_plain_name, names)) and state in (STOPPED, DAMAGED) else ""
    )
    progress = f"{votes} of {max(wanted, votes)} votes" + (f"; {damage}" if damage else "")
    return Entry(folder, state, seconds, size(folder), progress, command)


def _attack(folder: Path) -> Entry:
    facts, damage = sealed(folder)
    if facts is not None:
        return Entry(folder, FINISHED, float(facts.get("seconds", 0.0)), size(folder), "", "")
    command = _command(folder / BEGUN)
    saved = "goes on from its saved state" if (folder / "state.npz").exists() else "nothing saved yet"
    state = RUNNING if is_locked(folder) else DAMAGED if damage else STOPPED
    return Entry(folder, state, read_seconds(folder / "elapsed.json")[0], size(folder), damage or saved, command)


def _run(folder: Path) -> Entry | None:
    read = [read_checked(folder / name) for name in (RECORD, BEGUN, FAILED)]
    damage, (_, begun, failed) = "; ".join(r.damage for r in read if r.damage), (r.content for r in read)
    if damage:
        return Entry(folder, RUNNING if is_locked(folder) else DAMAGED, 0.0, size(folder), damage, "")
    if begun is not None:
        state = RUNNING if is_locked(folder) else STOPPED
        doing = "attacks or evaluates" if "fit" in begun else "fits"
        at = f"{doing}, on {begun.get('host')}, process {begun.get('pid')}"
        return Entry(folder, state, 0.0, size(folder), _printable(at), shown_command(begun.get("command")))
    if failed is not None:
        return Entry(
            folder, FAILED_RUN, 0.0, size(folder), _printable(failed.get("error")), shown_command(failed.get("command"))
        )
    return None


def references(outputs: Path) -> set[str]:
    """Names of the fits and attacks that a run led to, is at work on, or was judged by."""
    found = set()
    for folder in folders(outputs / "runs"):
        for name in (RECORD, BEGUN, FAILED):
            record = read_checked(folder / name).content
            if record is not None:
                found |= {str(record[key]) for key in ("fit", "attack") if record.get(key)}
                found |= set(map(str, record.get("judges") or []))
    for folder in folders(outputs / "attacks"):
        facts = read_checked(folder / "provenance.json").content
        if facts is not None and folder.name in found:
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
    return shown_command((read_checked(path).content or {}).get("command"))


def shown_command(command: object) -> str:
    """A stored command, which a reader may paste into a shell; '' unless it only starts Python with plain words."""
    try:
        words = shlex.split(str(command))
    except ValueError:
        return ""
    harmless = words[:1] == ["python"] and shlex.join(words) == command
    return _printable(command) if harmless else ""


def _printable(text: object) -> str:
    """Stored text without what a terminal would act on."""
    return "".join(c if c.isprintable() else "?" for c in str(text))
