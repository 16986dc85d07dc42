"""Compares two runs of ``make bench``: ``python -m scripts.bench.compare OLD NEW`` fails on a regression over 20 %.

NEW is a ``bench.json``. OLD is another, or the history: then the last entries before NEW, of the same machine.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from scripts.bench.history import last_ratios, read_history

ALLOWED = 0.2  # share of a ratio that may be lost


def read_ratios(path: Path) -> dict[str, float]:
    """The ratios of a file, of which more is better.

    Raises
    ------
    FileNotFoundError, ValueError
        No such file, or not one of ``make bench``.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}. Write one with `make bench`, which names it bench.json.")
    try:
        ratios = json.loads(path.read_text(encoding="utf-8"))["ratios"]
        return {str(name): float(value) for name, value in ratios.items()}
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as unread:
        raise ValueError(f"{path} is not a file of `make bench`: it has no table of ratios ({unread}).") from unread


def ratios_before(history: Path, new: Path) -> dict[str, float]:
    """The last ratios in the history of the machine that the file `new` is of.

    Raises
    ------
    FileNotFoundError, ValueError
        No such file, or not one of ``make bench``; no earlier run on this machine.
    """
    if not history.is_file():
        raise FileNotFoundError(f"There is no file {history}. `make bench` writes the history.")
    facts = json.loads(new.read_text(encoding="utf-8"))
    missing = [key for key in ("processor", "cores", "data", "date") if key not in facts]
    if missing:
        raise ValueError(
            f"{new} does not say its {' and '.join(missing)}, so no entry of the history compares with it."
        )
    return last_ratios(read_history(history), facts)


def compare(old: dict[str, float], new: dict[str, float]) -> tuple[list[str], bool]:
    """A line for every ratio of either file, and whether one has fallen by more than `ALLOWED`.

    A ratio that only one file has (an optional peer that is not installed) is said and is no regression; files that
    share none cannot be compared.
    """
    shared = [name for name in old if name in new]
    if not shared:
        raise ValueError("The two files have no ratio in common, so there is nothing to compare.")
    lines, worse = [], False
    for name in shared:
        change = new[name] / old[name] - 1
        fallen = new[name] < (1 - ALLOWED) * old[name]
        worse |= fallen
        lines.append(
            f"{'REGRESSION' if fallen else 'ok':<11}{name}: {old[name]:.3g} -> {new[name]:.3g} ({change:+.0%})"
        )
    lines += [f"{'only old':<11}{name}" for name in old if name not in new]
    lines += [f"{'only new':<11}{name}" for name in new if name not in old]
    return lines, worse


def main(words: list[str] | None = None) -> int:
    """Compare; the exit status is 1 on a regression and 2 on files that cannot be compared."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    given = parser.parse_args(words)
    try:
        new = read_ratios(given.new)
        old = ratios_before(given.old, given.new) if given.old.suffix == ".csv" else read_ratios(given.old)
        lines, worse = compare(old, new)
    except (FileNotFoundError, ValueError) as refused:
        print(refused, file=sys.stderr)
        return 2
    print("\n".join(lines))
    return int(worse)


if __name__ == "__main__":
    sys.exit(main())
