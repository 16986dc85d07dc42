"""Copies the records of finished runs to where they can be committed, and renders tables, figures and report of them.

``make publish`` takes everything that a reader needs to check a number, and nothing that is not ours to publish or does
not belong to the result: no weights, no texts, no pictures but of the embedded digits, no folders of the machine.
Records of earlier calls stay, so that what was run at different times adds up. A fit has the same name whatever device
it was trained on, and its votes differ a little: the record of the device that came first stays, and the attacks' own
records say what they were run on.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from pathlib import Path
from typing import Any

import yaml

from pipeline.store import read_json, seal, sealed, write_yaml
from scd.files import write_bytes, write_json
from scripts.tables.write import render

OURS_TO_SHOW = "digits"
"""The data set whose pictures may be published: it comes with scikit-learn, under its licence."""

_FOLDERS = ("data_dir", "outputs_dir")


def publish(outputs: Path, to: Path) -> tuple[int, int, list[str]]:
    """Copy the records of all fits and finished attacks in `outputs` to the folder `to`.

    Returns
    -------
    fits, attacks : int
        How many were copied.
    kept : list of str
        Fits left out, for their records are already there, of votes trained on another device.
    """
    fits = [folder for folder in sorted((outputs / "fits").glob("*")) if any(folder.glob("evaluation_*.json"))]
    kept = [folder for folder in fits if _other_device(folder, to / "fits" / folder.name)]
    for folder in fits:
        if folder not in kept:
            _publish_fit(folder, to / "fits" / folder.name)
    attacks = [folder for folder in sorted((outputs / "attacks").glob("*")) if sealed(folder)[0] is not None]
    for folder in attacks:
        _publish_attack(folder, to / "attacks" / folder.name)
    return len(fits) - len(kept), len(attacks), [folder.name for folder in kept]


def _other_device(folder: Path, to: Path) -> bool:
    """Whether `to` holds the record of the same fit trained on another kind of device."""
    ours, theirs = ([_device(path) for path in sorted(each.glob("votes_*.json"))[:1]] for each in (folder, to))
    return bool(theirs) and ours != theirs


def _device(path: Path) -> str:
    """``cpu`` or ``cuda``, of a shard's record."""
    return str(read_json(path)["provenance"]["device"]).split(" ")[0]


def _publish_fit(folder: Path, to: Path) -> None:
    """The evaluations, the configuration and the provenance of the first shard."""
    to.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("evaluation_*.json"):
        write_bytes(to / path.name, path.read_bytes())
    _publish_config(folder, to)
    for path in sorted(folder.glob("votes_*.json"))[:1]:
        write_json(to / path.name, without_folders(read_json(path)))


def _publish_attack(folder: Path, to: Path) -> None:
    """Everything but pictures and texts; the trace, which is long, compressed."""
    to.mkdir(parents=True, exist_ok=True)
    facts = read_json(folder / "done.json")
    names = []
    for name in facts.pop("sha256"):
        content = (folder / name).read_bytes()
        if name == "trace.csv":
            name, content = "trace.csv.gz", gzip.compress(content, mtime=0)
        if name.endswith((".npz", ".jsonl")) and not folder.name.startswith(f"{OURS_TO_SHOW}-"):
            continue
        if name == "config.yaml":
            _publish_config(folder, to)
        elif name == "provenance.json":
            write_json(to / name, without_folders(read_json(folder / name)))
        else:
            write_bytes(to / name, content)
        names.append(name)
    seal(to, names, facts)


def _publish_config(folder: Path, to: Path) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    for name in _FOLDERS:
        for group in ("dataset", "attack"):
            config.get(group, {}).pop(name, None)
    write_yaml(to / "config.yaml", without_folders(config))


def without_folders(value: Any) -> Any:
    """`value` with every absolute path in it cut to its last part, and no ``paths.`` among the words of a command."""
    if isinstance(value, dict):
        return {name: without_folders(each) for name, each in value.items()}
    if isinstance(value, list):
        return [without_folders(each) for each in value]
    if isinstance(value, str):
        if value.startswith("/"):
            return Path(value).name
        if value.startswith("python "):
            return " ".join(word for word in value.split(" ") if not word.startswith("paths."))
    return value


def main(words: list[str] | None = None) -> int:
    """Publish and say what."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outputs", default="outputs", help="folder that the runs wrote to (paths.outputs)")
    parser.add_argument("--to", default="docs/results", help="folder that the records are copied to")
    parser.add_argument("--scale", default="paper", help="the scale of the runs that tables, figures and report show")
    given = parser.parse_args(words)
    outputs, to = Path(given.outputs), Path(given.to)
    if not outputs.is_dir():
        print(f"error: there is no folder {outputs}; run something first or give --outputs.", file=sys.stderr)
        return 2
    if outputs.resolve() == to.resolve():
        print("error: --to must be another folder than --outputs.", file=sys.stderr)
        return 2
    fits, attacks, kept = publish(outputs, to)
    render(to, given.scale)
    for name in kept:
        print(f"The record of {name} in {to}/ stays: its votes were trained on another device.")
    print(f"Published {fits} fits and {attacks} attacks to {to}/, with tables and figures of all records there.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
