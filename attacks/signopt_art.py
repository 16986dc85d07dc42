"""Sign-OPT of the Adversarial Robustness Toolbox (ART 1.20.1), for comparison with the tool."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .engine.art import ARTRuns
from .engine.bisection import FINAL_TOLERANCE, BoundarySearch
from .engine.checkpoint import Journal
from .engine.initial_points import Candidates, begin_runs
from .engine.validation import Task, refuse
from .signopt import SignOPT


class SignOPTART(ARTRuns, SignOPT):
    """ART's Sign-OPT with the interface and the record of :class:`SignOPT`; see :class:`ARTRuns`.

    The parameters are those of `SignOPT`, with ART's defaults. Their meaning differs in these points:

    - The starts are ART's: the closest of `init_size` directions of standard normal noise that are adversarial at
      their own length. So `start` must be "noise".
    - `epsilon` and `step` refer to the sum of the probes' directions divided by their number.
    - `query_budget` must be None and `accelerated` False. `max_iter` ends the attack.

    ART queries one input at a time, and takes a boundary farther away than 20 for none. It ends within 1e-5 of the
    boundary, where rounding decides the label. So its point is moved outwards by 1e-4 of its distance, which
    `l2_returned` includes.
    """

    n_classes = 3  # ART refuses a model of two
    start_options: ClassVar[tuple[str, ...]] = ("noise",)

    def __init__(self, **parameters: Any) -> None:
        defaults = {"epsilon": 0.001, "init_size": 100, "query_budget": None}
        super().__init__(**{**defaults, **parameters})
        if self.accelerated:
            raise refuse(type(self).__name__, "accelerated", "False, as ART has only Sign-OPT", self.accelerated)

    def _start(
        self, task: Task, journal: Journal, shared: Candidates | None, to_boundary: bool = True
    ) -> BoundarySearch:
        runs = begin_runs(task, journal, self.restarts, self.init_size, None)
        runs.started[:] = True
        return BoundarySearch(task, journal, runs, self.norm == "linf")

    def _perturb(self, art: Any, search: BoundarySearch, r: int) -> NDArray[np.float32]:
        point, task = super()._perturb(art, search, r), search.task
        original = task.x[search.runs.example[r]]
        moved = original + np.float32(1.0 + FINAL_TOLERANCE) * (point - original)
        return np.clip(moved, np.float32(task.low), np.float32(task.high))

    def _build(self, art: Any, model: Any, batch_size: int) -> Any:
        return art.SignOPTAttack(
            model,
            targeted=False,
            epsilon=self.epsilon,
            num_trial=self.init_size,
            max_iter=self.max_iter,
            query_limit=sys.maxsize,
            k=self.probes,
            alpha=self.step,
            batch_size=batch_size,
            verbose=False,
        )
