"""The forward pass of all votes at once: one matrix product, then a small pass over its result.

Every vote has one hidden layer of h units and one output unit, so V votes are one layer of ``h * V`` units and a
block-diagonal output layer. Unit 0 of every vote comes first, then unit 1 of every vote: a vector instruction adds up
the same unit of neighbouring votes, and a vote's own sum stays in the order of its units.

The pass runs on one thread. With 100 votes of 3,072 features on 2 cores it takes less than 1 % of the product's time
for sign units and 4 % for sigmoid units. A second pool of threads, which waits busily for more work, slowed the
product by a half in blocks of 100 inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from scd.devices import one_torch_thread
from scd.engine.few_inputs import UnitProducts
from scd.numba_cache import njit

if TYPE_CHECKING:
    import torch

_CHUNK_BYTES = 16 << 20  # of hidden values at a time: large enough for the product's full rate, small beside the data
_DEVICE_CHUNK_BYTES = 256 << 20  # the same on a device
_NEAR = 1e-3  # sigmoid outputs closer to 0 than this times the size of the output weights are recomputed in float64


class StackedVotes:
    """One-hidden-layer votes, evaluated together.

    Parameters
    ----------
    hidden : (V, h, d) float
    thresholds : (V, h) float
        A sign unit is on (1) where ``x . W > threshold``, else 0; a sigmoid unit is ``sigmoid(x . W - threshold)``.
    output : (V, h) float
    output_threshold : (V,) float
        The label is 1 where ``a . w > threshold``.
    activation : {"sign", "sigmoid"}
    device : str
        A torch device; the CPU's product runs in NumPy.
    """

    def __init__(
        self,
        hidden: NDArray[Any],
        thresholds: NDArray[Any],
        output: NDArray[Any],
        output_threshold: NDArray[Any],
        activation: str = "sign",
        device: str = "cpu",
    ) -> None:
        votes, h, d = hidden.shape
        self.n_votes = votes
        self.weights = np.ascontiguousarray(hidden.transpose(1, 0, 2).reshape(h * votes, d), dtype=np.float32)
        self.thresholds = np.ascontiguousarray(thresholds.T.reshape(-1), dtype=np.float32)
        self.output = np.ascontiguousarray(output.T, dtype=np.float64)  # (h, V)
        self.output_threshold = np.ascontiguousarray(output_threshold, dtype=np.float64)
        self.activation, self.device = activation, device
        self._products = UnitProducts(self.weights)
        self._exact = (hidden, thresholds) if activation == "sigmoid" else None
        self._on_device: tuple[torch.Tensor, ...] | None = None

    def labels(self, X: NDArray[Any]) -> NDArray[Any]:
        """(n, V) uint8 labels of the votes for (n, d) inputs."""
        out = np.empty((len(X), self.n_votes), dtype=np.uint8)
        for x, z, part in self._parts(X, out):
            self._label_rows(x, z, part)
        return out

    def probabilities(self, X: NDArray[Any]) -> NDArray[Any]:
        """(n, V) float64: the sigmoid of each vote's output, ``a . w - threshold``, for (n, d) inputs."""
        import torch

        out = np.empty((len(X), self.n_votes))
        for x, z, part in self._parts(X, out):
            with one_torch_thread():
                torch.sigmoid(torch.from_numpy(self._sums(x, z)), out=torch.from_numpy(part))
        return out

    def _parts(self, X: NDArray[Any], out: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
        """Some inputs at a time as contiguous float32, a reused buffer for hidden values, and their part of `out`."""
        rows = max(1, _CHUNK_BYTES // (4 * len(self.weights)))
        room = np.empty((min(rows, len(X)) if self.device == "cpu" else 0, len(self.weights)), dtype=np.float32)
        for start in range(0, len(X), rows):
            x = np.ascontiguousarray(X[start : start + rows], dtype=np.float32)
            yield x, room[: len(x)], out[start : start + rows]

    def _sums(self, x: NDArray[Any], z: NDArray[Any]) -> NDArray[Any]:
        if self.device != "cpu":
            return self._device_sums(x)
        if self.activation == "sigmoid":
            return self._sigmoid_sums(x, z)
        self._products.write(x, z)
        sums = np.empty((len(x), self.n_votes))
        _output_sums((z > self.thresholds).astype(np.float32), self.output, sums)
        return sums - self.output_threshold

    def _label_rows(self, x: NDArray[Any], z: NDArray[Any], out: NDArray[Any]) -> None:
        if self.device == "cpu" and self.activation == "sign":
            self._products.write(x, z)
            _sign_labels(z, self.thresholds, self.output, self.output_threshold, out)
            return
        sums = self._sums(x, z)
        out[:] = sums > 0
        if self.activation == "sigmoid":
            self._label_again_near_zero(x, sums, out)

    def _sigmoid_sums(self, x: NDArray[Any], z: NDArray[Any]) -> NDArray[Any]:
        import torch

        self._products.write(x, z)
        z -= self.thresholds
        with one_torch_thread():
            torch.sigmoid_(torch.from_numpy(z))
        sums = np.empty((len(x), self.n_votes))
        _output_sums(z, self.output, sums)
        sums -= self.output_threshold
        return sums

    def _label_again_near_zero(self, x: NDArray[Any], sums: NDArray[Any], out: NDArray[Any]) -> None:
        """Recompute labels in float64 where the rounding error of the float32 product may decide."""
        assert self._exact is not None
        hidden, thresholds = self._exact
        rows, votes = (np.abs(sums) < _NEAR * np.abs(self.output).sum(0)).nonzero()
        again = _exact_sums(x, hidden, thresholds, self.output, rows, votes)
        out[rows, votes] = again > self.output_threshold[votes]

    def labels_on_device(self, inputs: torch.Tensor) -> torch.Tensor:
        """(n, V) bool labels, on the device, of (n, d) float32 inputs on the device; for sign units."""
        import torch

        size = max(1, _DEVICE_CHUNK_BYTES // (4 * len(self.weights)))
        parts = [self._tensor_sums(inputs[i : i + size]) > 0 for i in range(0, len(inputs), size)]
        return torch.cat(parts) if parts else torch.zeros(0, self.n_votes, dtype=torch.bool, device=self.device)

    def _device_sums(self, x: NDArray[Any]) -> NDArray[Any]:
        import torch

        return self._tensor_sums(torch.from_numpy(x).to(self.device)).cpu().numpy()

    def _tensor_sums(self, inputs: torch.Tensor) -> torch.Tensor:
        import torch

        if self._on_device is None:
            arrays = (self.weights, self.thresholds, self.output, self.output_threshold)
            self._on_device = tuple(torch.from_numpy(a).to(self.device) for a in arrays)
        weights, thresholds, output, output_threshold = self._on_device
        z = inputs @ weights.T
        if self.activation == "sign":
            parts = torch.where((z > thresholds).view(len(inputs), *output.shape), output, 0.0)
        else:
            parts = torch.sigmoid((z - thresholds).double()).view(len(inputs), *output.shape) * output
        return parts.sum(1) - output_threshold

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_on_device": None}


def takes_tensors(forward: object) -> TypeGuard[StackedVotes]:
    """Whether these votes are sign networks on a CUDA device."""
    return isinstance(forward, StackedVotes) and forward.activation == "sign" and forward.device != "cpu"


class DeviceLabels:
    """Hard-majority labels of sign networks on a CUDA device, for inputs in host memory or on the device.

    An attack that finds a `device` on the function that it queries generates its inputs there and passes tensors.

    Parameters
    ----------
    predict : callable
        Classes of inputs in host memory: (n, d) float32 to (n,).
    forward : StackedVotes
        The same networks, on a device.
    classes : (2,) array
    keeps_inputs : bool
        Whether `predict` never writes into its inputs.

    Attributes
    ----------
    device : str
    """

    def __init__(
        self,
        predict: Callable[[NDArray[Any]], NDArray[Any]],
        forward: StackedVotes,
        classes: NDArray[Any],
        keeps_inputs: bool = False,
    ) -> None:
        self.keeps_inputs = keeps_inputs
        self._predict, self._forward, self._classes = predict, forward, classes
        self.device = forward.device

    def __call__(self, inputs: NDArray[Any] | torch.Tensor) -> NDArray[Any]:
        """(n,) classes of (n, d) float32 inputs."""
        import torch

        if not isinstance(inputs, torch.Tensor):
            return self._predict(inputs)
        second = 2 * self._forward.labels_on_device(inputs).sum(1) > self._forward.n_votes
        labels: NDArray[Any] = self._classes[second.to(torch.int64).cpu().numpy()]
        return labels


@njit(nogil=True)
def _sign_labels(z, thresholds, output, output_threshold, out):
    h, votes = output.shape
    sums = np.empty(votes)
    for i in range(len(z)):
        sums[:] = 0.0
        for k in range(h):
            for v in range(votes):
                sums[v] += output[k, v] if z[i, k * votes + v] > thresholds[k * votes + v] else 0.0
        for v in range(votes):
            out[i, v] = sums[v] > output_threshold[v]


@njit(nogil=True)
def _output_sums(a, output, out):
    h, votes = output.shape
    for i in range(len(a)):
        out[i] = 0.0
        for k in range(h):
            for v in range(votes):
                out[i, v] += output[k, v] * a[i, k * votes + v]


@njit(nogil=True, fastmath={"reassoc"})
def _exact_sums(x, hidden, thresholds, output, rows, votes):
    sums = np.zeros(len(rows))
    for i in range(len(rows)):
        row = x[rows[i]]
        for k in range(hidden.shape[1]):
            weights, z = hidden[votes[i], k], 0.0
            for j in range(len(row)):
                z += np.float64(row[j]) * np.float64(weights[j])
            sums[i] += output[k, votes[i]] / (1.0 + np.exp(np.float64(thresholds[votes[i], k]) - z))
    return sums
