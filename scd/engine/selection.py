"""The score by which training selects networks.

A row is a training sample. Rows are ordered by class, label 0 first; `negatives` is the number of rows of label 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


class SelectionScore:
    """Balanced accuracy in the first part of training, accuracy + balanced accuracy afterwards.

    Both are linear in the number of correct rows of each class. So a score is an integer, and no rounding decides
    between two networks: correct rows of label 0 times one weight plus correct rows of label 1 times another.

    Parameters
    ----------
    negatives, positives : int
        Training rows of label 0 and label 1.
    """

    def __init__(self, negatives: int, positives: int) -> None:
        self.counts = (negatives, positives)
        n = negatives + positives
        self.balanced = _reduced(positives, negatives)
        # accuracy = correct / n; balanced = correct_0 / (2 n_0) + correct_1 / (2 n_1); times 2 n n_0 n_1
        both = 2 * negatives * positives
        self.combined = _reduced(both + n * positives, both + n * negatives)

    def weights(self, combined: bool) -> tuple[int, int]:
        """Integer weight of a correct row of label 0 and of label 1."""
        return self.combined if combined else self.balanced

    def score(self, correct: Any, combined: bool) -> Any:
        """(V,) int64 scores of (V, 2) numbers of correct rows of each class, in an array or a tensor."""
        weights = self.weights(combined)
        return correct[:, 0] * weights[0] + correct[:, 1] * weights[1]

    def as_fraction(self, correct: NDArray[np.int64]) -> NDArray[np.float32]:
        """(V,) balanced accuracy in [0, 1], to be shown."""
        fractions = correct.astype(np.float32) / np.array(self.counts, dtype=np.float32)
        return (fractions[:, 0] + fractions[:, 1]) / np.float32(2)


def _reduced(a: int, b: int) -> tuple[int, int]:
    divisor = math.gcd(a, b)
    return a // divisor, b // divisor
