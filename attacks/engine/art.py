"""Attacks of the Adversarial Robustness Toolbox (ART 1.20.1) behind the call and the record of our own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from attacks.base import RestartedAttack
from attacks.engine.bisection import BoundarySearch
from attacks.engine.checkpoint import Journal
from attacks.engine.initial_points import Candidates
from attacks.engine.run_state import Runs, collect
from attacks.engine.validation import Task, refuse
from attacks.result import AttackResult
from scd.seeds import stream_key


class ARTRuns(RestartedAttack):
    """One run after the other by ART; put it before one of our attacks, whose parameters and starts it takes.

    Starts are ours (ART draws its own from an unseeded generator, and returns the original image when it finds none);
    NumPy's global generator, which ART uses, is seeded for every run and restored; every query is counted; the
    returned point is projected to the boundary, which ART leaves out. The record's `l2` and `linf` are after the
    projection, the extra column `l2_returned` is the distance of the same run as ART returned it.

    A subclass writes `_build`. `query_budget` must be None, for ART cannot keep one.
    """

    max_iter: int
    starts_at_boundary = True

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        if self.query_budget is not None:
            raise refuse(type(self).__name__, "query_budget", "None", self.query_budget)

    @abstractmethod
    def _build(self, art: Any, model: Any, batch_size: int) -> Any:
        """ART's attack with our parameters; `art` holds ART's attack classes by their names."""

    def _attack(self, task: Task, journal: Journal, shared: Candidates | None) -> AttackResult:
        art = _import_art(type(self).__name__)
        if journal.snapshot:
            runs, returned = Runs.from_arrays(journal.snapshot), journal.snapshot["l2_returned"].copy()
            search = BoundarySearch(task, journal, runs, self.norm == "linf")
        else:
            search = self._start(task, journal, shared, self.starts_at_boundary)
            runs = search.runs
            runs.l2[:], runs.linf[:], returned = np.inf, np.inf, np.full(len(runs), np.nan)
            journal.mark({**runs.to_arrays(), "l2_returned": returned})
        with tqdm(total=len(runs), initial=int(runs.iteration), desc=type(self).__name__, unit="run",
                  disable=not self.verbose) as bar:  # fmt: skip
            while int(runs.iteration) < len(runs):
                r = int(runs.iteration)
                if runs.started[r]:
                    runs.point[r] = self._perturb(art, search, r)
                    returned[r] = self._project(search, r)
                runs.iteration = np.array(r + 1)
                journal.mark({**runs.to_arrays(), "l2_returned": returned})
                bar.update()
        return collect(task, runs, journal.oracle.queries, search.linf, l2_returned=returned)

    def _perturb(self, art: Any, search: BoundarySearch, r: int) -> NDArray[np.float32]:
        """Let ART do the iterations of run r from its start; returns ART's point, shape (d,)."""
        task, runs = search.task, search.runs
        e = int(runs.example[r])

        def predict(rows: Any) -> NDArray[np.float32]:
            # two classes are all that the attack looks at: 0 the true label, 1 any other
            rows = np.clip(np.ascontiguousarray(rows, dtype=np.float32), np.float32(task.low), np.float32(task.high))
            runs.spent[r] += len(rows)
            adversarial = search.journal.ask(rows, np.full(len(rows), e))
            return np.eye(2, dtype=np.float32)[adversarial.astype(np.int64)]

        model = art.BlackBoxClassifier(
            predict, input_shape=task.x.shape[1:], nb_classes=2, clip_values=(task.low, task.high)
        )
        attack = self._build(art, model, search.block_rows)
        with _global_seed(stream_key(self.seed, task.index[e], runs.restart[r], "art")):
            point = attack.generate(
                task.x[e : e + 1].copy(), y=np.array([[1.0, 0.0]]), x_adv_init=runs.point[r : r + 1].copy()
            )
        inside: NDArray[np.float32] = np.clip(point[0], np.float32(task.low), np.float32(task.high))
        return inside

    def _project(self, search: BoundarySearch, r: int) -> float:
        """Project ART's point of run r to the boundary; returns the L2 distance it had before."""
        runs, who = search.runs, np.array([r])
        runs.steps[r] = self.max_iter
        l2, _ = search.measure(who, runs.point)
        if not search.ask(who, lambda out, begin, end: np.copyto(out, runs.point[who[begin:end]]))[0]:
            runs.started[r] = False  # the original image, or a point that the model no longer gets wrong
            return float("nan")
        search.search(who, search.linf, 1e-3)
        search.finish(who)
        runs.write_trace(who)
        return float(l2[0])


@contextmanager
def _global_seed(key: NDArray[np.uint64]) -> Iterator[None]:
    """Seed NumPy's global generator, and leave it as it was."""
    before = np.random.get_state()
    try:
        np.random.seed((key & np.uint64(0xFFFFFFFF)).astype(np.uint32))
        yield
    finally:
        np.random.set_state(before)


def _import_art(owner: str) -> Any:
    """Import what is needed of ART, or say how to get it."""
    try:
        from art.attacks.evasion import BoundaryAttack, HopSkipJump
        from art.estimators.classification import BlackBoxClassifier
    except ImportError as missing:
        raise ImportError(
            f"The attack {owner} needs the Adversarial Robustness Toolbox 1.20.1; "
            f"install it with `pip install .[art]` ({missing})."
        ) from missing
    return SimpleNamespace(
        BoundaryAttack=BoundaryAttack, HopSkipJump=HopSkipJump, BlackBoxClassifier=BlackBoxClassifier
    )
