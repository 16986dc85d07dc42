"""Noise of growing norm: the control of every attack. A search must find closer adversarials than chance does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scd.devices import in_threads

from .base import DecisionAttack, collect, mean_best
from .engine.bisection import PROJECTION_QUERIES, BoundarySearch
from .engine.checkpoint import Journal
from .engine.initial_points import Candidates, begin_runs, run_keys
from .engine.kernels import numba_kernels
from .engine.kernels.rng import NORMAL, UNIFORM, fill_noise
from .engine.run_state import RunState, Selection
from .engine.validation import Task, check_bool, check_choice, check_int, check_number
from .result import AttackResult

_KINDS = {"uniform": UNIFORM, "gaussian": NORMAL}
_SNAPSHOT = ("norm_first_hit", "counts")  # arrays of the snapshot besides those of the runs


class NoiseSearch(DecisionAttack):
    """Random directions at L2 norms on a geometric grid; the closest adversarial draw is projected to the boundary.

    Not a published attack but the control that any claim about attacks needs. At each norm, from small to the
    diameter of the clip box, `draws` random directions are scaled to the norm, added to the original, clipped to the
    box and queried. All levels are visited. The record's table `levels` contains for every example and level the `norm`
    before clipping, the number of `draws` and how many of them were `adversarial`. The trace counts the levels as
    iterations, from 1.

    The closest adversarial draw of the first level that has one is bisected on the straight line to the original
    (`refine`); a later draw counts if it is closer still. Every distance is that of the clipped draw. The norm of
    the first level with an adversarial draw is the extra column `norm_first_hit`. The random stream is named by the
    level, and the draw is its number in the stream, so more draws include those of fewer.

    Parameters
    ----------
    kind : {"gaussian", "uniform"}
        Distribution of the features of a direction; uniform is on an interval around 0.
    levels : int
        Norms on the grid.
    draws : int
        Directions at each norm.
    smallest : float
        First norm, as a fraction of the diameter of the box, between 0 and 1. Without bounds
        the box is that of the data.
    refine : bool
        Project the adversarial draw to within 1e-4 of its distance of the boundary; False reports the draw itself.
    query_budget : int or None
        Maximum number of queries per example. Never exceeded: the remaining levels share the remaining queries
        equally, so all of them have fewer draws if it is less than levels * draws + 25.
    seed : int
    memory_budget, verbose
        See :class:`attacks.base.ArrayAttack`.

    Examples
    --------
    >>> result = NoiseSearch(kind="uniform", draws=100)(model.predict, X_test[:10], y_test[:10])  # doctest: +SKIP
    >>> result.extra["norm_first_hit"]  # doctest: +SKIP
    """

    method_version = 1

    def __init__(
        self,
        *,
        kind: str = "gaussian",
        levels: int = 30,
        draws: int = 300,
        smallest: float = 0.001,
        refine: bool = True,
        query_budget: int | None = 10000,
        seed: int = 0,
        memory_budget: int | str = "256MiB",
        verbose: bool = False,
    ) -> None:
        super().__init__(query_budget=query_budget, memory_budget=memory_budget, verbose=verbose)
        class_name = type(self).__name__
        self.kind = check_choice(class_name, "kind", kind, tuple(_KINDS))
        self.levels = check_int(class_name, "levels", levels, 1)
        self.draws = check_int(class_name, "draws", draws, 1)
        self.smallest = check_number(class_name, "smallest", smallest, above=0.0, below=1.0)
        self.refine = check_bool(class_name, "refine", refine)
        self.seed = check_int(class_name, "seed", seed, None)

    def _attack(self, task: Task, journal: Journal, shared: Candidates | None) -> AttackResult:
        if journal.snapshot:
            runs = RunState.from_arrays(journal.snapshot)
            first, counts = (journal.snapshot[name].copy() for name in _SNAPSHOT)
        else:
            runs = begin_runs(task, journal, 1, 0, None)
            first, counts = np.full(len(runs), np.nan), np.zeros((2, self.levels, len(runs)), dtype=np.int64)
        search = BoundarySearch(task, journal, runs, linf=False)
        diameter = task.width * math.sqrt(task.x.shape[1])
        norms = np.geomspace(self.smallest * diameter, diameter, self.levels)
        with self._bar(self.levels, int(runs.iteration), "level") as bar:
            for level in range(int(runs.iteration), self.levels):
                counts[:, level] = self._level(search, norms[level], level)
                new = np.flatnonzero(runs.started & np.isnan(first))
                first[new] = norms[level]
                if self.refine:
                    search.finish(new)
                runs.iteration, runs.steps[:] = np.array(level + 1), level + 1
                runs.write_trace(np.flatnonzero(runs.started))
                journal.mark({**runs.to_arrays(), **dict(zip(_SNAPSHOT, (first, counts), strict=True))})
                bar.update()
                bar.set_postfix_str(mean_best(search))
        result = collect(search, norm_first_hit=first)
        table = {"index": np.tile(task.index[runs.example], self.levels), "norm": np.repeat(norms, len(runs))}
        table.update(zip(("draws", "adversarial"), counts.reshape(2, -1), strict=True))
        return replace(result, tables={"levels": table})

    def _level(self, search: BoundarySearch, norm: float, level: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Query one level of all runs; return the number of draws and of adversarial draws of each."""
        runs, all_runs, host = search.runs, np.arange(len(search.runs)), search.host
        reserve = np.where(runs.started, 0, PROJECTION_QUERIES if self.refine else 0)
        share = np.maximum(search.left(all_runs) - reserve, 0) // (self.levels - level)
        draws = np.minimum(self.draws, share)
        runs.starved |= draws < self.draws
        keys = run_keys(search, self.seed, self.kind, all_runs, level)
        owner = np.repeat(all_runs, draws)
        number = np.arange(len(owner)) - (np.cumsum(draws) - draws)[owner]
        hits = np.zeros(len(runs), dtype=np.int64)
        for begin in range(0, len(owner), host.block_rows):
            block = slice(begin, begin + host.block_rows)
            inputs = self._draw(search, owner[block], number[block], keys, norm)
            adversarial = search.journal.query(inputs, runs.example[owner[block]])
            runs.spent += np.bincount(owner[block], minlength=len(runs))
            hits += np.bincount(owner[block][adversarial], minlength=len(runs))
            _keep_closest(search, inputs, owner[block], np.flatnonzero(adversarial))
        return draws, hits

    def _draw(
        self, search: BoundarySearch, owner: Selection, number: Selection, keys: NDArray[np.uint64], norm: float
    ) -> NDArray[np.float32]:
        """Return the numbered draws around the originals of the runs `owner`, clipped to the box."""
        inputs, length, task = search.host.buffer(len(owner)), np.empty(len(owner)), search.task
        low, high, example = np.float32(task.low), np.float32(task.high), search.runs.example[owner]

        def work(begin: int, end: int) -> None:
            fill_noise(keys, owner, number, _KINDS[self.kind], begin, end, inputs, length)
            scale = (norm / np.maximum(length[begin:end], 1e-30)).astype(np.float32)
            part = slice(begin, end)
            numba_kernels.perturb(inputs[part], task.x, example[part], scale, low, high, 0, end - begin)

        in_threads(work, len(inputs), inputs.size)
        return inputs


def _keep_closest(
    search: BoundarySearch, inputs: NDArray[np.float32], owner: Selection, adversarial: Selection
) -> None:
    """Keep the closest of the inputs at the positions `adversarial` for each run, if it is a new best."""
    runs, example = search.runs, search.runs.example[owner]
    l2, linf = np.empty(len(adversarial)), np.empty(len(adversarial))
    in_threads(
        lambda begin, end: numba_kernels.distances(search.task.x, example, inputs, adversarial, l2, linf, begin, end),
        len(adversarial),
        len(adversarial) * inputs.shape[1],
    )
    order = np.lexsort((l2, owner[adversarial]))
    run_ids, first = np.unique(owner[adversarial[order]], return_index=True)
    closest = order[first]
    better = l2[closest] < runs.l2[run_ids]
    run_ids, closest = run_ids[better], closest[better]
    runs.best[run_ids], runs.l2[run_ids], runs.linf[run_ids] = inputs[adversarial[closest]], l2[closest], linf[closest]
    runs.started[run_ids] = True
