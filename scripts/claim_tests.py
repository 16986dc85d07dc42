"""How a claim is tested: differences of the same points under two models, with their bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from scd.statistics import bootstrap
from scripts.results import examples
from scripts.tables.cells import Store, largest, where
from scripts.tables.distances import protocol, runs_on_the_same_points

HOLDS, FAILS, OPEN, UNTESTED = "holds", "fails", "open", "not tested"


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim, and the number behind it."""

    verdict: str
    """"holds", "fails", "open" (the interval does not decide) or "not tested"."""
    number: str


def untested(what: str) -> Verdict:
    """Nothing was run that could decide; `what` names what is lacking."""
    return Verdict(UNTESTED, what)


def greater(difference: np.ndarray, words: str) -> Verdict:
    """Whether the mean of `difference`, one value a point, is above zero: by its 95 % bootstrap interval."""
    mean, low, high = bootstrap(difference, "mean")
    verdict = HOLDS if low > 0 else FAILS if high < 0 else OPEN
    return Verdict(verdict, f"{words} {mean:+.2f} ({low:+.2f} to {high:+.2f}; {len(difference)} points)")


def distances(store: Store, model: str, attack: str) -> pd.Series:
    """Minimum L2 of each attacked point under Table 2's protocol, by index; empty where it was not run."""
    found = protocol(store, model, attack)
    if not len(found):
        return pd.Series(dtype=np.float64)
    return examples(largest(found)["path"])["l2"].dropna()


def paired(first: pd.Series, second: pd.Series) -> np.ndarray:
    """First minus second at the points that both have."""
    both = pd.concat([first, second], axis=1, join="inner").to_numpy(dtype=np.float64)
    return both[:, 0] - both[:, 1]


def against_the_best(store: Store, model: str, rivals: tuple[str, ...], attack: str) -> Verdict:
    """Whether `model` has greater distances than the most robust of `rivals`, at the points they have in common."""
    found = {each: distances(store, each, attack) for each in (model, *rivals)}
    return _against_the_best(found, model, f"attack={attack}")


def against_the_best_by_least(store: Store, model: str, rivals: tuple[str, ...]) -> Verdict:
    """The same where each point's distance is the least that any of the black-box attacks on its model found."""
    runs = {each: runs_on_the_same_points(store, each, also_white=False) for each in (model, *rivals)}
    found = {
        each: pd.concat([examples(run["path"])["l2"] for run in of_it], axis=1).min(axis=1).dropna()
        for each, of_it in runs.items()
        if of_it
    }
    numbers = ", ".join(f"{each} {len(runs[each])}" for each in found)
    verdict = _against_the_best(found, model, "black-box attacks")
    return verdict if verdict.verdict == UNTESTED else Verdict(verdict.verdict, f"{verdict.number}; attacks: {numbers}")


def _against_the_best(found: dict[str, pd.Series], model: str, under: str) -> Verdict:
    ours = found.pop(model, pd.Series(dtype=np.float64))
    theirs = {rival: values for rival, values in found.items() if len(paired(ours, values)) >= 2}
    if not theirs:
        return untested(f"{model} and a rival under {under} on the same points")
    best = max(theirs, key=lambda rival: theirs[rival].mean())
    return greater(paired(ours, theirs[best]), f"{model} − {best}, the best of {len(theirs)} rivals:")


def accuracy(store: Store, dataset: str, model: str) -> float | None:
    """Test accuracy of the largest ensemble, per cent."""
    found = where(store.evaluations, dataset=dataset, model=model, voting="hard")
    return None if not len(found) else 100 * float(found.loc[found["n_votes"].idxmax(), "accuracy_ensemble"])
