"""Attack inputs generated on the GPU of the model, so that only labels are copied back.

Used if the `labels` of an attack have a `device` and accept tensors there. The random streams and the arithmetic are
those of the CPU (:mod:`attacks.engine.kernels.triton_kernels`). This is verified before the first query; on a mismatch
the attack generates its inputs on the CPU, with a warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scd.seeds import stream_key

from ..inputs import HostInputs, PathQuery, probe_weights
from ..run_state import Selection
from . import numba_kernels
from .rng import NORMAL, TILE, UNIFORM, fill_noise

_MAX_ROWS = 16384  # of one query: longer ones are no faster
_BLOCK_BYTES = 1 << 30  # for the inputs of a query and what a model computes from them, on the device
_ADD_BLOCK = {"ROWS": 8, "COLUMNS": 128}


class Device:
    """The arithmetic on attack inputs on one device.

    Parameters
    ----------
    device : str
        A torch device.
    low, high : float
        The clip box.
    n_features : int

    Attributes
    ----------
    block_rows : int
        Maximum number of inputs to generate at a time.
    """

    def __init__(self, device: str, low: float, high: float, n_features: int) -> None:
        self.device, self.low, self.high = device, low, high
        self.block_rows = max(1, min(_MAX_ROWS, _BLOCK_BYTES // (16 * n_features)))

    def put(self, array: NDArray[Any]) -> torch.Tensor:
        """Copy an array to the device."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def clipped(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return float64 inputs as float32 ones within the box."""
        return inputs.clamp(self.low, self.high).float()

    def perturb(
        self,
        centres: torch.Tensor,
        keys: NDArray[np.uint64],
        run: Selection,
        number: NDArray[np.int64],
        radius: NDArray[np.float64],
        linf: bool,
    ) -> torch.Tensor:
        """Return (n, d) float32 probes: the centres (k, d) of the runs `run` (n,), moved at random and clipped."""
        from . import triton_kernels

        out = torch.empty(len(run), centres.shape[1], dtype=torch.float32, device=self.device)
        if len(run):
            triton_kernels.perturb[(len(run),)](
                self.put(keys.view(np.int64)),
                self.put(run),
                self.put(number),
                centres,
                self.put(radius),
                out,
                centres.shape[1],
                float(np.float32(self.low)),
                float(np.float32(self.high)),
                NORMAL=not linf,
                LANES=TILE,
                num_warps=2,
                enable_fp_fusion=False,
            )
        return out

    def add_probes(
        self,
        probes: torch.Tensor,
        centres: torch.Tensor,
        run: Selection,
        crossed: NDArray[np.bool_],
        sums: torch.Tensor,
    ) -> None:
        """Add the perturbations of probes (n, d), ordered by run, to float64 sums (k, 2, d) of stayed and crossed."""
        from . import triton_kernels

        (k, d), begins = centres.shape, np.searchsorted(run, np.arange(len(centres) + 1))
        grid = (k, -(-d // _ADD_BLOCK["COLUMNS"]))
        triton_kernels.add_probes[grid](
            probes,
            centres,
            self.put(begins.astype(np.int64)),
            self.put(crossed.astype(np.uint8)),
            sums,
            d,
            **_ADD_BLOCK,
            enable_fp_fusion=False,
        )


class CudaInputs:
    """Inputs generated on a device; see :class:`attacks.engine.inputs.Inputs`.

    Parameters
    ----------
    device : Device
    host : HostInputs
        Generates the inputs of more runs at a time than the device has memory for.
    """

    def __init__(self, device: Device, host: HostInputs) -> None:
        self.device, self.host = device, host
        self.block_rows = device.block_rows

    def lines(self, run_ids: Selection, far: NDArray[np.float32], linf: bool) -> PathQuery:
        """See `Inputs`."""
        if len(run_ids) > self.block_rows:
            return self.host.lines(run_ids, far, linf)
        device = self.device
        originals = device.put(self.host.task.x[self.host.runs.example[run_ids]])
        ends = device.put(far[run_ids])

        def query(chosen: Selection, alpha: NDArray[np.float64]) -> NDArray[np.bool_]:
            rows, a = device.put(chosen), device.put(alpha)[:, None]
            near, end = originals[rows].double(), ends[rows].double()
            points = end.maximum(near - a).minimum(near + a) if linf else near + a * (end - near)
            return self._query(run_ids[chosen], device.clipped(points))

        return query

    def rays(self, run_ids: Selection, direction: NDArray[np.float32]) -> PathQuery:
        """See `Inputs`."""
        if len(run_ids) > self.block_rows:
            return self.host.rays(run_ids, direction)
        device = self.device
        points, along = device.put(self.host.runs.point[run_ids]), device.put(direction)

        def query(chosen: Selection, length: NDArray[np.float64]) -> NDArray[np.bool_]:
            rows, step = device.put(chosen), device.put(length)[:, None]
            return self._query(run_ids[chosen], device.clipped(points[rows].double() + step * along[rows].double()))

        return query

    def _query(self, run_ids: Selection, inputs: torch.Tensor) -> NDArray[np.bool_]:
        """Query one input for each of the runs."""
        adversarial = self.host.journal.query(inputs, self.host.runs.example[run_ids])
        self.host.runs.spent[run_ids] += 1
        return adversarial

    def probe_blocks(self, n_probes: NDArray[np.int64]) -> Iterator[Selection]:
        """Yield the probes of neighbouring runs that fit into a block, or parts of those of one run."""
        for begin, end in _groups(n_probes, self.block_rows):
            for first in range(begin, end, self.block_rows):
                yield np.arange(first, min(first + self.block_rows, end))

    def probes(
        self,
        run_ids: Selection,
        number: NDArray[np.int64],
        radius: NDArray[np.float64],
        keys: NDArray[np.uint64],
        owner: Selection,
    ) -> torch.Tensor:
        """See `Inputs`."""
        block = slice(int(owner[0]), int(owner[-1]) + 1)
        centres = self.device.put(self.host.runs.point[run_ids[block]])
        return self.device.perturb(centres, keys[block], owner - block.start, number, radius[block], self.host.linf)

    def zero_sums(self, n_runs: int) -> torch.Tensor:
        """See `Inputs`."""
        shape = (n_runs, 2, self.host.task.x.shape[1])
        return torch.zeros(shape, dtype=torch.float64, device=self.device.device)

    def add_probes(
        self,
        sums: torch.Tensor,
        probes: Any,
        run_ids: Selection,
        owner: Selection,
        crossed: NDArray[np.bool_],
    ) -> None:
        """See `Inputs`."""
        self.device.add_probes(probes, self.device.put(self.host.runs.point[run_ids]), owner, crossed, sums)

    def combine(
        self, sums: torch.Tensor, n_crossed: NDArray[np.int64], n_probes: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """See `Inputs`."""
        weight = self.device.put(probe_weights(n_crossed, n_probes))[:, :, None]
        gradient = weight[:, 1] * sums[:, 1] - weight[:, 0] * sums[:, 0]
        if self.host.linf:
            gradient = gradient.sign()
        else:
            norm = (gradient * gradient).sum(1, keepdim=True).sqrt()
            gradient = gradient / torch.where(norm > 0, norm, torch.ones_like(norm))
        direction: NDArray[np.float32] = gradient.float().cpu().numpy()
        return direction


def _groups(n_probes: NDArray[np.int64], max_rows: int) -> Iterator[tuple[int, int]]:
    """Ranges of probes: of neighbouring runs with at most `max_rows` probes together, or of one run with more."""
    begin = end = 0
    for count in n_probes.tolist():
        if end > begin and end - begin + count > max_rows:
            yield begin, end
            begin = end
        end += count
    if len(n_probes):
        yield begin, end


def cuda_inputs(device: str, host: HostInputs) -> CudaInputs | None:
    """Return inputs of a device that agree with those of the CPU; None, with a warning, if it has none."""
    task = host.task
    arithmetic = Device(device, task.low, task.high, task.x.shape[1])
    try:
        problem = difference_from_host(arithmetic, task.x.shape[1])
    except Exception as failure:  # an absent driver or compiler raises almost anything
        problem = f"{type(failure).__name__}: {failure}"
    if problem:
        warnings.warn(
            f"Attack inputs are generated on the CPU, because {device} cannot generate them: {problem}",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return CudaInputs(arithmetic, host)


def difference_from_host(device: Device, d: int) -> str:
    """Return how a few inputs and sums of the device differ from those of the CPU; empty if they do not."""
    keys = np.stack([stream_key("verify", run) for run in range(2)])
    run, number = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 0, 1, 2])
    crossed, radius = np.array([True, False, False, True, True]), np.array([0.5, 0.25])
    low, high = np.float32(device.low), np.float32(device.high)
    centres = np.linspace(low, high, 2 * d, dtype=np.float32).reshape(2, d)
    tolerance = 1e-6 * max(1.0, abs(device.low), abs(device.high))
    for kind in (UNIFORM, NORMAL):
        probes, norm = np.empty((len(run), d), dtype=np.float32), np.empty(len(run))
        fill_noise(keys, run, number, kind, 0, len(run), probes, norm)
        scale = (radius[run] / np.maximum(norm, 1e-30)).astype(np.float32)
        numba_kernels.perturb(probes, centres, run, scale, low, high, 0, len(run))
        sums = np.zeros((2, 2, d))
        numba_kernels.add_probes(probes, centres, run, run, crossed, sums, 0, d)
        centres_there, sums_there = device.put(centres), device.put(np.zeros_like(sums))
        probes_there = device.perturb(centres_there, keys, run, number, radius, kind == UNIFORM)
        device.add_probes(probes_there, centres_there, run, crossed, sums_there)
        if not np.allclose(probes_there.cpu().numpy(), probes, rtol=0, atol=tolerance):
            return "its random probes are not those of the CPU."
        if not np.allclose(sums_there.cpu().numpy(), sums, rtol=0, atol=4 * tolerance):
            return "its sums of probes are not those of the CPU."
    return ""
