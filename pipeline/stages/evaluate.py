"""The evaluate stage: clean accuracy of single votes and of the ensemble on the test set."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.stages.fit import Fitted
from pipeline.stages.inputs import inputs_for
from pipeline.store import key_of, locked, read_json
from scd.files import write_json

_ROWS = 4096


@dataclass(frozen=True)
class Evaluation:
    """Shares of right test rows, in [0, 1]."""

    dataset: str
    model: str
    n_votes: int
    voting: str
    """"hard": majority of labels; "mean": of probabilities."""
    n_test: int
    accuracy_ensemble: float
    accuracy_single: float
    """Mean over votes."""
    accuracy_single_std: float
    accuracy_per_vote: list[float]
    one_vote_seconds: float
    fit_seconds: float
    scale: str


def evaluate(fitted: Fitted, dataset: Any, scale: str) -> Evaluation:
    """Evaluate on the whole test set, or read what an earlier run of the same votes wrote."""
    with locked(fitted.folder, f"the evaluation of {fitted.name}"):
        return _evaluate(fitted, dataset, scale)


def _evaluate(fitted: Fitted, dataset: Any, scale: str) -> Evaluation:
    path = evaluation_file(fitted, scale)
    times = {"one_vote_seconds": fitted.one_vote_seconds, "fit_seconds": fitted.fit_seconds}
    known = _known(path)
    if fitted.trained_now == 0 and known is not None and known["scale"] == scale:
        return Evaluation(**{**known, **times})
    votes = np.concatenate([fitted.model.votes(rows) for rows in _blocks(fitted, dataset, "test")])
    ensemble = 2 * votes.sum(axis=1, dtype=np.int64) > votes.shape[1]
    if fitted.voting != "hard":
        ensemble = np.concatenate([fitted.model.predict(rows) for rows in _blocks(fitted, dataset, "test")])
    per_vote = (votes == dataset.y_test[:, None]).mean(axis=0)
    found = Evaluation(
        dataset=dataset.name,
        model=fitted.name,
        n_votes=fitted.n_votes,
        voting=fitted.voting,
        n_test=len(votes),
        accuracy_ensemble=float((ensemble == dataset.y_test).mean()),
        accuracy_single=float(per_vote.mean()),
        accuracy_single_std=float(per_vote.std()),
        accuracy_per_vote=[round(float(a), 6) for a in per_vote],
        scale=scale,
        **times,
    )
    content = asdict(found)
    write_json(path, {**content, "key": key_of(**content)})
    return found


def evaluation_file(fitted: Fitted, scale: str) -> Path:
    """Where the evaluation lies: each scale has its own, so that tables of one are not emptied by another."""
    more = ("" if fitted.voting == "hard" else "_mean") + ("" if scale == "paper" else f"_{scale}")
    return fitted.folder / f"evaluation_{fitted.n_votes}{more}.json"


def _known(path: Path) -> dict[str, Any] | None:
    """What an earlier run wrote, if it is whole."""
    if not path.exists():
        return None
    known = read_json(path)
    if isinstance(known, dict):
        key = known.pop("key", None)
        if key == key_of(**known) and set(known) == {field.name for field in fields(Evaluation)}:
            return known
    warnings.warn(f"The evaluation in {path} is damaged or of another version; it is made again.", stacklevel=3)
    return None


def right_rows(fitted: Fitted, dataset: Any, split: str) -> np.ndarray:
    """(n,) bool: the rows of a split that the ensemble predicts rightly."""
    labels = dataset.y_test if split == "test" else dataset.y_train
    return np.concatenate([fitted.model.predict(rows) for rows in _blocks(fitted, dataset, split)]) == labels


def _blocks(fitted: Fitted, dataset: Any, split: str) -> Any:
    inputs = inputs_for(fitted.model, dataset)
    n = len(dataset.y_test if split == "test" else dataset.y_train)
    for start in range(0, n, _ROWS):
        yield inputs.rows(split, np.arange(start, min(n, start + _ROWS)))
