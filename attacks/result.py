"""The result of an attack: one record for all attacked examples."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

NO_START = "no adversarial start"
ALREADY_MISCLASSIFIED = "already misclassified"
BUDGET_SPENT = "query budget spent"
NOT_FOOLED = "still classified correctly"
NOT_REACHED = "not of the target class"
TRAINED_ON = "used to train the substitute"
CERTIFIED = "certified, not attacked"
UNDECIDED = "undecided under noise"
NOT_CONFIRMED = "not confirmed by a fresh prediction"
NOT_WHOLE = "no adversarial of whole numbers"

_OF_THE_ADVERSARIAL = ("l2_returned", "norm_first_hit")  # columns of `extra` without a value for a failed example
_COLUMNS = ("index", "label", "success", "adversarials", "l2", "linf", "queries", "restart", "reason")


@dataclass(frozen=True)
class AttackResult:
    """Outcome of an attack on n examples with d features. A failed example has no distance.

    Attributes
    ----------
    index : ndarray of int64, shape (n,)
        Numbers of the examples, as the caller gave them.
    label : ndarray of int64, shape (n,)
        True labels.
    success : ndarray of bool, shape (n,)
        Whether an adversarial was found, and the model misclassified it again at the end of the attack.
    adversarials : ndarray of float32, shape (n, d)
        The closest adversarial found; NaN where the attack failed.
    l2, linf : ndarray of float64, shape (n,)
        Its distances to the original in feature units, computed in float64; NaN where the attack failed.
    queries : ndarray of int64, shape (n,)
        All queries for the example: its own label, the starts and every restart. The one that confirms the
        adversarial at the end is not included.
    restart : ndarray of int64, shape (n,)
        The restart with the minimum distance, -1 where the attack failed.
    reason : ndarray of str, shape (n,)
        Empty, or why the attack failed: one of the constants of this module, for example "already misclassified".
    adversarial_label : ndarray of shape (n,), or None
        The labels that the model predicts for the adversarials, -1 or "" where the attack failed. None of an attack
        whose caller confirms the adversarials.
    trace : dict of ndarray, all of one length
        One row per example, restart and iteration: `index`, `restart`, `iteration` (0 is the first boundary point;
        the last row of a run is after the final projection and repeats its iteration), `queries` of that run so far,
        `l2` and `linf` of its best point so far. An example that is not confirmed has no rows.
    extra : dict of ndarray, each of length n
        Columns that only one attack has, for example `l2_returned`.
    tables : dict of dict of ndarray
        Tables that only one attack has, by name (without a dot): columns of equal length.
    """

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    success: NDArray[np.bool_]
    adversarials: NDArray[np.float32]
    l2: NDArray[np.float64]
    linf: NDArray[np.float64]
    queries: NDArray[np.int64]
    restart: NDArray[np.int64]
    reason: NDArray[np.str_]
    trace: dict[str, NDArray[Any]] = field(default_factory=dict)
    extra: dict[str, NDArray[Any]] = field(default_factory=dict)
    tables: dict[str, dict[str, NDArray[Any]]] = field(default_factory=dict)
    adversarial_label: NDArray[Any] | None = None

    def without(self, unconfirmed: NDArray[np.intp], reason: str = NOT_CONFIRMED) -> AttackResult:
        """Return the record with the examples at these positions as failures."""
        if not len(unconfirmed):
            return self
        columns: dict[str, Any] = {name: getattr(self, name).copy() for name in _COLUMNS}
        columns["reason"] = columns["reason"].astype(object)
        failed = {"success": False, "restart": -1, "reason": reason}
        for name, value in {**failed, "adversarials": np.nan, "l2": np.nan, "linf": np.nan}.items():
            columns[name][unconfirmed] = value
        columns["reason"] = columns["reason"].astype(str)
        extra = dict(self.extra)
        for name in extra.keys() & set(_OF_THE_ADVERSARIAL):
            extra[name] = extra[name].copy()
            extra[name][unconfirmed] = np.nan
        trace = self.trace
        if trace:
            kept = ~np.isin(trace["index"], self.index[unconfirmed])
            trace = {name: column[kept] for name, column in trace.items()}
        return replace(self, **columns, extra=extra, trace=trace)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the record as a flat dict of arrays, which a file stores without pickle."""
        flat: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in _COLUMNS}
        if self.adversarial_label is not None:
            flat["adversarial_label"] = self.adversarial_label
        flat.update({f"trace.{name}": column for name, column in self.trace.items()})
        flat.update({f"extra.{name}": column for name, column in self.extra.items()})
        for table, columns in self.tables.items():
            flat.update({f"tables.{table}.{name}": column for name, column in columns.items()})
        return flat

    @classmethod
    def from_arrays(cls, flat: dict[str, NDArray[Any]]) -> AttackResult:
        """Rebuild the record from the arrays of `to_arrays`."""
        columns: dict[str, Any] = {name: flat[name] for name in _COLUMNS}
        for group in ("trace", "extra"):
            columns[group] = {n.removeprefix(f"{group}."): a for n, a in flat.items() if n.startswith(f"{group}.")}
        columns["adversarial_label"] = flat.get("adversarial_label")
        columns["tables"] = {}
        for name in (n for n in flat if n.startswith("tables.")):
            _, table, column = name.split(".", 2)  # the name of a column may contain dots
            columns["tables"].setdefault(table, {})[column] = flat[name]
        return cls(**columns)

    def to_frame(self) -> Any:
        """Return a pandas DataFrame, a row an example, without `adversarials`, `trace` and `tables`."""
        import pandas as pd  # here, because the core does not have it

        columns = {name: getattr(self, name) for name in _COLUMNS if name != "adversarials"}
        if self.adversarial_label is not None:
            columns["adversarial_label"] = self.adversarial_label
        return pd.DataFrame({**columns, **self.extra})

    def __repr__(self) -> str:
        """Describe the result in a few lines, without its arrays."""
        n, found = len(self.index), int(self.success.sum())
        lines = [f"AttackResult: {found} of {n} examples have an adversarial"]
        for name, values in (("L2", self.l2), ("Linf", self.linf)):
            if found:
                known = values[self.success]
                lines.append(f"  {name}: mean {known.mean():.4g}, median {np.median(known):.4g}")
        lines.append(
            f"  queries: mean {self.queries.mean():.4g}, maximum {self.queries.max()}" if n else "  no queries"
        )
        reasons, counts = np.unique(self.reason[~self.success], return_counts=True)
        lines += [f"  {reason or 'failed'}: {count}" for reason, count in zip(reasons, counts, strict=True)]
        return "\n".join(lines)


AttackResult.__module__ = "scd.attacks.result"  # its name in a wheel, too: each reads a pickle of the other


def without_adversarials(
    index: NDArray[np.int64],
    label: NDArray[np.int64],
    d: int,
    queries: NDArray[np.int64],
    reason: NDArray[np.str_],
    extra: dict[str, NDArray[Any]],
) -> AttackResult:
    """Return the record of n examples with `d` features that were certified and not attacked: columns of length n."""
    n = len(index)
    return AttackResult(
        index=index,
        label=label,
        success=np.zeros(n, dtype=bool),
        adversarials=np.full((n, d), np.nan, dtype=np.float32),
        l2=np.full(n, np.nan),
        linf=np.full(n, np.nan),
        queries=queries,
        restart=np.full(n, -1),
        reason=reason,
        trace={name: np.zeros(0) for name in ("index", "restart", "iteration", "queries", "l2", "linf")},
        extra=extra,
    )
