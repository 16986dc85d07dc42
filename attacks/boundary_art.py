"""The Boundary Attack of the Adversarial Robustness Toolbox (ART 1.20.1), kept to compare with the paper's tool."""

from __future__ import annotations

from typing import Any

from attacks.boundary import BoundaryAttack
from attacks.engine.art import ARTRuns


class BoundaryAttackART(ARTRuns, BoundaryAttack):
    """ART's Boundary Attack behind the call and the record of our own, one run after the other.

    ART does the iterations. Around them: the starts are those of `BoundaryAttack` with the same seed (ART draws its
    own from an unseeded generator, and returns the original image when it finds none); NumPy's global generator,
    which ART uses, is seeded for every run and restored; every query is counted; the returned point is projected to
    the boundary, which ART leaves out. The record's `l2` and `linf` are after the projection, the extra column
    `l2_returned` is the distance of the same run as ART returned it.

    Parameters are those of `BoundaryAttack`; `query_budget` must be None, for ART cannot keep one. ART is imported
    by the call only (`pip install .[art]`).
    """

    starts_at_boundary = False

    def _build(self, art: Any, model: Any, batch_size: int) -> Any:
        return art.BoundaryAttack(
            model,
            batch_size=batch_size,
            targeted=False,
            delta=self.delta,
            epsilon=self.epsilon,
            step_adapt=self.step_adapt,
            max_iter=self.max_iter,
            num_trial=self.num_trial,
            sample_size=self.sample_size,
            init_size=self.init_size,
            min_epsilon=self.min_epsilon,
            verbose=False,
        )
