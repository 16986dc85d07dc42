"""Reads the finished work in ``outputs/``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.convergence import late_gain
from pipeline.store import Stored, read_checked, read_config, read_evaluation, read_shard_facts, sealed
from scripts.records.settings import described
from scripts.records.traces import mean_best

_ATTACK_SETTINGS = ("score", "similarity_threshold", "keep_equal")


class RunStore:
    """The runs of an outputs folder; damaged ones are left out, and :meth:`notes` says which.

    Parameters
    ----------
    outputs : Path
        The folder that runs wrote to (paths.outputs).
    """

    def __init__(self, outputs: Path) -> None:
        self.outputs = outputs
        self._examples: dict[str, pd.DataFrame] = {}
        self._damage: dict[str, str] = {}
        self._unverified: set[str] = set()

    def notes(self) -> list[str]:
        """What was left out, and why, and how much of the rest has no checksum; of what has been read so far."""
        found = [f"Left out, for it is damaged: {folder} ({why})." for folder, why in self._damage.items()]
        if found:
            found.append("The commands of these runs make them again.")
        if self._unverified:
            found.append(f"{len(self._unverified)} folders have files without checksums, which were not verified.")
        return found

    def _checked(self, folder: Path, *files: Stored) -> bool:
        """Whether all files are there and whole; notes what is damaged and what has no checksum."""
        name = f"{folder.parent.name}/{folder.name}"
        damage = [stored.damage for stored in files if stored.damage]
        if damage:
            known = self._damage.get(name)
            self._damage[name] = "; ".join(dict.fromkeys([*([known] if known else []), *damage]))
        whole = all(stored.content is not None for stored in files)
        if whole and not all(stored.verified for stored in files):
            self._unverified.add(name)
        return whole

    def evaluations(self) -> pd.DataFrame:
        rows = []
        for path in sorted((self.outputs / "fits").glob("*/evaluation_*.json")):
            evaluation, record = read_evaluation(path), self.record(path.parent.name)
            found, config = evaluation.content, record["config"]
            if not self._checked(path.parent, evaluation, *self._files(path.parent)):
                continue
            if found is not None and config:
                config["model"]["voting"] = found.get("voting", "hard")  # the stored votes do not depend on it
                kept = {k: v for k, v in found.items() if k != "accuracy_per_vote"}
                about = {
                    "data_notes": tuple((record.get("data") or {}).get("notes", ())),
                    "device": record.get("device", ""),
                    "folder": path.parent.name,
                }
                rows.append({"voting": "hard", **kept, **described(config, found.get("changed")), **about})
        return pd.DataFrame(rows)

    def attacks(self) -> pd.DataFrame:
        rows = []
        for folder in sorted((self.outputs / "attacks").glob("*")):
            damage = sealed(folder)[1]
            if not (folder / "done.json").exists() and not damage:
                continue  # not finished
            done = Stored(None, damage) if damage else read_checked(folder / "done.json")
            if not self._checked(folder, done, *self._files(folder)):
                continue
            record = self.record(folder.name)
            config = record["config"]
            summary: dict[str, Any] = pd.read_csv(folder / "summary.csv").iloc[0].to_dict()
            shape = (record.get("data") or {}).get("feature_shape")
            about = {
                **{name: config["attack"].get(name) for name in _ATTACK_SETTINGS},
                "late_gain": late_gain(self.trace(folder.name)),
                "attack_notes": tuple(record.get("attack_notes", ())),
                "feature_shape": "x".join(map(str, shape)) if shape else None,
                "folder": folder.name,
            }
            rows.append({"voting": "hard", **summary, **described(config, record.get("changed")), **about})
        return pd.DataFrame(rows)

    def examples(self, run: str) -> pd.DataFrame:
        if run not in self._examples:
            self._examples[run] = self.table(run, "examples").set_index("index")
        return self._examples[run]

    def trace(self, run: str) -> pd.DataFrame:
        """The whole trace of an attack; no rows where it has no distances."""
        path = self.outputs / "attacks" / run / "trace.csv"
        return pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["index", "restart", "queries", "l2"])

    def curve(self, run: str) -> pd.DataFrame:
        return mean_best(self.trace(run))

    def table(self, run: str, name: str) -> pd.DataFrame:
        return pd.read_csv(self.outputs / "attacks" / run / f"{name}.csv")

    def adversarials(self, run: str) -> dict[str, np.ndarray] | None:
        path = self.outputs / "attacks" / run / "adversarials.npz"
        if not path.is_file():
            return None
        with np.load(path) as stored:
            return {name: stored[name] for name in ("index", "label", "original", "adversarial")}

    def record(self, run: str) -> dict[str, Any]:
        folder = self.outputs / "attacks" / run
        if not folder.is_dir():
            folder = self.outputs / "fits" / run
        config, about = self._files(folder)
        facts = (about.content or {}) if folder.parent.name == "attacks" else (about.content or {}).get("provenance")
        return {**(facts if isinstance(facts, dict) else {}), "config": config.content}

    def _files(self, folder: Path) -> tuple[Stored, Stored]:
        """The configuration of a run and what it records: of a fit, that is in its first shard."""
        config = read_config(folder / "config.yaml")
        if folder.parent.name == "attacks":
            return config, read_checked(folder / "provenance.json")
        return config, read_shard_facts(next(iter(sorted(folder.glob("votes_*.json"))), folder / "absent"))
