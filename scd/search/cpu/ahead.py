"""Compile parts of an iteration with the 0-1 loss on images, and prediction: ``python -m scd.search.cpu.ahead hidden``.

The arguments have the types that :func:`scd.search.cpu.vote.advance` passes on.
"""

from __future__ import annotations

import sys

import numpy as np

from scd.engine.forward import StackedVotes
from scd.engine.sampling import Sizes, draw_vote
from scd.search.cpu.hidden import Candidates, search_thresholds
from scd.search.cpu.output import search_activations

_FEATURES, _STEPS, _EFFECTS = np.zeros(1, np.int64), np.zeros(1, np.float32), np.ones(2, np.int32)


def hidden() -> None:
    """The search over a hidden node's thresholds, and the draw of a batch, nodes and features."""
    rows = np.arange(2, dtype=np.uint32)
    candidates = Candidates(np.zeros((1, 2), np.uint8), np.float32(1), _FEATURES, _STEPS, rows)
    search_thresholds(np.zeros(2, np.float32), candidates, _EFFECTS, np.float32(1))
    drawn = np.ones(2, np.bool_), _FEATURES, np.zeros((1, 1), np.int64)
    draw_vote(np.ones(6, np.uint64), Sizes(1, 0, 0, 1, 1), None, *drawn)


def output() -> None:
    """The search over the output node's thresholds, and the votes' labels."""
    search_activations(np.zeros(2), np.zeros((1, 2), np.uint32), _FEATURES, _STEPS, _EFFECTS)
    StackedVotes(np.ones((1, 1, 1)), np.zeros((1, 1)), np.ones((1, 1)), np.zeros(1)).labels(np.zeros((1, 1)))


if __name__ == "__main__":
    {"hidden": hidden, "output": output}[sys.argv[1]]()
