"""One run: load the data, fit, evaluate, attack, and print what came out."""

from __future__ import annotations

import sys
import traceback
import warnings
from typing import Any, TextIO

from omegaconf import DictConfig

from pipeline.closer_attacks import far_closer
from pipeline.config.check import check, check_dataset, check_ready, resolve
from pipeline.config.compose import changed_settings, judges_of
from pipeline.console import evaluation_lines, summary_lines, table_lines
from pipeline.convergence import search_of
from pipeline.errors import UserError, sentence_for
from pipeline.protocols import Config, Job
from pipeline.run_log import RunRecord, in_sweep, note_outcome
from pipeline.stages.attack import attack
from pipeline.stages.call import check_call
from pipeline.stages.data import load_dataset
from pipeline.stages.evaluate import evaluate
from pipeline.stages.fit import fit
from pipeline.stages.points import check_indices
from pipeline.store import outputs_folder
from pipeline.sweep_table import result_of
from scd.devices import slow_blas


def run_from_command_line(cfg: DictConfig) -> int:
    """Run and return the exit status; an expected error becomes one sentence on stderr.

    A job of a sweep also records its outcome for the sweep, and raises nothing but KeyboardInterrupt.
    """
    warnings.showwarning = _show_warning
    config: Config | None = None
    try:
        config = resolve(cfg)
        note_outcome(None)
        run(config, judges_of(config))
    except KeyboardInterrupt:
        if in_sweep():
            raise
        print("\nInterrupted. Completed work was saved; the same command continues from there.", file=sys.stderr)
        return 130
    except Exception as error:
        expected = sentence_for(error)
        if expected is None:
            if not in_sweep():
                raise
            traceback.print_exc()
            expected = f"{type(error).__name__}: {error}", 1
        sentence, code = expected
        print(f"error: {sentence}", file=sys.stderr)
        _record_failure(config, sentence, code)
        note_outcome(code, sentence)
        return code
    return 0


def _record_failure(config: Config | None, sentence: str, code: int) -> None:
    """Write the error beside the run, unless it is a bad configuration that the user has just typed."""
    if config is None or (code == 2 and not in_sweep()):
        return
    try:
        RunRecord(outputs_folder(config["paths"]["outputs"]), config).fail(sentence, code)
    except (UserError, OSError, KeyError, TypeError):  # the very error may be that nothing can be written
        return


def run(config: Config, judge_configs: list[Config] | None = None) -> dict[str, Any]:
    """Run one configuration.

    Parameters
    ----------
    config : dict
        Resolved.
    judge_configs : list of dict, optional
        Those of the models in ``points.models``: see :func:`pipeline.config.compose.judges_of`.

    Returns
    -------
    dict
        The run's record, as written to ``outputs/runs/``.

    Raises
    ------
    UserError
        A bad configuration, missing data, or an attack that cannot run.
    """
    judge_configs = judge_configs or []
    checked = check(config)
    judges_checked = [check(each) for each in judge_configs]
    attack_notes = check_ready(checked.attack, config["attack"]["name"]) if checked.attack is not None else []
    outputs = outputs_folder(config["paths"]["outputs"])
    dataset = load_dataset(config)
    for node, one in zip([config, *judge_configs], [checked, *judges_checked], strict=True):
        check_dataset(dataset, one, node)
    if checked.attack is not None:
        check_call(config["attack"], dataset)
        check_indices(config["points"], dataset)
    job = Job(config, dataset, checked.model, checked.attack, outputs, changed_settings(config))
    judges = [
        Job(each, dataset, made.model, None, outputs) for each, made in zip(judge_configs, judges_checked, strict=True)
    ]
    print(f"{dataset!r}", flush=True)
    slow = slow_blas()
    for note in [*dataset.provenance.get("notes", []), *attack_notes, *([slow] if slow else [])]:
        print(f"note: {note}")
    record = RunRecord(outputs, config)
    with record.at_work():
        made, result = _stages(job, judges, record)
        record.finish({**made, "as_configured": not job.changed, "changed": list(job.changed)})
    note_outcome(0, result=result)
    return made


def _stages(job: Job, judges: list[Job], record: RunRecord) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fit, evaluate and attack; the names of the fit and the attack, and the row of a sweep's table."""
    print(f"Fit: {job.model_name}", flush=True)
    fitted = fit(job)
    made: dict[str, Any] = {"fit": fitted.folder.name, "attack": None}
    record.begin(**made)
    evaluation = evaluate(job, fitted)
    print("\n".join(evaluation_lines(evaluation, fitted)), flush=True)
    if job.attack is None:
        print(f"Written to {fitted.folder}/")
        return made, result_of(made, evaluation.accuracy_ensemble, None, None)
    fitted_judges = []
    for judge in judges:
        print(f"Fit, to choose points: {judge.model_name}", flush=True)
        fitted_judges.append(fit(judge))
        made["judges"] = [each.folder.name for each in fitted_judges]
        record.begin(**made)
    print(f"Attack: {job.attack_name}", flush=True)
    done = attack(job, fitted, fitted_judges, evaluation)
    made["attack"] = done.folder.name
    search = search_of(done.folder)
    closer = [] if in_sweep() else far_closer(done.folder)  # it looks at all attacks on this model
    print("\n".join([*summary_lines(done.summary, done.reused, search, closer), *table_lines(done.folder)]))
    print(f"Written to {done.folder}/")
    return made, result_of(made, evaluation.accuracy_ensemble, done.summary, search.gain)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"warning: {message}", file=sys.stderr)
