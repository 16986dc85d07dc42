"""Lists the store: what is finished, at work, stopped or failed, time, size and how to go on: ``make status``."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from scripts.inventory import FINISHED, Entry, attack_entries, fit_entries, shown_size, shown_time, unfinished_runs
from scripts.records.command import run_command


def main(words: list[str] | None = None) -> int:
    """Print the lists."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outputs", default="outputs", help="folder that the runs wrote to (paths.outputs)")
    parser.add_argument("--unfinished", action="store_true", help="leave out what is finished")
    given = parser.parse_args(words)
    outputs = Path(given.outputs)
    if not outputs.is_dir():
        print(f"error: there is no folder {outputs}; run something first or give --outputs.", file=sys.stderr)
        return 2
    for title, entries in (
        ("fits", fit_entries(outputs)),
        ("attacks", attack_entries(outputs)),
        ("runs", unfinished_runs(outputs)),
    ):
        print(_heading(title, entries))
        for entry in entries:
            if entry.state != FINISHED or not given.unfinished:
                print(_line(entry))
    return 0


def _heading(title: str, entries: list[Entry]) -> str:
    states = ", ".join(f"{count} {state}" for state, count in Counter(e.state for e in entries).most_common())
    if title == "runs":
        return f"\nruns that are not finished: {states or 'none'}"
    about = f": {states}; {shown_time(sum(e.seconds for e in entries))}, {shown_size(sum(e.size for e in entries))}"
    return f"\n{title}{about if entries else ': none'}"


def _line(entry: Entry) -> str:
    figures = f"{shown_time(entry.seconds):>8} {shown_size(entry.size):>7}"
    line = f"  {entry.state:<9}{figures}  {entry.folder.name}" + (f"  ({entry.progress})" if entry.progress else "")
    go_on = entry.command if entry.state != FINISHED else ""
    return line + (f"\n             {go_on}" if go_on else "")


if __name__ == "__main__":
    sys.exit(run_command(main))
