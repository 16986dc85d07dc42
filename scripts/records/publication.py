"""The published form of finished runs: a few tables that hold every number, written and read here.

docs/results/schema.md describes the files and every column.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import UserError
from pipeline.store import read_json
from scd.files import write_bytes

RUNS = "runs.csv"
FILES = {
    "runs": RUNS,
    "examples": "examples.csv.xz",
    "evaluations": "details/evaluations.csv.gz",
    "votes": "details/votes.csv.gz",
    "attacks": "details/attacks.csv.gz",
    "traces": "details/traces.csv.gz",
    "transfer": "details/transfer.csv.gz",
    "pairs": "details/pairs.csv.gz",
    "curve": "details/curve.csv.gz",
    "levels": "details/levels.csv.gz",
}
"""The tables of a publication, each with a first column ``run``."""
SCALE = "publication.json"
"""Names the scale of the tables, figures and the report of a publication are."""
RECORDS, PICTURES = "details/records.jsonl.gz", "details/adversarials.npz"

_TEXT = dict.fromkeys(("run", "key", "fit", "commit", "settings", "command", "method_version"), str)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass
class Published:
    """The content of a publication.

    Parameters
    ----------
    tables : dict of DataFrame
        By the names of ``FILES``.
    records : dict
        Configuration and provenance by run.
    pictures : dict of dict of ndarray
        Originals and adversarials by run, of the runs whose data set may be published.
    """

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    pictures: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def updated(self, new: Published) -> Published:
        """These runs and those of `new`, which replace runs of the same name."""
        replaced = set(new.records)
        tables = {}
        for name in FILES:
            kept = self.tables.get(name, pd.DataFrame())
            kept = kept[~kept["run"].isin(replaced)] if len(kept) else kept
            parts = [part for part in (kept, new.tables.get(name, pd.DataFrame())) if len(part)]
            table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["run"])
            tables[name] = table.sort_values("run", kind="stable", ignore_index=True)
        pictures = {run: arrays for run, arrays in self.pictures.items() if run not in replaced}
        return Published(tables, {**self.records, **new.records}, {**pictures, **new.pictures})

    def write(self, folder: Path) -> None:
        """Write the files, the same bytes for the same content."""
        (folder / "details").mkdir(parents=True, exist_ok=True)
        for name, file in FILES.items():
            write_bytes(folder / file, _compressed(csv_bytes(self.tables[name]), file))
        lines = [json.dumps({"run": run, **self.records[run]}) + "\n" for run in sorted(self.records)]
        write_bytes(folder / RECORDS, gzip.compress("".join(lines).encode(), mtime=0))
        arrays = {f"{run}/{name}": array for run in sorted(self.pictures) for name, array in self.pictures[run].items()}
        stored = io.BytesIO()
        np.savez_compressed(stored, **arrays)
        write_bytes(folder / PICTURES, stored.getvalue())


def read_published(folder: Path) -> Published:
    """What was published in `folder`; nothing where there is no publication.

    Raises
    ------
    UserError
        A file is damaged.
    """
    found = Published()
    if not (folder / RUNS).is_file():
        return found
    try:
        return _read_published(folder, found)
    except (ValueError, KeyError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        what = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"The publication in {folder} is damaged: {what}. Restore it, e.g. with git checkout."
        ) from error


def _read_published(folder: Path, found: Published) -> Published:
    for name, file in FILES.items():
        if (folder / file).is_file():
            found.tables[name] = pd.read_csv(folder / file, dtype=_TEXT, float_precision="round_trip")
    if (folder / RECORDS).is_file():
        for line in gzip.decompress((folder / RECORDS).read_bytes()).decode().splitlines():
            record = json.loads(line)
            found.records[record.pop("run")] = record
    if (folder / PICTURES).is_file():
        with np.load(folder / PICTURES) as stored:
            for name in stored.files:
                run, array = name.split("/")
                found.pictures.setdefault(run, {})[array] = stored[name]
    return found


def recorded_scale(folder: Path) -> str:
    """The scale that the publication in `folder` shows; ``paper`` where it names none."""
    facts = read_json(folder / SCALE)
    return str(facts.get("scale", "paper")) if isinstance(facts, dict) else "paper"


class Publication:
    """The runs that were published in a folder.

    Parameters
    ----------
    folder : Path
        A folder that ``make publish`` wrote, such as docs/results.
    """

    def __init__(self, folder: Path) -> None:
        self.content = read_published(folder)
        self._by_run: dict[str, dict[str, pd.DataFrame]] = {}
        self._examples: dict[str, pd.DataFrame] = {}

    def notes(self) -> list[str]:
        """None: what is damaged is left out before it is published."""
        return []

    def evaluations(self) -> pd.DataFrame:
        table = self._renamed("evaluations")
        notes = [tuple((self.record(run).get("data") or {}).get("notes", ())) for run in table["folder"]]
        devices = [self.record(run).get("device", "") for run in table["folder"]]
        return table.assign(data_notes=notes, device=devices)

    def attacks(self) -> pd.DataFrame:
        table = self._renamed("attacks")
        return table.assign(attack_notes=[tuple(self.record(run).get("attack_notes", ())) for run in table["folder"]])

    def _renamed(self, name: str) -> pd.DataFrame:
        return self.content.tables.get(name, pd.DataFrame(columns=["run"])).rename(columns={"run": "folder"})

    def examples(self, run: str) -> pd.DataFrame:
        if run not in self._examples:
            self._examples[run] = self.table(run, "examples").set_index("index")
        return self._examples[run]

    def curve(self, run: str) -> pd.DataFrame:
        return self.table(run, "traces")

    def table(self, run: str, name: str) -> pd.DataFrame:
        if name not in self._by_run:
            table = self.content.tables.get(name, pd.DataFrame(columns=["run"]))
            self._by_run[name] = {
                str(key): rows.drop(columns="run").reset_index(drop=True) for key, rows in table.groupby("run")
            }
        return self._by_run[name][run]

    def adversarials(self, run: str) -> dict[str, np.ndarray] | None:
        return self.content.pictures.get(run)

    def record(self, run: str) -> dict[str, Any]:
        return self.content.records.get(run, {})


def _compressed(content: bytes, file: str) -> bytes:
    if file.endswith(".xz"):  # a quarter smaller than gzip's, for the largest file
        return lzma.compress(content)
    return gzip.compress(content, mtime=0) if file.endswith(".gz") else content


def csv_bytes(table: pd.DataFrame, digits: int | None = None) -> bytes:
    """A table as CSV, numbers in full or rounded to so many significant digits.

    Text that a spreadsheet would run as a formula is preceded by an apostrophe.
    """
    texts = [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]
    safe = table.assign(**{str(name): [_as_text(value) for value in table[name]] for name in texts})
    rounded = None if digits is None else f"%.{digits}g"
    return safe.to_csv(index=False, lineterminator="\n", float_format=rounded).encode()


def _as_text(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def in_order(table: pd.DataFrame, first: Iterable[str]) -> pd.DataFrame:
    """The columns `first`, then the others in their order."""
    names = list(first)
    return table[[*names, *(name for name in table if name not in names)]]
