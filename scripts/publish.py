"""Publishes finished runs: every number in a few tables, then the paper's tables, figures and report made of them.

``make publish`` writes what a reader needs to check a number. It leaves out weights, texts and images (licences; the
bundled digits are the exception) and machine-specific paths. Runs of earlier calls stay, so that what was run at
different times adds up. A fit has the same name whatever device it was trained on, and its votes differ a little: the
record of the device that came first stays, and the attacks' own records say what they were run on.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.convergence import NOT_FLAT
from pipeline.store import read_evaluation
from scd.files import write_bytes
from scripts.records.command import run_command
from scripts.records.publication import (
    FILES,
    RUNS,
    SCALE,
    Published,
    csv_bytes,
    in_order,
    read_published,
    recorded_scale,
)
from scripts.records.run_store import RunStore
from scripts.records.settings import differing_settings
from scripts.tables.cells import Made
from scripts.tables.write import render

OURS_TO_SHOW = "digits"
"""The data set whose images may be published: it comes with scikit-learn, under its licence."""

_FOLDERS = ("data_dir", "outputs_dir")
_NAME = re.compile(r"[A-Za-z0-9_]+(-[A-Za-z0-9_]+)+-[0-9a-f]{16}")
_MANY = 500
"""Inputs of an attack above which only their columns `_OF_MANY` are published, rounded, and no list of the points."""
_OF_MANY = ("index", "label", "success", "reason", "queries", "l2", "l2_lower")
_DIGITS = 5
_SCORES = ("similarity", "score_before", "score_after")
"""Columns of attacks on texts that no table reads; published rounded."""
_DERIVED = ("data_notes", "attack_notes", "device", "folder")
"""Columns of the readers that a publication keeps in its records."""

RUN_COLUMNS = (
    "run", "kind", "dataset", "model", "attack", "n_votes", "settings", "points", "metric", "value", "low", "high",
    "paper", "shown_in", "converged", "as_configured", "seed", "scale", "device", "seconds", "commit", "dirty",
    "method_version", "key", "fit", "command",
)  # fmt: skip


def publish(outputs: Path, to: Path) -> tuple[int, int, list[str]]:
    """Add the finished runs of the store `outputs` to the publication in the folder `to`.

    Returns
    -------
    fits, attacks : int
        How many were written.
    kept : list of str
        Fits left out, for their records are already there, of votes trained on another device.
    """
    old, source = read_published(to), RunStore(outputs)
    evaluations, attacks = source.evaluations(), source.attacks()
    fits = [run for run in dict.fromkeys(evaluations.get("folder", [])) if _may_be_read(outputs / "fits" / run)]
    kept = [run for run in fits if _other_device(source.record(run), old.records.get(run))]
    fits = [run for run in fits if run not in kept]
    attacked = [run for run in attacks.get("folder", []) if _may_be_read(outputs / "attacks" / run)]
    for note in source.notes():
        print(f"note: {note}", file=sys.stderr)
    found = {*evaluations.get("folder", []), *attacks.get("folder", [])}
    for name in sorted(found - {*fits, *kept, *attacked}):
        print(f"note: left out, for it is a link, holds one or has no plain name: {name}", file=sys.stderr)
    new = Published(records={run: _published_record(source.record(run)) for run in [*fits, *attacked]})
    new.tables["evaluations"] = _numbers(evaluations, fits)
    new.tables["attacks"] = _numbers(attacks, attacked)
    new.tables["votes"] = _joined((run, _votes(outputs / "fits" / run)) for run in fits)
    new.tables["examples"] = _joined((run, _examples(source.examples(run).reset_index())) for run in attacked)
    new.tables["traces"] = _joined((run, curve) for run in attacked if len(curve := source.curve(run)))
    for name in ("transfer", "pairs", "curve", "levels"):
        there = [run for run in attacked if (outputs / "attacks" / run / f"{name}.csv").is_file()]
        new.tables[name] = _joined((run, source.table(run, name)) for run in there)
    for run in attacked:
        drawn = run.startswith(f"{OURS_TO_SHOW}-") and source.record(run)["config"]["attack"]["name"] == "hsj"
        pictures = source.adversarials(run) if drawn else None  # those that Figure 3 may show
        if pictures is not None:
            new.pictures[run] = pictures
    new.tables["runs"] = pd.DataFrame([*_fit_rows(new), *_attack_rows(new)], columns=list(RUN_COLUMNS))
    old.updated(new).write(to)
    return len(fits), len(attacked), kept


def _may_be_read(folder: Path) -> bool:
    """Whether a folder of the store has a plain name and neither is a link nor holds one."""
    return bool(_NAME.fullmatch(folder.name)) and not any(path.is_symlink() for path in (folder, *folder.iterdir()))


def _other_device(ours: dict[str, Any], theirs: dict[str, Any] | None) -> bool:
    """Whether the published record is of the same fit trained on another kind of device: ``cpu`` or ``cuda``."""
    if theirs is None:
        return False
    return len({str(record.get("device", "")).split(" ")[0].split(":")[0] for record in (ours, theirs)}) > 1


def _numbers(table: pd.DataFrame, runs: list[str]) -> pd.DataFrame:
    """The rows of these runs, without what the records hold."""
    if not len(table):
        return pd.DataFrame(columns=["run"])
    table = table[table["folder"].isin(runs)].assign(run=lambda rows: rows["folder"])
    return in_order(table.drop(columns=[name for name in _DERIVED if name in table]), ["run"])


def _joined(tables: Iterator[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """Tables of several runs as one, with the run in front."""
    parts = [in_order(table.assign(run=run), ["run"]) for run, table in tables]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["run"])


def _examples(table: pd.DataFrame) -> pd.DataFrame:
    """The examples of an attack; of many inputs the columns `_OF_MANY`, radii rounded down and distances up.

    Their times are left out: each is the attack's time, divided by the queries.
    """
    table = table.drop(columns="seconds")
    table = table.assign(**{name: _rounded(table[name], np.rint) for name in _SCORES if name in table})
    if len(table) <= _MANY or "l2" not in table:
        return table
    table = table[[name for name in _OF_MANY if name in table]]
    outward: dict[str, np.ufunc] = {"l2": np.ceil, "l2_lower": np.floor}
    return table.assign(**{name: _rounded(table[name], to) for name, to in outward.items() if name in table})


def _rounded(values: pd.Series, to: np.ufunc) -> pd.Series:
    """The values with `_DIGITS` significant digits; zeros and infinities stay."""
    unit = np.floor(np.log10(values.abs().where((values != 0) & np.isfinite(values), 1.0))) - (_DIGITS - 1)
    return (to(values * 10.0**-unit) / 10.0**-unit).where(np.isfinite(values), values)


def _votes(folder: Path) -> pd.DataFrame:
    """Test accuracy of each vote, from the evaluation of the largest hard-voting ensemble."""
    read = [read_evaluation(path).content for path in folder.glob("evaluation_*.json")]
    found = [facts for facts in read if facts is not None]
    most = max(found, key=lambda facts: (facts.get("n_votes", 0), facts.get("voting") == "hard"), default={})
    accuracies = most.get("accuracy_per_vote", [])
    return pd.DataFrame({"vote": range(len(accuracies)), "accuracy": accuracies})


def _fit_rows(new: Published) -> Iterator[dict[str, Any]]:
    """A row per fit: the test accuracy of its largest ensemble, by hard voting where it was evaluated."""
    for run, rows in new.tables["evaluations"].groupby("run"):
        hard = rows[rows["voting"] == "hard"] if (rows["voting"] == "hard").any() else rows
        best = hard.loc[hard["n_votes"].idxmax()]
        yield {
            **_common(str(run), best, new.records[str(run)]),
            "kind": "fit", "attack": "none", "points": best["n_test"], "metric": "accuracy",
            "value": best["accuracy_ensemble"], "seconds": best["fit_seconds"], "fit": str(run).rsplit("-", 1)[1],
        }  # fmt: skip


def _attack_rows(new: Published) -> Iterator[dict[str, Any]]:
    for row in new.tables["attacks"].to_dict("records"):
        run, record = row["run"], new.records[row["run"]]
        gain = row.get("late_gain")
        yield {
            **_common(run, row, record),
            "kind": "attack", "attack": row["attack"], "points": row["points"], **_headline(new, row),
            "converged": gain <= NOT_FLAT if gain is not None and pd.notna(gain) else None,
            "seconds": row["attack_seconds"], "fit": str(record.get("fit", "-")).rsplit("-", 1)[1],
        }  # fmt: skip


def _common(run: str, row: Any, record: dict[str, Any]) -> dict[str, Any]:
    git, version = record.get("git") or {}, record.get("method_version")
    return {
        "run": run, "key": run.rsplit("-", 1)[1], "settings": differing_settings(record["config"]),
        **{name: row[name] for name in ("dataset", "model", "n_votes", "as_configured", "seed", "scale")},
        "device": record.get("device"), "commit": git.get("commit"), "dirty": git.get("dirty"),
        "method_version": None if version is None else str(version), "command": record.get("command"),
    }  # fmt: skip


def _headline(new: Published, row: dict[str, Any]) -> dict[str, Any]:
    """The headline number of an attack, with its interval where it has one."""
    run, attack = row["run"], row["attack"]
    if attack in ("transfer", "transfer_smoothed"):
        table = new.tables["transfer"]
        found = table[(table["run"] == run) & (table["overshoot"] == 0)].iloc[0]
        return {
            "metric": "transfer_probability", "value": found["p_main"],
            "low": found["p_main_low"], "high": found["p_main_high"],
        }  # fmt: skip
    if attack == "substitute":
        table = new.tables["curve"]
        rounds = table[(table["run"] == run) & (table["epsilon"] == 0.125)]
        value = rounds["accuracy"].iloc[-1] if len(rounds) else None
        return {"metric": "accuracy_at_epsilon_0.125", "value": value}
    if pd.notna(row.get("adversarial_accuracy")):
        return {"metric": "adversarial_accuracy", "value": row["adversarial_accuracy"]}
    if pd.notna(row.get("l2_lower_mean")):
        names = {"value": "l2_lower_mean", "low": "l2_lower_mean_low", "high": "l2_lower_mean_high"}
        return {"metric": "l2_lower_mean", **{name: row[column] for name, column in names.items()}}
    return {"metric": "l2_mean", "value": row["l2_mean"], "low": row["l2_mean_low"], "high": row["l2_mean_high"]}


def _published_record(record: dict[str, Any]) -> dict[str, Any]:
    """Configuration and provenance without machine-specific paths."""
    config = {key: value for key, value in record["config"].items() if key != "paths"}
    record = {key: value for key, value in record.items() if key != "points" or len(value) <= _MANY}
    for group in ("dataset", "attack"):
        node = config.get(group)
        if isinstance(node, dict):
            config[group] = {key: value for key, value in node.items() if key not in _FOLDERS}
    cleaned: dict[str, Any] = without_folders({**record, "config": config})
    return cleaned


def without_folders(value: Any) -> Any:
    """`value` with every absolute path in it cut to its last part, and no ``paths.`` among a command's overrides."""
    if isinstance(value, dict):
        return {name: without_folders(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(each) for each in value]
    if isinstance(value, str):
        if value.startswith("/"):
            return Path(value).name
        if value.startswith("python "):
            return " ".join(word for word in value.split(" ") if not word.startswith("paths."))
    return value


def write_shown(to: Path, tables: list[Made]) -> None:
    """Write into ``runs.csv`` in which tables each run is shown, and the paper's value where it measures the same."""
    shown: dict[str, list[str]] = {}
    paper: dict[str, float] = {}
    for table in tables:
        for cell in table.cells.to_dict("records"):
            run = cell.get("folder")
            if not isinstance(run, str):
                continue
            shown.setdefault(run, [])
            if table.name not in shown[run]:
                shown[run].append(table.name)
            value = _papers(cell)
            if value is not None:
                paper.setdefault(run, value)
    runs = read_published(to).tables["runs"]
    runs["shown_in"] = [" ".join(shown.get(run, [])) or None for run in runs["run"]]
    runs["paper"] = [paper.get(run) for run in runs["run"]]
    write_bytes(to / RUNS, csv_bytes(runs))


def _papers(cell: dict[str, Any]) -> float | None:
    """The paper's value of a cell, in the unit of the headline number; None where that measures something else."""
    percent = cell.get("paper_accuracy_percent") if "paper_accuracy_percent" in cell else None
    if "accuracy" in str(cell["row"]).lower() and cell.get("paper") is not None:
        percent = cell["paper"]
    if percent is not None and pd.notna(percent):
        return round(float(percent) / 100, 6)
    same = cell.get("l2_mean") is not None and pd.notna(cell.get("l2_mean"))
    value = cell.get("paper")
    return float(value) if same and value is not None and pd.notna(value) else None


def main(words: list[str] | None = None) -> int:
    """Publish and report what."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outputs", default="outputs", help="folder that the runs wrote to (paths.outputs)")
    parser.add_argument("--to", default="docs/results", help="folder of the publication")
    parser.add_argument("--scale", help="scale of the runs that tables, figures and report show; default: as before")
    given = parser.parse_args(words)
    outputs, to = Path(given.outputs), Path(given.to)
    if not outputs.is_dir():
        print(f"error: there is no folder {outputs}; run something first or give --outputs.", file=sys.stderr)
        return 2
    if outputs.resolve() == to.resolve():
        print("error: --to must be another folder than --outputs.", file=sys.stderr)
        return 2
    return _published(outputs, to, given.scale or recorded_scale(to))


def _published(outputs: Path, to: Path, scale: str) -> int:
    fits, attacks, kept = publish(outputs, to)
    write_bytes(to / SCALE, f'{{"scale": "{scale}"}}\n'.encode())
    tables, _ = render(to, scale)
    write_shown(to, tables)
    for name in kept:
        print(f"The record of {name} in {to}/ stays: its votes were trained on another device.")
    print(f"Published {fits} fits and {attacks} attacks to {to}/ ({len(FILES) + 2} files of data, tables, figures).")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
