"""What an attack of the command leaves: the printed table, and the files of the pipeline's attack stage."""

from __future__ import annotations

import csv
import io
import platform
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scd import __version__
from scd.command.model import is_address
from scd.files import file_sha256, write_bytes, write_json, write_text
from scd.statistics import bootstrap

EXAMPLES = "examples.csv"
_MISCLASSIFIED = "already misclassified"  # attacks.result.ALREADY_MISCLASSIFIED
_SHOWN = {"l2": "L2", "linf": "Linf"}


@dataclass(frozen=True)
class Attacked:
    """A finished attack.

    Attributes
    ----------
    result : scd.attacks.AttackResult
        Its labels are names of classes.
    reached : ndarray of str, shape (n,)
        Classes of the adversarials; empty where there is none.
    originals : ndarray of float32, shape (n, d)
    accuracy : float or None
        Of the model on all samples; None where their classes are not known.
    seconds : float
        Wall time of the attack.
    norm : {"l2", "linf"}
        What it minimised.
    """

    result: Any
    reached: NDArray[np.str_]
    originals: NDArray[np.float32]
    accuracy: float | None
    seconds: float
    norm: str


def examples(done: Attacked) -> dict[str, NDArray[Any]]:
    """Return the columns of ``examples.csv``: those of the pipeline, and the class of the adversarial."""
    r = done.result
    return {
        "index": r.index,
        "label": r.label,
        "success": r.success.astype(int),
        "l2": r.l2,
        "linf": r.linf,
        "queries": r.queries,
        "restart": r.restart,
        "seconds": done.seconds * r.queries / max(1, int(r.queries.sum())),
        "reason": r.reason,
        **r.extra,
        "adversarial_label": done.reached,
    }


def summary(done: Attacked, options: Namespace) -> dict[str, Any]:
    """Return the row of ``summary.csv``, with the pipeline's names of the columns."""
    r, found = done.result, done.result.success
    misclassified = int((r.reason == _MISCLASSIFIED).sum())  # by a model whose labels change
    attacked = len(r.index) - misclassified
    row: dict[str, Any] = {
        "dataset": Path(options.data).name,
        "model": options.model if is_address(options.model) else Path(options.model).name,
        "attack": options.attack,
        "accuracy_ensemble": done.accuracy,
        "points": len(r.index),
        "already_wrong": misclassified,
        "succeeded": int(found.sum()),
        "success_rate": float(found.sum() / attacked) if attacked else float("nan"),
    }
    for statistic in ("mean", "median"):
        names = (f"l2_{statistic}", f"l2_{statistic}_low", f"l2_{statistic}_high")
        row |= dict(zip(names, bootstrap(r.l2[found], statistic), strict=True))
    return row | {
        "linf_mean": float(r.linf[found].mean()) if found.any() else float("nan"),
        "queries_mean": float(r.queries.mean()),
        "attack_seconds": done.seconds,
        "norm": done.norm,
        "query_budget": options.budget,
        "seed": options.seed,
    }


def report(done: Attacked, options: Namespace) -> list[str]:
    """Return the lines to print: a row for each point, and a summary."""
    r, norm = done.result, done.norm
    distances = getattr(r, norm)
    cells = [("index", "label", "adversarial", _SHOWN[norm], "queries", "")]
    for i in range(len(r.index)):
        shown = (done.reached[i], f"{distances[i]:.4g}") if r.success[i] else ("-", "-")
        cells.append((str(r.index[i]), str(r.label[i]), *shown, str(r.queries[i]), str(r.reason[i])))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rows = ["  ".join(cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False)) for row in cells]
    lines = [f"  {row}  {last[-1]}".rstrip() for row, last in zip(rows, cells, strict=True)]
    s = summary(done, options)
    accuracy = [] if done.accuracy is None else [_row("accuracy on the data", f"{100 * done.accuracy:.2f} %")]
    found = distances[r.success]
    known = [_row(f"{name} minimum {_SHOWN[norm]}", _interval(found, name)) for name in ("mean", "median")]
    bound = [_row("", "each distance is an upper bound of the minimum")] if len(found) else []
    return [
        "",
        *lines,
        "",
        f"  {options.attack} on {s['model']}, {s['points']} points of {s['dataset']}",
        *accuracy,
        _row("success rate", f"{100 * s['success_rate']:.0f} % ({s['succeeded']} of {s['points']})"),
        *known,
        *bound,
        _row("queries per point", f"{s['queries_mean']:,.0f}"),
        _row("attack time", f"{done.seconds:.2f} s"),
    ]


def _row(name: str, value: str) -> str:
    return f"    {name:<29}{value}"


def _interval(values: NDArray[Any], statistic: str) -> str:
    value, low, high = bootstrap(values, statistic)
    if np.isnan(value):
        return "- (no adversarial found)"
    return f"{value:.4g}" + ("" if np.isnan(low) else f"  (95 % interval {low:.4g} to {high:.4g})")


def write_records(folder: Path, done: Attacked, options: Namespace) -> None:
    """Write ``examples.csv``, ``trace.csv``, ``summary.csv``, ``adversarials.npz`` and ``provenance.json``.

    The further tables of an attack are CSV files, too. ``examples.csv`` is written last.
    """
    r = done.result
    buffer = io.BytesIO()
    np.savez_compressed(buffer, index=r.index, label=r.label, original=done.originals, adversarial=r.adversarials)
    write_bytes(folder / "adversarials.npz", buffer.getvalue())
    inputs = {name: Path(getattr(options, name)).expanduser() for name in ("model", "data")}
    write_json(
        folder / "provenance.json",
        {
            "options": {k: v for k, v in vars(options).items() if k != "command"},
            "sha256": {name: file_sha256(path) for name, path in inputs.items() if path.is_file()},
            "versions": {"scd": __version__, "python": platform.python_version(), "numpy": np.__version__},
            "seconds": done.seconds,
        },
    )
    row = {name: np.array([value], dtype=object) for name, value in summary(done, options).items()}
    for name, columns in {"trace": r.trace, **r.tables, "summary": row}.items():
        write_text(folder / f"{name}.csv", _as_csv(columns))
    write_text(folder / EXAMPLES, _as_csv(examples(done)))


def _as_csv(columns: Mapping[str, NDArray[Any]]) -> str:
    """Columns as CSV, numbers in full; an empty cell for NaN and None."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*(column.tolist() for column in columns.values()), strict=True):
        writer.writerow(["" if cell is None or cell != cell else cell for cell in row])
    return text.getvalue()
