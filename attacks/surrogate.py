"""The surrogate attack: knows how the target was trained, but not its weights; trains a model of its own as a guide."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scd.devices import one_torch_thread
from scd.seeds import generator_for, seed_for

from .base import project_and_collect
from .engine.bisection import PROJECTION_QUERIES, BoundarySearch
from .engine.checkpoint import Journal
from .engine.gradient_estimate import unit
from .engine.initial_points import Candidates, begin_runs, noise_starts, query_in_blocks
from .engine.run_state import RunState, Selection
from .engine.validation import Task, check_choice, check_int, read_pool
from .oracle import GradientOracle, SmoothFunction
from .rays import ray_starts
from .result import AttackResult
from .smoothed_boundary import RAY_QUERIES, START_TOLERANCE, SmoothedBoundary, State

Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]

_KINDS = ("scd01", "scdce", "logistic")
_MOST = 5  # at most one of so many queries is spent on samples
_LINE_QUERIES = 12  # of the line along the surrogate's gradient
_NEAREST = 0.05  # first place on that line, relative to the best distance
_NOISE = 0.5  # that smooths the surrogate's hidden units: its standard deviation, relative to the width of the box
_PROBIT = 1.702  # a sigmoid of so many times z is the normal distribution function of z, within 0.01
_GAMMA = 1.0  # sharpness of the surrogate's votes
_PENALTY = 0.01  # C of the logistic regression, for features in units of the box
_FIRST_AGREEMENT = 5.0  # with both directions before anything is measured, in units of 1 / sqrt(d)


class Surrogate(SmoothedBoundary):
    """The smoothed boundary attack, guided by a surrogate: the attacker knows the algorithm and has data, no weights.

    1. The attack queries the target's labels of `samples` samples: of the pool (in `run.py` the training data), or
       without a pool of blends of the original and noise.
    2. It trains a surrogate on them. "scd01" and "scdce" are sign networks of :class:`scd.SCDClassifier`. Their
       gradient is that of smoothed signs, as in :class:`attacks.whitebox.WhiteBox`, under noise of half the width of
       the box: with less, gradients transfer worse.
    3. A run starts at the closest of RayS's point and 12 points on the line along the surrogate's gradient; where
       none is adversarial, at the nearest sample with another label, else from noise.
    4. The run is that of :class:`attacks.smoothed_boundary.SmoothedBoundary`, but v moves towards a combination of the
       average of the estimates and the surrogate's gradient at the centre. The weights are those of a regression: the
       agreement (cosine) of each new estimate with either direction measures how well it predicts the target's
       gradient, at no further query. A surrogate that does not agree gets the weight 0.

    The idea is from SQBA (Park, Miller, McLaughlin, WACV 2024), which begins with a surrogate's gradient, and PARS-OPT
    (Xu et al., AAAI 2026, arXiv:2512.21241), which adds it to an estimate. Here the weight is measured.

    Queries for samples count in the budget of every point in full, as if it was attacked alone, so a distance does not
    depend on the number of points. They are at most a fifth of the budget. Restarts of a point share them. Points for
    which the samples have the same labels share the training.

    On resuming, the surrogate is trained again from the recorded labels.

    Parameters
    ----------
    surrogate : {"scd01", "scdce", "logistic"}
        What is trained: sign networks with the 0-1 loss or cross-entropy, or a logistic regression.
    samples : int
        Maximum number of samples that are queried for a point.
    votes, iterations : int
        Votes of the sign networks, and their training iterations.
    norm, max_iter, probes, radius, target, step, memory
        See :class:`attacks.smoothed_boundary.SmoothedBoundary`. The defaults are those for few queries
        (conf/attack/smoothed_few.yaml).
    restarts, init_size, query_budget, seed, memory_budget, verbose
        See :class:`attacks.base.RestartedAttack`.

    Examples
    --------
    >>> attack = Surrogate(query_budget=5000)
    >>> result = attack(model.predict, X_test[:10], y_test[:10], pool=X_train)  # doctest: +SKIP
    >>> result.l2  # doctest: +SKIP
    """

    method_version = 1

    def __init__(
        self,
        *,
        surrogate: str = "scd01",
        samples: int = 300,
        votes: int = 20,
        iterations: int = 300,
        norm: str = "l2",
        max_iter: int = 140,
        restarts: int = 1,
        probes: int = 500,
        radius: ArrayLike = (1.0, 0.3),
        target: float = 0.3,
        step: float = 0.2,
        memory: float = 1.0,
        init_size: int = 1000,
        query_budget: int | None = 10000,
        seed: int = 0,
        memory_budget: int | str = "256MiB",
        verbose: bool = False,
    ) -> None:
        super().__init__(
            norm=norm,
            max_iter=max_iter,
            restarts=restarts,
            probes=probes,
            radius=radius,
            target=target,
            step=step,
            memory=memory,
            init_size=init_size,
            start="rays",
            query_budget=query_budget,
            seed=seed,
            memory_budget=memory_budget,
            verbose=verbose,
        )
        class_name = type(self).__name__
        self.surrogate = check_choice(class_name, "surrogate", surrogate, _KINDS)
        self.samples = check_int(class_name, "samples", samples, 1)
        self.votes = check_int(class_name, "votes", votes, 1)
        self.iterations = check_int(class_name, "iterations", iterations, 1)

    def starts_from(self) -> frozenset[str]:
        """Samples: the pool."""
        return frozenset({"nearest"})

    def inputs(self) -> dict[str, str]:
        """Version of what trains the surrogate."""
        if self.surrogate == "logistic":
            import sklearn

            return {"scikit-learn": str(sklearn.__version__)}
        from scd.classifier import SCDClassifier

        return {"SCDClassifier": str(SCDClassifier.method_version)}

    def _identity(self, task: Task, arrays: Mapping[str, Any] | None = None, **more: Any) -> str:
        return super()._identity(task, arrays, **self.inputs(), **more)

    def _candidates(self, class_name: str, task: Task, pool: Any, pool_labels: Any, starts: Any) -> Candidates | None:
        """Return the samples of the pool that are queried, the same for all examples."""
        if pool is None:
            return None
        rows, _ = read_pool(class_name, pool, None, task)
        drawn = np.sort(generator_for(self.seed, "surrogate", "samples").permutation(len(rows))[: self.samples])
        return Candidates(rows[drawn], [np.arange(len(drawn)) for _ in task.x])

    def _attack(self, task: Task, journal: Journal, shared: Candidates | None) -> AttackResult:
        names = [column.name for column in fields(PriorState) if column.name != "guides"]
        linf, snapshot = self.norm == "linf", journal.snapshot
        if snapshot:
            search = BoundarySearch(task, journal, RunState.from_arrays(snapshot), linf)
            answers = snapshot["answers"]
            guides = self._guides(task, shared, answers)
            state = PriorState(guides=guides, **{name: snapshot[name].copy() for name in names})
        else:
            runs = begin_runs(task, journal, self.restarts, self.init_size, None)
            search = BoundarySearch(task, journal, runs, linf)
            answers = self._query_samples(search, shared)
            guides = self._guides(task, shared, answers)
            self._place(search, shared, answers, guides)
            begun = State.at_boundary(search)
            agreement = np.full((len(runs), 2), _FIRST_AGREEMENT / math.sqrt(task.x.shape[1]))
            state = PriorState(agreement=agreement, guides=guides, **vars(begun))
        kept = {"answers": answers, **{name: getattr(state, name) for name in names}}
        if not snapshot:
            journal.mark({**search.runs.to_arrays(), **kept})
        self._iterate_all(search, lambda: self._iterate(search, state), kept)
        return project_and_collect(search)

    def _samples_of(self, task: Task, shared: Candidates | None, e: int, count: int) -> NDArray[np.float32]:
        """Return the first `count` samples of an example: of the pool, or blends of the original and noise."""
        if shared is not None:
            return shared.images[:count]
        generator, (low, high) = generator_for(self.seed, "surrogate", "blends", int(task.index[e])), task.box
        rows = np.empty((count, task.x.shape[1]), dtype=np.float32)
        for row in rows:
            noise = low + (high - low) * generator.random(len(row))
            row[:] = task.x[e] + generator.random() * (noise - task.x[e])
        return np.clip(rows, np.float32(task.low), np.float32(task.high))

    def _query_samples(self, search: BoundarySearch, shared: Candidates | None) -> Bits:
        """Query the samples of every example; return which are adversarial for it, shape (n, samples)."""
        task, runs, journal = search.task, search.runs, search.journal
        examples = np.unique(runs.example)
        count = self.samples if shared is None else len(shared.images)
        if len(examples):
            count = min(count, int(journal.oracle.remaining(examples).min()) // _MOST)
        answers = np.zeros((len(task.x), count), dtype=bool)
        for e in examples:
            rows = self._samples_of(task, shared, int(e), count)
            answers[e] = query_in_blocks(journal, rows, np.full(count, e))
            runs.spent[runs.example == e] += count // self.restarts + (np.arange(self.restarts) < count % self.restarts)
        return answers

    def _guides(self, task: Task, shared: Candidates | None, answers: Bits) -> list[Guide | None]:
        """Return the trained surrogate of each example; None where the samples are too few of one class."""
        guides: list[Guide | None] = []
        trained: dict[bytes, SmoothFunction] = {}
        for e, adversarial in enumerate(answers):
            if min(adversarial.sum(), (~adversarial).sum()) < 2:
                guides.append(None)
                continue
            bits = adversarial ^ adversarial[0]  # of two classes the labels of all examples are the same or opposite
            key = bits.tobytes() if shared is not None else b"%d" % e
            if key not in trained:
                trained[key] = self._train(task, self._samples_of(task, shared, e, len(bits)), bits)
            guides.append(Guide(trained[key], bool(adversarial[0]), task))
        return guides

    def _train(self, task: Task, rows: NDArray[np.float32], bits: Bits) -> SmoothFunction:
        """Train the surrogate on labels 0 and 1 of rows (m, d), and return its smoothed fraction of label 1."""
        if self.surrogate == "logistic":
            from sklearn.linear_model import LogisticRegression

            fitted = LogisticRegression(C=_PENALTY, max_iter=1000).fit(rows.astype(np.float64) / task.width, bits)
            weights = fitted.coef_[0].astype(np.float32)
            return lambda x, beta, gamma: x @ x.new_tensor(weights)  # of which only the direction matters
        from scd.classifier import SCDClassifier

        votes = SCDClassifier(
            loss="01" if self.surrogate == "scd01" else "ce",
            n_votes=self.votes,
            n_iter=self.iterations,
            random_state=seed_for(self.seed, "surrogate", "votes") % 2**32,
            device="cpu",
        )
        return votes.fit(rows, bits.astype(np.int64)).smooth

    def _place(
        self, search: BoundarySearch, shared: Candidates | None, answers: Bits, guides: Sequence[Guide | None]
    ) -> None:
        """Start the runs, and bisect their starts."""
        runs, task = search.runs, search.task
        ray_starts(search, RAY_QUERIES)
        for e in np.unique(runs.example):
            waiting = np.flatnonzero((runs.example == e) & ~runs.started)
            if len(waiting) and answers[e].any():
                rows = self._samples_of(task, shared, int(e), answers.shape[1])[answers[e]]
                nearest = np.argmin(((rows - task.x[e]) ** 2).sum(axis=1))
                runs.point[waiting], runs.started[waiting] = rows[nearest], True
                search.keep_best(waiting, np.zeros(len(waiting)))
        guided = np.array([guides[e] is not None for e in runs.example], dtype=bool)
        guided &= search.left(np.arange(len(runs))) > 2 * PROJECTION_QUERIES
        line_starts(search, np.flatnonzero(guided), guides)
        noise_starts(search, self.init_size, self.seed)
        started = np.flatnonzero(runs.started)
        search.search(started, search.linf, START_TOLERANCE)
        runs.write_trace(started)


class Guide:
    """The gradient of a trained surrogate, towards the adversarial side of an example.

    Parameters
    ----------
    smooth : callable
        Its smoothed fraction of label 1: see `attacks.oracle.SmoothFunction`.
    flipped : bool
        Whether label 0 is the adversarial side.
    task : Task
    """

    def __init__(self, smooth: SmoothFunction, flipped: bool, task: Task) -> None:
        self.oracle = GradientOracle(smooth, np.array([int(flipped)]), task.x.shape[1])
        self.oracle.block = (1, task.x.shape[1])  # one input at a time: it does not depend on the others
        self.beta = _PROBIT / (_NOISE * task.width)

    @one_torch_thread()
    def __call__(self, point: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the gradient (d,) at a point (d,), of length 1."""
        return unit(self.oracle(point[None], np.zeros(1, dtype=np.int64), self.beta, _GAMMA))[0]


def line_starts(search: BoundarySearch, run_ids: Selection, guides: Sequence[Guide | None]) -> None:
    """Query points on the lines along the surrogates' gradients, closer than the runs' best; start at the first."""
    runs, task = search.runs, search.task
    along = np.zeros((len(run_ids), task.x.shape[1]), dtype=np.float32)
    for k, e in enumerate(runs.example[run_ids]):
        guide = guides[e]
        assert guide is not None
        along[k] = guide(task.x[e])
    along = np.sign(along) if search.linf else along
    diagonal = task.width * (1.0 if search.linf else math.sqrt(task.x.shape[1]))
    best = (runs.linf if search.linf else runs.l2)[run_ids]
    farthest = np.where(np.isfinite(best), best, diagonal)
    for place in np.geomspace(_NEAREST, 1.0, _LINE_QUERIES):
        if not len(run_ids):
            return
        moved = task.x[runs.example[run_ids]] + (place * farthest)[:, None] * along
        points = np.clip(moved, task.low, task.high).astype(np.float32)
        adversarial = search.host.query(run_ids, partial(_copy_rows, points))
        found = run_ids[adversarial]
        runs.point[found], runs.started[found] = points[adversarial], True
        search.keep_best(found, np.zeros(len(found)))
        runs.point[found] = runs.best[found]  # the clipped point of the last place may be no closer
        run_ids, along, farthest = run_ids[~adversarial], along[~adversarial], farthest[~adversarial]


@dataclass
class PriorState(State):
    """The state of the smoothed boundary attack, with a surrogate's gradient beside the average of the estimates.

    Attributes
    ----------
    agreement : ndarray of float64, shape (R, 2)
        Weighted mean cosine of the estimates with the surrogate's gradient and with the average of earlier estimates,
        up to a common factor.
    guides : sequence of Guide or None
        The surrogates of the examples; not in a snapshot.
    """

    agreement: Floats
    guides: Sequence[Guide | None]

    def average(
        self,
        search: BoundarySearch,
        run_ids: Selection,
        estimate: NDArray[np.float32],
        weight: Floats,
        part: float,
        first: bool,
    ) -> NDArray[np.float32]:
        """Measure how both directions agree with the estimates; return their combination."""
        runs, before = search.runs, unit((self.direction if first else self.gradient)[run_ids])
        prior = np.zeros_like(before)
        for k, r in enumerate(run_ids):
            guide = self.guides[runs.example[r]]
            if guide is not None:
                prior[k] = guide(runs.point[r])
        estimate = unit(estimate)
        measured = np.stack([_dot(estimate, prior), _dot(estimate, before)], axis=1)
        kept = (1.0 - part) ** 2  # half as far back as the average: the surrogate agrees less and less
        self.agreement[run_ids] = kept * self.agreement[run_ids] + weight[:, None] * measured
        average = unit(super().average(search, run_ids, estimate, weight, part, first))
        return combined(prior, average, self.agreement[run_ids])


def combined(prior: NDArray[np.float32], average: NDArray[np.float32], agreement: Floats) -> NDArray[np.float32]:
    """Return the combination of two unit directions that has the largest cosine to the target's gradient.

    That is a regression on both, whose coefficients are not negative. Where both would be, it is the average.

    Parameters
    ----------
    prior, average : ndarray of float32, shape (k, d)
    agreement : ndarray of float64, shape (k, 2)
        Cosines of the target's gradient with either, up to a common factor.
    """
    common = _dot(prior, average)
    of_prior = np.maximum(agreement[:, 0] - common * agreement[:, 1], 0.0)
    of_average = np.maximum(agreement[:, 1] - common * agreement[:, 0], 0.0)
    of_average[(of_prior == 0) & (of_average == 0)] = 1.0
    return of_prior.astype(np.float32)[:, None] * prior + of_average.astype(np.float32)[:, None] * average


def _copy_rows(rows: NDArray[np.float32], out: NDArray[np.float32], begin: int, end: int) -> None:
    out[:] = rows[begin:end]


def _dot(one: NDArray[np.float32], other: NDArray[np.float32]) -> Floats:
    """Return the inner products of rows (k, d)."""
    products: Floats = (one.astype(np.float64) * other).sum(axis=1)
    return products
