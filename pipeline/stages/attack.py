"""The attack stage: choose points, attack, verify every adversarial by a fresh prediction, record."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.build import that_change_the_result
from pipeline.config.check import Config, build_attack
from pipeline.errors import UserError
from pipeline.provenance import provenance
from pipeline.records import read_summary, write_records
from pipeline.run_log import BEGUN, command
from pipeline.stages.evaluate import Evaluation
from pipeline.stages.fit import Fitted
from pipeline.stages.points import choose, given_starts
from pipeline.stages.text_score import label_function, score_function
from pipeline.stages.timer import Clock
from pipeline.store import key_of, locked, seal, sealed, sweep
from pipeline.text_records import verified_texts, write_text_records
from scd.files import write_json

ABILITIES = {
    "label": "predict",
    "score": "predict_proba",
    "members": "member_labels",
    "gradient": "smooth",
    "text_score": "predict_proba",
}
"""What an attack may ask for, and the method a model then needs: for documents, of the rows made of them."""


@dataclass(frozen=True)
class Attacked:
    """A finished attack in the store."""

    folder: Path
    summary: dict[str, Any]
    reused: bool


def check_ability(attack: Any, model: Any, name: str) -> None:
    """Refuse an attack that needs more than the model can answer, before any work."""
    needed = getattr(attack, "requires", "label")
    if needed not in ABILITIES or not callable(getattr(model, ABILITIES[needed], None)):
        raise UserError(f"attack={name} needs a model that answers with its {needed}; {type(model).__name__} does not.")


def notes_of(attack: Any, name: str) -> list[str]:
    """What an attack says of the files it works with; a damaged one becomes a sentence, before any work."""
    try:
        return list(attack.notes()) if hasattr(attack, "notes") else []
    except (ValueError, FileNotFoundError) as error:
        raise UserError(f"attack={name}: {error}") from error


def attack(
    config: Config, dataset: Any, fitted: Fitted, others: list[Fitted], evaluation: Evaluation, outputs: Path
) -> Attacked:
    """Attack the chosen points, or read what an earlier run with the same key wrote."""
    method, node = build_attack(config), config["attack"]
    check_ability(method, fitted.model, node["name"])
    index = choose(config["points"], dataset, fitted, others, config["seed"])
    key = _key(config, dataset, fitted, others, method, index)
    folder = outputs / "attacks" / f"{dataset.name}-{fitted.name}-{node['name']}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, f"the attack {node['name']} on {fitted.name}"):
        sweep(folder)
        facts, damage = sealed(folder)
        if facts is not None:
            return Attacked(folder, read_summary(folder), reused=True)
        if damage:
            warnings.warn(f"The attack in {folder} cannot be used ({damage}); it is run again.", stacklevel=2)
            (folder / "done.json").unlink(missing_ok=True)
        attempt = _on_texts if getattr(method, "requires", "label") == "text_score" else _on_rows
        write_json(folder / BEGUN, {"command": command()})
        try:
            result, seconds, write = attempt(method, dataset, fitted, others, index, folder)
        except (ValueError, ImportError, FileNotFoundError) as error:
            raise UserError(f"attack={node['name']} cannot run: {error}", code=1) from error
        facts = provenance(
            config["device"], dataset.provenance, seconds=seconds, fit=fitted.folder.name,
            points=index.tolist(), method_version=getattr(method, "method_version", 1),
            judged_by=[judge.folder.name for judge in others],
            **({"attack_notes": method.notes()} if hasattr(method, "notes") else {}),
        )  # fmt: skip
        names = write(folder, config, result, evaluation, seconds, facts)
        seal(folder, names, {"seconds": seconds})
        for leftover in ("state.npz", "elapsed.json", BEGUN):
            (folder / leftover).unlink(missing_ok=True)
    return Attacked(folder, read_summary(folder), reused=False)


def _on_rows(
    method: Any, dataset: Any, fitted: Fitted, others: list[Fitted], index: np.ndarray, folder: Path
) -> tuple[Any, float, Any]:
    """The verified result of an attack on rows of numbers, its wall time, and what writes its records."""
    x, y = dataset.rows("test", index), dataset.y_test[index]
    more = _starts(method, dataset, others or [fitted])
    needed = getattr(method, "requires", "label")
    if needed == "members":
        more["n_members"] = fitted.n_votes
    if needed == "gradient":  # besides the labels, by which alone its adversarials are judged
        more["smooth"] = fitted.model.smooth
    answer = fitted.model.predict if needed == "gradient" else getattr(fitted.model, ABILITIES[needed])
    if needed == "label" and hasattr(fitted.model, "device_labels"):
        answer = fitted.model.device_labels() or answer
    clock, state = Clock(folder / "elapsed.json"), folder / "state.npz"
    result = method(clock.timing(answer), x, y, clip=dataset.clip, index=index, state=state, **more)
    # an adversarial of a single member, which `restart` names, need not fool the ensemble
    confirm = partial(_asked, answer, result) if needed == "members" else fitted.model.predict
    result = verified(result, confirm, x)
    return result, clock.stop(), partial(write_records, x=x, y=y)


def _on_texts(
    method: Any, dataset: Any, fitted: Fitted, others: list[Fitted], index: np.ndarray, folder: Path
) -> tuple[Any, float, Any]:
    """The same of an attack on documents."""
    texts, y = dataset.documents("test", index), dataset.y_test[index]
    scores = score_function(fitted.model, dataset, method.score)
    clock = Clock(folder / "elapsed.json")
    result = method(clock.timing(scores), texts, y, index=index, state=folder / "state.npz")
    result = verified_texts(result, label_function(fitted.model, dataset))
    return result, clock.stop(), write_text_records


def verified(result: Any, predict: Any, x: np.ndarray) -> Any:
    """The result with every adversarial that a fresh prediction does not confirm turned into a failure."""
    found = np.flatnonzero(result.success)
    if not len(found):
        return result
    still_right = predict(result.adversarials[found]) == result.label[found]
    if not still_right.any():
        return result
    lost = found[still_right]
    success, l2, linf = result.success.copy(), result.l2.copy(), result.linf.copy()
    adversarials, restart, reason = result.adversarials.copy(), result.restart.copy(), result.reason.astype(object)
    success[lost], l2[lost], linf[lost], adversarials[lost] = False, np.nan, np.nan, np.nan
    restart[lost], reason[lost] = -1, "not confirmed by a fresh prediction"
    warnings.warn(
        f"{len(lost)} adversarials were not confirmed by a fresh prediction; they count as failed.", stacklevel=2
    )
    return replace(
        result, success=success, l2=l2, linf=linf, adversarials=adversarials, restart=restart, reason=reason.astype(str)
    )


def _asked(member_labels: Any, result: Any, rows: np.ndarray) -> Any:
    """Labels of the adversarials `rows`, each by the member that it was found for."""
    return member_labels(rows, result.restart[result.success])


def _key(config: Config, dataset: Any, fitted: Fitted, others: list[Fitted], method: Any, index: np.ndarray) -> str:
    node = config["attack"]
    settings = that_change_the_result("attack", node)
    given = settings.get("start") == "given"
    return key_of(
        fit=fitted.key,
        votes=fitted.n_votes,
        **({} if fitted.voting == "hard" else {"voting": fitted.voting}),
        target=node["_target_"],
        settings=settings,
        seed=config["seed"],
        version=getattr(method, "method_version", 1),
        index=index.tolist(),
        clip=list(dataset.clip),
        recorded=[config["points"]["rule"], config["scale"]["name"]],  # as the tables read them
        starts=[(f.key, f.n_votes, f.voting) for f in others] if given else None,
        **({"inputs": method.inputs()} if hasattr(method, "inputs") else {}),
    )


def _starts(method: Any, dataset: Any, judges: list[Fitted]) -> dict[str, Any]:
    kinds = {getattr(method, "start", None), *getattr(method, "starts", ())}
    takes = inspect.signature(type(method).__call__).parameters
    if "given" in kinds and "starts" in takes:
        return {"starts": given_starts(dataset, judges)}
    if "nearest" in kinds and "pool" in takes:
        return {"pool": dataset.flat("train"), "pool_labels": dataset.y_train}
    return {}
