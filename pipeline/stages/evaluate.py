"""The evaluate stage: clean accuracy of single votes and of the ensemble on the test set."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from pipeline.errors import UserError
from pipeline.protocols import Dataset, Floats, Job, Labels
from pipeline.stages.fit import Fitted
from pipeline.stages.inputs import inputs_for
from pipeline.store import locked, read_evaluation, write_checked
from scd.files import write_bytes

_BLOCK = 4096  # inputs of one call of the model


@dataclass(frozen=True)
class Evaluation:
    """Fractions of correctly classified test rows, in [0, 1]."""

    dataset: str
    model: str
    n_votes: int
    voting: str
    """"hard": majority of labels; "mean": of probabilities."""
    n_test: int
    accuracy_ensemble: float
    accuracy_per_class: list[float | None]
    """Of the test rows of class 0, of class 1 and so on; None for a class without test rows."""
    accuracy_balanced: float
    """Mean of the classes' accuracies."""
    auc: float | None
    """Area under the ROC curve of the fraction of votes, or of the mean probability; None unless of two classes."""
    accuracy_single: float
    """Mean over votes."""
    accuracy_single_std: float
    accuracy_per_vote: list[float]
    one_vote_seconds: float
    fit_seconds: float
    scale: str
    as_configured: bool
    """Whether the settings of data set and model are those of conf/."""
    changed: list[str]
    """Those that are not, as overrides: see :func:`pipeline.config.compose.changed_settings`."""


def evaluate(job: Job, fitted: Fitted) -> Evaluation:
    """Evaluate on the whole test set, or read what an earlier run of the same votes wrote."""
    with locked(fitted.folder, f"the evaluation of {fitted.name}"):
        path = evaluation_file(fitted, job.scale)
        known = _known(path) if fitted.trained_now == 0 else None
        if known is not None and known["scale"] == job.scale:
            times = {"one_vote_seconds": fitted.one_vote_seconds, "fit_seconds": fitted.fit_seconds}
            return Evaluation(**{**known, **times})
        try:
            found = _evaluate(job, fitted)
        except ValueError as error:  # of a model that was trained elsewhere, for other samples or classes
            raise UserError(f"model={job.model_name} cannot be evaluated: {error}") from error
        write_checked(path, asdict(found))
        return found


def _evaluate(job: Job, fitted: Fitted) -> Evaluation:
    model, y = fitted.model, job.dataset.y_test
    votes = np.concatenate([model.votes(rows) for rows in _blocks(fitted, job.dataset, "test")])
    scores = None
    if len(job.dataset.class_names) > 2:
        labels = np.concatenate([model.predict(rows) for rows in _blocks(fitted, job.dataset, "test")])
        _write_confusion(confusion_file(fitted, job.scale), labels, y, job.dataset.class_names)
    elif fitted.voting == "hard":
        scores = votes.mean(axis=1)
        labels = 2 * votes.sum(axis=1, dtype=np.int64) > votes.shape[1]
    else:
        scores = np.concatenate([model.predict_proba(rows)[:, 1] for rows in _blocks(fitted, job.dataset, "test")])
        labels = np.concatenate([model.predict(rows) for rows in _blocks(fitted, job.dataset, "test")])
    per_vote = (votes == y[:, None]).mean(axis=0)
    changed = [
        change for change in job.changed if change.lstrip("~").split(".")[0].split("=")[0] in ("dataset", "model")
    ]
    return Evaluation(
        dataset=job.dataset.name,
        model=fitted.name,
        n_votes=fitted.n_votes,
        voting=fitted.voting,
        n_test=len(votes),
        accuracy_ensemble=float((labels == y).mean()),
        **class_measures(labels, scores, y, len(job.dataset.class_names)),
        accuracy_single=float(per_vote.mean()),
        accuracy_single_std=float(per_vote.std()),
        accuracy_per_vote=[round(float(a), 6) for a in per_vote],
        one_vote_seconds=fitted.one_vote_seconds,
        fit_seconds=fitted.fit_seconds,
        scale=job.scale,
        as_configured=not changed,
        changed=changed,
    )


def class_measures(labels: NDArray[Any], scores: NDArray[np.float64] | None, y: Labels, k: int = 2) -> dict[str, Any]:
    """Measures that classes of unequal size do not distort.

    Parameters
    ----------
    labels : (n,) array
        Predicted labels, 0 to k - 1.
    scores : (n,) float64, optional
        Scores of class 1; of two classes.
    y : (n,) int64
        True labels.
    k : int
        Number of classes.

    Returns
    -------
    dict
        ``accuracy_per_class``, ``accuracy_balanced`` and ``auc``, as in :class:`Evaluation`.
    """
    per_class = [float((labels[y == c] == c).mean()) if (y == c).any() else None for c in range(k)]
    present = [accuracy for accuracy in per_class if accuracy is not None]
    return {
        "accuracy_per_class": per_class,
        "accuracy_balanced": sum(present) / len(present),
        "auc": float(roc_auc_score(y, scores)) if scores is not None and len(present) == 2 else None,
    }


def evaluation_file(fitted: Fitted, scale: str) -> Path:
    """Path of the evaluation: one file per scale, so that a smoke run does not overwrite a paper run."""
    return fitted.folder / f"evaluation_{_which(fitted, scale)}.json"


def confusion_file(fitted: Fitted, scale: str) -> Path:
    """Path of the confusion matrix of more than two classes."""
    return fitted.folder / f"confusion_{_which(fitted, scale)}.csv"


def _which(fitted: Fitted, scale: str) -> str:
    more = ("" if fitted.voting == "hard" else "_mean") + ("" if scale == "paper" else f"_{scale}")
    return f"{fitted.n_votes}{more}"


def _write_confusion(path: Path, labels: NDArray[Any], y: Labels, names: tuple[str, ...]) -> None:
    """Write the number of test rows of each true class (a row) that each class was predicted for (a column)."""
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, (y, labels), 1)
    table = pd.DataFrame(counts, columns=list(names))
    table.insert(0, "true class", names)
    write_bytes(path, table.to_csv(index=False).encode())


def _known(path: Path) -> dict[str, Any] | None:
    """What an earlier run wrote; None for a damaged file, with a warning, and for one without today's fields."""
    stored = read_evaluation(path)
    known = stored.content
    if known is None or not stored.verified:
        if path.exists():
            why = stored.damage or "it has no checksum"
            warnings.warn(f"The evaluation in {path} is damaged; the votes are evaluated again ({why}).", stacklevel=3)
        return None
    return known if set(known) == {field.name for field in fields(Evaluation)} else None


def correct_rows(fitted: Fitted, dataset: Dataset, split: str) -> NDArray[np.bool_]:
    """(n,) bool: the rows of a split that the ensemble classifies correctly."""
    labels = np.concatenate([fitted.model.predict(rows) for rows in _blocks(fitted, dataset, split)])
    return np.asarray(labels == (dataset.y_test if split == "test" else dataset.y_train))


def _blocks(fitted: Fitted, dataset: Dataset, split: str) -> Iterator[Floats]:
    inputs = inputs_for(fitted.model, dataset)
    n = len(dataset.y_test if split == "test" else dataset.y_train)
    for start in range(0, n, _BLOCK):
        yield inputs.rows(split, np.arange(start, min(n, start + _BLOCK)))
