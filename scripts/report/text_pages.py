"""Pages of attacked texts, originals and adversarials side by side: ``python -m scripts.report.text_pages``."""

from __future__ import annotations

import argparse
import json
import sys
from html import escape
from pathlib import Path
from typing import Any

from pipeline.store import read_config, sealed
from scd.files import write_bytes
from scripts.records.command import run_command

Row = dict[str, Any]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --mark: #ffd54f; --ink: #222; --grey: #767676 }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 70rem }
h1 { font-size: 1.3rem; margin: 0 0 .3rem; overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 1rem 0 }
dd { margin: 0; font-variant-numeric: tabular-nums }
article { border: 1px solid var(--line); border-radius: .5rem; margin: 1rem 0; overflow: hidden }
header { background: var(--soft); padding: .4rem .8rem; font-size: .85rem }
section { padding: .6rem .8rem; overflow-wrap: anywhere }
section + section { border-top: 1px solid var(--line) }
h2 { font-size: .8rem; font-weight: 600; margin: 0; color: var(--grey) }
p { margin: .2rem 0 0 }
mark { background: var(--mark); color: var(--ink); border-radius: .2rem; padding: 0 .15rem }
.was { text-decoration: underline 2px; text-decoration-color: var(--mark); text-underline-offset: 3px }
@media (min-width: 45rem) {
  .pair { display: grid; grid-template-columns: 1fr 1fr }
  .pair section + section { border-top: 0; border-left: 1px solid var(--line) }
}
"""


def page(name: str, rows: list[Row], classes: list[str], shown: int) -> str:
    """One attack as HTML, without scripts or other files.

    Parameters
    ----------
    name : str
        Of the attack, for the heading.
    rows : list of dict
        The lines of ``texts.jsonl``.
    classes : list of str
        Names of classes 0 and 1.
    shown : int
        Documents on the page: evenly spaced among those that the model classifies correctly.
    """
    correct = [row for row in rows if row["reason"] != "already misclassified"]
    sample = [correct[k * len(correct) // min(shown, len(correct))] for k in range(min(shown, len(correct)))]
    facts = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in _facts(rows, correct))
    body = "\n".join(_document(row, classes) for row in sample)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(name)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(name)}</h1>\n"
        f"<p>{len(sample)} of the {len(correct)} documents that the model classifies correctly, evenly spaced. "
        "Replaced words are marked.</p>\n"
        f"<dl>{facts}</dl>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _facts(rows: list[Row], correct: list[Row]) -> list[tuple[str, str]]:
    fooled = [row for row in correct if row["success"]]
    facts = [
        ("documents attacked", f"{len(rows)}"),
        ("accuracy before", f"{100 * len(correct) / len(rows):.1f} %"),
        ("accuracy under attack", f"{100 * (len(correct) - len(fooled)) / len(rows):.1f} %"),
    ]
    if correct:
        facts.append(("queries per document", f"{sum(row['queries'] for row in correct) / len(correct):,.0f}"))
    if fooled:
        words = [100 * len(row["changed"]) / len(row["original"]) for row in fooled]
        facts.append(("words replaced", f"{sum(words) / len(words):.1f} % of an adversarial"))
        similarities = [row["similarity"] for row in fooled if row["similarity"] is not None]
        if similarities:
            facts.append(("similarity", f"{sum(similarities) / len(similarities):.2f} on average"))
    return facts


def _document(row: Row, classes: list[str]) -> str:
    truth, score = classes[row["label"]], _score(row["score_before"], classes)
    facts = [f"document {row['index']}", f"{row['queries']:,} queries"]
    original = (
        f"<section><h2>{escape(truth)} · {score}</h2><p>{_marked(row['original'], row['changed'], 'was')}</p></section>"
    )
    if not row["success"]:
        head = " · ".join([*facts, row["reason"]])
        return f"<article><header>{escape(head)}</header>{original}</article>"
    if row["similarity"] is not None:
        facts.append(f"similarity {row['similarity']:.2f}")
    facts.append(f"{len(row['changed'])} of {len(row['original'])} words replaced")
    other_class, score = classes[1 - row["label"]], _score(row["score_after"], classes)
    text = _marked(row["adversarial"], row["changed"], "")
    other = f"<section><h2>taken for {escape(other_class)} · {score}</h2><p>{text}</p></section>"
    return f'<article><header>{escape(" · ".join(facts))}</header><div class="pair">{original}{other}</div></article>'


def _score(score: float, classes: list[str]) -> str:
    return f"score of {escape(classes[1])} {score:.2f}"


def _marked(tokens: list[str], changed: list[int], style: str) -> str:
    """Tokens as HTML, those at the positions `changed` marked."""
    opening, closing = (f'<span class="{style}">', "</span>") if style else ("<mark>", "</mark>")
    where = set(changed)
    return " ".join(f"{opening}{escape(t)}{closing}" if k in where else escape(t) for k, t in enumerate(tokens))


def write_page(folder: Path, target: Path, shown: int) -> Path:
    """Write the page of one attack.

    Raises
    ------
    ValueError
        If the folder holds no finished attack on texts.
    """
    facts, damage = sealed(folder)
    if facts is None or not (folder / "texts.jsonl").is_file():
        why = damage or "it has no done.json or no texts.jsonl"
        raise ValueError(f"{folder} must be the folder of a finished attack on texts, but {why}.")
    rows = [json.loads(line) for line in (folder / "texts.jsonl").read_text(encoding="utf-8").splitlines()]
    config = read_config(folder / "config.yaml").content or {}
    names = [str(name) for name in config.get("dataset", {}).get("classes") or []]
    classes = names if len(names) == 2 and not all(name.isdigit() for name in names) else ["class 0", "class 1"]
    target.mkdir(parents=True, exist_ok=True)
    path = target / f"{folder.name}.html"
    write_bytes(path, page(folder.name, rows, classes, shown).encode())
    return path


def main(words: list[str] | None = None) -> int:
    """Write the pages and print their paths."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, help="folders of finished attacks; default: all of --outputs")
    parser.add_argument("--outputs", default="outputs", help="folder that the runs wrote to (paths.outputs)")
    parser.add_argument("--documents", type=int, default=40, help="documents on a page")
    given = parser.parse_args(words)
    folders = given.folders or sorted(p.parent for p in Path(given.outputs).glob("attacks/*/texts.jsonl"))
    folders = [f for f in folders if f in given.folders or sealed(f)[0] is not None]
    if not folders:
        print(
            f"error: there is no finished attack on texts in {given.outputs}; run one, or give --outputs.",
            file=sys.stderr,
        )
        return 2
    if given.documents < 1:
        print(f"error: --documents must be at least 1. Got {given.documents}.", file=sys.stderr)
        return 2
    try:
        for folder in folders:
            print(f"Written to {write_page(folder, Path(given.outputs) / 'figures', given.documents)}")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
