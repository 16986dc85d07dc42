"""Runs the experiments of the paper in order, only what is missing, then makes its tables: ``make reproduce``."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from scripts.inventory import shown_time
from scripts.tables.write import main as tables

ROOT = Path(__file__).resolve().parent.parent
ORDER = (
    "table1",
    "table2",
    "table3",
    "figure1",
    "figure2",
    "table6",
    "table5",
    "table4",
    "table8",
    "figure3",
    "table7",
)
"""First what others need: the fits of Table 1, the attacks of Table 2. ``certificates`` is not of the paper."""

REFUSED = 2
"""Status of a sweep in which nothing failed at work, but some jobs were refused: data or an extra is absent."""


def main(words: list[str] | None = None) -> int:
    """Run the sweeps and the tables; the status is 1 if a job failed at work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outputs", default="outputs", help="folder that the runs write to (paths.outputs)")
    parser.add_argument("--scale", default="smoke", help="conf/scale: smoke, cpu or paper")
    parser.add_argument("--only", default=",".join(ORDER), help="some of these, with commas between them")
    parser.add_argument("overrides", nargs="*", help="given to every sweep, e.g. +cluster=slurm")
    given = parser.parse_args(words)
    if not (ROOT / "conf" / "scale" / f"{given.scale}.yaml").is_file():
        known = ", ".join(sorted(path.stem for path in (ROOT / "conf" / "scale").glob("*.yaml")))
        print(f"error: --scale must be one of {known}. Got {given.scale!r}.", file=sys.stderr)
        return 2
    only = given.only.split(",")
    if unknown := set(only) - set(ORDER):
        print(f"error: --only must name some of {', '.join(ORDER)}. Got {min(unknown)!r}.", file=sys.stderr)
        return 2
    outputs, began = Path(given.outputs).absolute(), time.time()
    statuses = {}
    for name in (name for name in ORDER if name in only):
        print(f"\n=== {name} ({shown_time(time.time() - began)} so far)", flush=True)
        sweep = [f"+experiment={name}", f"scale={given.scale}", f"paths.outputs={outputs}", *given.overrides]
        statuses[name] = subprocess.run([sys.executable, "run.py", *sweep], cwd=ROOT).returncode
        if statuses[name] == 130:
            return 130
    outputs.mkdir(parents=True, exist_ok=True)
    tables(["--outputs", str(outputs), "--scale", given.scale])
    print(f"\n{shown_time(time.time() - began)} in all.")
    for name, status in statuses.items():
        if status:
            why = "were refused, because data or an extra are missing" if status == REFUSED else "failed"
            print(f"{name}: some jobs {why}; their errors and commands are under its heading above.")
    return int(any(status not in (0, REFUSED) for status in statuses.values()))


if __name__ == "__main__":
    sys.exit(main())
