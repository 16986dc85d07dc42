"""The pattern attack on sign networks: it sees the weights, and projects on the half-spaces of the units that flip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from scd.seeds import generator_for

from .base import ArrayAttack, run_or_resume
from .engine.checkpoint import Journal
from .engine.confirmation import confirmed
from .engine.validation import Described, Task, check_choice, check_int, read_task, refuse
from .engine.white_box.closest_runs import Found, closest_of_runs, correctly_classified
from .engine.white_box.sign_search import SignNetworks, SignSearch
from .oracle import VOTES, LabelFunction
from .result import AttackResult

_FACTORS = (1.0, 1.001, 1.01, 1.05)  # of the move, until the model confirms it: its float32 products round


class SignPattern(ArrayAttack):
    """A white-box attack on a hard-voting ensemble of sign networks, in L2 or L-infinity. It is NOT black-box.

    The label changes only where enough hidden units flip. Inside a fixed set of units that must flip, a pattern, the
    closest point is the projection of the original on their half-spaces and the box, a quadratic programme. So this
    is a search over patterns, as the leaf-tuple attack (Zhang, Zhang and Hsieh, NeurIPS 2020) is one over leaves:

    - A run begins with no unit. It adds the units that give one more vote the other label at the lowest price, and
      projects again, until enough votes have it. A unit's price is what it adds to the squared distance if the same
      half-spaces stay active.
    - Then it frees one vote, or one unit, and adds what is cheapest instead, as long as that comes closer.
    - `rounds` times it frees some votes at random and does the same again.

    For L-infinity a run's first pattern is projected inside smaller and smaller cubes around the original. Where a
    pattern has no point in a cube, the votes that push most are freed, and others are added.

    The projection is computed by Hildreth's coordinate ascent (1957) on the multipliers, with the box. Points are
    confirmed by the model.

    Parameters
    ----------
    norm : {"l2", "linf"}
        The distance that is minimised.
    rounds : int
        Restarts of the local search from its best pattern, for each run. No effect with L-infinity.
    restarts : int
        Runs per example. Run r begins with the vote of rank r by price.
    seed : int
    memory_budget : int or str
        Bytes for the inputs of one label query and their copies, e.g. 268435456 or "256MiB".
    verbose : bool
        Show a progress bar of examples.

    Examples
    --------
    >>> SignPattern()(model.predict, X_test[:10], y_test[:10], votes=model.votes_).l2  # doctest: +SKIP
    """

    requires = VOTES
    method_version = 1

    def __init__(
        self,
        *,
        norm: str = "l2",
        rounds: int = 3,
        restarts: int = 1,
        seed: int = 0,
        memory_budget: int | str = "256MiB",
        verbose: bool = False,
    ) -> None:
        super().__init__(memory_budget=memory_budget, verbose=verbose)
        class_name = type(self).__name__
        self.norm = check_choice(class_name, "norm", norm, ("l2", "linf"))
        self.rounds = check_int(class_name, "rounds", rounds, 0)
        self.restarts = check_int(class_name, "restarts", restarts, 1)
        self.seed = check_int(class_name, "seed", seed, None)

    def __call__(
        self,
        labels: LabelFunction,
        x: ArrayLike,
        y: ArrayLike,
        *,
        votes: Sequence[Mapping[str, Any]],
        clip: Any = (0.0, 1.0),
        index: ArrayLike | None = None,
        state: str | Path | None = None,
    ) -> AttackResult:
        """Attack the model behind `labels` and `votes` at the examples `x`.

        Parameters
        ----------
        labels : callable
            Takes float32 inputs (n, d) within the clip box, returns n labels: the majority of the votes, a tie is 0.
        x : array of shape (n, d)
            Originals, finite and within `clip`.
        y : array of int, shape (n,)
            True labels, 0 or 1.
        votes : sequence of dict
            Arrays ``hidden``, ``thresholds``, ``output`` and ``output_threshold``, as in
            :attr:`scd.SCDClassifier.votes_`.
        clip : (low, high)
            Bounds of the features: two numbers for all, or two arrays (d,).
        index : array of int, shape (n,), optional
            Numbers of the examples: they appear in the result and name the random streams. Default 0..n-1.
        state : path, optional
            File for the state of the attack: after a kill, the same call continues with the next example.

        Returns
        -------
        result : AttackResult
            `queries` counts the labels of the originals and of the points found. The trace has a row a round, or cube.

        Raises
        ------
        ValueError
            Invalid examples, votes that are no sign networks of as many features, or a state of another attack.
        """
        class_name = type(self).__name__
        task = read_task(class_name, x, y, clip, index)
        if not np.isin(task.y, (0, 1)).all():
            raise refuse(class_name, "y", "labels 0 and 1", Described(f"labels {np.unique(task.y).tolist()}"))
        names = {"hidden", "thresholds", "output", "output_threshold"}
        if not len(votes) or any(names - set(vote) or vote["hidden"].shape[1:] != task.x.shape[1:] for vote in votes):
            allowed = f"sign networks of {task.x.shape[1]} features"
            raise refuse(class_name, "votes", allowed, Described(f"{len(votes)} others"))
        oracle, networks = self._label_oracle(labels, task), SignNetworks(votes)
        arrays = {f"vote {v}": {name: vote[name] for name in names} for v, vote in enumerate(votes)}
        identity = self._identity(task, arrays)
        journal = Journal(oracle, task.y, None if state is None else Path(state), identity)

        def attack() -> AttackResult:
            found = closest_of_runs(
                task,
                journal,
                correctly_classified(task, journal),
                self.norm == "linf",
                lambda e: self._points(networks, task, e),
                self._bar(len(task.x), 0, "example"),
            )
            return confirmed(class_name, found, task, oracle, labels)

        return run_or_resume(journal, task, attack)

    def _points(self, networks: SignNetworks, task: Task, e: int) -> Iterator[Found]:
        """Yield, for each run and round of one example, the point of the run's best pattern; the last is queried."""
        search = SignSearch(networks, task.x[e], int(task.y[e]), task.low, task.high)
        for run in range(self.restarts):
            start = search.extend(search.none(), np.inf, rank=run)
            if start is None:
                continue
            rng = generator_for(self.seed, int(task.index[e]), run, "sign_pattern")
            steps = search.cubes(start) if self.norm == "linf" else search.rounds(start, self.rounds, rng)
            for number, best in enumerate(steps):
                yield Found(run, number, search.point(best), False)
            for factor in _FACTORS:
                yield Found(run, number, search.point(best, factor), True)
