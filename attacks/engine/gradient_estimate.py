"""Monte-Carlo estimate of the direction across the decision boundary: random probes, and which of them cross it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..oracle import Batch
from .bisection import BoundarySearch
from .inputs import Inputs
from .run_state import Selection


def estimate_gradient(
    search: BoundarySearch,
    run_ids: Selection,
    n_probes: NDArray[np.int64],
    radius: NDArray[np.float64],
    keys: NDArray[np.uint64],
) -> NDArray[np.float32]:
    """Estimate, for each of the runs, the direction that leads into the adversarial region.

    Chen, Jordan, Wainwright 2020, equations 14 to 16, with the baseline: each probe is a random direction of length
    `radius`, clipped to the box. Its weight is +1 (adversarial) or -1, less the mean weight of the run.

    Parameters
    ----------
    search : BoundarySearch
    run_ids : ndarray of int64, shape (k,)
    n_probes : ndarray of int64, shape (k,)
        Queries to spend on each run, >= 1.
    radius : ndarray of float64, shape (k,)
        Length of the probes in feature units.
    keys : ndarray of uint64, shape (k, 2)
        Random streams; row i of a stream is the direction of its i-th query.

    Returns
    -------
    direction : ndarray of float32, shape (k, d)
        Of L2 norm 1, or for L-infinity with entries -1, 0 and 1.
    """
    return query_probes(search, run_ids, n_probes, radius, keys).direction


def query_probes(
    search: BoundarySearch,
    run_ids: Selection,
    n_probes: NDArray[np.int64],
    radius: NDArray[np.float64],
    keys: NDArray[np.uint64],
) -> ProbeSums:
    """Query the probes of `estimate_gradient`; the result has the directions and how many probes crossed."""
    inputs, runs = search.inputs, search.runs
    owners = np.repeat(np.arange(len(run_ids)), n_probes)
    numbers = np.arange(len(owners)) - (np.cumsum(n_probes) - n_probes)[owners]
    sums = ProbeSums(inputs, run_ids, n_probes, search.task.x.shape[1])
    for block in inputs.probe_blocks(n_probes):
        owner = owners[block]
        probes = inputs.probes(run_ids, numbers[block], radius, keys, owner)
        crossed = search.journal.query(probes, runs.example[run_ids[owner]])
        runs.spent += np.bincount(run_ids[owner], minlength=len(runs))
        sums.add(owner, probes, crossed)
    return sums


class ProbeSums:
    """Sums of the perturbations of every run, turned into its direction as soon as its last probe is added.

    Only the sums of one block's runs are in memory. Those of a run that continues in the next block are carried over.

    Parameters
    ----------
    inputs : Inputs
    run_ids, n_probes : ndarray of int64, shape (k,)
    d : int

    Attributes
    ----------
    direction : ndarray of float32, shape (k, d)
    n_crossed : ndarray of int64, shape (k,)
        Adversarial probes of each run.
    """

    def __init__(self, inputs: Inputs, run_ids: Selection, n_probes: NDArray[np.int64], d: int) -> None:
        self.inputs, self.run_ids, self.n_probes = inputs, run_ids, n_probes
        self.direction = np.empty((len(run_ids), d), dtype=np.float32)
        self._missing = n_probes.copy()
        self.n_crossed = np.zeros(len(run_ids), dtype=np.int64)
        self._carried = inputs.zero_sums(1)[0]

    def add(self, owner: Selection, probes: Batch, crossed: NDArray[np.bool_]) -> None:
        """Add a block of probes, ordered by their runs `owner`; its first run is the one that was carried over."""
        first, last = int(owner[0]), int(owner[-1])
        sums = self.inputs.zero_sums(last + 1 - first)
        sums[0] = self._carried
        self.inputs.add_probes(sums, probes, self.run_ids[first : last + 1], owner - first, crossed)
        self._missing -= np.bincount(owner, minlength=len(self._missing))
        self.n_crossed += np.bincount(owner[crossed], minlength=len(self.n_crossed))
        complete = slice(first, last + 1 if self._missing[last] == 0 else last)
        self.direction[complete] = self.inputs.combine(
            sums[: complete.stop - first], self.n_crossed[complete], self.n_probes[complete]
        )
        self._carried = sums[-1] if self._missing[last] else self.inputs.zero_sums(1)[0]


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return directions (k, d) divided by their L2 norms; zeros stay."""
    norm = np.sqrt(np.sum(rows.astype(np.float64) ** 2, axis=1, keepdims=True))
    return (rows / np.where(norm > 0, norm, 1.0)).astype(np.float32)
