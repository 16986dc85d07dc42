"""wordcnn on one core: its pass by words against the convolution that it replaces."""

from __future__ import annotations

from functools import partial

import numpy as np

from scripts.bench.measure import Section, seconds_of, threads

_DOCUMENTS, _WORDS, _VOCABULARY, _DIMENSION = 32, 400, 100_000, 100


def _documents(rng: np.random.Generator) -> np.ndarray:
    """(n, L) numbers of words, some often and most rarely, of made-up documents; zeros behind the last."""
    rows = np.zeros((_DOCUMENTS, _WORDS), dtype=np.float32)
    for row in rows:
        length = min(_WORDS, int(rng.lognormal(5.2, 0.6)))
        row[:length] = np.minimum(rng.zipf(1.25, length), _VOCABULARY)
    return rows


def words() -> Section:
    """Milliseconds of a gradient of one vote, and of a row of eight votes whose rows differ in a word."""
    import torch
    import torch.nn.functional as F

    from baselines.torch_ensemble.wordcnn_network import WordCNN

    rng = np.random.default_rng(0)
    table = rng.normal(size=(1 + _VOCABULARY, _DIMENSION)).astype(np.float32)
    table[0] = 0
    rows = _documents(rng)
    batch, labels = torch.from_numpy(rows), torch.arange(_DOCUMENTS) % 2
    alike = np.repeat(rows[:1], 64, axis=0)
    alike[np.arange(64), np.arange(64)] = _VOCABULARY
    asked = torch.from_numpy(alike)

    def network(votes: int, convolve: bool) -> WordCNN:
        made = WordCNN(votes, lambda: table, _DIMENSION, 150, 0.0)
        for vote in range(votes):
            made.initialise(vote, torch.Generator().manual_seed(vote))
        if convolve:
            made._pooled_by_words = made._pooled  # type: ignore[method-assign]
        return made

    def step(made: WordCNN) -> None:
        made.zero_grad()
        F.cross_entropy(made(batch).flatten(0, 1), labels).backward()

    section = Section(f"wordcnn, {_DOCUMENTS} documents of at most {_WORDS} words, one core")
    with threads(1):
        for name, convolve in (("by words", False), ("convolution", True)):
            one, eight = network(1, convolve), network(8, convolve).eval().requires_grad_(False)
            gradient = seconds_of(partial(step, one), 5)
            row = seconds_of(partial(eight, asked), 3) / len(asked)
            section.figures[f"gradient of one vote, {name}, ms"] = 1000 * gradient
            section.figures[f"a row of eight votes, {name}, ms"] = 1000 * row
    for what in ("gradient of one vote", "a row of eight votes"):
        slow, fast = section.figures[f"{what}, convolution, ms"], section.figures[f"{what}, by words, ms"]
        section.ratios[f"wordcnn, {what}: convolution / by words"] = slow / fast
    return section
