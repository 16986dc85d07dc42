"""The rounds of the substitute attack: the training set that grows, the points held out, and the record of both."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attacks.engine.checkpoint import Journal
from attacks.engine.initial_points import ask_in_blocks
from attacks.engine.substitute_network import SubstituteNetwork, torch_generator
from attacks.engine.validation import Task
from attacks.result import ALREADY_WRONG, NOT_FOOLED, TRAINED_ON, AttackResult

Arrays = dict[str, NDArray[Any]]
Floats = NDArray[np.float64]


class HeldOut:
    """The points that do not train the substitute, on which its adversarials and the noise are tried.

    Parameters
    ----------
    task : Task
    where : ndarray of int64, shape (r,)
        Their positions in the task.
    journal : Journal
        Of which every true label is 0, so that it answers with the target's labels.
    """

    def __init__(self, task: Task, where: NDArray[np.int64], journal: Journal) -> None:
        self.where, self.x, self.journal = where, task.x[where], journal
        self.y = task.y[where].astype(bool)
        self._low, self._high = np.float32(task.low), np.float32(task.high)

    def labels(self, rows: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Ask the target's labels of one row for each point, shapes (r, d) to (r,)."""
        return ask_in_blocks(self.journal, rows, self.where)

    def moved(self, direction: NDArray[np.float32], epsilon: float) -> NDArray[np.float32]:
        """Return the points moved by `epsilon` times `direction` and clipped to the box; shapes (r, d)."""
        return np.clip(self.x + np.float32(epsilon) * direction, self._low, self._high)

    def right(self, direction: NDArray[np.float32], epsilon: float, clean: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which moved points the target labels correctly; for epsilon 0 these are its labels `clean`."""
        found = clean if epsilon == 0 else self.labels(self.moved(direction, epsilon))
        return found == self.y


def noise_accuracies(
    held_out: HeldOut, epsilons: tuple[float, ...], draws: int, seed: int, clean: NDArray[np.bool_]
) -> Floats:
    """Accuracy of the target under clipped Gaussian noise of each standard deviation, the mean of all draws."""
    right = np.zeros(len(epsilons))
    for draw in range(draws):
        normal = torch.randn(held_out.x.shape, generator=torch_generator(seed, "noise", draw)).numpy()
        right += [held_out.right(normal, epsilon, clean).sum() for epsilon in epsilons]
    return right / (draws * len(clean))


@dataclass
class Progress:
    """The attack between two rounds; with the network's weights a copy of it is a checkpoint.

    Attributes
    ----------
    rows : ndarray of float32, shape (k, d)
        The training set D.
    origin : ndarray of int64, shape (k,)
        The point of the task that each row descends from.
    labels : ndarray of bool, shape (j,)
        The target's labels of the first j <= k rows.
    clean : ndarray of bool, shape (r,)
        The target's labels of the points held out.
    fooled : ndarray of bool, shape (r,)
        Whether the last round's step of the size asked for fooled the target.
    noise : ndarray of float64, shape (n_epsilons,)
    accuracy : ndarray of float64, shape (rounds done, n_epsilons)
    about : ndarray of float64, shape (rounds done, 3)
        Rows of D, labels asked for D up to then, agreement of substitute and target.
    """

    rows: NDArray[np.float32]
    origin: NDArray[np.int64]
    labels: NDArray[np.bool_]
    clean: NDArray[np.bool_]
    fooled: NDArray[np.bool_]
    noise: Floats
    accuracy: Floats
    about: Floats

    @classmethod
    def begin(cls, task: Task, first: NDArray[np.int64], clean: NDArray[np.bool_], noise: Floats) -> "Progress":
        """Before the first round, with D the points at the positions `first`."""
        none = np.zeros(0, dtype=bool)
        fooled = np.zeros(len(clean), dtype=bool)
        return cls(task.x[first], first, none, clean, fooled, noise, np.zeros((0, len(noise))), np.zeros((0, 3)))

    def to_arrays(self) -> Arrays:
        """Return all fields by name."""
        return {column.name: getattr(self, column.name) for column in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "Progress":
        """Rebuild it from a checkpoint (which may hold other arrays too)."""
        return cls(**{column.name: arrays[column.name].copy() for column in fields(cls)})

    @property
    def done(self) -> int:
        """Number of rounds done."""
        return len(self.about)

    def label(self, journal: Journal) -> int:
        """Ask the target's labels of the rows of D that have none; returns how many."""
        known = len(self.labels)
        self.labels = np.concatenate([self.labels, ask_in_blocks(journal, self.rows[known:], self.origin[known:])])
        return len(self.labels) - known

    def grow(self, network: SubstituteNetwork, step: float, coins: NDArray[np.float32], most_rows: int) -> None:
        """Add the moved rows to D or, where that makes more than `most_rows`, put them in its place.

        Parameters
        ----------
        network : SubstituteNetwork
        step : float
        coins : ndarray of float32, shape (k, 1) or (1, 1)
            +1 or -1.
        most_rows : int
        """
        moved = self.rows + np.float32(step) * coins * network.logit_signs(self.rows, self.labels)
        if 2 * len(self.rows) <= most_rows:
            self.rows, self.origin = np.concatenate([self.rows, moved]), np.tile(self.origin, 2)
        else:
            self.rows, self.labels = moved, self.labels[:0]

    def measure(
        self, network: SubstituteNetwork, held_out: HeldOut, epsilons: tuple[float, ...], epsilon: float, asked: int
    ) -> None:
        """Attack the points held out at every size of `epsilons` and append what the round gave."""
        signs = network.loss_signs(held_out.x, held_out.y)
        right = {size: held_out.right(signs, size, self.clean) for size in epsilons}
        self.fooled = (self.clean == held_out.y) & ~right[epsilon]
        agreement = (network.labels(held_out.x) == self.clean).mean()
        before = self.about[-1, 1] if self.done else 0.0
        self.accuracy = np.vstack([self.accuracy, [part.mean() for part in right.values()]])
        self.about = np.vstack([self.about, [len(self.rows), before + asked, agreement]])


def collect_substitute(
    task: Task, held_out: HeldOut, progress: Progress, moved: NDArray[np.float32], epsilons: tuple[float, ...]
) -> AttackResult:
    """The record of all points.

    Parameters
    ----------
    task : Task
    held_out : HeldOut
    progress : Progress
        After the last round.
    moved : ndarray of float32, shape (r, d)
        The points held out after the last round's step of the size asked for.
    epsilons : tuple of float
    """
    n, rest, fooled = len(task.x), held_out.where, progress.fooled
    reason = np.full(n, TRAINED_ON, dtype="U32")
    reason[rest] = np.where(progress.clean != held_out.y, ALREADY_WRONG, np.where(fooled, "", NOT_FOOLED))
    success, adversarials = np.zeros(n, dtype=bool), np.full(task.x.shape, np.nan, dtype=np.float32)
    success[rest], adversarials[rest[fooled]] = fooled, moved[fooled]
    l2, linf = np.full(n, np.nan), np.full(n, np.nan)
    for e in np.flatnonzero(success):
        difference = adversarials[e].astype(np.float64) - task.x[e]
        l2[e], linf[e] = np.linalg.norm(difference), np.abs(difference).max()
    return AttackResult(
        index=task.index,
        label=task.y,
        success=success,
        adversarials=adversarials,
        l2=l2,
        linf=linf,
        queries=held_out.journal.oracle.queries.copy(),
        restart=np.where(success, 0, -1),
        reason=reason,
        trace={
            **{name: np.zeros(0, dtype=np.int64) for name in ("index", "restart", "iteration", "queries")},
            **{name: np.zeros(0) for name in ("l2", "linf")},
        },
        tables={"curve": _curve(progress, epsilons)},
    )


def _curve(progress: Progress, epsilons: tuple[float, ...]) -> Arrays:
    rounds, sizes = progress.accuracy.shape
    rows, queries, agreement = np.repeat(progress.about, sizes, axis=0).T
    return {
        "round": np.repeat(np.arange(1, rounds + 1), sizes),
        "rows": rows.astype(np.int64),
        "queries": queries.astype(np.int64),
        "agreement": agreement,
        "epsilon": np.tile(epsilons, rounds),
        "accuracy": progress.accuracy.reshape(-1),
        "noise_accuracy": np.tile(progress.noise, rounds),
    }
