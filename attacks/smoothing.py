"""Randomised smoothing (Cohen, Rosenfeld and Kolter, ICML 2019): certified radii of a model that noise has smoothed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, ndtri

from scd.progress import progress_bar
from scd.seeds import generator_for

from .base import ArrayAttack, own_labels, refuse_options
from .engine.validation import check_int, check_number, read_task
from .oracle import LABEL, LabelFunction, LabelOracle
from .result import ALREADY_MISCLASSIFIED, CERTIFIED, UNDECIDED, AttackResult, without_adversarials

_ROUNDED_DOWN = 1 - 1e-9  # so that the quotient of two float64 numbers is no larger than the exact one


class RandomizedSmoothing(ArrayAttack):
    """Certified radii of ANOTHER classifier: the one that predicts the label that the model gives most often in noise.

    It needs labels only, so it certifies any model. What it certifies is not the model itself but its smoothed form,
    whose every prediction takes many labels of the model under Gaussian noise. No adversarial is returned. For radii of
    the model itself see :class:`attacks.Certificate`.

    A few noisy copies choose the label, `samples` others count how often the model gives it. If the probability p of
    that label is above 1/2 with confidence ``1 - alpha`` (Clopper-Pearson), no perturbation shorter than
    ``sigma * Phi^-1(p)`` changes the smoothed label. Each radius alone holds with this confidence.

    Every example draws from its own random stream, so a radius depends neither on `memory_budget` nor on the other
    examples.

    Parameters
    ----------
    sigma : float
        Standard deviation of the noise in feature units. The model must accept inputs outside its bounds.
    samples : int
        Noisy copies that are counted. The largest radius is ``sigma * Phi^-1(alpha ** (1 / samples))``.
    guesses : int
        Noisy copies that choose the label.
    alpha : float in (0, 1)
        Probability that a radius is too large.
    seed : int
    memory_budget : int or str
        Bytes for the inputs of one label query and their copies, e.g. 268435456 or "256MiB".
    verbose : bool
        Show a progress bar of examples.

    Examples
    --------
    >>> RandomizedSmoothing(sigma=0.5)(model.predict, X_test[:10], y_test[:10]).extra["l2_lower"]  # doctest: +SKIP
    """

    requires = LABEL
    method_version = 1
    unbounded = True

    def __init__(
        self,
        *,
        sigma: float = 0.25,
        samples: int = 10_000,
        guesses: int = 100,
        alpha: float = 0.001,
        seed: int = 0,
        memory_budget: int | str = "256MiB",
        verbose: bool = False,
    ) -> None:
        super().__init__(memory_budget=memory_budget, verbose=verbose)
        class_name = type(self).__name__
        self.sigma = check_number(class_name, "sigma", sigma, above=0.0)
        self.samples = check_int(class_name, "samples", samples, 1)
        self.guesses = check_int(class_name, "guesses", guesses, 1)
        self.alpha = check_number(class_name, "alpha", alpha, above=0.0, below=1.0)
        self.seed = check_int(class_name, "seed", seed, None)

    def notes(self) -> list[str]:
        """What the radii are of."""
        return [
            f"The radii are those of the model smoothed by Gaussian noise of standard deviation {self.sigma:g}, "
            f"another classifier; each holds with probability {1 - self.alpha:g}."
        ]

    def __call__(
        self,
        labels: LabelFunction,
        x: ArrayLike,
        y: ArrayLike | None = None,
        *,
        clip: tuple[float, float] | None = (0.0, 1.0),
        index: ArrayLike | None = None,
        state: str | Path | None = None,
        **options: Any,
    ) -> AttackResult:
        """Certify the smoothed model at the examples `x`.

        Parameters
        ----------
        labels : callable
            Takes float32 inputs (n, d), also outside `clip`, and returns n labels.
        x : array of shape (n, d)
            Originals, finite and within `clip`.
        y : array of int, shape (n,), optional
            True labels. Default: those that the model predicts for `x`.
        clip : (low, high) or None
            Bounds of every feature. Noise exceeds them.
        index : array of int, shape (n,), optional
            Numbers of the examples: they appear in the result and name the random streams. Default 0..n-1.
        state : path, optional
            Not used: an interrupted call begins again.

        Returns
        -------
        result : AttackResult
            No success and no distance. `extra` has `l2_lower` and `linf_lower` in feature units, 0 where the smoothed
            model misclassifies or is undecided, and `p_lower`, the lower bound on the probability of the true label.
            ``guesses + samples`` queries, or `guesses` where the smoothed model misclassifies.

        Raises
        ------
        ValueError
            Invalid examples.
        """
        refuse_options(type(self).__name__, options)
        y = own_labels(labels, x) if y is None else y
        task = read_task(type(self).__name__, x, y, clip, index, unbounded=True)
        n, d = task.x.shape
        oracle = self._label_oracle(labels, task)
        p, correct = np.zeros(n), np.zeros(n, dtype=bool)
        with progress_bar(n, verbose=self.verbose, desc=type(self).__name__, unit="example") as bar:
            for e in range(n):
                generator = generator_for(self.seed, "smoothing", int(task.index[e]))
                found, counts = np.unique(self._noisy(oracle, task.x, e, self.guesses, generator), return_counts=True)
                correct[e] = found[counts.argmax()] == task.y[e]
                if correct[e]:
                    right = int((self._noisy(oracle, task.x, e, self.samples, generator) == task.y[e]).sum())
                    p[e] = lower_bound(right, self.samples, self.alpha)
                bar.update()
        l2 = self.sigma * np.maximum(ndtri(p), 0.0)
        reason = np.where(correct, np.where(l2 > 0, CERTIFIED, UNDECIDED), ALREADY_MISCLASSIFIED)
        extra = {"l2_lower": l2, "linf_lower": l2 / np.sqrt(d) * _ROUNDED_DOWN, "p_lower": p}
        return without_adversarials(task.index, task.y, d, oracle.queries.copy(), reason, extra)

    def _noisy(
        self, oracle: LabelOracle, x: NDArray[np.float32], example: int, copies: int, generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """(copies,) labels of an example with noise."""
        labels = []
        for start in range(0, copies, oracle.batch_rows):
            rows = generator.standard_normal((min(oracle.batch_rows, copies - start), x.shape[1]), dtype=np.float32)
            rows *= np.float32(self.sigma)
            rows += x[example]
            labels.append(oracle(rows, np.full(len(rows), example)))
        return np.concatenate(labels)


def lower_bound(successes: int, trials: int, alpha: float) -> float:
    """Return the one-sided lower bound of Clopper and Pearson on a probability, at confidence ``1 - alpha``."""
    return 0.0 if successes == 0 else float(betaincinv(successes, trials - successes + 1, alpha))
