"""The attack stage: choose points, attack, verify every adversarial by a fresh prediction, record."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from pipeline.config.build import that_change_the_result
from pipeline.errors import UserError
from pipeline.protocols import (
    Access,
    AnyAttack,
    Attack,
    CertifiedModel,
    Floats,
    Job,
    LabelFunction,
    Labels,
    RowsResult,
    SignModel,
    SmoothModel,
    TextAttack,
    TextDataset,
    TextResult,
    TreeModel,
)
from pipeline.provenance import provenance
from pipeline.records import read_summary, write_records, write_text_records
from pipeline.run_log import BEGUN, command
from pipeline.stages.call import call_options, key_of_options
from pipeline.stages.evaluate import Evaluation
from pipeline.stages.fit import Fitted
from pipeline.stages.inputs import label_function, score_function
from pipeline.stages.points import choose, given_starts
from pipeline.stages.timer import ResumableTimer
from pipeline.stages.verify import verified, verified_texts
from pipeline.store import key_of, locked, remove_temporaries, seal, sealed, write_checked

_STATE, _ELAPSED = "state.npz", "elapsed.json"  # only while an attack runs, or after a kill


@dataclass(frozen=True)
class Attacked:
    """A finished attack in the store."""

    folder: Path
    summary: dict[str, Any]
    reused: bool


def attack(job: Job, fitted: Fitted, judges: list[Fitted], evaluation: Evaluation) -> Attacked:
    """Attack the chosen points, or read what an earlier run with the same key wrote.

    Parameters
    ----------
    job : Job
        With an attack.
    fitted : Fitted
        The target.
    judges : list of Fitted
        The models of ``points.models``, which choose points and initial images.
    evaluation : Evaluation
        Of the target.

    Raises
    ------
    UserError
        No point qualifies, or the attack cannot run.
    """
    options = call_options(job.config["attack"], job.dataset)
    left_out = None if _attack_of(job).trains_on_points else options.get("target")
    index = choose(job.config["points"], job.dataset, fitted, judges, left_out)
    key = attack_key(job, fitted, judges, index)
    folder = job.outputs / "attacks" / f"{job.dataset.name}-{fitted.name}-{job.attack_name}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, f"the attack {job.attack_name} on {fitted.name}"):
        remove_temporaries(folder)
        if _is_finished(folder):
            return Attacked(folder, read_summary(folder), reused=True)
        write_checked(folder / BEGUN, {"command": command()})
        timer, y = ResumableTimer(folder / _ELAPSED), job.dataset.y_test[index]
        if _attack_of(job).takes == "documents":
            changed_texts = _attack_documents(job, fitted, index, y, timer, folder / _STATE)
            facts = _facts(job, fitted, judges, index, timer.stop())
            names = write_text_records(folder, job, changed_texts, evaluation, facts)
        else:
            x = job.dataset.rows("test", index)
            result = _attack_rows(job, fitted, judges or [fitted], index, x, y, timer, folder / _STATE, options)
            facts = _facts(job, fitted, judges, index, timer.stop())
            names = write_records(folder, job, result, evaluation, facts, x, y)
        seal(folder, names, {"seconds": facts["seconds"]})
        for leftover in (_STATE, _ELAPSED, BEGUN):
            (folder / leftover).unlink(missing_ok=True)
    return Attacked(folder, read_summary(folder), reused=False)


def attack_key(job: Job, fitted: Fitted, judges: list[Fitted], index: Labels) -> str:
    """Key of everything that can change the files of an attack.

    The rule of the points and the scale are part of it because the tables select runs by them.
    """
    method, node = _attack_of(job), job.config["attack"]
    settings = that_change_the_result("attack", node)
    given, inputs = settings.get("start") == "given", method.inputs()
    return key_of(
        fit=fitted.key,
        votes=fitted.n_votes,
        **({} if fitted.voting == "hard" else {"voting": fitted.voting}),
        target=node["_target_"],
        settings=settings,
        seed=job.config["seed"],
        version=method.method_version,
        index=index.tolist(),
        clip=list(job.dataset.clip),
        recorded=[job.config["points"]["rule"], job.config["scale"]["name"]],
        starts=[(judge.key, judge.n_votes, judge.voting) for judge in judges] if given else None,
        **({"inputs": inputs} if inputs else {}),
        **key_of_options(call_options(node, job.dataset)),
    )


def _attack_of(job: Job) -> AnyAttack:
    assert job.attack is not None
    return job.attack


def _is_finished(folder: Path) -> bool:
    """Whether the attack in `folder` is complete; a damaged one is declared unfinished, with a warning."""
    facts, damage = sealed(folder)
    if damage:
        warnings.warn(f"The attack in {folder} cannot be used ({damage}); it is run again.", stacklevel=3)
        (folder / "done.json").unlink(missing_ok=True)
    return facts is not None


def _attack_rows(
    job: Job,
    fitted: Fitted,
    judges: list[Fitted],
    index: Labels,
    x: Floats,
    y: Labels,
    timer: ResumableTimer,
    state: Path,
    options: dict[str, Any],
) -> RowsResult:
    """The verified result of an attack on rows of numbers."""
    method = cast(Attack, job.attack)
    labels, device, extra = _access(Access(method.requires), fitted)
    clip, target = job.dataset.clip, options.get("target")
    bounds = None if np.isinf(clip).all() else clip
    extra |= options | _starts(method, job, judges, target)
    if "n_classes" in method.call_options:
        extra["n_classes"] = len(job.dataset.class_names)
    if "feature_shape" in method.call_options:
        extra["feature_shape"] = job.dataset.feature_shape
    if bounds is None and "mask" in method.call_options:  # decision-based: training data give its noise a scale
        extra.setdefault("pool", job.dataset.flat("train"))
    keeps = bool(vars(type(fitted.model)).get("keeps_inputs"))  # a subclass may break the promise of its base
    with _refusal(job.attack_name):
        result = method(timer.timing(labels, device, keeps), x, y, clip=bounds, index=index, state=state, **extra)
        if method.requires == Access.MEMBERS:  # an adversarial of one member need not fool the ensemble
            members = result.restart[result.success]
            return verified(result, partial(fitted.model.member_labels, members=members), target)
        return verified(result, fitted.model.predict, target)


def _attack_documents(
    job: Job, fitted: Fitted, index: Labels, y: Labels, timer: ResumableTimer, state: Path
) -> TextResult:
    """The verified result of an attack on documents."""
    method, dataset = cast(TextAttack, job.attack), cast(TextDataset, job.dataset)
    scores = score_function(fitted.model, dataset, method.score)
    with _refusal(job.attack_name):
        result = method(timer.timing(scores), dataset.documents("test", index), y, index=index, state=state)
        return verified_texts(result, label_function(fitted.model, dataset))


def _access(granted: Access, fitted: Fitted) -> tuple[LabelFunction, str | None, dict[str, Any]]:
    """The function that an attack queries, the GPU whose tensors it accepts, and further arguments of the attack."""
    model = fitted.model
    match granted:
        case Access.LABEL:
            on_device = model.device_labels()
            return (model.predict, None, {}) if on_device is None else (on_device, on_device.device, {})
        case Access.SCORE:
            return model.predict_proba, None, {}
        case Access.MEMBERS:
            return model.member_labels, None, {"n_members": fitted.n_votes}
        case Access.GRADIENT:
            return model.predict, None, {"smooth": cast(SmoothModel, model).smooth}
        case Access.WEIGHTS:
            return model.predict, None, {"certified_radius": cast(CertifiedModel, model).certified_radius}
        case Access.VOTES:
            return model.predict, None, {"votes": cast(SignModel, model).sign_votes()}
        case Access.TREES:
            return model.predict, None, {"trees": cast(TreeModel, model)}


def _starts(method: Attack, job: Job, judges: list[Fitted], target: int | None) -> dict[str, Any]:
    """The training data that an attack starts from."""
    kinds = method.starts_from()
    if "given" in kinds:
        return {"starts": given_starts(job.dataset, judges, target)}
    if "nearest" in kinds:
        return {"pool": job.dataset.flat("train"), "pool_labels": job.dataset.y_train}
    return {}


@contextlib.contextmanager
def _refusal(name: str) -> Iterator[None]:
    """Turn what an attack refuses into one sentence."""
    try:
        yield
    except (ValueError, ImportError, FileNotFoundError) as error:
        raise UserError(f"attack={name} cannot run: {error}", code=1) from error


def _facts(job: Job, fitted: Fitted, judges: list[Fitted], index: Labels, seconds: float) -> dict[str, Any]:
    """The provenance of an attack."""
    method = _attack_of(job)
    notes = method.notes()
    return provenance(
        job.config["device"],
        job.dataset.provenance,
        seconds=seconds,
        fit=fitted.folder.name,
        points=index.tolist(),
        method_version=method.method_version,
        judged_by=[judge.folder.name for judge in judges],
        as_configured=not job.changed,
        changed=list(job.changed),
        **({"attack_notes": notes} if notes else {}),
    )
