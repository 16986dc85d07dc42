"""Stochastic coordinate descent (Algorithm 1; supplement Algorithms 1-3) in torch, over a leading axis of votes.

A vote is a network of h sign units and one output unit: ``a_k = [x . W_k > t_k]``, ``prediction = [a . w > T]``.
Projections ``x . W_k`` are cached; a step on coordinate j changes one column of them by ``step * x_j``.

Output weights and steps are multiples of ``2**-20`` held in float64. Sums of them are exact, so equal activation
patterns have equal sums, whatever steps led to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scd.engine.cuda_graphs import Recorded, in_place
from scd.engine.objective import correct_rows
from scd.engine.parameters import GRID, Networks
from scd.engine.sampling import Draws
from scd.engine.training import RECORD, REFRESH, Stop, Training
from scd.search import Window


class Descent(Training):
    """:class:`scd.engine.training.Training` with the kernels ``reference`` and ``cuda``; all its arrays are tensors."""

    def _start(self, columns: NDArray[Any], networks: Networks) -> None:
        settings, kernel, (d, n) = self.settings, self.kernel, columns.shape
        self.columns = torch.from_numpy(columns).to(self.device)
        self.labels = (torch.arange(n, device=self.device) >= self.negatives).to(torch.int64)
        self.all_votes = torch.arange(len(self.generators), device=self.device)
        self.now = networks.tensors(self.device)
        self.changed = torch.zeros_like(self.now.thresholds, dtype=torch.bool)  # nodes since the best network
        records = -(-settings.n_iter // RECORD)
        self.history = torch.zeros(records, len(self.generators), 2, dtype=torch.int64, device=self.device)
        self.recorded: Recorded | None = None
        self.projections = kernel.project(self.columns, self.now.hidden, self.divisor)  # (V, h, n) float32
        self.now.thresholds = medians(self.projections)
        self.active = kernel.activations(self.projections, self.now.thresholds)
        self.sums = self._output_sums()
        everything = torch.ones(len(self.generators), n, dtype=torch.bool, device=self.device)
        self._search_output(everything, steps=False)
        if settings.init_thresholds == "searched":
            order = np.stack([g.permutation(settings.hidden_nodes) for g in self.generators])
            for nodes in torch.from_numpy(order.T.copy()).to(self.device):
                self._search_hidden(nodes, everything, None)
        self.draws = Draws(self.generators, (d, n), self.negatives, settings, self.columns.device)
        self.best = self.now.clone()
        self.best_correct = self.correct()
        names = ("projections", "active", "sums", "best_correct")
        self.rebound = [*((self, name) for name in names), (self.now, "output"), (self.now, "output_threshold")]
        waits = settings.rollback or settings.threshold_window is not None or not kernel.__name__.endswith("cuda")
        self.recorded = None if waits or self.columns.device.type != "cuda" else Recorded(self._recorded_iterate)

    def run(
        self,
        progress: Callable[[Training], None] | None = None,
        stop: Stop | None = None,
        until: int | None = None,
    ) -> Networks:
        """See :meth:`scd.engine.training.Training.run`; `progress` is called after each iteration."""
        ended = [False] * len(self.generators)
        for _ in self.steps(until):
            if progress is not None:
                progress(self)
            if self.iteration % RECORD and self.iteration < self.settings.n_iter:
                continue
            self.history[(self.iteration - 1) // RECORD] = self.best_correct
            if stop is not None:
                ended = [end or stop(v, self.iteration, self.network(v)) for v, end in enumerate(ended)]
                if all(ended):
                    break
        return self.best

    def put(self, places: NDArray[np.int64], samples: NDArray[Any]) -> None:
        self.columns[:, torch.from_numpy(places).to(self.device)] = torch.from_numpy(samples).T.to(self.device)

    def replace(self, places: NDArray[np.int64], samples: NDArray[Any]) -> None:
        self.put(places, samples)
        with in_place(self.rebound if self.recorded else ()):
            self._refresh()
        self.best_correct.copy_(self.correct())
        everything = torch.ones_like(self.changed)
        self.best.copy_from(self.now, everything[:, 0], everything)
        self.changed.zero_()

    def _host(self, values: torch.Tensor) -> NDArray[Any]:
        return values.cpu().numpy()

    def steps(self, until: int | None = None) -> Iterator[None]:
        while self.iteration < (self.settings.n_iter if until is None else until):
            if self.iteration and self.iteration % REFRESH == 0:
                with in_place(self.rebound if self.recorded else ()):
                    self._refresh()
            draw = self.draws.next()
            if self.recorded:
                self.recorded(self._combined(), *draw)
            else:
                self._iterate(*draw)
            self.iteration += 1
            yield

    def _recorded_iterate(self, *draw: torch.Tensor) -> None:
        with in_place(self.rebound):
            self._iterate(*draw)

    def _iterate(self, batch: torch.Tensor, chosen_nodes: torch.Tensor, features: torch.Tensor) -> None:
        before = self._snapshot() if self.settings.rollback else None
        self._search_output(batch, steps=True)
        undo = []
        for nodes, tried in zip(chosen_nodes, features, strict=True):
            if self.settings.rollback:
                undo.append((nodes, self._snapshot_nodes(nodes)))
            self._search_hidden(nodes, batch, tried)
        improved = self._remember_best()
        if before is not None:
            self._roll_back(~improved, before, undo)

    def correct(self) -> torch.Tensor:
        return correct_rows(self.sums > self.now.output_threshold[:, None], self.negatives)

    # ------------------------------------------------------------------ steps

    def _candidates(
        self, features: torch.Tensor, weights: torch.Tensor, step: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The unchanged weights first, then every feature with both signs (binary: with the flip of its sign)."""
        first = features[:, :1]
        if self.settings.binary:
            return torch.cat([first, features], 1), torch.cat([torch.zeros_like(weights[:, :1]), -2 * weights], 1)
        steps = torch.full((len(features), 2 * features.shape[1] + 1), step, dtype=weights.dtype, device=self.device)
        steps[:, 0], steps[:, 2::2] = 0.0, -step
        return torch.cat([first, features.repeat_interleave(2, dim=1)], 1), steps

    def _search_output(self, batch: torch.Tensor, steps: bool) -> None:
        """Search the output threshold and, if `steps`, one step on an output weight; take what is found."""
        s, now = self.settings, self.now
        if steps:
            nodes = torch.arange(s.hidden_nodes, device=self.device).repeat(len(now.output), 1)
            size = round(s.step_output * GRID) / GRID
            features, moves = self._candidates(nodes, now.output, size)
        else:
            features = torch.zeros(len(now.output), 1, dtype=torch.int64, device=self.device)
            moves = torch.zeros(len(now.output), 1, dtype=torch.float64, device=self.device)
        if s.loss == "ce":
            chosen, threshold, _ = self.kernel.search_logistic(
                self.sums, self.active, features, moves, self.labels, batch, s.binary
            )
        else:
            combined = self._combined()
            effects = self.kernel.output_effects(batch, self.negatives, self.score.weights(combined))
            window = self._window(batch, now.output_threshold.float()) if steps else None
            chosen, threshold, _ = self.kernel.search_output(self.sums, self.active, features, moves, effects, window)
            threshold = threshold.double()
        node = features.gather(1, chosen[:, None])[:, 0]
        now.output[self.all_votes, node] += moves.gather(1, chosen[:, None])[:, 0]
        now.output_threshold = torch.where(threshold.isnan(), now.output_threshold, threshold)
        if s.renormalize and steps:
            norm = (now.output * now.output).sum(1).sqrt()
            now.output = (now.output / norm[:, None] * GRID).round() / GRID
            now.output_threshold = now.output_threshold / norm
        self.sums = self._output_sums()

    def _search_hidden(self, nodes: torch.Tensor, batch: torch.Tensor, features: torch.Tensor | None) -> None:
        """Search the threshold of one hidden node per vote and, given (V, F) features, one step on its weights."""
        s, now, votes = self.settings, self.now, self.all_votes
        p = self.projections[votes, nodes]
        initial = features is None  # before the first iteration, all thresholds are searched
        if features is None:
            features = torch.zeros(len(nodes), 1, dtype=torch.int64, device=self.device)
            moves = torch.zeros(len(nodes), 1, device=self.device)
        else:
            features, moves = self._candidates(
                features, now.hidden[votes[:, None], nodes[:, None], features], s.step_hidden
            )
        unit = now.output[votes, nodes]
        weights = None if s.loss == "ce" else self.score.weights(self._combined())
        effects = self.kernel.hidden_effects(
            self.sums, self.active, nodes, unit, now.output_threshold, batch, self.negatives, weights
        )
        window = None if initial else self._window(batch, now.thresholds[votes, nodes])
        chosen, threshold, _ = self.kernel.search(p, self.columns, features, moves, effects, window, self.divisor)
        feature = features.gather(1, chosen[:, None])[:, 0]
        step = moves.gather(1, chosen[:, None])[:, 0]
        threshold = torch.where(threshold.isnan(), now.thresholds[votes, nodes], threshold)
        old = now.hidden[votes, nodes, feature]
        now.hidden[votes, nodes, feature] = old + step
        norm = None
        if s.renormalize:
            norm = (1 + 2 * step.double() * old + step.double() ** 2).clamp_min(1e-12).sqrt().float()
            now.hidden[votes, nodes] /= norm[:, None]
            threshold = threshold / norm
        now.thresholds[votes, nodes] = threshold
        self.changed.scatter_(1, nodes[:, None], True)
        self.kernel.take_step(
            self.projections, self.active, self.sums, nodes, unit,
            self.columns, self.divisor, feature, step, norm, threshold,
        )  # fmt: skip

    def _output_sums(self) -> torch.Tensor:
        """(V, n) float64, exact."""
        sums: torch.Tensor = self.kernel.output_sums(self.active, self.now.output)
        return sums

    def _combined(self) -> bool:
        return self.iteration >= self.settings.balanced_fraction * self.settings.n_iter

    def _window(self, batch: torch.Tensor, current: torch.Tensor) -> Window | None:
        radius = self.settings.threshold_window
        return None if radius is None else Window(batch, current, radius)

    def _refresh(self) -> None:
        self.projections = self.kernel.project(self.columns, self.now.hidden, self.divisor)
        self.active = self.kernel.activations(self.projections, self.now.thresholds)
        self.sums = self._output_sums()

    def _remember_best(self) -> torch.Tensor:
        """(V,) bool: the votes whose present network is the best so far, by the present score."""
        correct, combined = self.correct(), self._combined()
        improved: torch.Tensor = self.score.score(correct, combined) > self.score.score(self.best_correct, combined)
        self.best.copy_from(self.now, improved, self.changed)
        self.changed &= ~improved[:, None]
        self.best_correct = torch.where(improved[:, None], correct, self.best_correct)
        return improved

    # ------------------------------------------------------------------ rollback (step 4 of Algorithm 1)

    def _snapshot(self) -> tuple[torch.Tensor, ...]:
        return self.now.output.clone(), self.now.output_threshold.clone(), self.active.clone()

    def _snapshot_nodes(self, nodes: torch.Tensor) -> list[torch.Tensor]:
        kept = (self.now.hidden, self.now.thresholds, self.projections)
        return [x[self.all_votes, nodes] for x in kept]

    def _roll_back(self, votes: torch.Tensor, before: tuple[torch.Tensor, ...], undo: list[Any]) -> None:
        for x, old in zip((self.now.output, self.now.output_threshold, self.active), before, strict=True):
            x[votes] = old[votes]
        for nodes, saved in reversed(undo):
            kept = (self.now.hidden, self.now.thresholds, self.projections)
            for x, old in zip(kept, saved, strict=True):
                x[self.all_votes[votes], nodes[votes]] = old[votes]
        self.sums = self._output_sums()


def medians(projections: torch.Tensor) -> torch.Tensor:
    """(V, h): midpoint of the two middle projections of every node."""
    ordered = projections.sort(dim=2).values
    n = ordered.shape[2]
    return (ordered[:, :, (n - 1) // 2] + ordered[:, :, n // 2]) / 2
