"""HopSkipJump of the Adversarial Robustness Toolbox (ART 1.20.1), kept to compare with the paper's tool."""

from __future__ import annotations

from typing import Any

import numpy as np

from attacks.engine.art import ARTRuns
from attacks.engine.validation import refuse
from attacks.hopskipjump import HopSkipJump


class HopSkipJumpART(ARTRuns, HopSkipJump):
    """ART's HopSkipJump behind the call and the record of our own, one run after the other.

    ART does the iterations. Around them: the starts are those of `HopSkipJump` with the same seed (ART draws its own
    from an unseeded generator, and returns the original image when it finds none); NumPy's global generator, which
    ART uses, is seeded for every run and restored; every query is counted; the returned point is projected to the
    boundary, which ART leaves out. The record's `l2` and `linf` are after the projection, the extra column
    `l2_returned` is the distance of the same run as ART returned it.

    Parameters are those of `HopSkipJump`; `query_budget` must be None, for ART cannot keep one. ART is imported by
    the call only (`pip install .[art]`).
    """

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        if self.delta != 0.01:
            raise refuse(type(self).__name__, "delta", "0.01, which ART has fixed", self.delta)

    def _build(self, art: Any, model: Any, batch_size: int) -> Any:
        return art.HopSkipJump(
            model,
            batch_size=batch_size,
            norm=2 if self.norm == "l2" else np.inf,
            max_iter=self.max_iter,
            max_eval=self.max_eval,
            init_eval=self.init_eval,
            init_size=self.init_size,
            verbose=False,
        )
