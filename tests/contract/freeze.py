"""What the contract test holds, measured now, and the file that keeps it: ``python -m tests.contract.freeze``.

``frozen.json`` has five parts:

- ``data`` and ``published``: finished runs of docs/results, each with the words of its command, its key (at the end of
  its name), its headline number and what else its key is made of: the checksum of the data, and of an attack the key
  and votes of its fit, the attacked rows, the checksums and versions of its files and packages (``inputs``) and, where
  it starts from a given image, the models that chose that image (``judges``). They are facts of record: no command
  writes them again. A run is added by hand.
- ``signatures``: the parameters of every class and function that conf/ or ``attacks.__all__`` names.
- ``votes``: hashes of the votes of small fits of the embedded digits.
- ``runs``: what small runs of the digits leave on disk, and the tables made of them.

``python -m tests.contract.freeze signatures votes runs`` writes the named parts again. Do so only for a change that is
meant to alter what a user sees, and say in the commit which numbers changed and why.

The first section is all that touches the project's inner parts. When they move, fix it there; the laws in
test_frozen.py and the file stay as they are.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import math
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[2]
FROZEN = Path(__file__).with_name("frozen.json")

# ---- where the contract meets the project ---------------------------------------------------------------------------


def composed(*words: str) -> dict[str, Any]:
    """The configuration that ``python run.py`` makes of these words."""
    from hydra import compose, initialize_config_dir

    from pipeline.config.check import resolve
    from pipeline.config.resolvers import register_resolvers

    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return resolve(compose("config", overrides=list(words)))


def run(config: dict[str, Any]) -> dict[str, Any]:
    """Run a configuration as ``python run.py`` does; the names of its fit and its attack."""
    from pipeline.experiment import run

    return run(config)


def fit_key(config: dict[str, Any], checksum: str) -> str:
    """The key of a fit of data with this checksum."""
    from pipeline.config.build import build_model
    from pipeline.stages.fit import fit_key

    return fit_key(config, checksum, build_model(config).method_version)


def attack_key(config: dict[str, Any], facts: dict[str, Any], clip: tuple[float, float], index: np.ndarray) -> str:
    """The key of an attack on a fit that is not there: `facts` has its key, its votes and the models that judge."""
    from pipeline.config.build import build_attack
    from pipeline.stages.attack import attack_key

    def fitted(fit: str, votes: int, voting: str) -> Any:
        return SimpleNamespace(key=fit, n_votes=votes, voting=voting)

    method = build_attack(config)
    if "inputs" in facts:
        method.inputs = lambda: facts["inputs"]  # of files and packages that need not be there
    target = fitted(facts["fit"], facts["votes"], facts["voting"])
    job = SimpleNamespace(config=config, dataset=SimpleNamespace(clip=clip), attack=method)
    return attack_key(job, target, [fitted(*each) for each in facts["judges"]], index)


def published_number(key: str) -> float:
    """The headline number of a published fit or attack.

    Of a fit the test accuracy of its largest ensemble by hard voting; of an attack its mean minimum L2, but of
    textfooler the accuracy that is left, of transfer the probability on the boundary, of substitute the accuracy at
    epsilon 0.125 after the last round.
    """
    runs = pd.read_csv(ROOT / "docs" / "results" / "runs.csv", dtype={"key": str}).set_index("key")
    return float(runs.at[key, "value"])


def tables(outputs: Path) -> dict[str, pd.DataFrame]:
    """The tables of the smoke runs in `outputs`: a row a cell."""
    from scripts.results import read_results
    from scripts.tables.write import make_tables

    results, left_out = read_results(outputs, "smoke")
    return {made.name: made.cells for made in make_tables(results, "smoke", left_out)}


def run_files(outputs: Path, record: dict[str, Any]) -> tuple[Path, list[Path]]:
    """The evaluation of a run's fit, and the CSVs of its attack."""
    (evaluation,) = (outputs / "fits" / record["fit"]).glob("evaluation_*.json")
    return evaluation, sorted((outputs / "attacks" / record["attack"]).glob("*.csv"))


# ---- keys -----------------------------------------------------------------------------------------------------------


def key_now(entry: dict[str, Any], data: dict[str, Any]) -> str:
    """The key that the command of a published run has today."""
    config = composed(*shlex.split(entry["command"]))
    about = data[config["dataset"]["name"]]
    if entry["kind"] == "fit":
        return fit_key(config, about["checksum"])
    points = entry["points"]
    index = np.arange(points["first"]) if isinstance(points, dict) else np.array(points)
    return attack_key(config, entry, tuple(about["clip"]), index)


# ---- signatures -----------------------------------------------------------------------------------------------------

METHODS = ("__call__", "fit", "predict", "predict_proba", "votes", "member_labels", "smooth", "save", "load")
"""Methods that a user of a class calls, where it has them."""


def targets() -> list[str]:
    """What conf/ names as a data set, a model or an attack."""
    groups = ("dataset", "model", "attack", "scale")
    files = [path for group in groups for path in sorted((ROOT / "conf" / group).rglob("*.yaml"))]
    found = {name for path in files for name in _targets_in(yaml.safe_load(path.read_text()))}
    return sorted(found)


def _targets_in(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str):
            yield node["_target_"]
        for each in node.values():
            yield from _targets_in(each)


def signatures() -> dict[str, Any]:
    """Names, kinds and defaults of the parameters of all that is public; types may be told better: they are left out.

    A class that conf/ names by its module is the same object as that of its short name.
    """
    import attacks

    found = {target: _located(target) for target in targets()}
    homes = {id(each): target for target, each in found.items()}
    shown = {target: _signatures_of(each) for target, each in found.items()}
    for name in sorted(attacks.__all__):
        public = getattr(attacks, name)
        shown[f"attacks.{name}"] = f"is {homes[id(public)]}" if id(public) in homes else _signatures_of(public)
    return shown


def _located(target: str) -> Any:
    module, name = target.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def _signatures_of(found: Any) -> Any:
    if not inspect.isclass(found):
        return _shown(inspect.signature(found).parameters)
    if issubclass(found, Exception):
        return "an exception"
    methods = {each: _shown(inspect.signature(getattr(found, each)).parameters) for each in _methods_of(found)}
    return {"parameters": _shown(_constructor(found)), **methods}


def _methods_of(kind: type) -> list[str]:
    return [name for name in METHODS if inspect.isroutine(getattr(kind, name, None)) and not _of_type(kind, name)]


def _of_type(kind: type, name: str) -> bool:
    """Whether a class has this name only from its metaclass, as every class has ``__call__``."""
    return not any(name in vars(each) for each in kind.__mro__)


def _constructor(kind: type) -> dict[str, inspect.Parameter]:
    """Parameters of a class; ``**more`` stands for those of the class above."""
    found: dict[str, inspect.Parameter] = {}
    for each in kind.__mro__:
        if "__init__" in vars(each):
            own = dict(list(inspect.signature(vars(each)["__init__"]).parameters.items())[1:])
            passed_on = [n for n, p in own.items() if p.kind is inspect.Parameter.VAR_KEYWORD]
            found |= {n: p for n, p in own.items() if n not in passed_on and n not in found}
            if not passed_on:
                break
    return found


def _shown(parameters: Any) -> list[str]:
    """Each parameter as its name and default, after a star those given by name only."""
    shown, by_name = [], False
    for name, p in parameters.items():
        if p.kind is inspect.Parameter.KEYWORD_ONLY and not by_name:
            shown, by_name = [*shown, "*"], True
        stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(p.kind, "")
        default = "" if p.default is inspect.Parameter.empty else f"={_literal(p.default)}"
        shown.append(f"{stars}{name}{default}")
    return shown


def _literal(value: Any) -> str:
    """A default as text that does not change from process to process."""
    plain = value is None or isinstance(value, (bool, int, float, str, tuple, list))
    return repr(value) if plain else "..."


# ---- votes ----------------------------------------------------------------------------------------------------------

FITS = ("scd01", "scdce", "scdcebnn", "scd01bnn")


def votes() -> dict[str, dict[str, str]]:
    """Hashes of the arrays of three votes of each of the models, and of what they answer."""
    from data.digits import load
    from scd import SCDClassifier

    digits = load()
    x, y, test = digits.flat("train"), digits.y_train, digits.flat("test")
    found = {}
    for name in FITS:
        node = composed("dataset=digits", f"model={name}", "attack=none")["model"]
        settings = {k: v for k, v in node.items() if k not in ("_target_", "name", "use_votes")}
        model = SCDClassifier(**{**settings, "n_votes": 3, "n_iter": 40}, device="cpu", random_state=7).fit(x, y)
        arrays = [vote[key] for vote in model.votes_ for key in sorted(vote)]
        found[name] = {"votes": sha256(*arrays), "answers": sha256(np.asarray(model.votes(test), dtype=np.int64))}
    return found


def sha256(*arrays: np.ndarray) -> str:
    """Over types, shapes and bytes."""
    digest = hashlib.sha256()
    for array in map(np.ascontiguousarray, arrays):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


# ---- small runs -----------------------------------------------------------------------------------------------------

SMOKE = ("scale=smoke", "scale.points=3", "scale.max_iter=3", "device=cpu", "verbose=false", "seed=3", "points.seed=3")
AS_CIFAR10 = "dataset=cifar10"  # which is not there: the digits stand in, so that the paper's tables have something
RUNS: dict[str, tuple[str, ...]] = {
    "scd01-hsj": (AS_CIFAR10, "model=scd01", "attack=hsj"),
    "scdcebnn-hsj": (AS_CIFAR10, "model=scdcebnn", "attack=hsj"),
    "scd01-hsj_wide": ("dataset=digits", "model=scd01", "attack=hsj_wide", "attack.norm=linf"),
    "mlp-rays": (AS_CIFAR10, "model=mlp", "attack=rays", "model.n_jobs=1", "scale.n_iter=300", "scale.queries=2000"),
    "rf-boundary": (AS_CIFAR10, "model=rf", "attack=boundary", "model.n_jobs=1", "attack.start=nearest"),
    "scdce-whitebox": (AS_CIFAR10, "model=scdce", "attack=whitebox", "scale.max_iter=8"),
    "scd01-cgba": ("dataset=digits", "model=scd01", "attack=cgba", "attack.start=given"),
    "scd01-surfree": ("dataset=digits", "model=scd01", "attack=surfree"),
    "scd01-noise": ("dataset=digits", "model=scd01", "attack=noise"),
    "scd01-transfer": (AS_CIFAR10, "model=scd01", "attack=transfer"),
    "scd01-substitute": (AS_CIFAR10, "model=scd01", "attack=substitute", "scale.points=16", "attack.epsilon=0.25"),
}
_TABLE_COLUMNS = ("attack", "paper", "ours", "accuracy_percent", "votes", "n_votes", "points", "folder")


def runs() -> dict[str, Any]:
    """What each of `RUNS` leaves on disk, and the filled cells of the tables made of them all, without times."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder) / "outputs"
        places = (f"paths.outputs={outputs}", f"paths.data={folder}")
        found: dict[str, Any] = {}
        for name, words in RUNS.items():
            record = run(composed(*SMOKE, *places, *words))
            evaluation, files = run_files(outputs, record)
            found[name] = {
                "fit": record["fit"],
                "attack": record["attack"],
                "evaluation": _without_times(json.loads(evaluation.read_text())),
                **{path.name: _columns(path) for path in files},
            }
        found["tables"] = {name: _filled(cells) for name, cells in tables(outputs).items()}
    return _plain(found)


def _without_times(row: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in row.items() if "seconds" not in k and k != "key"}


def _columns(path: Path) -> dict[str, Any]:
    """A CSV as columns; of a long one the number of rows and each column's sum.

    Of the reasons of failed examples it is kept only whether there is one: they are words for a reader.
    """
    table = pd.read_csv(path)
    if "reason" in table:
        table["reason"] = table["reason"].notna().astype(int)
    columns = _without_times(table.to_dict("list"))
    if len(table) <= 10:
        return columns
    return {"rows": len(table), **{f"sum of {k}": float(np.nansum(v)) for k, v in columns.items()}}


def _filled(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """The cells of a table that a run has filled."""
    if "folder" not in cells:
        return []
    filled = cells[cells["folder"].notna()]
    return [{k: row[k] for k in _TABLE_COLUMNS if k in row} for row in filled.to_dict("records")]


def _plain(value: Any) -> Any:
    """As JSON keeps it: floats of nine digits, no value instead of not-a-number."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return None if math.isnan(value) else float(f"{value:.9g}")
    return value.item() if isinstance(value, np.generic) else value


# ---- the file -------------------------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[], Any]] = {"signatures": signatures, "votes": votes, "runs": runs}


def frozen() -> dict[str, Any]:
    """The file."""
    return json.loads(FROZEN.read_text())


def differences(was: Any, now: Any, where: str = "") -> list[str]:
    """Every place where `now` is not what it was; floats may differ by a millionth, and names may be added."""
    if isinstance(was, dict) and isinstance(now, dict):
        gone = (f"{where}/{k}: gone" for k in was if k not in now)
        return [*gone, *(d for k in was if k in now for d in differences(was[k], now[k], f"{where}/{k}"))]
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        return [d for i, (a, b) in enumerate(zip(was, now, strict=True)) for d in differences(a, b, f"{where}[{i}]")]
    numbers = all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (was, now))
    same = math.isclose(was, now, rel_tol=1e-6, abs_tol=1e-9) if numbers else was == now
    return [] if same else [f"{where}: {was!r} before, {now!r} now"]


def main(words: list[str]) -> int:
    """Write the named parts again."""
    unknown = [word for word in words if word not in PARTS]
    if unknown or not words:
        print(f"error: name what to write again, of {', '.join(PARTS)}. Got {words}.", file=sys.stderr)
        return 2
    known = frozen()
    for part in words:
        known[part] = PARTS[part]()
    write(known)
    return 0


def write(known: dict[str, Any]) -> None:
    """One line for each run, key and signature, so that a change shows as such."""
    parts = []
    for name, part in known.items():
        lines = [f"  {json.dumps(k)}: {_wrapped(v)}" for k, v in part.items()]
        parts.append(f" {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n }")
    FROZEN.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def _wrapped(value: Any) -> str:
    """A line, or one for each of its parts where it would be too long to read."""
    line = json.dumps(value)
    if not isinstance(value, dict) or len(line) < 200:
        return line
    return "{\n" + ",\n".join(f"   {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n  }"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
