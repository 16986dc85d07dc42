"""The Boundary Attack of the Adversarial Robustness Toolbox (ART 1.20.1), for comparison with the paper's tool."""

from __future__ import annotations

from typing import Any

from .boundary import BoundaryAttack
from .engine.art import ARTRuns


class BoundaryAttackART(ARTRuns, BoundaryAttack):
    """ART's Boundary Attack with the interface and the record of :class:`BoundaryAttack`; see :class:`ARTRuns`.

    The parameters are those of `BoundaryAttack`. `query_budget` must be None.
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
