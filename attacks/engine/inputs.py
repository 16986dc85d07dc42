"""Where the inputs of an attack are generated: on the CPU, or on the GPU of the model.

The choice is made once, when a search is constructed (`inputs_for`). The numerics call the `Inputs` interface only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scd.devices import in_threads

from ..oracle import Batch
from .checkpoint import Journal
from .kernels import numba_kernels
from .kernels.rng import NORMAL, UNIFORM, fill_noise
from .run_state import RunState, Selection
from .validation import Task

Fill = Callable[[NDArray[np.float32], int, int], None]
"""``fill(out, begin, end)`` writes the inputs of items begin..end-1 to `out`, shape (end - begin, d)."""
PathQuery = Callable[[Selection, NDArray[np.float64]], NDArray[np.bool_]]
"""Takes positions (m,) among the paths of some runs and a place on each (m,); returns which points are adversarial."""


class Inputs(Protocol):
    """Generates the inputs of runs and queries them."""

    block_rows: int
    """Maximum number of inputs generated at a time."""

    def lines(self, run_ids: Selection, far: NDArray[np.float32], linf: bool) -> PathQuery:
        """Return a query of the lines from the originals of the runs (k,) to far[run_ids].

        A place is the fraction alpha of :func:`attacks.engine.kernels.numba_kernels.interpolate`.
        """

    def rays(self, run_ids: Selection, direction: NDArray[np.float32]) -> PathQuery:
        """Return a query of the rays from the points of the runs (k,) along `direction`, shape (k, d).

        A place is the length of the step in feature units.
        """

    def probe_blocks(self, n_probes: NDArray[np.int64]) -> Iterator[Selection]:
        """Yield the positions begin..end-1 of each block among all probes; probes are ordered by run."""

    def probes(
        self,
        run_ids: Selection,
        number: NDArray[np.int64],
        radius: NDArray[np.float64],
        keys: NDArray[np.uint64],
        owner: Selection,
    ) -> Batch:
        """Return probes (n, d) around the points of the runs: random directions of length `radius`, clipped.

        The directions are those of the subspace, if there is one.

        `run_ids`, `radius` and `keys` have one row for each of k runs. `owner` (n,) is the position of each probe's
        run among them, `number` (n,) its number in the run's random stream.
        """

    def zero_sums(self, n_runs: int) -> Any:
        """Return sums of perturbations, all 0, float64 of shape (n_runs, 2, d)."""

    def add_probes(
        self, sums: Any, probes: Batch, run_ids: Selection, owner: Selection, crossed: NDArray[np.bool_]
    ) -> None:
        """Add the perturbation of each probe to sums[owner, crossed], in place."""

    def combine(self, sums: Any, n_crossed: NDArray[np.int64], n_probes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Weight the two sums of each run into one direction; (k, 2, d), (k,), (k,) to (k, d)."""


class HostInputs:
    """Inputs generated on the CPU, in blocks of the oracle's size.

    Parameters
    ----------
    task : Task
    journal : Journal
    runs : RunState
    linf : bool
        Whether the norm is L-infinity; else L2.

    Attributes
    ----------
    subspace : Subspace or None
        The directions of the probes: those of the task, until an attack sets it to None, which is all.
    """

    def __init__(self, task: Task, journal: Journal, runs: RunState, linf: bool) -> None:
        self.task, self.journal, self.runs, self.linf = task, journal, runs, linf
        self.subspace = task.subspace
        self.block_rows = journal.oracle.batch_rows
        self._buffer = np.empty((0, task.x.shape[1]), dtype=np.float32)

    def buffer(self, n_inputs: int) -> NDArray[np.float32]:
        """Return uninitialised memory for that many inputs, the same at every call."""
        if len(self._buffer) < n_inputs:
            self._buffer = np.empty((n_inputs, self.task.x.shape[1]), dtype=np.float32)
        return self._buffer[:n_inputs]

    def query(self, run_ids: Selection, fill: Fill) -> NDArray[np.bool_]:
        """Query one input for each of the runs; `fill(out, begin, end)` generates those of run_ids[begin:end]."""
        answers = [np.zeros(0, dtype=bool)]
        for begin in range(0, len(run_ids), self.block_rows):
            end = min(begin + self.block_rows, len(run_ids))
            block = self.buffer(end - begin)
            fill(block, begin, end)
            answers.append(self.journal.query(block, self.runs.example[run_ids[begin:end]]))
            self.runs.spent[run_ids[begin:end]] += 1
        return np.concatenate(answers)

    def place(
        self,
        far: NDArray[np.float32],
        run_ids: Selection,
        alpha: NDArray[np.float64],
        linf: bool,
        out: NDArray[np.float32],
        out_rows: Selection,
    ) -> None:
        """Write the points at `alpha` of the lines to far[run_ids] to out[out_rows]."""
        task, example = self.task, self.runs.example
        in_threads(
            lambda begin, end: numba_kernels.interpolate(
                task.x, example, far, run_ids, alpha, linf, task.low, task.high, out, out_rows, begin, end
            ),
            len(run_ids),
            len(run_ids) * far.shape[1],
        )

    def query_lines(
        self, run_ids: Selection, far: NDArray[np.float32], alpha: NDArray[np.float64], linf: bool
    ) -> NDArray[np.bool_]:
        """Query the points at `alpha` of the lines to far[run_ids]."""

        def fill(out: NDArray[np.float32], begin: int, end: int) -> None:
            self.place(far, run_ids[begin:end], alpha[begin:end], linf, out, np.arange(end - begin))

        return self.query(run_ids, fill)

    def step(
        self,
        run_ids: Selection,
        direction: NDArray[np.float32],
        length: NDArray[np.float64],
        out: NDArray[np.float32],
    ) -> None:
        """Write the points of the runs (k,), moved by `length` (k,) along `direction` (k, d), to `out` (k, d)."""
        task, points = self.task, self.runs.point
        in_threads(
            lambda begin, end: numba_kernels.step_rows(
                points, run_ids, direction, length, task.low, task.high, out, begin, end
            ),
            len(run_ids),
            out.size,
        )

    def lines(self, run_ids: Selection, far: NDArray[np.float32], linf: bool) -> PathQuery:
        """See `Inputs`."""
        return lambda chosen, alpha: self.query_lines(run_ids[chosen], far, alpha, linf)

    def rays(self, run_ids: Selection, direction: NDArray[np.float32]) -> PathQuery:
        """See `Inputs`."""

        def query(chosen: Selection, length: NDArray[np.float64]) -> NDArray[np.bool_]:
            stepped, along = run_ids[chosen], direction[chosen]
            return self.query(
                stepped,
                lambda out, begin, end: self.step(stepped[begin:end], along[begin:end], length[begin:end], out),
            )

        return query

    def probe_blocks(self, n_probes: NDArray[np.int64]) -> Iterator[Selection]:
        """Cut all probes into blocks of equal size."""
        total = int(n_probes.sum())
        for begin in range(0, total, self.block_rows):
            yield np.arange(begin, min(begin + self.block_rows, total))

    def probes(
        self,
        run_ids: Selection,
        number: NDArray[np.int64],
        radius: NDArray[np.float64],
        keys: NDArray[np.uint64],
        owner: Selection,
    ) -> NDArray[np.float32]:
        """See `Inputs`; the array is the buffer."""
        probes, norm, points = self.buffer(len(owner)), np.empty(len(owner)), self.runs.point
        low, high = np.float32(self.task.low), np.float32(self.task.high)
        kind, centre = UNIFORM if self.linf else NORMAL, run_ids[owner]
        space, noise = self.subspace, probes
        if space is not None:
            noise = np.empty((len(owner), space.n_coefficients), dtype=np.float32)

        def work(begin: int, end: int) -> None:
            fill_noise(keys, owner, number, kind, begin, end, noise, norm)
            if space is not None:
                space.expand(noise, begin, end, probes, norm)
            scale = (radius[owner[begin:end]] / np.maximum(norm[begin:end], 1e-30)).astype(np.float32)
            part = slice(begin, end)
            numba_kernels.perturb(probes[part], points, centre[part], scale, low, high, 0, end - begin)

        in_threads(work, len(probes), probes.size)
        return probes

    def zero_sums(self, n_runs: int) -> NDArray[np.float64]:
        """See `Inputs`."""
        return np.zeros((n_runs, 2, self.task.x.shape[1]))

    def add_probes(
        self,
        sums: NDArray[np.float64],
        probes: Batch,
        run_ids: Selection,
        owner: Selection,
        crossed: NDArray[np.bool_],
    ) -> None:
        """See `Inputs`; added one after the other, so that the sums do not depend on the blocks."""
        points, centre, d = self.runs.point, run_ids[owner], sums.shape[2]
        in_threads(
            lambda begin, end: numba_kernels.add_probes(probes, points, centre, owner, crossed, sums, begin, end),
            d,
            len(probes) * d,
        )

    def combine(
        self, sums: NDArray[np.float64], n_crossed: NDArray[np.int64], n_probes: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """See `Inputs`."""
        direction = np.empty((len(sums), sums.shape[2]), dtype=np.float32)
        for k, (stayed, crossed) in enumerate(probe_weights(n_crossed, n_probes)):
            gradient = crossed * sums[k, 1] - stayed * sums[k, 0]
            if self.linf:
                direction[k] = np.sign(gradient)
            else:
                norm = float(np.sqrt(np.sum(gradient * gradient)))
                direction[k] = gradient / (norm if norm > 0 else 1.0)
        return direction


def probe_weights(n_crossed: NDArray[np.int64], n_probes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return half the weights of the probes that stayed and that crossed, shape (k, 2), without their signs.

    The weights +1 (crossed) and -1 (stayed) less their mean over the run are 2 (1 - f) and -2 f, where f is the
    fraction that crossed. If all probes are on one side, the mean is not subtracted. The factor 2 has no effect, as
    the direction is normalised.
    """
    fraction = n_crossed / n_probes
    one_sided = (n_crossed == 0) | (n_crossed == n_probes)
    return np.where(one_sided[:, None], 1.0, np.stack([fraction, 1.0 - fraction], axis=1))


def inputs_for(host: HostInputs) -> Inputs:
    """Return where inputs are generated: on the device of the label function if it has one, else on the CPU."""
    device = getattr(host.journal.oracle.labels, "device", None)
    if device is None or (not isinstance(device, str) and device.type == "cpu"):
        return host
    if np.ndim(host.task.low) or not host.task.bounded:  # the kernels of the device know one pair of bounds
        return host
    if host.task.subspace is not None:  # and all directions
        return host
    from .kernels.cuda import cuda_inputs  # loads torch and Triton

    return cuda_inputs(device, host) or host
