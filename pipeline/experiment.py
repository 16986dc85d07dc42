"""One run: load the data, fit, evaluate, attack, and say what came out."""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

from pipeline.configcheck import Config, build_attack, build_model, check, check_ready, resolve
from pipeline.errors import UserError
from pipeline.store import key_of, outputs_folder, write_json

_LESS_MEMORY = "Try a smaller memory_budget, e.g. memory_budget=500MiB."
_SHARED = ("dataset", "scale", "seed", "paths", "device", "memory_budget", "verbose")


def run_from_command_line(cfg: DictConfig) -> int:
    """Run and return the exit status; a user's error becomes one sentence on stderr."""
    warnings.showwarning = _show_warning
    try:
        run(resolve(cfg), _other_models(cfg))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        print("\nInterrupted. What was finished is kept; the same command goes on from there.", file=sys.stderr)
        return 130
    except MemoryError as error:
        print(f"error: not enough memory: {error}. {_LESS_MEMORY}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        if "cannot cache function" in str(error):
            print(
                "error: Numba finds no folder to cache compiled code in; set NUMBA_CACHE_DIR to one.", file=sys.stderr
            )
            return 1
        if "alloc" in str(error) or "out of memory" in str(error).lower():
            print(f"error: not enough memory: {str(error).splitlines()[0]}. {_LESS_MEMORY}", file=sys.stderr)
            return 1
        raise
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print(
            f"error: {error.strerror or error}{where}. What was finished is kept; mend this and run the same command.",
            file=sys.stderr,
        )
        return 1
    return 0


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
    began = time.time()
    dataset = load_dataset(config)
    from pipeline.attack import attack, check_ability, notes_of  # heavy: torch, pandas
    from pipeline.evaluate import evaluate
    from pipeline.fit import fit
    from pipeline.report import evaluation_lines, summary_lines, table_lines

    attacking = config["attack"].get("_target_") is not None
    notes = list(dataset.provenance.get("notes", []))
    if attacking:
        method, name = build_attack(config), config["attack"]["name"]
        check_ability(method, build_model(config), name)
        notes += notes_of(method, name)
    print(f"{dataset!r}", flush=True)
    for note in notes:
        print(f"note: {note}")
    fitted = fit(config, dataset, outputs)
    evaluation = evaluate(fitted, dataset, config["scale"]["name"])
    print("\n".join(evaluation_lines(evaluation, fitted)), flush=True)
    record: dict[str, Any] = {"fit": fitted.folder.name, "attack": None}
    if attacking:
        judges = [fit(other, dataset, outputs) for other in others]
        done = attack(config, dataset, fitted, judges, evaluation, outputs)
        record["attack"] = done.folder.name
        print("\n".join([*summary_lines(done.summary, done.reused), *table_lines(done.folder)]))
        print(f"Written to {done.folder}/")
    else:
        print(f"Written to {fitted.folder}/")
    _write_run(outputs, config, record, began)
    return record


def load_dataset(config: Config) -> Any:
    """The data set; what is wrong with it becomes one sentence."""
    from pipeline.components import arguments, locate

    node = config["dataset"]
    try:
        return locate("dataset", node)(**arguments("dataset", node))
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise UserError(f"dataset={node['name']}: {error}") from error


def _other_models(cfg: DictConfig) -> list[Config]:
    """The configuration of each model in ``points.models``, with this run's data set, seed and scale."""
    points, attack = cfg.get("points"), cfg.get("attack")
    if not isinstance(points, DictConfig) or not isinstance(attack, DictConfig):
        return []
    needed = points.get("rule") == "correct_for_all" or attack.get("start") == "given"
    if not needed or not isinstance(points.get("models"), ListConfig):
        return []
    from hydra import compose
    from hydra.core.hydra_config import HydraConfig

    shared = [o for o in HydraConfig.get().overrides.task if o.lstrip("+~").split("=")[0].split(".")[0] in _SHARED]
    composed = []
    for name in points["models"]:
        try:
            composed.append(resolve(compose("config", overrides=[*shared, f"model={name}", "attack=none"])))
        except Exception as error:  # Hydra's errors share no base class worth naming
            raise UserError(f"points.models: {name!r} cannot be composed: {str(error).splitlines()[0]}") from error
    return composed


def _write_run(outputs: Path, config: Config, record: dict[str, Any], began: float) -> None:
    names = [config[group]["name"] for group in ("dataset", "model", "attack")]
    kept = {k: v for k, v in config.items() if k != "paths"}
    folder = outputs / "runs" / f"{'-'.join(names)}-{key_of(config=kept)}"
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"command": " ".join(["python", *sys.argv]), "began": began, "seconds": time.time() - began}
    write_json(folder / "run.json", {**facts, **record, "config": kept})


def _show_warning(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
    print(f"warning: {message}", file=sys.stderr)
