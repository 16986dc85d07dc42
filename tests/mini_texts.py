"""Small text sets in their public formats, for tests of everything that takes documents."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np

GOOD = ["fine", "lovely", "great", "charming", "superb", "warm"]
BAD = ["dull", "awful", "poor", "boring", "weak", "cold"]
NEUTRAL = ["film", "story", "actor", "scene", "the", "and", "of", "is"]
DIMENSION = 6


def document(rng: np.random.Generator, label: int, length: int = 8) -> str:
    """Half of its words depend on the label; the last one has no vector and makes the document unique."""
    telling = rng.choice(GOOD if label else BAD, length // 2)
    words = rng.permutation([*telling, *rng.choice(NEUTRAL, length - length // 2)])
    return " ".join([*words, f"x{rng.integers(10**9)}"])


def documents(seed: int, n: int) -> list[tuple[int, str]]:
    """`n` labelled documents with alternating classes."""
    rng = np.random.default_rng(seed)
    return [(i % 2, document(rng, i % 2)) for i in range(n)]


def write_vectors(path: Path, seed: int = 0) -> None:
    """GloVe's text format: good and bad words are on two sides of the origin."""
    rng = np.random.default_rng(seed)
    lines = []
    for side, words in ((1.0, GOOD), (-1.0, BAD), (0.0, NEUTRAL)):
        for word in words:
            vector = 0.3 * rng.normal(size=DIMENSION) + side * np.eye(DIMENSION)[0]
            lines.append(" ".join([word, *(f"{value:.4f}" for value in vector)]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_table(path: Path, header: list[str], rows: list[list[object]]) -> None:
    """A compressed table with tabs as separators."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines("\t".join(map(str, row)) + "\n" for row in [header, *rows])


def write_texts(folder: Path, name: str, n_train: int = 40, n_test: int = 12, n_attacked: int = 6) -> None:
    """A text set with word vectors, the attacked documents (from the end of its test set) and synonyms.

    `name` is mr, imdb, yelp or ag.
    """
    train, test = documents(1, n_train), documents(2, n_test)
    attacked = test if name == "mr" else test[-n_attacked:]
    write_vectors(folder / "text" / "glove.6B.6d.subset.txt")
    rows: list[list[object]] = [[name, label, text] for label, text in attacked]
    write_table(folder / "text" / "textfooler_1000.tsv.gz", ["dataset", "label", "text"], rows)
    if name == "mr":
        place = folder / "rt-polaritydata"
        place.mkdir(exist_ok=True)
        for label, part in enumerate(("neg", "pos")):
            lines = [text for known, text in [*train, *test] if known == label]
            (place / f"rt-polarity.{part}").write_text("\n".join(lines) + "\n", encoding="windows-1252")
    elif name == "imdb":
        for split, pairs in (("train", train), ("test", test)):
            for number, (label, text) in enumerate(pairs):
                part = folder / "aclImdb" / split / ("neg", "pos")[label]
                part.mkdir(parents=True, exist_ok=True)
                (part / f"{number}_7.txt").write_text(text, encoding="utf-8")
    else:
        place = folder / {"ag": "ag_news_csv", "yelp": "yelp_review_polarity_csv"}[name]
        place.mkdir(exist_ok=True)
        for split, pairs in (("train", train), ("test", test)):
            lines = [
                f'"{label + 1}","{text}"' if name == "yelp" else f'"{label + 1}","{text[:9]}","{text[9:]}"'
                for label, text in pairs
            ]
            (place / f"{split}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with gzip.open(folder / "text" / "counterfitted_neighbors.json.gz", "wt", encoding="utf-8") as file:
        json.dump({**dict.fromkeys(GOOD, BAD), **dict.fromkeys(BAD, GOOD)}, file)
