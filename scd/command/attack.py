"""``scd attack``: choose samples that the model classifies correctly, attack them, report."""

from __future__ import annotations

import ast
import inspect
import sys
import time
from argparse import Namespace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scd.command.model import ModelOptions, NamedClassifier, load_model
from scd.command.records import EXAMPLES, Attacked, report, write_records
from scd.command.samples import Samples, read_samples
from scd.seeds import generator_for

_FEW = {"start": "rays", "radius": (1.0, 0.3), "target": 0.3, "step": 0.2, "memory": 1.0}
ATTACKS: dict[str, tuple[str, dict[str, Any]]] = {
    "hsj": ("HopSkipJump", {"restarts": 1}),
    "hsj_wide": ("HopSkipJump", {"restarts": 1, "delta": 0.1}),
    "smoothed_boundary": ("SmoothedBoundary", {}),
    "smoothed_few": ("SmoothedBoundary", _FEW),
    "smoothed_lowfreq": ("SmoothedBoundary", {**_FEW, "subspace": "dct", "subspace_queries": 1000}),
    "surrogate": ("Surrogate", {}),
    "surrogate_linear": ("Surrogate", {"surrogate": "logistic"}),
    "boundary": ("BoundaryAttack", {"restarts": 1, "max_iter": 5000}),
    "surfree": ("SurFree", {}),
    "cgba": ("CGBA", {}),
    "signopt": ("SignOPT", {}),
    "arsopt": ("SignOPT", {"accelerated": True, "step": 1.0}),
    "rays": ("RayS", {}),
    "noise": ("NoiseSearch", {}),
}
"""Attacks that need labels only, by their names in conf/attack: the class, and what differs from its defaults. One run
has the whole query budget."""
_BLOCK = 4096  # inputs of one call for the labels of the data
_STATE = "state.npz"
_OPTIONS = {"query_budget": "--budget", "seed": "--seed", "norm": "--norm"}


def attack(options: Namespace) -> None:
    """Run the command with the options of :func:`scd.command.line.parser`.

    Raises
    ------
    ValueError, ImportError, OSError
        One sentence on what is missing or wrong.
    """
    method = make_attack(options)
    folder = None if options.out is None else Path(options.out).expanduser()
    if folder is not None and (folder / EXAMPLES).exists():
        raise ValueError(f"--out {options.out} has the results of another attack; name a new folder.")
    samples = read_samples(options.data, options.target, options.labels)
    given = ModelOptions(
        tuple(options.classes),
        options.threshold,
        options.channels_last,
        tuple(options.trusted),
        options.trust_pickle,
        options.rate_limit,
        options.token_variable,
    )
    model = load_model(options.model, samples.feature_shape, given)
    if samples.columns is not None:
        model.check_features(samples.columns, options.data)
    predicted = _predicted(model, samples.x, options.model)
    if samples.classes is not None:
        model.check_classes(samples.classes, predicted)
    classes = predicted if samples.classes is None else samples.classes
    index = choose(classes, predicted, options.points, options.seed)
    clip = bounds(samples, options.clip)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    others = np.delete(samples.x, index, axis=0)
    more: dict[str, Any] = {"pool": others} if "nearest" in method.starts_from() and len(others) else {}
    more["feature_shape"] = samples.feature_shape if samples.columns is None else None  # columns have no order
    state, began = None if folder is None else folder / _STATE, time.perf_counter()
    result = method(model, samples.x[index], classes[index], clip=clip, index=index, state=state, **more)
    seconds = time.perf_counter() - began
    reached = np.full(len(index), "", dtype=object)
    if result.success.any():
        reached[result.success] = model(result.adversarials[result.success])
    accuracy = None if samples.classes is None else float((classes == predicted).mean())
    done = Attacked(result, reached.astype(np.str_), samples.x[index], accuracy, seconds, method.norm)
    print("\n".join(report(done, options)))  # first, for the disk may be full
    if folder is not None:
        write_records(folder, done, options)
        (folder / _STATE).unlink(missing_ok=True)
        print(f"\n  written to {folder}")


def make_attack(options: Namespace) -> Any:
    """Return the attack that the options name.

    Raises
    ------
    ValueError
        If it has no such parameter or norm.
    """
    name, differing = ATTACKS[options.attack]
    kind = getattr(import_module("scd.attacks"), name)  # by name: its folder is a room of its own in a checkout
    known = inspect.signature(kind).parameters
    settings = {"query_budget": options.budget, "verbose": sys.stderr.isatty()}
    settings |= {"seed": options.seed} if "seed" in known else {}
    settings |= {"norm": options.norm} if options.norm is not None and "norm" in known else {}
    for name, option in _OPTIONS.items():
        if name in dict(options.set):
            raise ValueError(f"--set must not name {name}, which {option} gives.")
    settings |= {**differing, **dict(options.set)}
    unknown = [each for each in settings if each not in known]
    if unknown:
        raise ValueError(f"--set must name a parameter of {options.attack}: {', '.join(known)}. Got {unknown[0]}.")
    made = kind(**settings)
    if options.norm not in (None, made.norm):
        raise ValueError(f"--norm must be {made.norm}, which {options.attack} minimises. Got {options.norm}.")
    return made


def setting(text: str) -> tuple[str, Any]:
    """Return ``name=value`` as a name and a Python value; what is no Python literal is a text.

    Raises
    ------
    ValueError
        If there is no ``=``.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(text)
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def bounds(samples: Samples, given: str | None) -> tuple[Any, Any]:
    """Return the bounds that the attack keeps to.

    Parameters
    ----------
    samples : Samples
    given : "features", "data", "low,high" or None
        The minimum and maximum of each feature or of all values, or two numbers. None: of each feature of a table, of
        all values of an array.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if given == "features" or (given is None and samples.columns is not None):
        return samples.x.min(axis=0), samples.x.max(axis=0)
    if given in ("data", None):
        return float(samples.x.min()), float(samples.x.max())
    try:
        low, high = (float(part) for part in given.split(","))
    except ValueError:
        raise ValueError(f"--clip must be features, data or two numbers low,high. Got {given}.") from None
    return low, high


def choose(classes: NDArray[np.str_], predicted: NDArray[np.str_], count: int, seed: int) -> NDArray[np.int64]:
    """Return the positions of the first `count` samples, in an order drawn by `seed`, that are classified correctly.

    Raises
    ------
    ValueError
        If there is none.
    """
    correct = classes == predicted
    if not correct.any():
        true, other = (", ".join(np.unique(names)[:10].tolist()) for names in (classes, predicted))
        raise ValueError(
            f"The model classifies no sample of --data correctly: their classes are {true}, and it predicts {other}; "
            "give the names of its classes in its order with --classes."
        )
    order = generator_for(seed, "points").permutation(len(classes))
    chosen: NDArray[np.int64] = order[correct[order]][:count]
    return chosen


def _predicted(model: NamedClassifier, x: NDArray[np.float32], path: str) -> NDArray[np.str_]:
    blocks = (x[begin : begin + _BLOCK].copy() for begin in range(0, len(x), _BLOCK))  # a model may write into them
    try:
        return np.concatenate([model(block) for block in blocks])
    except ConnectionError:
        raise  # the service does not answer, whatever the samples are
    except Exception as error:  # each library has errors of its own for samples of another shape
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"The model {path} cannot predict samples of {x.shape[1]} features: {first}") from error
