"""Reads the finished work in ``outputs/``: a row per evaluation and a row per attack."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException

from pipeline.config.build import CANNOT_CHANGE_RESULT
from pipeline.config.check import resolve
from pipeline.config.resolvers import register_resolvers
from pipeline.store import read_json, sealed

_GROUPS = ("dataset", "model", "scale")
PAPER = Path(__file__).parent / "tables" / "paper_tables.csv"


def paper_values() -> pd.DataFrame:
    """The published numbers, one a row: table, dataset, model, attack, metric, value, note."""
    table = pd.read_csv(PAPER, dtype={"table": str})
    table["value"] = pd.to_numeric(table["value"], errors="coerce")  # a few are bounds in words: see the note
    return table.fillna({"attack": "", "note": ""})


def evaluations(outputs: Path, scale: str = "paper") -> pd.DataFrame:
    """A row per evaluated ensemble of the store; ``as_configured`` says whether its settings are those of conf/."""
    rows = []
    for path in sorted((outputs / "fits").glob("*/evaluation_*.json")):
        found, config = read_json(path), read_yaml(path.parent / "config.yaml")
        if isinstance(found, dict) and config and found.get("scale") in shown_at(scale):
            kept = {k: v for k, v in found.items() if k != "accuracy_per_vote"}
            config["model"]["voting"] = found.get("voting", "hard")  # the votes in the folder do not depend on it
            facts = _provenance(path.parent)
            about = {
                "data_notes": tuple((facts.get("data") or {}).get("notes", ())),
                "device": facts.get("device", ""),
                "folder": path.parent.name,
            }
            rows.append({"voting": "hard", **kept, **_of(config), **about})
    return pd.DataFrame(rows)


def _provenance(folder: Path) -> dict[str, Any]:
    """Where and of what data vote 0 of a fit was trained."""
    facts = read_json(next(iter(sorted(folder.glob("votes_*.json"))), folder / "absent"))
    return facts.get("provenance", {}) if isinstance(facts, dict) else {}


def attacks(outputs: Path, scale: str = "paper") -> pd.DataFrame:
    """A row per finished attack of the store: its summary and its folder. Damaged ones are left out."""
    rows = []
    for folder in sorted((outputs / "attacks").glob("*")):
        facts, _ = sealed(folder)
        if facts is None:
            continue
        row: dict[str, Any] = pd.read_csv(folder / "summary.csv").iloc[0].to_dict()
        config = read_yaml(folder / "config.yaml")
        if row["scale"] in shown_at(scale) and config:
            gain = late_gain(read_trace(folder))
            about = {"late_gain": gain, "attack_notes": _attack_notes(folder), "path": str(folder)}
            asked = {name: config["attack"].get(name) for name in ("score", "similarity_threshold", "keep_equal")}
            rows.append({"voting": "hard", **row, **_of(config), **asked, **about, "folder": folder.name})
    return pd.DataFrame(rows)


def _attack_notes(folder: Path) -> tuple[str, ...]:
    """What an attack said of the files it worked with."""
    facts = read_json(folder / "provenance.json")
    return tuple(facts.get("attack_notes", ())) if isinstance(facts, dict) else ()


def shown_at(scale: str) -> tuple[str, ...]:
    """The scales whose runs stand in the tables of `scale`: `cpu` only leaves votes and models out of `paper`."""
    return ("cpu", "paper") if scale == "cpu" else (scale,)


def scale_caps(scale: str) -> dict[str, Any]:
    """The settings of ``conf/scale/<scale>.yaml``; none where there is no such file."""
    return read_yaml(PAPER.parents[2] / "conf" / "scale" / f"{scale}.yaml") or {}


def examples(path: str) -> pd.DataFrame:
    """The examples of a finished attack, a row per test row (``index``)."""
    return pd.read_csv(Path(path) / "examples.csv").set_index("index")


def read_trace(folder: Path) -> pd.DataFrame:
    """The trace of a finished attack, empty where it has no distances; that of a published one is compressed."""
    for path in (folder / "trace.csv", folder / "trace.csv.gz"):
        if path.is_file():
            return pd.read_csv(path)
    return pd.DataFrame(columns=["index", "restart", "queries", "l2"])


def late_gain(trace: pd.DataFrame) -> float:
    """How much the second half of the queries still gained: 1 - mean best L2 at the end / at half of them.

    Taken run by run (a point's restart) over the runs whose trace reaches into both halves; NaN where there are none.
    """
    halves = []
    for _, run in trace.groupby(["index", "restart"]):
        early = run.loc[run["queries"] <= run["queries"].max() / 2, "l2"]
        if len(early) and len(early) < len(run):
            halves.append((early.min(), run["l2"].min()))
    if not halves:
        return float("nan")
    half, end = (sum(part) / len(halves) for part in zip(*halves, strict=True))
    return 1 - end / half if half > 0 else 0.0


def _of(config: dict[str, Any]) -> dict[str, Any]:
    """What a table shows or asks of a run's configuration."""
    names, nodes = [config[g]["name"] for g in _GROUPS], config["model"].get("hidden_nodes")
    ours = _settings(config)
    iterations = f"'${{at_most:{50 * (nodes or 0)},${{scale.n_iter}}}}'"
    table5 = (f"model.hidden_nodes={nodes}", f"model.n_iter={iterations}") if nodes else ()
    return {
        "n_iter": config["model"].get("n_iter"),
        "hidden_nodes": nodes,
        "seed": config["seed"],
        "precision": config["model"].get("precision", "float32"),
        "right_for": _right_for(config.get("points") or {}),
        "as_configured": ours == _settings(_composed(*names)),
        "as_in_table5": bool(table5) and ours == _settings(_composed(*names, *table5)),
    }


def _right_for(points: dict[str, Any]) -> int:
    """How many models had to get a point right for it to be drawn."""
    return max(1, len(points.get("models") or ())) if points.get("rule") == "correct_for_all" else 1


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """Data set and model settings that can change a vote; a cell names its precision, which does so by rounding."""
    unessential = CANNOT_CHANGE_RESULT | {"use_votes", "precision"}
    model = {"voting": "hard", **{k: v for k, v in config.get("model", {}).items() if k not in unessential}}
    return {"classes": config.get("dataset", {}).get("classes"), "model": model}


@functools.cache
def _composed(dataset: str, model: str, scale: str, *more: str) -> dict[str, Any]:
    """The configuration that conf/ gives for these words; empty where it does not know them."""
    register_resolvers()
    try:
        with initialize_config_dir(str(PAPER.parents[2] / "conf"), version_base="1.3"):
            words = [f"dataset={dataset}", f"model={model}", f"scale={scale}", "attack=none", *more]
            return resolve(compose("config", overrides=words))
    except HydraException:
        return {}


def read_yaml(path: Path) -> dict[str, Any] | None:
    """The mapping in a YAML file; None if there is none or it is damaged."""
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError):
        return None
    return found if isinstance(found, dict) else None
