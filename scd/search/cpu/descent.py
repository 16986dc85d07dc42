"""Coordinate descent on CPU: whole iterations in compiled code, votes shared out among threads.

Threads take a vote, do some iterations of it, and take the next. They meet nowhere, so a core that another program
slows down delays only what it has in hand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scd.engine.parameters import GRID, NAMES, Networks, Settings
from scd.engine.sampling import sizes_of, states_of
from scd.engine.training import RECORD, REFRESH, Stop, Training
from scd.search.cpu import activations, project_vote
from scd.search.cpu.llvm import LANES
from scd.search.cpu.node import output_sums_vote
from scd.search.cpu.vote import Saved, State, Task, Weights, advance

_SECONDS = 0.1  # between two calls of `meanwhile`


class CpuDescent(Training):
    """:class:`scd.engine.training.Training` on CPU, with the same networks whatever the number of threads."""

    def _start(self, columns: NDArray[Any], networks: Networks) -> None:
        s, (d, n) = self.settings, columns.shape
        votes, h, k = len(self.generators), s.hidden_nodes, s.nodes_per_iter
        self.columns, self.now, divisor = np.asarray(columns), networks, np.float32(self.divisor)
        maximum = np.float32(255 / self.divisor if columns.dtype == np.uint8 else np.inf)
        balanced, combined = (self.score.weights(late) for late in (False, True))
        sizes, self.run_length = sizes_of(s, d, n, self.negatives)
        self.task = Task(
            self.columns, divisor, maximum, sizes, balanced, combined, float(s.balanced_fraction * s.n_iter),
            np.float32(s.step_hidden), round(s.step_output * GRID) / GRID, s.binary, s.renormalize,
        )  # fmt: skip
        self.projections = np.empty((votes, h, n), dtype=np.float32)
        self.active = np.zeros((votes, -(-h // LANES), n), dtype=np.uint32)
        self.sums = np.empty((votes, n))
        self.best = self.now.clone()
        self.changed = np.zeros((votes, h), dtype=np.bool_)  # nodes since the best network
        self.best_correct = np.zeros((votes, 2), dtype=np.int64)
        self.history = np.zeros((-(-s.n_iter // RECORD), votes, 2), dtype=np.int64)
        orders = [
            g.permutation(h) if s.init_thresholds == "searched" else np.empty(0, np.int64) for g in self.generators
        ]
        streams = states_of(self.generators)
        self.states = [
            State(
                _weights_of(self.now, v), _weights_of(self.best, v), self.best_correct[v], self.changed[v],
                self.projections[v], self.active[v], self.sums[v], streams[v], np.ones(n, dtype=np.bool_),
                np.empty(k, dtype=np.int64), np.empty((k, s.features_per_step), dtype=np.int64),
                _room_to_save(s, d, n), np.array([-1, 0]),
            )
            for v in range(votes)
        ]  # fmt: skip
        self._all(lambda v: self._begin(v, orders[v]))

    def run(
        self,
        progress: Callable[[Training], None] | None = None,
        stop: Stop | None = None,
        until: int | None = None,
    ) -> Networks:
        """See :meth:`scd.engine.training.Training.run`; `progress` is called several times a second.

        The threads that train the votes call `stop`.
        """
        last = self.settings.n_iter if until is None else until
        self._all(lambda v: self._some(v, stop, last), progress)
        self.iteration = last
        return self.best

    def steps(self, until: int | None = None) -> Iterator[None]:
        while self.iteration < (self.settings.n_iter if until is None else until):
            for v in range(len(self.states)):
                self._advance(v, self.iteration + 1)
            self.iteration += 1
            yield

    def put(self, places: NDArray[np.int64], samples: NDArray[Any]) -> None:
        self.columns[:, places] = samples.T

    def replace(self, places: NDArray[np.int64], samples: NDArray[Any]) -> None:
        self.put(places, samples)
        self._all(self._project)
        self.best_correct[:] = self.correct()
        for name in NAMES:
            getattr(self.best, name)[:] = getattr(self.now, name)
        self.changed[:] = False

    def correct(self) -> NDArray[np.int64]:
        on = self.sums > self.now.output_threshold[:, None]
        first, second = on[:, : self.negatives].sum(axis=1), on[:, self.negatives :].sum(axis=1)
        return np.stack([self.negatives - first, second], axis=1)

    def _host(self, values: NDArray[Any]) -> NDArray[Any]:
        return values

    # ------------------------------------------------------------------ one vote

    def _begin(self, v: int, order: NDArray[Any]) -> bool:
        """Thresholds before the first iteration; `order` are the nodes whose thresholds are searched."""
        state = self.states[v]
        project_vote(self.task.columns, state.now.hidden, self.task.divisor, state.projections)
        ordered = np.sort(state.projections, axis=1)
        state.now.thresholds[:] = (ordered[:, (ordered.shape[1] - 1) // 2] + ordered[:, ordered.shape[1] // 2]) / 2
        self._update(v)
        initial = state._replace(nodes=order, features=np.zeros((len(order), 1), dtype=np.int64))
        self._compute(initial, 0)
        return True

    def _some(self, v: int, stop: Stop | None, last: int) -> bool:
        """Iterations up to the next record, about 20 ms at 10,000 samples; whether they were those up to `last`."""
        done = min(int(self.states[v].at[0]) + RECORD, last)
        self._advance(v, done)
        self.history[(done - 1) // RECORD, v] = self.best_correct[v]
        return (stop is not None and stop(v, done, self.network(v))) or done == last

    def _advance(self, v: int, until: int) -> None:
        state = self.states[v]
        while state.at[0] < until:
            now = int(state.at[0])
            if now and now % REFRESH == 0:
                self._project(v)
            self._compute(state, min(until, now - now % REFRESH + REFRESH))

    def _project(self, v: int) -> bool:
        state = self.states[v]
        project_vote(self.task.columns, state.now.hidden, self.task.divisor, state.projections)
        self._update(v)
        return True

    def _update(self, v: int) -> None:
        """Activations and sums from projections."""
        state = self.states[v]
        state.words[:] = activations(state.projections, state.now.thresholds)
        output_sums_vote(state.words, state.now.output, state.sums)

    def _compute(self, state: State, until: int) -> None:
        s, n = self.settings, len(state.sums)
        loss = (None, True) if s.loss == "ce" else (True, None)
        rollback = True if s.rollback else None
        options = (*loss, s.threshold_window, rollback, self.run_length, until)
        if not advance(state, self.task, np.empty(n, np.int32), *options):
            advance(state, self.task, np.empty(n, np.int64), *options)

    def _all(self, work: Callable[[int], bool], progress: Callable[[Training], None] | None = None) -> None:
        def show() -> None:
            assert progress is not None
            self.iteration = sum(int(state.at[0]) for state in self.states) // len(self.states)
            progress(self)

        in_turns(work, len(self.states), self.threads, None if progress is None else show)


def in_turns(
    work: Callable[[int], bool], votes: int, threads: int, meanwhile: Callable[[], None] | None = None
) -> None:
    """Call `work` for every vote, again and again until it returns True, on all threads.

    Each thread takes the vote that has waited longest. No thread waits for another, and all are busy as long as there
    are as many unfinished votes.

    Parameters
    ----------
    work : callable
        Called with the number of a vote, by one thread at a time for each vote.
    votes : int
    threads : int
    meanwhile : callable, optional
        Called several times a second by the calling thread.
    """
    left = deque(range(votes))
    stopped = False

    def until_empty() -> None:
        while not stopped:
            try:
                v = left.popleft()
            except IndexError:
                return
            if not work(v):
                left.append(v)

    threads = min(threads, len(left))
    if threads == 1 and meanwhile is None:
        return until_empty()
    with ThreadPoolExecutor(threads, "votes") as pool:
        try:
            futures = [pool.submit(until_empty) for _ in range(threads)]
            running: set[Future[None]] = set(futures)
            while running:
                done, running = wait(running, _SECONDS, FIRST_EXCEPTION)
                for future in done:
                    future.result()
                if meanwhile is not None:
                    meanwhile()
        finally:
            stopped = True


def _weights_of(networks: Networks, v: int) -> Weights:
    return Weights(networks.hidden[v], networks.thresholds[v], networks.output[v], networks.output_threshold[v : v + 1])


def _room_to_save(settings: Settings, d: int, n: int) -> Saved:
    """Arrays without content; of no size where nothing is rolled back."""
    h, k = (settings.hidden_nodes, settings.nodes_per_iter) if settings.rollback else (0, 0)
    blocks = -(-h // LANES)
    return Saved(
        np.empty(h, np.float32), np.empty(h), np.empty(1), np.empty((blocks, n), np.uint32),
        np.empty((k, d), np.float32), np.empty((k, n), np.float32),
    )  # fmt: skip
