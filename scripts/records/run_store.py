"""Reads the finished work in ``outputs/``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.store import read_json, sealed
from scripts.records.settings import described, read_yaml
from scripts.records.traces import late_gain, mean_best

_ATTACK_SETTINGS = ("score", "similarity_threshold", "keep_equal")


class RunStore:
    """The runs of an outputs folder; damaged ones are left out.

    Parameters
    ----------
    outputs : Path
        The folder that runs wrote to (paths.outputs).
    """

    def __init__(self, outputs: Path) -> None:
        self.outputs = outputs
        self._examples: dict[str, pd.DataFrame] = {}

    def evaluations(self) -> pd.DataFrame:
        rows = []
        for path in sorted((self.outputs / "fits").glob("*/evaluation_*.json")):
            found, record = read_json(path), self.record(path.parent.name)
            if isinstance(found, dict) and record.get("config"):
                config = record["config"]
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
            record = self.record(folder.name)
            config = record.get("config")
            if sealed(folder)[0] is None or not config:
                continue
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
        facts = read_json(folder / "provenance.json")
        if not folder.is_dir():  # a fit: what its first shard records
            folder = self.outputs / "fits" / run
            shard = read_json(next(iter(sorted(folder.glob("votes_*.json"))), folder / "absent"))
            facts = shard.get("provenance") if isinstance(shard, dict) else None
        return {**(facts if isinstance(facts, dict) else {}), "config": read_yaml(folder / "config.yaml")}
