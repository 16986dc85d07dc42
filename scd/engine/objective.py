"""What is optimised: the selection score and the effects that drive a node's search.

A row is a training sample. Rows are ordered by class, label 0 first; `negatives` is the number of rows of label 0.
"""

from __future__ import annotations

import math

import torch

FIXED_POINT = 1 << 16
"""Cross-entropy effects are rounded to multiples of ``1 / FIXED_POINT``: integer sums are exact in any order."""


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

    def score(self, correct: torch.Tensor, combined: bool) -> torch.Tensor:
        """(V,) int64 scores of (V, 2) numbers of correct rows of each class."""
        weights = self.weights(combined)
        return correct[:, 0] * weights[0] + correct[:, 1] * weights[1]

    def as_fraction(self, correct: torch.Tensor) -> torch.Tensor:
        """(V,) balanced accuracy in [0, 1], to be shown."""
        return (correct[:, 0] / self.counts[0] + correct[:, 1] / self.counts[1]) / 2


def _reduced(a: int, b: int) -> tuple[int, int]:
    divisor = math.gcd(a, b)
    return a // divisor, b // divisor


def correct_rows(on: torch.Tensor, negatives: int) -> torch.Tensor:
    """(V, 2) int64: correct rows of label 0 and of label 1, for predictions `on` (V, n) bool."""
    positive = on[:, negatives:].sum(1)
    negative = negatives - on[:, :negatives].sum(1)
    return torch.stack([negative, positive], dim=1)


def zero_one_output_effects(
    batch: torch.Tensor, negatives: int, weights: tuple[int, int], dtype: torch.dtype = torch.int64
) -> torch.Tensor:
    """(V, n): effects of predicting 1 instead of 0 at the output node; 0 outside `batch` (V, n) bool."""
    effects = batch.to(dtype)
    effects[:, :negatives] *= -weights[0]
    effects[:, negatives:] *= weights[1]
    return effects


def zero_one_effects(
    off: torch.Tensor, on: torch.Tensor, batch: torch.Tensor, negatives: int, weights: tuple[int, int]
) -> torch.Tensor:
    """(V, n) int64: effects of turning on a hidden node, under the 0-1 loss.

    Parameters
    ----------
    off, on : (V, n) float64
        Logit of the vote with the node off and with it on.
    batch : (V, n) bool
    """
    change = (on > 0).to(torch.int8) - (off > 0).to(torch.int8)
    effects = (change * batch).to(torch.int64)
    effects[:, :negatives] *= -weights[0]
    effects[:, negatives:] *= weights[1]
    return effects


def cross_entropy_effects(off: torch.Tensor, on: torch.Tensor, batch: torch.Tensor, negatives: int) -> torch.Tensor:
    """(V, n) int64: decrease of the cross-entropy when a hidden node turns on, in units of ``1 / FIXED_POINT``."""
    # the loss of a row of label 0 increases by softplus(on) - softplus(off); for label 1 subtract on - off
    change = torch.nn.functional.softplus(off) - torch.nn.functional.softplus(on)
    change[:, negatives:] += (on - off)[:, negatives:]
    return (change * (FIXED_POINT * batch)).round_().to(torch.int64)
