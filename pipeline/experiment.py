"""One run: load the data, fit, evaluate, attack, and say what came out."""

from __future__ import annotations

import functools
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from pipeline.config.check import Config, build_attack, build_model, check, check_ready, resolve
from pipeline.errors import UserError
from pipeline.run_log import RunRecord, in_sweep
from pipeline.store import outputs_folder
from pipeline.sweeps import note_outcome

_LESS_MEMORY = "Try a smaller memory_budget, e.g. memory_budget=500MiB."
_SHARED = ("dataset", "scale", "seed", "paths", "device", "memory_budget", "verbose")


def run_from_command_line(cfg: DictConfig) -> int:
    """Run and return the exit status; a user's error becomes one sentence on stderr.

    A job of a sweep also leaves its outcome where the sweep looks for it, and never raises but for Ctrl-C.
    """
    warnings.showwarning = _show_warning
    config: Config | None = None
    try:
        config = resolve(cfg)
        note_outcome(None)
        run(config, _other_models(config))
    except KeyboardInterrupt:
        if in_sweep():
            raise
        print("\nInterrupted. What was finished is kept; the same command goes on from there.", file=sys.stderr)
        return 130
    except Exception as error:
        told = _sentence(error)
        if told is None:
            if not in_sweep():
                raise
            traceback.print_exc()
            told = f"{type(error).__name__}: {error}", 1
        sentence, code = told
        print(f"error: {sentence}", file=sys.stderr)
        _note_failure(config, sentence, code)
        note_outcome(code, sentence)
        return code
    note_outcome(0)
    return 0


def _sentence(error: Exception) -> tuple[str, int] | None:
    """What to tell the user, and the exit status; None for what should not happen."""
    if isinstance(error, UserError):
        return str(error), error.code
    first = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, MemoryError):
        return f"not enough memory: {first}. {_LESS_MEMORY}", 1
    if isinstance(error, RuntimeError):
        if "cannot cache function" in first:
            return "Numba finds no folder to cache compiled code in; set NUMBA_CACHE_DIR to one.", 1
        if "alloc" in first or "out of memory" in first.lower():
            return f"not enough memory: {first}. {_LESS_MEMORY}", 1
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        mend = "What was finished is kept; mend this and run the same command."
        return f"{error.strerror or error}{where}. {mend}", 1
    return None


def _note_failure(config: Config | None, sentence: str, code: int) -> None:
    """Leave the error beside the run; not of a bad configuration given by hand, which the user has just read."""
    if config is None or (code == 2 and not in_sweep()):
        return
    try:
        RunRecord(outputs_folder(config["paths"]["outputs"]), config).fail(sentence, code)
    except (UserError, OSError, KeyError, TypeError):  # the very error may be that nothing can be written
        return


def run(config: Config, others: list[Config] | None = None) -> dict[str, Any]:
    """Run one checked configuration; `others` are those of the models in ``points.models``.

    Returns
    -------
    dict
        The run's record, as written to ``outputs/runs/``.
    """
    others = others or []
    for each in (config, *others):
        check(each)
    check_ready(config)
    outputs = outputs_folder(config["paths"]["outputs"])
    record = RunRecord(outputs, config)
    from pipeline.stages.attack import check_ability, notes_of  # heavy: torch, pandas
    from pipeline.stages.data import load_dataset

    dataset = load_dataset(config)
    notes = list(dataset.provenance.get("notes", []))
    if config["attack"].get("_target_") is not None:
        method, name = build_attack(config), config["attack"]["name"]
        check_ability(method, build_model(config), name)
        notes += notes_of(method, name)
    print(f"{dataset!r}", flush=True)
    for note in notes:
        print(f"note: {note}")
    with record.at_work():
        made = _stages(config, others, dataset, outputs, record)
        record.finish(made)
    return made


def _stages(config: Config, others: list[Config], dataset: Any, outputs: Path, record: RunRecord) -> dict[str, Any]:
    """Fit, evaluate and attack; which fit and attack it came to."""
    from pipeline.console import evaluation_lines, summary_lines, table_lines
    from pipeline.stages.attack import attack
    from pipeline.stages.evaluate import evaluate
    from pipeline.stages.fit import fit

    fitted = fit(config, dataset, outputs)
    made: dict[str, Any] = {"fit": fitted.folder.name, "attack": None}
    record.begin(**made)
    evaluation = evaluate(fitted, dataset, config["scale"]["name"])
    print("\n".join(evaluation_lines(evaluation, fitted)), flush=True)
    if config["attack"].get("_target_") is not None:
        judges = []
        for other in others:
            judges.append(fit(other, dataset, outputs))
            made["judges"] = [judge.folder.name for judge in judges]
            record.begin(**made)
        done = attack(config, dataset, fitted, judges, evaluation, outputs)
        made["attack"] = done.folder.name
        print("\n".join([*summary_lines(done.summary, done.reused), *table_lines(done.folder)]))
        print(f"Written to {done.folder}/")
    else:
        print(f"Written to {fitted.folder}/")
    return made


def _other_models(config: Config) -> list[Config]:
    """The configuration of each model in ``points.models``, with this run's data set, seed and scale."""
    points, attack = config.get("points"), config.get("attack")
    if not isinstance(points, dict) or not isinstance(attack, dict):
        return []
    needed = points.get("rule") == "correct_for_all" or attack.get("start") == "given"
    if not needed or not isinstance(points.get("models"), list):
        return []
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    groups = [f"{name}={hydra.runtime.choices[name]}" for name in ("dataset", "scale")]  # an experiment may set them
    values = [o for o in hydra.overrides.task if o.lstrip("+~").split("=")[0].split(".")[0] in _SHARED]
    shared = [*groups, *(o for o in values if o.split("=")[0] not in ("dataset", "scale"))]
    composed = []
    for name in points["models"]:
        try:
            composed.append(_composed(*shared, f"model={name}", "attack=none"))
        except Exception as error:  # Hydra's errors share no base class worth naming
            raise UserError(f"points.models: {name!r} cannot be composed: {str(error).splitlines()[0]}") from error
    return composed


@functools.cache
def _composed(*overrides: str) -> Config:
    """The configuration that these words give; kept, for the jobs of a sweep ask for the same models."""
    from hydra import compose

    return resolve(compose("config", overrides=list(overrides)))


def _show_warning(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
    print(f"warning: {message}", file=sys.stderr)
