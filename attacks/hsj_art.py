"""HopSkipJump of the Adversarial Robustness Toolbox (ART 1.20.1), for comparison with the paper's tool."""

from __future__ import annotations

from typing import Any

import numpy as np

from .engine.art import ARTRuns
from .engine.validation import refuse
from .hopskipjump import HopSkipJump


class HopSkipJumpART(ARTRuns, HopSkipJump):
    """ART's HopSkipJump with the interface and the record of :class:`HopSkipJump`; see :class:`ARTRuns`.

    The parameters are those of `HopSkipJump`. `query_budget` must be None, and `delta` 0.01, which ART has fixed.
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
