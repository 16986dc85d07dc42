"""The ratios of every run of ``make bench`` in one file, a line each, and how they went, drawn."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from scd.files import write_bytes
from scripts.bench.measure import Section
from scripts.figures.style import axes, svg

HISTORY = Path("docs/benchmarks-history.csv")


class Entry(NamedTuple):
    """One ratio of one run: the columns of the file."""

    date: str
    """Of the end of the run, as ``2026-11-29T16:00:00+00:00``; the day alone where no time was recorded."""
    commit: str
    """Seven digits, and ``+`` if the checkout differed from it."""
    machine: str
    load: str
    """Cores that other programs used meanwhile, mean; empty where that is unknown."""
    data: str
    section: str
    ratio: str
    """Its name."""
    value: float


def machine_of(facts: dict[str, Any]) -> str:
    """The name of the machine that ``bench.json`` is of."""
    return f"{facts['processor']}, {facts['cores']} cores"


def entries_of(sections: Iterable[Section], facts: dict[str, Any]) -> list[Entry]:
    """The ratios of one run."""
    commit = facts["git"]["commit"]
    short = "" if commit is None else commit[:7] + ("+" if facts["git"]["dirty"] else "")
    return [
        Entry(
            facts["date"], short, machine_of(facts), "" if s.load is None else f"{s.load:.1f}", facts["data"], s.name,
            name, float(f"{value:.4g}"),
        )
        for s in sections
        for name, value in s.ratios.items()
    ]  # fmt: skip


def read_history(path: Path) -> list[Entry]:
    """All entries, the oldest first.

    Raises
    ------
    ValueError
        The file is no history.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if rows.fieldnames is None or tuple(rows.fieldnames) != Entry._fields:
            raise ValueError(
                f"{path} is not a history of `make bench`: its columns must be {', '.join(Entry._fields)}."
            )
        try:
            return [Entry._make([*list(row.values())[:-1], float(row["value"])]) for row in rows]
        except (TypeError, ValueError) as unread:
            raise ValueError(f"{path}, line {rows.line_num}, is no entry of a history ({unread}).") from unread


def add_to_history(path: Path, added: list[Entry]) -> list[Entry]:
    """Write the file with these entries at its end; returns all."""
    entries = [*(read_history(path) if path.is_file() else []), *added]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Entry._fields)
    writer.writerows([*entry[:-1], f"{entry.value:g}"] for entry in entries)  # 71, not 71.0: lines stay as they were
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, text.getvalue().encode())
    return entries


def last_ratios(entries: list[Entry], new: dict[str, Any]) -> dict[str, float]:
    """The last value of each ratio on the machine and data of `new`, the content of ``bench.json``, before its run.

    Raises
    ------
    ValueError
        There is none.
    """
    machine = machine_of(new)
    earlier = [e for e in entries if e.date != new["date"]]
    same = [e for e in earlier if (e.machine, e.data) == (machine, new["data"])]
    if not same:
        known = "; ".join(dict.fromkeys(f"{e.machine} ({e.data})" for e in earlier)) or "none"
        raise ValueError(f"The history has no earlier run on {machine} ({new['data']}). It has: {known}.")
    return {e.ratio: e.value for e in same}


def draw_history(entries: list[Entry], path: Path) -> None:
    """A panel for each section, a line for each ratio and machine over the runs, as SVG."""
    sections = list(dict.fromkeys(e.section for e in entries))
    figure, panels = axes(len(sections), 1, 8.0, 2.8)
    for (panel,), section in zip(panels, sections, strict=True):
        mine = [e for e in entries if e.section == section]
        runs = list(dict.fromkeys((e.date, e.commit) for e in mine))
        names = list(dict.fromkeys(e.ratio for e in mine))
        for name, machine in dict.fromkeys((e.ratio, e.machine) for e in mine):
            at = [(runs.index((e.date, e.commit)), e.value) for e in mine if (e.ratio, e.machine) == (name, machine)]
            first = all(line.get_label() != name for line in panel.lines)
            places, values = zip(*at, strict=True)
            panel.plot(
                places, values, marker=".", lw=1.2, color=f"C{names.index(name) % 10}",
                ls="-" if names.index(name) < 10 else "--", label=name if first else None,
            )  # fmt: skip
        panel.set(yscale="log", title=section, ylabel="ratio")
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_formatter("{x:g}")
        panel.tick_params(axis="y", which="both", labelsize=6)
        shown = [f"{date[:10]} {commit}" for date, commit in runs]
        panel.set_xticks(range(len(runs)), shown, rotation=30, ha="right", fontsize=6)
        panel.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=6, frameon=False)
    write_bytes(path, svg(figure))
