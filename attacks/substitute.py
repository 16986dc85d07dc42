"""The substitute attack: train a network on the target's labels, attack the target with its gradients."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from attacks.base import Attack
from attacks.engine.checkpoint import Journal, fingerprint
from attacks.engine.initial_points import ask_in_blocks
from attacks.engine.substitute_network import OPTIMIZERS, SubstituteNetwork, resolve_device, torch_generator
from attacks.engine.validation import (
    Described,
    Task,
    check_bool,
    check_choice,
    check_int,
    check_memory,
    check_number,
    check_numbers,
    read_task,
    refuse,
)
from attacks.oracle import LABEL, LabelFunction, LabelOracle, rows_within
from attacks.result import ALREADY_WRONG, NOT_FOOLED, TRAINED_ON, AttackResult

_GRID = (0.0, 1 / 64, 1 / 32, 1 / 16, 3 / 32, 1 / 8, 3 / 16, 1 / 4)


class Substitute(Attack):
    """Substitute-model attack on a two-class target (Papernot et al. 2017; Figure 2, supplement Algorithm 4).

    A set D begins as min(`first_rows`, half of the points) of the points, drawn without replacement. Each round

    1. asks the target for the labels of the rows of D that have none,
    2. trains the substitute (`SubstituteNetwork`, two hidden layers of ReLU units) on D for `epochs` more: the
       weights go on, the optimiser begins anew,
    3. makes D larger: x' = x + c * `step` * sign of the gradient of the substitute's output for the target's label,
       c = +1 or -1 by coin. The x' are not clipped, and the target is asked about them as they are. They are added
       to D while that makes at most `most_rows`; from then on they replace it.

    After every round the other points are attacked with one step: x' = clip(x + epsilon * sign of the gradient of the
    substitute's cross-entropy at the true label). The adversarials returned are those of the last round at `epsilon`.
    As a control the same points get Gaussian noise of standard deviation epsilon, clipped, `noise_draws` times.

    Nothing but labels of the target is seen. Its true labels matter only in the last step. What the supplement leaves
    open: which points begin D (here a draw from the seed); the start of the weights (uniform, as torch does).
    Labels already asked are not asked again, as the target would only repeat them. All settings are in units of the
    features; the published ones are for a box of [0, 1].

    All randomness comes from `seed`, in the same way on any device, of which the rounding alone differs. The result
    depends neither on `memory_budget` nor on the number of threads; an attack that was interrupted and resumed ends
    with the numbers of one that was not.

    Parameters
    ----------
    rounds, epochs : int
    step : float
        Lambda of the augmentation, > 0.
    coin : {"sample", "round"}
        A coin for every row (supplement), or one for all rows of a round (the authors' program).
    first_rows, most_rows : int
    hidden_nodes : int
        Units of each hidden layer.
    optimizer : {"sgd", "adam"}
        SGD of rate 0.01, momentum 0.9 and batches of 200 (supplement); Adam of rate 1e-4 and batches of 128 (program).
    epsilons : sequence of float
        The grid, >= 0, in feature units.
    epsilon : float
        The size of the adversarials returned, > 0; one of `epsilons`.
    noise_draws : int
    seed : int
    device : {"auto", "cpu", "cuda"}
        Where the substitute is trained.
    memory_budget : int or str
        Bytes for the rows of one model call and their copies. D, its gradients and a copy of the points come on top:
        about 12 * (`most_rows` + points) * features bytes.
    verbose : bool
        Show a bar of rounds with the target's accuracy at `epsilon`.

    Examples
    --------
    >>> result = Substitute(rounds=5)(model.predict, X_test, y_test)  # doctest: +SKIP
    >>> result.tables["curve"]["accuracy"][-8:]  # after the last round, for each epsilon  # doctest: +SKIP
    """

    requires = LABEL
    method_version = 1

    def __init__(
        self,
        *,
        rounds: int = 20,
        epochs: int = 20,
        step: float = 0.1,
        coin: str = "sample",
        first_rows: int = 200,
        most_rows: int = 6400,
        hidden_nodes: int = 200,
        optimizer: str = "sgd",
        epsilons: ArrayLike = _GRID,
        epsilon: float = 1 / 16,
        noise_draws: int = 10,
        seed: int = 0,
        device: str = "auto",
        memory_budget: int | str = "256MiB",
        verbose: bool = False,
    ) -> None:
        own = type(self).__name__
        self.rounds = check_int(own, "rounds", rounds, 1)
        self.epochs = check_int(own, "epochs", epochs, 1)
        self.step = check_number(own, "step", step, above=0.0)
        self.coin = check_choice(own, "coin", coin, ("sample", "round"))
        self.first_rows = check_int(own, "first_rows", first_rows, 1)
        self.most_rows = check_int(own, "most_rows", most_rows, 1)
        self.hidden_nodes = check_int(own, "hidden_nodes", hidden_nodes, 1)
        self.optimizer = check_choice(own, "optimizer", optimizer, tuple(OPTIMIZERS))
        self.epsilons = check_numbers(own, "epsilons", epsilons, 0.0)
        self.epsilon = check_number(own, "epsilon", epsilon, above=0.0)
        if self.epsilon not in self.epsilons:
            raise refuse(own, "epsilon", f"one of epsilons, {list(self.epsilons)}", epsilon)
        self.noise_draws = check_int(own, "noise_draws", noise_draws, 1)
        self.seed = check_int(own, "seed", seed, None)
        self.device = torch.device(resolve_device(device, own))
        self.memory_budget = check_memory(own, "memory_budget", memory_budget)
        self.verbose = check_bool(own, "verbose", verbose)

    def __call__(
        self,
        labels: LabelFunction,
        x: ArrayLike,
        y: ArrayLike,
        *,
        clip: tuple[float, float] = (0.0, 1.0),
        index: ArrayLike | None = None,
        state: str | Path | None = None,
    ) -> AttackResult:
        """Train a substitute of the model behind `labels` on some of the points `x`, and attack it at the others.

        Parameters
        ----------
        labels : callable
            Takes float32 rows (n, d), returns n labels 0 or 1. Rows of D may lie outside the clip box.
        x : array of shape (n, d)
            At least 2 points, finite and within `clip`.
        y : array of int, shape (n,)
            True labels, 0 or 1.
        clip : (low, high)
            Bounds of every feature; the adversarials and the noise stay inside.
        index : array of int, shape (n,), optional
            Numbers of the points in the result. Default 0..n-1.
        state : path, optional
            File that keeps the progress; the same call continues from it. It is not removed at the end.

        Returns
        -------
        result : AttackResult
            A row per point. A success is a point of the rest that the target labels correctly, and wrongly after the
            step of size `epsilon`; its distances are those of that step. `reason` tells the others: "already
            misclassified", "still classified correctly", or "used to train the substitute" for the points that began
            D. `queries` are all labels asked for rows made from the point: for one of D those of its descendants in
            D, for one of the rest its own, those of the grid in every round and of the noise. `trace` is empty.

            `tables`: "curve", a row per round and epsilon: `round` (from 1), `rows` (of D), `queries` (labels asked
            for D up to then, what the attack itself costs), `agreement` (share of the rest, unmoved, that substitute
            and target label alike), `epsilon`, `accuracy` (of the target on the x' of the rest, points already
            misclassified included) and `noise_accuracy` (the control, the same in every round).

        Raises
        ------
        ValueError
            Bad points, a target of other labels, or a state file of another attack.
        """
        own = type(self).__name__
        task = read_task(own, x, y, clip, index)
        if len(task.x) < 2:
            raise refuse(own, "x", "at least 2 points, one to train on and one to attack", Described("1 point"))
        if not np.isin(task.y, (0, 1)).all():
            raise refuse(own, "y", "an array of 0 and 1", Described(f"labels {np.unique(task.y)[:5].tolist()}"))
        parameters = {k: v for k, v in vars(self).items() if k not in ("memory_budget", "verbose", "device")}
        identity = fingerprint(
            {**parameters, "attack": own, "version": self.method_version, "low": task.low, "high": task.high},
            {"x": task.x, "y": task.y, "index": task.index},
        )
        batch_rows = rows_within(self.memory_budget, task.x.shape[1])
        oracle = LabelOracle(_two_classes(own, labels), len(task.x), task.x.shape[1], batch_rows=batch_rows)
        # with 0 for every "true" label the journal's answer, whether a row has another one, is the label itself
        path, zeros = None if state is None else Path(state), np.zeros(len(task.x), dtype=np.int64)
        with Journal(oracle, zeros, path, identity) as journal:
            if journal.finished:
                return AttackResult.from_arrays(journal.snapshot)
            result = self._attack(task, journal)
            journal.finish(result.to_arrays())
        return result

    def _attack(self, task: Task, journal: Journal) -> AttackResult:
        order = torch.randperm(len(task.x), generator=torch_generator(self.seed, "points")).numpy()
        first, rest = np.split(order, [min(self.first_rows, len(order) // 2)])
        held_out = HeldOut(task, np.sort(rest), journal)
        network = SubstituteNetwork(task.x.shape[1], self.hidden_nodes, self.seed, self.optimizer, self.device)
        if journal.snapshot:
            progress = Progress.from_arrays(journal.snapshot)
            network.restore(journal.snapshot)
        else:
            clean = held_out.labels(held_out.x)
            noise = noise_accuracies(held_out, self.epsilons, self.noise_draws, self.seed, clean)
            progress = Progress.begin(task, np.sort(first), clean, noise)
            journal.mark({**progress.to_arrays(), **network.to_arrays()})
        with tqdm(total=self.rounds, initial=progress.done, desc=type(self).__name__, unit="round",
                  disable=not self.verbose) as bar:  # fmt: skip
            while progress.done < self.rounds:
                self._round(network, progress, held_out)
                journal.mark({**progress.to_arrays(), **network.to_arrays()})
                bar.update()
                accuracy = progress.accuracy[-1, self.epsilons.index(self.epsilon)]
                bar.set_postfix_str(f"accuracy {accuracy:.3f} at epsilon {self.epsilon:g}")
        moved = held_out.moved(network.loss_signs(held_out.x, held_out.y), self.epsilon)
        return collect_substitute(task, held_out, progress, moved, self.epsilons)

    def _round(self, network: SubstituteNetwork, progress: Progress, held_out: HeldOut) -> None:
        """Make D larger (but in the first round), label it, train on it and attack the points held out."""
        number = progress.done
        if number > 0:
            count = len(progress.rows) if self.coin == "sample" else 1
            coins = torch.randint(2, (count, 1), generator=torch_generator(self.seed, "coins", number))
            progress.grow(network, self.step, (2 * coins - 1).numpy().astype(np.float32), self.most_rows)
        asked = progress.label(held_out.journal)
        network.train(progress.rows, progress.labels, self.epochs, number)
        progress.measure(network, held_out, self.epsilons, self.epsilon, asked)


def _two_classes(owner: str, labels: LabelFunction) -> LabelFunction:
    """`labels`, refusing any but 0 and 1."""

    def ask(rows: NDArray[np.float32]) -> ArrayLike:
        answer = np.asarray(labels(rows))
        if not np.isin(answer, (0, 1)).all():
            raise ValueError(f"The model asked by {owner} must return labels 0 and 1. Got {answer.reshape(-1)[:5]}.")
        return answer

    return ask


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
    def begin(cls, task: Task, first: NDArray[np.int64], clean: NDArray[np.bool_], noise: Floats) -> Progress:
        """Before the first round, with D the points at the positions `first`."""
        none = np.zeros(0, dtype=bool)
        fooled = np.zeros(len(clean), dtype=bool)
        return cls(task.x[first], first, none, clean, fooled, noise, np.zeros((0, len(noise))), np.zeros((0, 3)))

    def to_arrays(self) -> Arrays:
        """Return all fields by name."""
        return {column.name: getattr(self, column.name) for column in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Progress:
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
