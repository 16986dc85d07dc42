"""The shared parts of the attacks on arrays: the call, the checkpoint, the starts, the iterations, the result."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scd.low_frequencies import KINDS
from scd.progress import progress_bar

from .engine.adapters import DEFAULT_CLIP, clip_of
from .engine.bisection import BoundarySearch
from .engine.checkpoint import Journal, RecordedQueries, fingerprint, model_probes
from .engine.confirmation import confirmed
from .engine.initial_points import Candidates, begin_runs, nearest_samples, noise_starts
from .engine.run_state import RunState
from .engine.subspace import Subspace
from .engine.validation import (
    Task,
    as_array,
    check_bool,
    check_choice,
    check_int,
    check_memory,
    read_pool,
    read_starts,
    read_task,
    refuse,
    unbounded_box,
)
from .engine.view import View, ViewOracle, label_function, view_of
from .engine.whole_numbers import check_whole, read_integer, reserved, rounded
from .oracle import LABEL, LabelFunction, LabelOracle, rows_within
from .result import BUDGET_SPENT, NO_START, AttackResult


class Attack:
    """What every attack declares of itself; an attack overrides what differs from these defaults."""

    requires: str = LABEL
    """Access to the model that the attack needs: one of those that :mod:`attacks.oracle` names, such as "label"."""

    takes: str = "rows"
    """What the attack changes: "rows" of numbers, or "documents" of tokens."""

    method_version: int = 1
    """Increased if a change alters the results: old state files and stored attacks are then invalid."""

    call_options: frozenset[str] = frozenset()
    """Which of "mask", "target", "integer", "feature_shape" and "n_classes" the call takes."""

    unbounded: bool = False
    """Whether it works without bounds, ``clip=None``."""

    trains_on_points: bool = False
    """Whether some of the points only train a substitute; it needs those of a target class, too."""

    def check_ready(self) -> None:
        """Raise FileNotFoundError, ImportError or ValueError for a file or package that is missing, before any work."""

    def inputs(self) -> dict[str, str]:
        """Checksums and versions of files and packages that decide the numbers; they belong to the key of a result."""
        return {}

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError if samples of this shape cannot be attacked, before any work."""

    def notes(self) -> list[str]:
        """Sentences about the files in use that a reader of the results should see."""
        return []

    def starts_from(self) -> frozenset[str]:
        """Training data that the call needs: "nearest" (`pool` and `pool_labels`), "given" (`starts`), or neither."""
        return frozenset()


class ArrayAttack(Attack, ABC):
    """An attack on samples given as an array.

    A subclass validates its own parameters and stores them as attributes. All attributes of an instance are part of
    the identity of its state files, except those that change no number (`_CANNOT_CHANGE_RESULT`).

    Parameters
    ----------
    memory_budget : int or str
        Bytes for the inputs of one model call and their copies, e.g. 268435456 or "256MiB".
    verbose : bool
        Show a progress bar.
    """

    _CANNOT_CHANGE_RESULT: ClassVar[tuple[str, ...]] = ("memory_budget", "verbose")

    def __init__(self, *, memory_budget: int | str, verbose: bool) -> None:
        class_name = type(self).__name__
        self.memory_budget = check_memory(class_name, "memory_budget", memory_budget)
        self.verbose = check_bool(class_name, "verbose", verbose)

    def _identity(self, task: Task, arrays: Mapping[str, Any] | None = None, **more: Any) -> str:
        """Return the fingerprint of everything that determines the result; `arrays` and `more` come on top."""
        parameters = {name: value for name, value in vars(self).items() if name not in self._CANNOT_CHANGE_RESULT}
        given = {"x": task.x, "y": task.y, "index": task.index, **(arrays or {})}
        holder = given if np.ndim(task.low) else parameters  # the text of a long array leaves numbers out
        holder |= {"low": task.low, "high": task.high}
        parameters |= {"attack": type(self).__name__, "version": self.method_version, **more}
        return fingerprint(parameters, given)

    def _label_oracle(self, labels: LabelFunction | View, task: Task, budget: int | None = None) -> LabelOracle:
        d = task.x.shape[1]
        limits: dict[str, Any] = {"budget": budget, "batch_rows": rows_within(self.memory_budget, d)}
        if isinstance(labels, View):
            return ViewOracle(labels, **limits)
        return LabelOracle(label_function(labels), len(task.x), d, **limits)

    def _bar(self, total: int | None, initial: int, unit: str) -> Any:
        """Return the progress bar, a context manager."""
        return progress_bar(total, initial=initial, desc=type(self).__name__, unit=unit, verbose=self.verbose)


def refuse_options(class_name: str, options: Mapping[str, Any]) -> None:
    """Raise for arguments of a call that only decision-based attacks have.

    Raises
    ------
    ValueError
        For `mask`, `target` and `integer` that are not None.
    TypeError
        For any other name.
    """
    for name, value in options.items():
        if name not in DecisionAttack.call_options:
            raise TypeError(f"{class_name} got an unexpected argument {name!r}.")
        if value is not None:
            raise ValueError(f"{class_name} has no {name!r}: it is for decision-based attacks, such as HopSkipJump.")


def own_labels(labels: LabelFunction, x: ArrayLike) -> NDArray[Any]:
    """Return the labels that a model predicts for the examples `x`, which are copied."""
    return as_array(labels(np.array(as_array(x), dtype=np.float32)))


def run_or_resume(journal: RecordedQueries, task: Task, attack: Callable[[], AttackResult]) -> AttackResult:
    """Return the record of a finished attack from its state file; else attack, and store the record there.

    Parameters
    ----------
    journal : RecordedQueries
    task : Task
        Its examples. A state that another model began is refused.
    attack : callable
    """
    with journal:
        journal.check_model(lambda: journal.oracle.look(*model_probes(task)))
        if journal.finished:
            return AttackResult.from_arrays(journal.snapshot)
        result = attack()
        journal.finish(result.to_arrays())
    return result


class DecisionAttack(ArrayAttack):
    """A decision-based attack: it queries predicted labels only. A subclass implements `_attack`.

    Parameters
    ----------
    query_budget : int or None
        Maximum number of queries per example in total: its own label, the starts and all restarts. Never exceeded.
        The restarts of an example split it equally, so a run then depends on the number of restarts.
    **common
        Parameters of :class:`ArrayAttack`.
    """

    norm: str = "l2"
    call_options = frozenset({"mask", "target", "integer", "feature_shape"})
    unbounded = True
    subspace: str | None = None
    """Directions of the probes: "blocks", "dct", or None for all."""
    subspace_size: int | str = "auto"
    """Blocks or frequencies along each axis."""

    def __init__(self, *, query_budget: int | None, **common: Any) -> None:
        super().__init__(**common)
        class_name = type(self).__name__
        self.query_budget = None if query_budget is None else check_int(class_name, "query_budget", query_budget, 1)

    def __call__(
        self,
        labels: Any,
        x: ArrayLike,
        y: ArrayLike | None = None,
        *,
        clip: Any = DEFAULT_CLIP,
        index: ArrayLike | None = None,
        pool: ArrayLike | None = None,
        pool_labels: ArrayLike | None = None,
        starts: Any = None,
        state: str | Path | None = None,
        mask: ArrayLike | None = None,
        target: Any = None,
        integer: Any = None,
        feature_shape: Sequence[int] | None = None,
    ) -> AttackResult:
        """Attack the model behind `labels` at the examples `x`.

        Parameters
        ----------
        labels : callable, or model
            Takes float32 inputs like x within the clip box, returns n labels, integers or texts. The array is a reused
            buffer: copy it to keep it. A torch module in evaluation mode, an object with ``predict``, a classifier of
            ART and a model of Foolbox may be given as they are; of rows of scores the largest decides. If the callable
            has an attribute `device` (a torch device), it must also accept tensors on that device. HopSkipJump and all
            bisections then generate their inputs there (:mod:`attacks.engine.kernels.cuda`).
        x : array of shape (n, d) or (n, *shape)
            Originals, finite and within `clip`.
        y : array of int or str, shape (n,), optional
            True labels; an input is adversarial if the model predicts another label. Default: those that the model
            predicts for `x`.
        clip : (low, high) or None
            Bounds of the features: two numbers for all, or two arrays (d,) with a number for each. Nothing outside is
            queried or returned. A feature whose bounds are equal does not change. Default: (0, 1), or the bounds of a
            classifier of ART (`clip_values`) or a model of Foolbox (`bounds`). None for no bounds: noise is then
            drawn in a box three times as wide as the range of each feature in `x` and, if given, `pool` and `starts`,
            and in one that doubles after every 50 draws that are not adversarial.
        index : array of int, shape (n,), optional
            Numbers of the examples: they appear in the result and name the random streams. Default 0..n-1.
        pool, pool_labels : array (m, d) and array of int (m,), optional
            For start="nearest": samples to try in order of L2 distance, without those of the example's own label.
            Without bounds they also give noise its scale, whatever `start` is.
        starts : dict of label to array (d,), or array (n, d), optional
            For start="given": the image for the examples of that true label, or one for each example.
        state : path, optional
            File that stores the progress; the same call continues from it. It is not removed at the end: with the
            file of a finished attack the call returns its record. A file of another model is refused: fixed inputs,
            which are not counted as queries, tell.
        mask : array of bool, optional
            Features that must not change, with the shape of a sample.
        target : label, or array of labels of shape (n,), optional
            The class that the adversarials must have; default any other than the true one. Noise seldom has a given
            class of many: start="nearest" begins at samples of it.
        integer : bool or array of bool, optional
            Features that stay whole numbers: all, or those of an array with the shape of a sample. The adversarials
            are rounded at the end. One that is then none moves on, along the ray from its original, until a rounded
            one is. These queries count, and up to 32 of a budget are left for them. The trace is of the search before.
        feature_shape : tuple of int, optional
            For an attack with a `subspace`: the shape of a sample, (channels, height, width) of an image or (d,) of a
            signal. Default: that of `x`, where its samples are not flat.

        Returns
        -------
        result : AttackResult
            `adversarials` has the shape of `x`, and `label` the kind of `y`.

        Raises
        ------
        ValueError
            Invalid examples, or a state file of another attack or model.
        RuntimeError
            If a distance measured again at the end is not the recorded one: an error of the attack.

        Warns
        -----
        RuntimeWarning
            If adversarials are not confirmed: after the attack each is queried once more, which is not counted, and
            one that is now classified correctly counts as failed.
        """
        class_name, clip = type(self).__name__, clip_of(labels, clip)
        if clip is None and not self.unbounded:
            raise refuse(class_name, "clip", "two bounds: this attack does not work without", clip)
        labels, whole = label_function(labels), read_integer(class_name, integer, as_array(x).shape[1:])
        view = view_of(class_name, labels, x, y, clip, index, mask, target)
        space = self._subspace(as_array(x).shape[1:], feature_shape, None if view is None else view.free)
        if view is None:
            return self._call(labels, x, y, clip, index, pool, pool_labels, starts, state, whole, space)
        given = (view.samples(pool), view.pool_labels(pool_labels), view.starts(starts))
        whole = None if whole is None else whole[view.free]
        return view.restored(self._call(view, view.rows, view.y, view.clip(clip), index, *given, state, whole, space))

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError if a `subspace` does not fit samples of this shape."""
        self._subspace((), shape, None)

    def _subspace(
        self, of_x: tuple[int, ...], given: Sequence[int] | None, free: NDArray[np.bool_] | None
    ) -> Subspace | None:
        """Return the subspace of the probes for samples of the shape `of_x`; None if the attack has none."""
        if self.subspace is None:
            return None
        class_name = type(self).__name__
        if given is None and len(of_x) < 2:
            allowed = f"(channels, height, width) or (d,) with subspace={self.subspace!r}: flat samples have no order"
            raise refuse(class_name, "feature_shape", allowed, given)
        shape = of_x if given is None else tuple(int(length) for length in given)
        return Subspace(class_name, self.subspace, self.subspace_size, shape, math.prod(of_x or shape), free)

    def _call(
        self,
        labels: Any,
        x: Any,
        y: Any,
        clip: Any,
        index: Any,
        pool: Any,
        pool_labels: Any,
        starts: Any,
        state: Any,
        whole: NDArray[np.bool_] | None,
        space: Subspace | None,
    ) -> AttackResult:
        """Attack rows with integer labels, or those of a `View`; the parameters are those of a call."""
        class_name = type(self).__name__
        task = replace(read_task(class_name, x, y, clip, index, unbounded=True), subspace=space)
        shared = self._candidates(class_name, task, pool, pool_labels, starts)
        arrays = {} if shared is None else {"images": shared.images, "order": np.concatenate(shared.order)}
        arrays |= labels.identity() if isinstance(labels, View) else {}
        arrays |= {} if space is None else space.identity()
        if not task.bounded:
            known = [task.x] if shared is None else [task.x, shared.images]
            known += [] if pool is None else [read_pool(class_name, pool, None, task)[0]]
            task = replace(task, data_box=unbounded_box(*known))
            arrays["box"] = np.stack(task.box)
        if whole is not None:
            check_whole(class_name, task, whole)
            arrays["integer"] = whole
        left = 0 if whole is None else reserved(self.query_budget)
        oracle = self._label_oracle(labels, task, None if self.query_budget is None else self.query_budget - left)
        journal = Journal(oracle, task.y, None if state is None else Path(state), self._identity(task, arrays))

        def attack() -> AttackResult:
            result = self._attack(task, journal, shared)
            if whole is not None:
                oracle.budget = self.query_budget
                result = rounded(result, task, journal, whole)
            return confirmed(class_name, result, task, oracle, labels)

        return run_or_resume(journal, task, attack)

    @abstractmethod
    def _attack(self, task: Task, journal: Journal, shared: Candidates | None) -> AttackResult:
        """Attack validated examples; continue from `journal.snapshot` if it is not empty."""

    def _candidates(self, class_name: str, task: Task, pool: Any, pool_labels: Any, starts: Any) -> Candidates | None:
        """Return the starts that the caller gave; None if the attack finds its own."""
        return None


class RestartedAttack(DecisionAttack):
    """A decision-based attack whose runs, several per example, move from adversarial points towards the original.

    Every run (example, restart) draws from its own random streams. So its result does not depend on the other
    examples, on `memory_budget`, on the number of threads, or on being interrupted and resumed.

    Parameters
    ----------
    max_iter : int
        Iterations of a run.
    restarts : int
        Independent runs per example; the closest adversarial of all is returned.
    init_size : int
        Maximum number of start candidates to query for a run.
    start : {"noise", "nearest", "given"}
        Uniform noise in the clip box; the nearest sample of `pool` that the model labels differently; or `starts`.
    seed : int
    subspace : {None, "blocks", "dct"}
        Directions of the probes of a gradient estimate: all; or combinations of block means, or of the lowest
        frequencies of the cosine transform, of images and signals. The basis is orthonormal, so lengths keep their
        meaning. The distance is that in all features.
    subspace_size : int or "auto"
        Blocks or frequencies along each axis: "auto" is 8 for images and 32 for signals, or fewer.
    **common
        Parameters of :class:`DecisionAttack`: `query_budget`, `memory_budget`, `verbose`.
    """

    start_options: ClassVar[tuple[str, ...]] = ("noise", "nearest", "given")

    def __init__(
        self,
        *,
        max_iter: int,
        restarts: int,
        init_size: int,
        start: str,
        seed: int,
        subspace: str | None = None,
        subspace_size: int | str = "auto",
        **common: Any,
    ) -> None:
        super().__init__(**common)
        class_name = type(self).__name__
        self.max_iter = check_int(class_name, "max_iter", max_iter, 0)
        self.restarts = check_int(class_name, "restarts", restarts, 1)
        self.init_size = check_int(class_name, "init_size", init_size, 1)
        self.start = check_choice(class_name, "start", start, self.start_options)
        self.seed = check_int(class_name, "seed", seed, None)
        whole = isinstance(subspace_size, (int, np.integer)) and not isinstance(subspace_size, bool)
        if subspace_size != "auto" and not (whole and int(subspace_size) >= 1):
            raise refuse(class_name, "subspace_size", "'auto' or an int >= 1", subspace_size)
        if subspace is not None:  # else the attributes of the class: the attack has the identity it had without them
            self.subspace = check_choice(class_name, "subspace", subspace, KINDS)
            self.subspace_size = subspace_size

    def starts_from(self) -> frozenset[str]:
        """What `start` needs."""
        return frozenset({self.start}) & {"nearest", "given"}

    def _candidates(self, class_name: str, task: Task, pool: Any, pool_labels: Any, starts: Any) -> Candidates | None:
        if self.start == "nearest":
            return nearest_samples(task, *read_pool(class_name, pool, pool_labels, task), self.init_size)
        if self.start == "given":
            return Candidates(read_starts(class_name, starts, task), [np.array([e]) for e in range(len(task.x))])
        return None

    def _start(
        self, task: Task, journal: Journal, shared: Candidates | None, to_boundary: bool = True
    ) -> BoundarySearch:
        """Find the starts of all runs; with `to_boundary`, noise starts are bisected along the straight line."""
        runs = begin_runs(task, journal, self.restarts, self.init_size, shared)
        search = BoundarySearch(task, journal, runs, self.norm == "linf")
        if shared is None:
            noise_starts(search, self.init_size, self.seed, to_boundary)
        return search

    def _start_at_boundary(
        self, task: Task, journal: Journal, shared: Candidates | None, tolerance: float
    ) -> BoundarySearch:
        """Continue from the snapshot, or find the starts and bisect them to `tolerance` in the attack's norm."""
        linf = self.norm == "linf"
        if journal.snapshot:
            return BoundarySearch(task, journal, RunState.from_arrays(journal.snapshot), linf)
        search = self._start(task, journal, shared)
        started = np.flatnonzero(search.runs.started)
        search.search(started, linf, tolerance)
        search.runs.write_trace(started)
        journal.mark(search.runs.to_arrays())
        return search

    def _iterate_all(
        self, search: BoundarySearch, iterate: Callable[[], None], state: Mapping[str, NDArray[Any]] | None = None
    ) -> None:
        """Call `iterate` until `max_iter` or until all runs have stopped; after each call, take a snapshot.

        `state` contains the arrays that a snapshot needs besides those of the runs; `iterate` changes them in place.
        """
        runs, journal = search.runs, search.journal
        with self._bar(self.max_iter, int(runs.iteration), "iteration") as bar:
            while int(runs.iteration) < self.max_iter and not runs.stopped.all():
                iterate()
                journal.mark({**runs.to_arrays(), **(state or {})})
                bar.update()
                bar.set_postfix_str(mean_best(search))


def project_and_collect(search: BoundarySearch, **extra: NDArray[Any]) -> AttackResult:
    """Project the best point of every run to the boundary, end the traces and return the best run of each example."""
    started = np.flatnonzero(search.runs.started)
    search.finish(started)
    search.runs.write_trace(started)
    return collect(search, **extra)


def collect(search: BoundarySearch, **extra: NDArray[Any]) -> AttackResult:
    """Return the run with the minimum distance of each example, ties to the lower restart.

    Parameters
    ----------
    search : BoundarySearch
        Its runs are finished.
    **extra : ndarray, shape (R,)
        Columns of the runs to copy from the chosen one; NaN where the attack failed.
    """
    task, runs = search.task, search.runs
    n, d = task.x.shape
    chosen, reason = np.full(n, -1), runs.reason.copy()
    distance = np.where(runs.started, runs.linf if search.linf else runs.l2, np.inf)
    for e in np.flatnonzero(runs.reason == ""):
        runs_of_e = np.flatnonzero(runs.example == e)
        best = runs_of_e[np.argmin(distance[runs_of_e])]
        if np.isfinite(distance[best]):
            chosen[e] = best
        else:
            reason[e] = BUDGET_SPENT if runs.starved[runs_of_e].any() else NO_START
    success = chosen >= 0

    def column(values: NDArray[Any], failed: Any, shape: tuple[int, ...] = ()) -> NDArray[Any]:
        out = np.full((n, *shape), failed, dtype=values.dtype)
        out[success] = values[chosen[success]]
        return out

    run_of_row = runs.rows[:, 0].astype(np.int64)
    return AttackResult(
        index=task.index,
        label=task.y,
        success=success,
        adversarials=column(runs.best, np.nan, (d,)),
        l2=column(runs.l2, np.nan),
        linf=column(runs.linf, np.nan),
        queries=search.journal.oracle.queries.copy(),
        restart=column(runs.restart, -1),
        reason=reason,
        trace={
            "index": task.index[runs.example[run_of_row]],
            "restart": runs.restart[run_of_row],
            "iteration": runs.rows[:, 1].astype(np.int64),
            "queries": runs.rows[:, 2].astype(np.int64),
            "l2": runs.rows[:, 3],
            "linf": runs.rows[:, 4],
        },
        extra={name: column(values, np.nan) for name, values in extra.items()},
    )


def mean_best(search: BoundarySearch) -> str:
    """Return, for the progress bar, the mean over the examples of the best distance; NaN if no run has started."""
    runs = search.runs
    best = np.full(len(search.task.x), np.inf)
    np.minimum.at(best, runs.example, runs.linf if search.linf else runs.l2)
    mean = float(best[np.isfinite(best)].mean()) if np.isfinite(best).any() else float("nan")
    return f"mean best {'linf' if search.linf else 'l2'} {mean:.4g}"
