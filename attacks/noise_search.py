"""Noise of growing norm: the control of every attack. What chance finds, a search must beat."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from attacks.base import DecisionAttack, mean_best
from attacks.engine import numba_kernels
from attacks.engine.bisection import BoundarySearch
from attacks.engine.checkpoint import Journal
from attacks.engine.initial_points import Candidates, begin_runs, run_keys
from attacks.engine.rng import fill_noise
from attacks.engine.run_state import Runs, Selection, collect
from attacks.engine.validation import Task, check_bool, check_choice, check_int, check_number
from attacks.result import AttackResult

_KINDS = {"uniform": 1, "gaussian": 2}  # the numbers of `fill_noise`
_OWN = ("norm_first_hit", "counts")  # arrays of the snapshot besides those of the runs
_RESERVE = 24  # queries of every run kept back for the projection of what it finds


class NoiseSearch(DecisionAttack):
    """Random directions at L2 norms on a geometric grid; the closest adversarial row found, brought to the boundary.

    Not a published attack but the control that any claim about attacks needs. At each norm, from small to the
    diameter of the clip box, `draws` random directions are scaled to the norm, added to the original, clipped to the
    box and asked. All levels are visited: the record's table `levels` tells for every point and level the `norm` before
    clipping, how many rows were asked (`draws`) and how many of them were `adversarial`. The trace counts the levels as
    iterations, from 1.

    The closest adversarial row of the first level that has one is bisected on the straight line to the original
    (`refine`); a later row counts if it is closer still. Every distance is that of the clipped row. The norm of
    the first level with an adversarial row is the extra column `norm_first_hit`. Level and draw name the random row, so
    more draws keep those of fewer.

    Parameters
    ----------
    kind : {"gaussian", "uniform"}
        Distribution of the features of a direction; uniform is on an interval around 0.
    levels : int
        Norms on the grid.
    draws : int
        Directions at each norm.
    smallest : float
        First norm, as a share of the diameter of the box, between 0 and 1.
    refine : bool
        Bring what was found to within 1e-4 of its distance of the boundary; False reports the row as drawn.
    query_budget : int or None
        Most queries per example. Never exceeded: the levels to come share what is left equally, so that all of them
        have fewer draws if it is less than levels * draws + 25.
    seed : int
    memory_budget : int or str
        Bytes for the rows of one model call and their copies, e.g. 268435456 or "256MiB".
    verbose : bool
        Show a bar of levels with the mean of the best distances.

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
        own = type(self).__name__
        self.kind = check_choice(own, "kind", kind, tuple(_KINDS))
        self.levels = check_int(own, "levels", levels, 1)
        self.draws = check_int(own, "draws", draws, 1)
        self.smallest = check_number(own, "smallest", smallest, above=0.0, below=1.0)
        self.refine = check_bool(own, "refine", refine)
        self.seed = check_int(own, "seed", seed, None)

    def _attack(self, task: Task, journal: Journal, shared: Candidates | None) -> AttackResult:
        if journal.snapshot:
            runs, first, counts = Runs.from_arrays(journal.snapshot), *(journal.snapshot[n].copy() for n in _OWN)
        else:
            runs = begin_runs(task, journal, 1, 0, None)
            first, counts = np.full(len(runs), np.nan), np.zeros((2, self.levels, len(runs)), dtype=np.int64)
        search = BoundarySearch(task, journal, runs, linf=False)
        diameter = (task.high - task.low) * math.sqrt(task.x.shape[1])
        norms = np.geomspace(self.smallest * diameter, diameter, self.levels)
        with tqdm(total=self.levels, initial=int(runs.iteration), desc=type(self).__name__, unit="level",
                  disable=not self.verbose) as bar:  # fmt: skip
            for level in range(int(runs.iteration), self.levels):
                counts[:, level] = self._level(search, norms[level], level)
                new = np.flatnonzero(runs.started & np.isnan(first))
                first[new] = norms[level]
                if self.refine:
                    search.finish(new)
                runs.iteration, runs.steps[:] = np.array(level + 1), level + 1
                runs.write_trace(np.flatnonzero(runs.started))
                journal.mark({**runs.to_arrays(), **dict(zip(_OWN, (first, counts), strict=True))})
                bar.update()
                bar.set_postfix_str(mean_best(search))
        result = collect(task, runs, journal.oracle.queries, False, norm_first_hit=first)
        table = {"index": np.tile(task.index[runs.example], self.levels), "norm": np.repeat(norms, len(runs))}
        table.update(zip(("draws", "adversarial"), counts.reshape(2, -1), strict=True))
        return replace(result, tables={"levels": table})

    def _level(self, search: BoundarySearch, norm: float, level: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ask one level of all runs; returns for each how many rows were asked and how many were adversarial."""
        runs, everyone = search.runs, np.arange(len(search.runs))
        reserve = np.where(runs.started, 0, _RESERVE if self.refine else 0)
        share = np.maximum(search.left(everyone) - reserve, 0) // (self.levels - level)
        draws = np.minimum(self.draws, share)
        runs.starved |= draws < self.draws
        keys = run_keys(search, self.seed, self.kind, everyone, level)
        owner = np.repeat(everyone, draws)
        number = np.arange(len(owner)) - (np.cumsum(draws) - draws)[owner]
        hits = np.zeros(len(runs), dtype=np.int64)
        for begin in range(0, len(owner), search.block_rows):
            block = slice(begin, begin + search.block_rows)
            rows = self._draw(search, owner[block], number[block], keys, norm)
            adversarial = search.journal.ask(rows, runs.example[owner[block]])
            runs.spent += np.bincount(owner[block], minlength=len(runs))
            hits += np.bincount(owner[block][adversarial], minlength=len(runs))
            _keep_closest(search, rows, owner[block], np.flatnonzero(adversarial))
        return draws, hits

    def _draw(
        self, search: BoundarySearch, owner: Selection, number: Selection, keys: NDArray[np.uint64], norm: float
    ) -> NDArray[np.float32]:
        """Noise rows of the given numbers around the originals of the runs `owner`, clipped to the box."""
        rows, length, task = search.buffer(len(owner)), np.empty(len(owner)), search.task
        low, high, example = np.float32(task.low), np.float32(task.high), search.runs.example[owner]

        def work(begin: int, end: int) -> None:
            fill_noise(keys, owner, number, _KINDS[self.kind], begin, end, rows, length)
            scale = (norm / np.maximum(length[begin:end], 1e-30)).astype(np.float32)
            part = slice(begin, end)
            numba_kernels.perturb(rows[part], task.x, example[part], scale, low, high, 0, end - begin)

        numba_kernels.in_threads(work, len(rows), rows.size)
        return rows


def _keep_closest(search: BoundarySearch, rows: NDArray[np.float32], owner: Selection, found: Selection) -> None:
    """Keep the closest of the adversarial rows, those at the positions `found`, for each run where it is a new best."""
    runs, example = search.runs, search.runs.example[owner]
    l2, linf = np.empty(len(found)), np.empty(len(found))
    numba_kernels.in_threads(
        lambda begin, end: numba_kernels.distances(search.task.x, example, rows, found, l2, linf, begin, end),
        len(found),
        len(found) * rows.shape[1],
    )
    order = np.lexsort((l2, owner[found]))
    who, at = np.unique(owner[found[order]], return_index=True)
    closest = order[at]
    better = l2[closest] < runs.l2[who]
    who, closest = who[better], closest[better]
    runs.best[who], runs.l2[who], runs.linf[who] = rows[found[closest]], l2[closest], linf[closest]
    runs.started[who] = True
