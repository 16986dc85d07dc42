"""Removes from the store what is stale, once it has been listed and ``--yes`` is given: ``make prune ARGS=--yes``.

Stale is a fit or an attack that no run refers to, that is damaged, or that another version of its method made; a run
whose fit is gone; what a killed process left half written; and the logs of sweeps that ended more than a day
ago. A fit or an attack that was killed and can go on is not.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pipeline.config.build import locate
from pipeline.errors import UserError
from pipeline.run_log import BEGUN, FAILED, RECORD
from pipeline.store import is_locked, read_checked, read_config
from pipeline.sweep_table import FILE as SWEEP_TABLE
from scripts.inventory import DAMAGED, attack_entries, damaged_votes, fit_entries, folders, references, shown_size, size
from scripts.records.command import run_command
from scripts.records.settings import CONF, read_yaml

_DAY = 86_400.0  # seconds


def stale(outputs: Path) -> list[tuple[Path, str]]:
    """What may go, and why, in an order in which it can be removed; nothing that a process is at work on.

    Raises
    ------
    UserError
        The record of a run is damaged: what it refers to is not known, so nothing may go.
    """
    records = [path for name in (RECORD, BEGUN, FAILED) for path in sorted((outputs / "runs").glob(f"*/{name}"))]
    for path in records:
        stored = read_checked(path)
        if stored.content is None:
            raise UserError(
                f"{path} is damaged ({stored.damage or 'it is gone'}), "
                "so the fit and the attack that it refers to are not known. "
                "Remove that folder, or run its command again, before anything is pruned."
            )
    found = [*_fits(outputs), *_attacks(outputs)]
    gone = {path.name for path, _ in found if path.is_dir()}
    found += _runs(outputs, gone)
    found += [
        (path, "left by a killed process")
        for folder in (folder for kind in ("fits", "attacks", "runs") for folder in folders(outputs / kind))
        for path in sorted(folder.glob(".*.tmp"))
        if not path.is_symlink() and not is_locked(folder)
    ]
    return [*found, *_sweeps(outputs)]


def _fits(outputs: Path) -> Iterator[tuple[Path, str]]:
    known = references(outputs)
    for entry in fit_entries(outputs):
        folder = entry.folder
        if is_locked(folder):
            continue
        version = _other_version(folder, "model", next(iter(sorted(folder.glob("votes_*.json"))), folder / "absent"))
        if folder.name not in known and not (folder / BEGUN).exists():
            yield folder, "no run refers to it"
        elif version:
            yield folder, version
        else:
            for shard in damaged_votes(folder):
                yield shard, "damaged votes, which a run trains again"


def _attacks(outputs: Path) -> Iterator[tuple[Path, str]]:
    known = references(outputs)
    for entry in attack_entries(outputs):
        folder = entry.folder
        if is_locked(folder):
            continue
        if entry.state == DAMAGED:
            yield folder, entry.progress
        elif folder.name not in known and not (folder / BEGUN).exists():
            yield folder, "no run refers to it"
        elif version := _other_version(folder, "attack", folder / "provenance.json"):
            yield folder, version


def _runs(outputs: Path, gone: set[str]) -> Iterator[tuple[Path, str]]:
    """Runs whose fit is gone; one that lost its attack only still speaks for its fit."""
    for folder in folders(outputs / "runs"):
        name = (read_checked(folder / RECORD).content or {}).get("fit")
        if name and not is_locked(folder) and (name in gone or not (outputs / "fits" / name).is_dir()):
            yield folder, f"its fit {name} is {'stale' if name in gone else 'gone'}"


def _sweeps(outputs: Path) -> Iterator[tuple[Path, str]]:
    for folder in folders(outputs / "sweeps"):
        ended = not list(folder.glob("job_*.json")) or time.time() - folder.stat().st_mtime > 30 * _DAY
        if ended and time.time() - folder.stat().st_mtime > _DAY:
            keeps = (folder / SWEEP_TABLE).is_file()  # the results of the sweep stay, the logs of its engine go
            gone = [path for path in folders(folder) if path.name == ".submitit"] if keeps else [folder]
            yield from ((path, "logs of a sweep that has ended") for path in gone)


def _other_version(folder: Path, group: str, facts_file: Path) -> str:
    """Names the version of the method that made the folder if it is not the present one; '' where that is not known."""
    facts, config = read_checked(facts_file).content or {}, read_config(folder / "config.yaml").content or {}
    about = facts.get("provenance", facts)
    made = about.get("method_version") if isinstance(about, dict) else None
    if made is None or not isinstance(config.get(group), dict):
        return ""
    if config[group].get("_target_") not in _targets(group):  # code is found by the names of conf/ alone
        return ""
    try:
        present = getattr(locate(group, config[group]), "method_version", 1)
    except UserError:  # an extra is not installed here
        return ""
    return "" if made == present else f"made by version {made} of its method, which is at {present}"


@cache
def _targets(group: str) -> frozenset[str]:
    """The ``_target_`` of every config of a group."""
    configs = (read_yaml(path) or {} for path in (CONF / group).rglob("*.yaml"))
    return frozenset(str(config["_target_"]) for config in configs if "_target_" in config)


def main(words: list[str] | None = None) -> int:
    """List what is stale; remove it on request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outputs", default="outputs", help="folder that the runs wrote to (paths.outputs)")
    parser.add_argument("--yes", action="store_true", help="remove what is listed")
    given = parser.parse_args(words)
    outputs = Path(given.outputs)
    if not outputs.is_dir():
        print(f"error: there is no folder {outputs}; run something first or give --outputs.", file=sys.stderr)
        return 2
    if not (outputs / "runs").is_dir():
        print(f"error: {outputs} must be a folder that runs wrote to, but it has no runs/.", file=sys.stderr)
        return 2
    try:
        found, total = stale(outputs), 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for path, why in found:
        count = size(path) if path.is_dir() else path.stat().st_size
        total += count
        print(f"  {shown_size(count):>7}  {path.relative_to(outputs)}  ({why})")
        if given.yes:
            _remove(path)
    if not found:
        print("Nothing is stale.")
    elif given.yes:
        print(f"Removed {len(found)}, {shown_size(total)}.")
    else:
        print(f"{len(found)} stale, {shown_size(total)}. Nothing was removed: `make prune ARGS=--yes` removes these.")
    return 0


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
        if path.suffix == ".npz":
            path.with_suffix(".json").unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(run_command(main))
