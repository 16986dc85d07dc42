"""The table at the end of a sweep: one row a job, with what was swept, accuracy, distance and queries."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.convergence import NOT_FLAT
from scd.files import write_text

FILE = "sweep.csv"
_RESULT = (
    "accuracy", "success_rate", "measure", "value", "value_low", "value_high", "late_gain", "queries", "seconds",
    "fit_folder", "attack_folder",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


def result_of(made: Mapping[str, Any], accuracy: float, summary: Mapping[str, Any] | None, gain: float | None) -> Any:
    """What the table says of a finished run.

    Parameters
    ----------
    made : dict
        The folders ``fit`` and ``attack`` of the run.
    accuracy : float
        Clean test accuracy of the ensemble, in [0, 1].
    summary : dict or None
        The row of summary.csv; None without an attack.
    gain : float or None
        See :func:`pipeline.convergence.late_gain`.

    Returns
    -------
    dict
        ``accuracy``, ``fit_folder``, ``attack_folder`` and, of an attack, ``success_rate``, ``measure`` (the name of
        the headline number: its column in summary.csv), ``value`` with ``value_low`` and ``value_high``, its 95 %
        interval, ``late_gain``, ``queries`` (mean per attacked point) and ``seconds`` of the attack.
    """
    known: dict[str, Any] = {"accuracy": accuracy, "fit_folder": made.get("fit"), "attack_folder": made.get("attack")}
    if summary is None:
        return known
    if "adversarial_accuracy" in summary:
        measure = "adversarial_accuracy"
    elif "l2_lower_mean" in summary:
        measure = "l2_lower_mean"
    else:
        measure = "linf_mean" if summary.get("norm") == "linf" else "l2_mean"
    value, low, high = (summary.get(measure + end) for end in ("", "_low", "_high"))
    interval = {"value": value, "value_low": low, "value_high": high, "late_gain": gain}
    times = {"queries": summary.get("queries_mean"), "seconds": summary.get("attack_seconds")}
    return {**known, "success_rate": summary.get("success_rate"), "measure": measure, **interval, **times}


def rows_of(
    jobs: Mapping[int, Sequence[str]], states: Mapping[int, str], results: Mapping[int, Any]
) -> list[dict[str, Any]]:
    """The rows of the table, in the order of the jobs.

    Parameters
    ----------
    jobs : dict of int to list of str
        Overrides of each job.
    states : dict of int to str
        "done", or another word.
    results : dict of int to dict
        See :func:`result_of`; empty for a job without one.

    Returns
    -------
    list of dict
        ``job`` (from 1), the swept keys, ``state``, and the columns of the results.
    """
    settings = {n: dict(word.lstrip("+").partition("=")[::2] for word in words) for n, words in jobs.items()}
    keys = list(dict.fromkeys(key for each in settings.values() for key in each))
    swept = [key for key in keys if len({each.get(key) for each in settings.values()}) > 1]
    return [
        {
            "job": n + 1,
            **{key: settings[n].get(key, "") for key in swept},
            "state": states[n],
            **{name: results[n].get(name) for name in _RESULT},
        }
        for n in jobs
    ]


def write_table(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Write the rows as CSV, atomically; text that a spreadsheet would run as a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _as_text(value) for key, value in row.items()} for row in rows)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / FILE, text.getvalue())
    return folder / FILE


def table_lines(rows: list[dict[str, Any]]) -> list[str]:
    """The table as lines of text, columns aligned."""
    swept = [key for key in rows[0] if key not in ("job", "state", *_RESULT)]
    shown = [["job", *swept, "accuracy", "success", "result (95 % interval)", "queries"]]
    for row in rows:
        settings = [str(row["job"]), *(str(row[key]) for key in swept)]
        if row["accuracy"] is None:
            shown.append([*settings, row["state"], "", "", ""])
            continue
        shown.append([*settings, _percent(row["accuracy"]), _percent(row["success_rate"]), _value(row), _count(row)])
    widths = [max(len(line[k]) for line in shown) for k in range(len(shown[0]))]
    lines = ["  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in shown]
    notes = []
    if any(row["measure"] in ("l2_mean", "linf_mean") for row in rows):
        notes.append("  Each distance is an upper bound of the minimum.")
    if any((row["late_gain"] or 0.0) > NOT_FLAT for row in rows):
        notes.append(f"  †: not converged, the second half of the queries gained more than {100 * NOT_FLAT:.0f} %.")
    return [*(line.rstrip() for line in lines), *notes]


def _value(row: Mapping[str, Any]) -> str:
    if row["measure"] is None:
        return "-"
    if row["value"] is None:
        return f"{row['measure']} -"
    text = f"{row['measure']} {row['value']:.3f}"
    if row["value_low"] is not None:
        text += f" ({row['value_low']:.3f} to {row['value_high']:.3f})"
    return text + (" †" if (row["late_gain"] or 0.0) > NOT_FLAT else "")


def _count(row: Mapping[str, Any]) -> str:
    return "-" if row["queries"] is None else f"{row['queries']:,.0f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _as_text(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) and not _is_number(value) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
