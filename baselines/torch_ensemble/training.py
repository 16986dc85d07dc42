"""Training loop of all torch networks: Adam on cross-entropy, several votes at a time.

On the CPU each vote that is trained has a network and a single-threaded worker of its own; on CUDA the votes of a group
are one network or, where a network holds a single vote, networks that step at the same time. A vote draws from seeds
derived from the root seed and its number alone, one for its weights and one for each epoch's order of the samples. On
the CPU its result is therefore the same to the bit, whatever is trained beside it and however many workers there are.
On CUDA it is the same up to rounding: cuDNN and cuBLAS choose their algorithms by the shapes of the whole group, and
some of cuDNN's add gradients in no fixed order, so that even repeated runs differ.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import torch
import torch.nn.functional as F

from baselines.torch_ensemble.checkpoint import Checkpoint, Progressed
from baselines.torch_ensemble.layers import VoteNetwork
from scd.devices import one_torch_thread
from scd.engine.adversarial import uphill
from scd.engine.cuda_graphs import Recorded
from scd.progress import progress_bar
from scd.seeds import generator_for, seed_for
from scd.storage import Vote

if TYPE_CHECKING:
    from scd.ensemble import Progress

_VALIDATION_INPUTS = 256  # predicted at a time

MakeNetwork = Callable[[int], VoteNetwork]
"""Makes the uninitialised network of n votes."""


@dataclass(frozen=True)
class Training:
    """How votes are trained; see :class:`baselines.torch_ensemble.convolutional.ConvolutionalVotes`."""

    epochs: int
    batch_size: int
    learning_rate: float
    votes_at_once: int | None
    precision: str
    device: str
    memory: int
    verbose: bool
    adversarial: float = 0.0
    mirror: torch.Tensor | None = None
    """The features of a flat sample in the order of its mirror image."""


def train_votes(
    make: MakeNetwork,
    X: torch.Tensor,
    y: torch.Tensor,
    votes: range,
    root_seed: int,
    training: Training,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
    validation: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> list[Vote]:
    """Train the votes with these numbers.

    Parameters
    ----------
    make : callable
    X : (n, ...) tensor
        Samples of any shape and type that the network accepts.
    y : (n,) int64 tensor
        Labels 0 or 1.
    votes : range
    root_seed : int
    training : Training
    progress : callable, optional
        Called with (epochs finished, epochs in total, NaN), summed over all votes.
    checkpoint : Checkpoint, optional
        Where the state is saved; removed at the end.
    validation : ((m, ...) tensor, (m,) int64 tensor), optional
        Samples and labels that choose each vote's epoch: :class:`baselines.torch_ensemble.training.BestEpochs`.

    Returns
    -------
    list of dict
        Each vote's arrays by name, in the order of `votes`.
    """
    with torch.device("meta"):
        kind = make(1)
    together = _votes_at_once(kind, X, training)
    X, y = X.to(training.device), y.to(training.device)
    if validation is not None:
        validation = validation[0].to(training.device), validation[1].to(training.device)
    now = checkpoint.read() if checkpoint else Progressed()
    left = [v for v in votes if v not in now.finished and v not in now.training]
    groups = [left[i : i + together] for i in range(0, len(left), together)]
    if now.training:
        groups.insert(0, list(now.training))
    total = len(votes) * training.epochs
    done = len(now.finished) * training.epochs + len(now.training) * now.epoch
    on_cpu = training.device == "cpu"
    with contextlib.ExitStack() as stack:
        stack.enter_context(cuda_precision(training.device, training.precision))
        if on_cpu:
            stack.enter_context(one_torch_thread())  # which the workers inherit
            workers = stack.enter_context(ThreadPoolExecutor(max(map(len, groups), default=1)))
        bar = progress_bar(total, initial=done, verbose=training.verbose, desc="epochs", leave=False)
        stack.enter_context(bar)
        for group in groups:
            parts = [[vote] for vote in group] if on_cpu or not kind.side_by_side else [group]
            learners = [_Learner(make, part, root_seed, X, y, training, now, validation) for part in parts]
            train = partial(_in_workers, workers, learners) if on_cpu else _SideBySide(learners).train
            for epoch in range(now.epoch, training.epochs):
                train(epoch)
                if checkpoint and checkpoint.due():
                    states = {v: s for learner in learners for v, s in learner.states().items()}
                    checkpoint.save(Progressed(now.finished, states, epoch + 1))
                done += len(group)
                bar.update(len(group))
                if progress is not None:
                    progress(done, total, math.nan)
            trained = {v: vote for learner in learners for v, vote in learner.trained().items()}
            now = Progressed({**now.finished, **trained})
    if checkpoint:
        checkpoint.remove()
    return [now.finished[v] for v in votes]


def _votes_at_once(network: VoteNetwork, X: torch.Tensor, training: Training) -> int:
    if training.votes_at_once is not None:
        return training.votes_at_once
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    # gradients take the place of activations; beside the weights there are their gradients and two moments
    per_vote = training.batch_size * network.saved_bytes(X, training.device) + 4 * weights
    fit = max(1, training.memory // per_vote)
    return min(fit, joblib.cpu_count()) if training.device == "cpu" else fit


def _in_workers(workers: ThreadPoolExecutor, learners: list[_Learner], epoch: int) -> None:
    list(workers.map(_Learner.train, learners, repeat(epoch)))


def batches(samples: int, size: int) -> list[tuple[int, int]]:
    """Start and stop of each batch of an epoch; the last one has the remaining samples.

    A single remaining sample joins the batch before it, since batch normalisation needs two.
    """
    starts = list(range(0, samples, size))
    if size > 1 and len(starts) > 1 and samples - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], samples], strict=True))


class _Learner:
    """One network under training, of one vote or of several side by side."""

    def __init__(
        self,
        make: MakeNetwork,
        votes: list[int],
        root_seed: int,
        X: torch.Tensor,
        y: torch.Tensor,
        training: Training,
        now: Progressed,
        validation: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> None:
        self.votes, self.root_seed, self.X, self.y = votes, root_seed, X, y
        self.batches = batches(len(X), training.batch_size)
        self.network = make(len(votes))
        for place, vote in enumerate(votes):
            weights = torch.Generator().manual_seed(seed_for(root_seed, "weights", vote))
            self.network.initialise(place, weights)
        self.network.to(training.device).train()
        on_cuda = self.X.device.type == "cuda"
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=training.learning_rate, fused=True, capturable=on_cuda
        )
        self.adversarial = training.adversarial
        self.mirror = None if training.mirror is None else training.mirror.to(training.device)
        self.box = (X.amin(0), X.amax(0)) if self.adversarial else None
        self._start_moments(now.epoch * len(self.batches))
        self.best = None if validation is None else BestEpochs(self.network, *validation)
        self.turned = torch.zeros((len(X), len(votes)), dtype=torch.bool, device=X.device)
        state = self._state()
        for place, vote in enumerate(votes):
            for name, array in now.training.get(vote, {}).items():
                state[name][place].copy_(torch.from_numpy(array))

    def _start_moments(self, steps: int) -> None:
        """Make Adam's state, which torch would make at the first step only."""
        state = {
            i: {"step": torch.tensor(float(steps)), "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
            for i, p in enumerate(self.network.parameters())
        }
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})

    def train(self, epoch: int) -> None:
        """Use every sample once, each vote in its own order."""
        order = self.start(epoch)
        for start, stop in self.batches:
            self.step(order[start:stop].flatten())
        self.end()

    def _turned(self, epoch: int) -> torch.Tensor:
        """(n, V) whether a vote sees the mirror image of a sample in this epoch."""
        drawn = [generator_for(self.root_seed, "mirror", vote, epoch).random(len(self.X)) < 0.5 for vote in self.votes]
        return torch.from_numpy(np.stack(drawn, axis=1)).to(self.X.device)

    def start(self, epoch: int) -> torch.Tensor:
        """(n, V) the order of the samples in this epoch."""
        orders = [generator_for(self.root_seed, "order", vote, epoch).permutation(len(self.X)) for vote in self.votes]
        if self.network.random_training:
            seeds = [seed_for(self.root_seed, "draws", vote, epoch) for vote in self.votes]
            self.network.generators = [torch.Generator(self.X.device).manual_seed(seed) for seed in seeds]
        if self.mirror is not None:
            self.turned.copy_(self._turned(epoch))  # in place: a recorded step reads it again
        return torch.from_numpy(np.stack(orders, axis=1)).to(self.X.device)

    def end(self) -> None:
        """Evaluate the epoch on the validation samples."""
        if self.best is not None:
            self.best.evaluate(self.network)

    def step(self, samples: torch.Tensor) -> None:
        """One Adam step on the samples of the first vote, the second, ..., the first, ..."""
        size = len(samples) // len(self.votes)
        x = self.X.index_select(0, samples).unflatten(0, (size, len(self.votes)))
        y = self.y.index_select(0, samples)
        if self.mirror is not None:
            turned = self.turned.gather(0, samples.view(size, len(self.votes)))[..., None]
            x = torch.where(turned, x.flatten(2).index_select(2, self.mirror), x.flatten(2)).view_as(x)
        if self.box is not None:
            self.network.eval()  # the moves change no statistics of batch normalisation
            x = uphill(x, lambda moved: self._loss(moved, y), self.adversarial, self.box)
            self.network.train()
        loss = self._loss(x, y) / size
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def _loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(self.network(x).flatten(0, 1), y, reduction="sum")

    def trained(self) -> dict[int, Vote]:
        """Each vote's arrays, by its number."""
        return self._by_vote(self.network.arrays() if self.best is None else self.best.arrays)

    def states(self) -> dict[int, Vote]:
        """Each vote's arrays and Adam's moments of them, by its number."""
        return self._by_vote(self._state())

    def _state(self) -> dict[str, torch.Tensor]:
        state = {f"weights/{name}": tensor for name, tensor in self.network.arrays().items()}
        for name, parameter in self.network.named_parameters():
            for moment in ("exp_avg", "exp_avg_sq"):
                state[f"{moment}/{name}"] = self.network.votes_first(self.optimizer.state[parameter][moment])
        if self.best is not None:
            state |= {"best/right": self.best.correct, **{f"best/{name}": t for name, t in self.best.arrays.items()}}
        return state

    def _by_vote(self, tensors: dict[str, torch.Tensor]) -> dict[int, Vote]:
        arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        return {v: {name: array[i].copy() for name, array in arrays.items()} for i, v in enumerate(self.votes)}


class _SideBySide:
    """Networks on CUDA that step at the same time, in a stream each."""

    def __init__(self, learners: list[_Learner]) -> None:
        self.learners = learners
        self.streams = [torch.cuda.Stream() for _ in learners]
        # random training gets new generators each epoch, which a recorded CUDA graph would not see
        draws = any(learner.network.random_training for learner in learners)
        self.step: Callable[..., None] = (lambda _, *samples: self._step(*samples)) if draws else Recorded(self._step)

    def train(self, epoch: int) -> None:
        """Use every sample once."""
        orders = [learner.start(epoch) for learner in self.learners]
        for start, stop in self.learners[0].batches:
            self.step(stop - start, *(order[start:stop].flatten() for order in orders))
        for learner in self.learners:
            learner.end()

    def _step(self, *samples: torch.Tensor) -> None:
        here = torch.cuda.current_stream()
        for learner, stream, its_samples in zip(self.learners, self.streams, samples, strict=True):
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                learner.step(its_samples)
        for stream in self.streams:
            here.wait_stream(stream)


class BestEpochs:
    """The state of each vote after the epoch with the highest validation accuracy.

    Parameters
    ----------
    network : VoteNetwork
        Of V votes, before its first epoch.
    X : (m, ...) tensor
        Validation samples on the network's device.
    y : (m,) int64 tensor
        Their labels.

    Attributes
    ----------
    correct : (V, 1) int64 tensor
        Validation samples that the kept states classify correctly; -1 before the first epoch.
    arrays : dict of tensor
        The kept states: copies of :meth:`VoteNetwork.arrays`.
    """

    def __init__(self, network: VoteNetwork, X: torch.Tensor, y: torch.Tensor) -> None:
        self.X, self.y = X, y
        self.arrays = {name: tensor.clone() for name, tensor in network.arrays().items()}
        self.correct = torch.full((len(next(iter(self.arrays.values()))), 1), -1, device=X.device)

    def evaluate(self, network: VoteNetwork) -> None:
        """Keep the votes that are better than in all epochs before; of equal epochs the first is kept."""
        network.eval()
        correct = torch.zeros_like(self.correct)
        with torch.inference_mode():
            for x, y in zip(self.X.split(_VALIDATION_INPUTS), self.y.split(_VALIDATION_INPUTS), strict=True):
                logits = network(x)
                predicted = (logits[..., 1] > logits[..., 0]).long()
                correct[:, 0] += (predicted == y[:, None]).sum(dim=0)
        network.train()
        better = (correct > self.correct).flatten()
        self.correct[better] = correct[better]
        for name, tensor in network.arrays().items():
            self.arrays[name][better] = tensor[better]


@contextlib.contextmanager
def cuda_precision(device: str, precision: str) -> Iterator[None]:
    """Compute on CUDA in "float32", "tf32" (products of 10-bit mantissas) or "bf16" (automatic mixed precision).

    Weights are rounded to bfloat16 again at every use: torch would keep the first copies until the context ends.

    torch's own default for convolutions is TF32. Its switches are global to the process; they are restored at the end.
    The CPU always computes in float32.
    """
    if torch.device(device).type != "cuda":
        yield
        return
    switches: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [switch.allow_tf32 for switch in switches]
    try:
        for switch in switches:
            switch.allow_tf32 = precision == "tf32"
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=precision == "bf16", cache_enabled=False):
            yield
    finally:
        for switch, allowed in zip(switches, before, strict=True):
            switch.allow_tf32 = allowed
