"""The effects that drive a node's search, and correct rows, in torch.

A row is a training sample. Rows are ordered by class, label 0 first; `negatives` is the number of rows of label 0.
"""

from __future__ import annotations

import torch

from scd.engine.parameters import FIXED_POINT


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
