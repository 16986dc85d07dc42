"""The substitute attack: train a network on the target's labels, attack the target with its gradients."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from scd.devices import resolve_device

from .base import ArrayAttack, own_labels, refuse_options, run_or_resume
from .engine.checkpoint import ClassJournal, LabelJournal, RecordedQueries
from .engine.confirmation import confirmed, with_target
from .engine.initial_points import query_in_blocks
from .engine.run_state import Arrays
from .engine.substitute_network import OPTIMIZERS, SubstituteNetwork, torch_generator
from .engine.validation import (
    Described,
    Task,
    check_choice,
    check_int,
    check_number,
    check_numbers,
    read_mask,
    read_target,
    read_task,
    refuse,
)
from .oracle import LABEL, LabelFunction, TargetOracle, keeps_inputs
from .result import ALREADY_MISCLASSIFIED, NOT_FOOLED, TRAINED_ON, AttackResult

Floats = NDArray[np.float64]

_MOST_CLASSES = 256
_GRID = (0.0, 1 / 64, 1 / 32, 1 / 16, 3 / 32, 1 / 8, 3 / 16, 1 / 4)


class Substitute(ArrayAttack):
    """Substitute-model attack (Papernot et al. 2017; Figure 2, supplement Algorithm 4).

    The training set D starts as min(`first_rows`, half of the points) of the points, drawn without replacement. Each
    round

    1. queries the target for the labels of the samples of D that have none,
    2. trains the substitute (`SubstituteNetwork`, two hidden layers of ReLU units) on D for `epochs` more: the
       weights are kept, the optimiser is reset,
    3. augments D: x' = x + c * `step` * sign of the gradient of the substitute's output for the target's label,
       c = +1 or -1 by coin. The x' are not clipped, and the target is queried at them as they are. They are added
       to D while that makes at most `most_rows`; from then on they replace it.

    After every round the other points are attacked with one step: x' = clip(x + epsilon * sign of the gradient of the
    substitute's cross-entropy at the true label). The returned adversarials are those of the last round at `epsilon`.
    As a control the same points get Gaussian noise of standard deviation epsilon, clipped, `noise_draws` times.

    The attack uses labels of the target only. The true labels are used in the attack step only. The supplement does not
    say which points start D (here: a draw from the seed) nor how the weights start (here: uniform, torch's default).
    Given a class to reach, the step is against the gradient of the cross-entropy at that class, and what fools the
    target is its label. Features that must not change stay as they are in D, in the step and under the noise.

    No label is queried twice, as the target would only repeat it. All settings are in units of the features; the
    published ones are for a box of [0, 1].

    All randomness comes from `seed`, in the same way on any device; only the rounding differs between devices. The
    result depends neither on `memory_budget` nor on the number of threads nor on being interrupted and resumed.

    Parameters
    ----------
    rounds, epochs : int
    step : float
        Lambda of the augmentation, > 0.
    coin : {"sample", "round"}
        A coin for every sample (supplement), or one for all samples of a round (the authors' program).
    first_rows, most_rows : int
        Initial and maximum number of samples of D.
    hidden_nodes : int
        Units of each hidden layer.
    optimizer : {"sgd", "adam"}
        SGD with rate 0.01, momentum 0.9 and batches of 200 (supplement); Adam with rate 1e-4 and batches of 128
        (program).
    epsilons : sequence of float
        The grid, >= 0, in feature units.
    epsilon : float
        The size of the returned adversarials, > 0; one of `epsilons`.
    noise_draws : int
    seed : int
    device : {"auto", "cpu", "cuda"}
        Where the substitute is trained.
    memory_budget : int or str
        Bytes for the inputs of one model call and their copies. D, its gradients and a copy of the points need another
        12 * (`most_rows` + points) * features bytes, approximately.
    verbose : bool
        Show a progress bar of rounds with the target's accuracy at `epsilon`.

    Examples
    --------
    >>> result = Substitute(rounds=5)(model.predict, X_test, y_test)  # doctest: +SKIP
    >>> result.tables["curve"]["accuracy"][-8:]  # after the last round, for each epsilon  # doctest: +SKIP
    """

    requires = LABEL
    call_options = frozenset({"n_classes", "mask", "target"})
    trains_on_points = True
    method_version = 1
    _CANNOT_CHANGE_RESULT = ("memory_budget", "verbose", "device")

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
        super().__init__(memory_budget=memory_budget, verbose=verbose)
        class_name = type(self).__name__
        self.rounds = check_int(class_name, "rounds", rounds, 1)
        self.epochs = check_int(class_name, "epochs", epochs, 1)
        self.step = check_number(class_name, "step", step, above=0.0)
        self.coin = check_choice(class_name, "coin", coin, ("sample", "round"))
        self.first_rows = check_int(class_name, "first_rows", first_rows, 1)
        self.most_rows = check_int(class_name, "most_rows", most_rows, 1)
        self.hidden_nodes = check_int(class_name, "hidden_nodes", hidden_nodes, 1)
        self.optimizer = check_choice(class_name, "optimizer", optimizer, tuple(OPTIMIZERS))
        self.epsilons = check_numbers(class_name, "epsilons", epsilons, 0.0)
        self.epsilon = check_number(class_name, "epsilon", epsilon, above=0.0)
        if self.epsilon not in self.epsilons:
            raise refuse(class_name, "epsilon", f"one of epsilons, {list(self.epsilons)}", epsilon)
        self.noise_draws = check_int(class_name, "noise_draws", noise_draws, 1)
        self.seed = check_int(class_name, "seed", seed, None)
        self.device = torch.device(resolve_device(device, class_name))

    def __call__(
        self,
        labels: LabelFunction,
        x: ArrayLike,
        y: ArrayLike | None = None,
        *,
        clip: tuple[float, float] = (0.0, 1.0),
        index: ArrayLike | None = None,
        state: str | Path | None = None,
        n_classes: int | None = None,
        mask: ArrayLike | None = None,
        target: Any = None,
        **options: Any,
    ) -> AttackResult:
        """Train a substitute of the model behind `labels` on some of the points `x`, and attack it at the others.

        Parameters
        ----------
        labels : callable
            Takes float32 inputs (n, d), returns n labels, 0 to K - 1. Samples of D may be outside the clip box.
        x : array of shape (n, d)
            At least 2 points, finite and within `clip`.
        y : array of int, shape (n,), optional
            True labels, 0 to K - 1. Default: those that the model predicts for `x`.
        clip : (low, high)
            Bounds of every feature; the adversarials and the noise stay inside.
        index : array of int, shape (n,), optional
            Numbers of the points in the result. Default 0..n-1.
        state : path, optional
            File that stores the progress; the same call continues from it. It is not removed at the end.
        n_classes : int, optional
            K, at most 256. Default: one more than the largest label of `y` and of `target`, at least 2.
        mask : array of bool, shape (d,), optional
            Features that must not change.
        target : int, or array of int of shape (n,), optional
            The label that the adversarials must have; default any other than the true one. Points of that class should
            be among `x`, as the substitute learns it from what starts D.

        Returns
        -------
        result : AttackResult
            One row per point. A success is a held-out point that the target classifies correctly, and misclassifies
            after the step of size `epsilon`; its distances are those of that step. `reason` of the others is "already
            misclassified", "still classified correctly", or "used to train the substitute" for the points that started
            D; given a class to reach, "already of the target class" and "not of the target class". `queries` counts all
            labels of samples made from the point: for a point of D those of its descendants in D, for a held-out point
            its own, those of the grid in every round and of the noise. `trace` is empty.

            `tables`: "curve", one row per round and epsilon: `round` (from 1), `rows` (samples of D), `queries` (labels
            queried for D so far, the cost of the attack itself), `agreement` (fraction of the held-out points, unmoved,
            on which substitute and target agree), `epsilon`, `accuracy` (of the target on the x' of the held-out
            points, including those already misclassified) and `noise_accuracy` (the control, the same in every round).
            Given a target, `reached` and `noise_reached` take the place of the two: the fraction of the held-out points
            whose x' has the target's label, including those that had it before.

        Raises
        ------
        ValueError
            Invalid points, a target with other labels, or a state file of another attack or model.
        RuntimeError
            If a distance measured again at the end is not the recorded one: an error of the attack.

        Warns
        -----
        RuntimeWarning
            If adversarials are not confirmed: after the attack each is queried once more, which is not counted, and
            one that is now classified correctly counts as failed.
        """
        class_name = type(self).__name__
        refuse_options(class_name, options)
        task = read_task(class_name, x, own_labels(labels, x) if y is None else y, clip, index)
        if len(task.x) < 2:
            raise refuse(class_name, "x", "at least 2 points, one to train on and one to attack", Described("1 point"))
        fixed, goal = read_mask(class_name, mask, task.x.shape[1]), read_target(class_name, target, len(task.x))
        given = {"y": task.y} if goal is None else {"y": task.y, "target": goal}
        largest = max(int(each.max()) for each in given.values())
        k = max(2, largest + 1) if n_classes is None else check_int(class_name, "n_classes", n_classes, 2)
        for name, each in given.items():
            if each.min() < 0 or each.max() >= k or k > _MOST_CLASSES:
                got = Described(f"labels {np.unique(each)[:5].tolist()}")
                known = "0 and 1" if k == 2 else f"0 to {min(k, _MOST_CLASSES) - 1}"
                raise refuse(class_name, name, f"an array of {known}", got)
        known_labels = _known_classes(class_name, labels, k)
        oracle = self._label_oracle(known_labels, task)
        more: dict[str, Any] = {} if k == 2 else {"n_classes": k}
        arrays: dict[str, Any] = {"fixed": fixed} if fixed.any() else {}
        arrays |= {} if goal is None else {"target": goal}
        kind = LabelJournal if k == 2 else ClassJournal
        journal = kind(oracle, None if state is None else Path(state), self._identity(task, arrays, **more))

        def attack() -> AttackResult:
            result = self._attack(task, journal, k, fixed, goal)
            if goal is None:
                return confirmed(class_name, result, task, oracle, labels)
            reaches = TargetOracle(known_labels, goal, task.x.shape[1], batch_rows=oracle.batch_rows)
            result = confirmed(class_name, result, replace(task, y=np.zeros_like(goal)), reaches, labels)
            return with_target(result, task.y, goal)

        return run_or_resume(journal, task, attack)

    def _attack(
        self, task: Task, journal: RecordedQueries, k: int, fixed: NDArray[np.bool_], goal: NDArray[np.int64] | None
    ) -> AttackResult:
        order = torch.randperm(len(task.x), generator=torch_generator(self.seed, "points")).numpy()
        first, rest = np.split(order, [min(self.first_rows, len(order) // 2)])
        held_out = HeldOut(task, np.sort(rest), journal, bool if k == 2 else np.uint8, fixed, goal)
        network = SubstituteNetwork(task.x.shape[1], self.hidden_nodes, self.seed, self.optimizer, self.device, k)
        if journal.snapshot:
            training = TrainingState.from_arrays(journal.snapshot)
            network.restore(journal.snapshot)
        else:
            clean = held_out.labels(held_out.x)
            noise = noise_accuracies(held_out, self.epsilons, self.noise_draws, self.seed, clean)
            training = TrainingState.begin(task, np.sort(first), clean, noise)
            journal.mark({**training.to_arrays(), **network.to_arrays()})
        with self._bar(self.rounds, training.done, "round") as bar:
            while training.done < self.rounds:
                self._round(network, training, held_out)
                journal.mark({**training.to_arrays(), **network.to_arrays()})
                bar.update()
                accuracy = training.accuracy[-1, self.epsilons.index(self.epsilon)]
                shown = f"accuracy {accuracy:.3f}" if goal is None else f"reached {1 - accuracy:.3f}"
                bar.set_postfix_str(f"{shown} at epsilon {self.epsilon:g}")
        moved = held_out.moved(held_out.direction(network), self.epsilon)
        return _collect(task, held_out, training, moved, self.epsilons)

    def _round(self, network: SubstituteNetwork, training: TrainingState, held_out: HeldOut) -> None:
        """Augment D (except in the first round), label it, train on it and attack the held-out points."""
        number = training.done
        if number > 0:
            count = len(training.rows) if self.coin == "sample" else 1
            coins = torch.randint(2, (count, 1), generator=torch_generator(self.seed, "coins", number))
            training.augment(
                network, self.step, (2 * coins - 1).numpy().astype(np.float32), self.most_rows, held_out.fixed
            )
        n_queries = training.label(held_out.journal)
        network.train(training.rows, training.labels, self.epochs, number)
        training.evaluate(network, held_out, self.epsilons, self.epsilon, n_queries)


def _known_classes(class_name: str, labels: LabelFunction, k: int) -> LabelFunction:
    """Return `labels` with an error for labels other than 0 to k - 1."""
    known = "0 and 1" if k == 2 else f"0 to {k - 1}"

    def query(inputs: NDArray[np.float32]) -> ArrayLike:
        answer = np.asarray(labels(inputs))
        if not np.isin(answer, np.arange(k)).all():
            raise ValueError(
                f"The model queried by {class_name} must return labels {known}. Got {answer.reshape(-1)[:5]} instead."
            )
        return answer

    query.keeps_inputs = keeps_inputs(labels)  # type: ignore[attr-defined]
    return query


class HeldOut:
    """The points that do not train the substitute; its adversarials and the noise are evaluated on them.

    Parameters
    ----------
    task : Task
    where : ndarray of int64, shape (r,)
        Their positions in the task.
    journal : RecordedQueries
        Of labels.
    kind : type
        Of the labels that it returns.
    fixed : ndarray of bool, shape (d,)
        Features that do not change.
    goal : ndarray of int64, shape (n,), or None
        The labels to reach, of all points of the task; None for any other than the true ones.
    """

    def __init__(
        self,
        task: Task,
        where: NDArray[np.int64],
        journal: RecordedQueries,
        kind: Any,
        fixed: NDArray[np.bool_],
        goal: NDArray[np.int64] | None,
    ) -> None:
        self.where, self.x, self.journal, self.fixed = where, task.x[where], journal, fixed
        self.y = task.y[where].astype(kind)
        self.goal = None if goal is None else goal[where].astype(kind)
        self._low, self._high = np.float32(task.low), np.float32(task.high)

    def labels(self, inputs: NDArray[np.float32]) -> NDArray[Any]:
        """Query the target's label of one input for each point, shapes (r, d) to (r,)."""
        return query_in_blocks(self.journal, inputs, self.where)

    def direction(self, network: SubstituteNetwork) -> NDArray[np.float32]:
        """Return the signs by which the points move, shape (r, d)."""
        signs = network.loss_signs(self.x, self.y) if self.goal is None else -network.loss_signs(self.x, self.goal)
        signs[:, self.fixed] = 0
        return signs

    def moved(self, direction: NDArray[np.float32], epsilon: float) -> NDArray[np.float32]:
        """Return the points moved by `epsilon` times `direction` and clipped to the box; shapes (r, d)."""
        return np.clip(self.x + np.float32(epsilon) * direction, self._low, self._high)

    def withstand(self, labels: NDArray[Any]) -> NDArray[np.bool_]:
        """Return for which points these labels of the target are correct or, given a goal, not the goal's."""
        return labels == self.y if self.goal is None else labels != self.goal

    def correct(self, direction: NDArray[np.float32], epsilon: float, clean: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which moved points `withstand`; for epsilon 0 the target's labels are `clean`."""
        return self.withstand(clean if epsilon == 0 else self.labels(self.moved(direction, epsilon)))


def noise_accuracies(
    held_out: HeldOut, epsilons: tuple[float, ...], draws: int, seed: int, clean: NDArray[Any]
) -> Floats:
    """Return the target's accuracy under clipped Gaussian noise of each standard deviation, the mean of all draws.

    Given a goal, it is the fraction of points that do not reach it.
    """
    correct = np.zeros(len(epsilons))
    for draw in range(draws):
        normal = torch.randn(held_out.x.shape, generator=torch_generator(seed, "noise", draw)).numpy()
        normal[:, held_out.fixed] = 0
        correct += [held_out.correct(normal, epsilon, clean).sum() for epsilon in epsilons]
    return correct / (draws * len(clean))


@dataclass
class TrainingState:
    """The attack between two rounds; with the network's weights it is a complete checkpoint.

    Attributes
    ----------
    rows : ndarray of float32, shape (k, d)
        The training set D.
    origin : ndarray of int64, shape (k,)
        The point of the task from which each sample of D descends.
    labels : ndarray of bool or, of more than two classes, uint8, shape (j,)
        The target's labels of the first j <= k samples of D.
    clean : ndarray like `labels`, shape (r,)
        The target's labels of the held-out points.
    fooled : ndarray of bool, shape (r,)
        Whether the last round's step of the requested size fooled the target.
    noise : ndarray of float64, shape (n_epsilons,)
        Accuracy under noise, as `noise_accuracies` has it.
    accuracy : ndarray of float64, shape (rounds done, n_epsilons)
        The same of the moved points.
    about : ndarray of float64, shape (rounds done, 3)
        Samples of D, labels queried for D so far, agreement of substitute and target.
    """

    rows: NDArray[np.float32]
    origin: NDArray[np.int64]
    labels: NDArray[Any]
    clean: NDArray[Any]
    fooled: NDArray[np.bool_]
    noise: Floats
    accuracy: Floats
    about: Floats

    @classmethod
    def begin(cls, task: Task, first: NDArray[np.int64], clean: NDArray[Any], noise: Floats) -> TrainingState:
        """Return the state before the first round, with D the points at the positions `first`."""
        none = np.zeros(0, dtype=clean.dtype)
        fooled = np.zeros(len(clean), dtype=bool)
        return cls(task.x[first], first, none, clean, fooled, noise, np.zeros((0, len(noise))), np.zeros((0, 3)))

    def to_arrays(self) -> Arrays:
        """Return all fields by name."""
        return {column.name: getattr(self, column.name) for column in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> TrainingState:
        """Rebuild the state from a checkpoint, which may contain other arrays too."""
        return cls(**{column.name: arrays[column.name].copy() for column in fields(cls)})

    @property
    def done(self) -> int:
        """Number of rounds done."""
        return len(self.about)

    def label(self, journal: RecordedQueries) -> int:
        """Query the target's labels of the samples of D that have none; return their number."""
        known = len(self.labels)
        self.labels = np.concatenate([self.labels, query_in_blocks(journal, self.rows[known:], self.origin[known:])])
        return len(self.labels) - known

    def augment(
        self,
        network: SubstituteNetwork,
        step: float,
        coins: NDArray[np.float32],
        max_rows: int,
        fixed: NDArray[np.bool_],
    ) -> None:
        """Add the moved samples to D or, if that makes more than `max_rows`, replace D with them.

        Parameters
        ----------
        network : SubstituteNetwork
        step : float
        coins : ndarray of float32, shape (k, 1) or (1, 1)
            +1 or -1.
        max_rows : int
        fixed : ndarray of bool, shape (d,)
            Features that do not change.
        """
        signs = network.logit_signs(self.rows, self.labels)
        signs[:, fixed] = 0
        moved = self.rows + np.float32(step) * coins * signs
        if 2 * len(self.rows) <= max_rows:
            self.rows, self.origin = np.concatenate([self.rows, moved]), np.tile(self.origin, 2)
        else:
            self.rows, self.labels = moved, self.labels[:0]

    def evaluate(
        self,
        network: SubstituteNetwork,
        held_out: HeldOut,
        epsilons: tuple[float, ...],
        epsilon: float,
        n_queries: int,
    ) -> None:
        """Attack the held-out points with every size of `epsilons` and append the results of the round."""
        signs = held_out.direction(network)
        correct = {size: held_out.correct(signs, size, self.clean) for size in epsilons}
        self.fooled = held_out.withstand(self.clean) & ~correct[epsilon]
        agreement = (network.labels(held_out.x) == self.clean).mean()
        before = self.about[-1, 1] if self.done else 0.0
        self.accuracy = np.vstack([self.accuracy, [part.mean() for part in correct.values()]])
        self.about = np.vstack([self.about, [len(self.rows), before + n_queries, agreement]])


def _collect(
    task: Task, held_out: HeldOut, training: TrainingState, moved: NDArray[np.float32], epsilons: tuple[float, ...]
) -> AttackResult:
    """Return the record of all points; `moved` (r, d) are the held-out points after the last round's step."""
    n, rest, fooled = len(task.x), held_out.where, training.fooled
    misclassified = ~held_out.withstand(training.clean)
    reason = np.full(n, TRAINED_ON, dtype="U32")
    reason[rest] = np.where(misclassified, ALREADY_MISCLASSIFIED, np.where(fooled, "", NOT_FOOLED))
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
        tables={"curve": _curve(training, epsilons, held_out.goal is not None)},
    )


def _curve(training: TrainingState, epsilons: tuple[float, ...], targeted: bool) -> Arrays:
    rounds, sizes = training.accuracy.shape
    rows, queries, agreement = np.repeat(training.about, sizes, axis=0).T
    return {
        "round": np.repeat(np.arange(1, rounds + 1), sizes),
        "rows": rows.astype(np.int64),
        "queries": queries.astype(np.int64),
        "agreement": agreement,
        "epsilon": np.tile(epsilons, rounds),
        **(
            {"reached": 1 - training.accuracy.reshape(-1), "noise_reached": 1 - np.tile(training.noise, rounds)}
            if targeted
            else {"accuracy": training.accuracy.reshape(-1), "noise_accuracy": np.tile(training.noise, rounds)}
        ),
    }
