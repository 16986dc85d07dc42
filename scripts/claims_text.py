"""What the runs say of the paper's claims on texts (Table 7)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from scripts.claim_tests import Verdict, greater, paired, untested
from scripts.results import examples
from scripts.tables.cells import Store
from scripts.tables.text import MAIN, SIGN, find_run

DATASET = "mr"
"""The set of Table 7 whose documents are all those of the paper."""
RIVALS = ("wordcnn", "mlp", "bnn", "rf")


def keeps_most_accuracy(store: Store) -> Verdict:
    """As in the paper: the score of sign networks is a share of votes, that of the others a mean probability."""
    return _against_rivals(store, "votes", "soft")


def keeps_most_accuracy_by_votes(store: Store) -> Verdict:
    """The score of all is a share of votes."""
    return _against_rivals(store, "votes", "votes")


def keeps_most_accuracy_soft(store: Store) -> Verdict:
    """The score of all is a mean probability."""
    return _against_rivals(store, "soft", "soft")


def hundred_votes_lower(store: Store) -> Verdict:
    """Adversarial accuracy of scd01 with 8 votes against that with 100."""
    few, many = _survived(store, "scd01"), _survived(store, "scd01", n_votes=100)
    if few is None or many is None:
        return untested(f"dataset={DATASET} model=scd01 attack=textfooler with 8 and with 100 votes")
    return greater(100 * paired(few, many), "per cent of documents, 8 − 100 votes:")


def _against_rivals(store: Store, score: str, rivals_score: str) -> Verdict:
    """The most robust sign network against the most robust rival, document by document."""
    ours, theirs = _best(store, SIGN, score), _best(store, RIVALS, rivals_score)
    if ours is None or theirs is None:
        lacking = f"a sign network, attack.score={score}, and a rival, attack.score={rivals_score}"
        return untested(f"dataset={DATASET} attack=textfooler for {lacking}")
    words = f"per cent of documents, {ours[0]} − {theirs[0]}:"
    return greater(100 * paired(ours[1], theirs[1]), words)


def _best(store: Store, models: tuple[str, ...], score: str) -> tuple[str, pd.Series] | None:
    found = {model: s for model in models if (s := _survived(store, model, score=score)) is not None}
    best = max(found, key=lambda model: found[model].mean(), default=None)
    return None if best is None else (best, found[best])


def _survived(store: Store, model: str, **settings: object) -> pd.Series | None:
    """1 for each document, by index, that is predicted rightly and survives the attack, else 0; None if never run."""
    run = find_run(store, DATASET, model, **{**MAIN, **settings})
    if run is None:
        return None
    table = examples(run["path"])
    survived = (table["success"] == 0) & (table["reason"] != "already misclassified")
    return survived.astype(np.float64)
