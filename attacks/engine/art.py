"""Attacks of the Adversarial Robustness Toolbox (ART 1.20.1) with the interface and the record of this package."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scd.seeds import stream_key

from ..base import RestartedAttack, collect
from ..result import AttackResult
from .bisection import BoundarySearch
from .checkpoint import Journal
from .initial_points import Candidates
from .run_state import RunState
from .validation import Task, refuse


class ARTRuns(RestartedAttack):
    """Runs ART's attack, one run after the other. A mixin: the next base is the attack with the same parameters.

    ART does the iterations. The differences to calling ART directly:

    - The starts are those of this package, from `seed`. (ART draws its own from an unseeded generator, and returns
      the original image if it finds none.)
    - NumPy's global generator, which ART uses, is seeded for every run and restored.
    - Every query is counted.
    - The returned point is projected to the boundary. `l2` and `linf` of the record are after this projection; the
      extra column `l2_returned` is the distance of the same run as returned by ART.

    A subclass implements `_build`. `query_budget` must be None, because ART cannot enforce one. ART is imported by the
    call only (`pip install .[art]`).
    """

    max_iter: int
    starts_at_boundary = True
    n_classes = 2  # that ART is told: its classes are 0, the true label, and 1, any other
    unbounded = False

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        if self.query_budget is not None:
            raise refuse(type(self).__name__, "query_budget", "None", self.query_budget)

    @abstractmethod
    def _build(self, art: Any, model: Any, batch_size: int) -> Any:
        """Return ART's attack with the parameters of this one; `art` has ART's attack classes as attributes."""

    def _attack(self, task: Task, journal: Journal, shared: Candidates | None) -> AttackResult:
        art = _import_art(type(self).__name__)
        if journal.snapshot:
            runs, returned = RunState.from_arrays(journal.snapshot), journal.snapshot["l2_returned"].copy()
            search = BoundarySearch(task, journal, runs, self.norm == "linf")
        else:
            search = self._start(task, journal, shared, self.starts_at_boundary)
            runs = search.runs
            runs.l2[:], runs.linf[:], returned = np.inf, np.inf, np.full(len(runs), np.nan)
            journal.mark({**runs.to_arrays(), "l2_returned": returned})
        with self._bar(len(runs), int(runs.iteration), "run") as bar:
            while int(runs.iteration) < len(runs):
                r = int(runs.iteration)
                if runs.started[r]:
                    runs.point[r] = self._perturb(art, search, r)
                    returned[r] = self._project(search, r)
                runs.iteration = np.array(r + 1)
                journal.mark({**runs.to_arrays(), "l2_returned": returned})
                bar.update()
        return collect(search, l2_returned=returned)

    def _perturb(self, art: Any, search: BoundarySearch, r: int) -> NDArray[np.float32]:
        """Run ART's iterations from the start of run r; return ART's point, shape (d,)."""
        task, runs = search.task, search.runs
        e = int(runs.example[r])

        def predict(rows: Any) -> NDArray[np.float32]:
            rows = np.clip(np.ascontiguousarray(rows, dtype=np.float32), np.float32(task.low), np.float32(task.high))
            runs.spent[r] += len(rows)
            adversarial = search.journal.query(rows, np.full(len(rows), e))
            return np.eye(self.n_classes, dtype=np.float32)[adversarial.astype(np.int64)]

        model = art.BlackBoxClassifier(
            predict, input_shape=task.x.shape[1:], nb_classes=self.n_classes, clip_values=(task.low, task.high)
        )
        attack = self._build(art, model, search.host.block_rows)
        with _global_seed(stream_key(self.seed, task.index[e], runs.restart[r], "art")):
            point = attack.generate(
                task.x[e : e + 1].copy(), y=np.eye(1, self.n_classes), x_adv_init=runs.point[r : r + 1].copy()
            )
        inside: NDArray[np.float32] = np.clip(point[0], np.float32(task.low), np.float32(task.high))
        return inside

    def _project(self, search: BoundarySearch, r: int) -> float:
        """Project ART's point of run r to the boundary; return its L2 distance before."""
        runs, run_ids = search.runs, np.array([r])
        runs.steps[r] = self.max_iter
        l2, _ = search.measure(run_ids, runs.point)
        if not search.host.query(run_ids, lambda out, begin, end: np.copyto(out, runs.point[run_ids[begin:end]]))[0]:
            runs.started[r] = False  # the original image, or a point that the model now classifies correctly
            return float("nan")
        search.search(run_ids, search.linf, 1e-3)
        search.finish(run_ids)
        runs.write_trace(run_ids)
        return float(l2[0])


@contextmanager
def _global_seed(key: NDArray[np.uint64]) -> Iterator[None]:
    """Seed NumPy's global generator, and restore its state at the end."""
    before = np.random.get_state()
    try:
        np.random.seed((key & np.uint64(0xFFFFFFFF)).astype(np.uint32))
        yield
    finally:
        np.random.set_state(before)


def _import_art(owner: str) -> Any:
    """Import the needed classes of ART; the error says how to install it."""
    try:
        from art.attacks.evasion import BoundaryAttack, HopSkipJump, SignOPTAttack
        from art.estimators.classification import BlackBoxClassifier
    except ImportError as missing:
        raise ImportError(
            f"The attack {owner} needs the Adversarial Robustness Toolbox 1.20.1; "
            f"install it with `pip install .[art]` ({missing})."
        ) from missing
    return SimpleNamespace(
        BoundaryAttack=BoundaryAttack,
        HopSkipJump=HopSkipJump,
        SignOPTAttack=SignOPTAttack,
        BlackBoxClassifier=BlackBoxClassifier,
    )
