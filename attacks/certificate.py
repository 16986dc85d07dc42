"""Certified radii: how far every adversarial must at least be. No adversarial is searched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .base import ArrayAttack, own_labels, refuse_options
from .engine.validation import check_int, check_number, read_task
from .oracle import WEIGHTS, LabelFunction
from .result import ALREADY_MISCLASSIFIED, CERTIFIED, AttackResult, without_adversarials

RadiusFunction = Callable[..., NDArray[np.float64]]
"""``certified_radius(x, y, norm=..., steps=..., budget_seconds=...)``, as :class:`scd.SCDClassifier` has it."""

_ROUNDED_DOWN = 1 - 1e-9  # so that the quotient of two float64 numbers is no larger than the exact one


class Certificate(ArrayAttack):
    """Certified lower bounds on the distances of all adversarials, from the model's weights. It is NOT black-box.

    It is the other side of an attack: an attack finds an adversarial and so an upper bound, a certificate proves that
    there is none within its radius. No adversarial is returned. The model finds the radii by its own method
    `certified_radius`; for sign networks see :func:`scd.certificates.certify` and docs/certificates.md.

    The radii do not depend on the number of threads. They depend on the time that the search took only if
    `budget_seconds` ended it.

    Parameters
    ----------
    steps : int
        Ascent steps of the search at each point and for each norm. 0 is far faster and proves lower radii.
    budget_seconds : float or None
        No step begins after this time, half of which is for each norm.
    memory_budget : int or str
        Bytes for the inputs of one label query and their copies, e.g. 268435456 or "256MiB".
    verbose : bool
        Without effect: the search shows no progress.

    Examples
    --------
    >>> radii = Certificate()(model.predict, X_test[:10], y_test[:10], certified_radius=model.certified_radius)
    ... # doctest: +SKIP
    >>> radii.extra["l2_lower"]  # doctest: +SKIP
    """

    requires = WEIGHTS
    method_version = 1
    unbounded = True

    def __init__(
        self,
        *,
        steps: int = 200,
        budget_seconds: float | None = None,
        memory_budget: int | str = "256MiB",
        verbose: bool = False,
    ) -> None:
        super().__init__(memory_budget=memory_budget, verbose=verbose)
        class_name = type(self).__name__
        self.steps = check_int(class_name, "steps", steps, 0)
        self.budget_seconds = (
            None if budget_seconds is None else check_number(class_name, "budget_seconds", budget_seconds, above=0.0)
        )

    def __call__(
        self,
        labels: LabelFunction,
        x: ArrayLike,
        y: ArrayLike | None = None,
        *,
        certified_radius: RadiusFunction,
        clip: tuple[float, float] | None = (0.0, 1.0),
        index: ArrayLike | None = None,
        state: str | Path | None = None,
        **options: Any,
    ) -> AttackResult:
        """Certify radii around the examples `x`.

        Parameters
        ----------
        labels : callable
            Takes float32 inputs (n, d), returns n labels.
        x : array of shape (n, d)
            Originals, finite and within `clip`.
        y : array of int, shape (n,), optional
            True labels. Default: those that the model predicts for `x`.
        certified_radius : callable
            ``certified_radius(x, y, norm=..., steps=..., budget_seconds=...)`` returns n radii, norm "l2" or "linf".
        clip : (low, high) or None
            Bounds of every feature. The radii hold without them, too.
        index : array of int, shape (n,), optional
            Numbers of the examples in the result. Default 0..n-1.
        state : path, optional
            Not used: an interrupted search begins again.

        Returns
        -------
        result : AttackResult
            No success and no distance. `extra` has `l2_lower` and `linf_lower` in feature units: 0 where the point is
            misclassified, inf where no perturbation changes the label. One query, for the label of the example.

        Raises
        ------
        ValueError
            Invalid examples, or a model that cannot certify them.
        """
        refuse_options(type(self).__name__, options)
        y = own_labels(labels, x) if y is None else y
        task = read_task(type(self).__name__, x, y, clip, index, unbounded=True)
        n, d = task.x.shape
        oracle = self._label_oracle(labels, task)
        correct = oracle(task.x, np.arange(n)) == task.y
        half = None if self.budget_seconds is None else self.budget_seconds / 2
        search: dict[str, Any] = {"steps": self.steps, "budget_seconds": half}
        l2, linf = (certified_radius(task.x, task.y, norm=norm, **search) for norm in ("l2", "linf"))
        # a point within L-infinity r is within L2 r sqrt(d)
        linf = np.maximum(linf, l2 / np.sqrt(d) * _ROUNDED_DOWN)
        reason = np.where(correct, CERTIFIED, ALREADY_MISCLASSIFIED)
        extra = {"l2_lower": l2, "linf_lower": linf}
        return without_adversarials(task.index, task.y, d, oracle.queries.copy(), reason, extra)
