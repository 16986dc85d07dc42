"""Files of trained models: skops, XGBoost, LightGBM, ONNX, Keras, torch.export and pickle, each loaded on demand."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .outputs import Predictor

_HARMLESS = frozenset({"builtins.set", "builtins.frozenset", "collections.OrderedDict", "collections.defaultdict"})
"""Types that hold data only and that skops does not trust by itself."""


class Request(NamedTuple):
    """What a loader gets."""

    path: Path
    feature_shape: tuple[int, ...]
    """Shape of one input: (channels, height, width) or (d,)."""
    threshold: float
    """Of a single score."""
    channels_last: bool
    trusted: tuple[str, ...]
    """Types of a skops file, by their full names, that are loaded besides those that skops trusts."""


class Format(NamedTuple):
    """A kind of file."""

    load: Callable[[Request], Predictor]
    package: str
    """What it needs, by the name of its module."""
    install: str
    """And what pip calls that."""
    runs_code: bool = False
    """Whether loading a prepared file can run code."""


def formats() -> dict[str, Format]:
    """Return the formats by the ending of the file."""
    booster = Format(_xgboost, "xgboost", "xgboost")
    pickled = Format(_pickle, "joblib", "joblib", runs_code=True)
    module = Format(_torch_module, "torch", "torch", runs_code=True)
    return {
        "skops": Format(_skops, "skops", "skops"),
        "ubj": booster,
        "json": booster,
        "txt": Format(_lightgbm, "lightgbm", "lightgbm"),
        "onnx": Format(_onnx, "onnxruntime", "onnxruntime"),
        "keras": Format(_keras, "keras", "keras"),
        "pt2": Format(_torch_export, "torch", "torch", runs_code=True),
        "pt": module,
        "pth": module,
        "pkl": pickled,
        "pickle": pickled,
        "joblib": pickled,
    }


def needed(package: str, install: str, what: str) -> Any:
    """Import a package.

    Raises
    ------
    ImportError
        One sentence that names it.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(f"{what} needs {install}; run: pip install {install} ({error}).") from error


def predictor_of(model: Any) -> Predictor:
    """Return a scikit-learn-compatible classifier as a `Predictor`: its labels or, of more than two classes, scores."""
    classes = getattr(model, "classes_", None)  # a model of another library need not have any
    names = None if classes is None else tuple(str(each) for each in _as_labels(classes).tolist())
    if not hasattr(model, "predict"):
        raise ValueError(f"it holds a {type(model).__name__}, which has no method predict.")
    features = _given_names(getattr(model, "feature_names_in_", None))

    def labels(x: NDArray[np.float32]) -> NDArray[Any]:
        return _as_labels(model.predict(x))

    def scores(x: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray(model.predict_proba(x), dtype=np.float64)

    if names is not None and len(names) > 2 and hasattr(model, "predict_proba"):
        return Predictor(scores, names, labels=labels, features=features)
    return Predictor(labels, names, features=features)


def _given_names(names: Any) -> tuple[str, ...] | None:
    """Names of features; None for those that LightGBM gives to the columns of an array."""
    known = () if names is None else tuple(map(str, names))
    return None if all(name == f"Column_{i}" for i, name in enumerate(known)) else known


def _as_labels(values: Any) -> NDArray[Any]:
    """Predicted labels, (n,); whole numbers that are floats become integers."""
    labels = np.asarray(values)
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.dtype.kind == "f" and np.array_equal(labels, np.rint(labels)):
        return labels.astype(np.int64)
    return labels


def trusted_types(untrusted: Iterable[str], trusted: Sequence[str]) -> list[str]:
    """Return the types that may be loaded: harmless ones, and those `trusted`, a type's name or a package's with a dot.

    Raises
    ------
    ValueError
        If others are left.
    """
    found = list(untrusted)
    others = [
        kind
        for kind in found
        if kind not in _HARMLESS and not any(kind == t or (t.endswith(".") and kind.startswith(t)) for t in trusted)
    ]
    if others:
        raise ValueError(
            f"it holds types that skops does not trust: {', '.join(others)}; if you know its author, name them: "
            f"model.trusted=[{','.join(others)}]."
        )
    return found


def _skops(request: Request) -> Predictor:
    import skops.io

    allowed = trusted_types(skops.io.get_untrusted_types(file=request.path), request.trusted)
    return predictor_of(skops.io.load(request.path, trusted=allowed))


def _pickle(request: Request) -> Predictor:
    import joblib

    _warn(request.path)
    return predictor_of(joblib.load(request.path))


def _warn(path: Path) -> None:
    warnings.warn(f"{path} is loaded as a pickle, which runs whatever code it holds.", stacklevel=2)


def _xgboost(request: Request) -> Predictor:
    import json

    import xgboost

    booster = xgboost.Booster(model_file=str(request.path))
    best = booster.attr("best_iteration")
    if booster.attr("scikit_learn") and best:  # by which a classifier of its own predicts
        booster = booster[: int(best) + 1]
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    if not objective.startswith(("binary:", "multi:")):
        raise ValueError(f"its objective is {objective!r}; it must be a classifier, binary: or multi:.")

    def margins(x: NDArray[np.float32]) -> NDArray[Any]:
        found = booster.predict(xgboost.DMatrix(x), output_margin=True, validate_features=False)
        return np.asarray(found, dtype=np.float64)

    return Predictor(margins, threshold=0.0, features=_given_names(booster.feature_names))


def _lightgbm(request: Request) -> Predictor:
    import lightgbm

    booster = lightgbm.Booster(model_file=str(request.path))
    objective = str(booster.dump_model(num_iteration=1).get("objective", "none"))
    if not objective.startswith(("binary", "multiclass", "cross_entropy")):
        raise ValueError(f"its objective is {objective!r}; it must be a classifier, binary or multiclass.")

    def margins(x: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray(booster.predict(x, raw_score=True), dtype=np.float64)

    return Predictor(margins, threshold=0.0, features=_given_names(booster.feature_name()))


def _onnx(request: Request) -> Predictor:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(request.path), providers=["CPUExecutionProvider"])
    first, name = session.get_inputs()[0], _onnx_output(session)
    kind = {"tensor(float)": np.float32, "tensor(double)": np.float64}.get(first.type)
    if kind is None:
        raise ValueError(f"its input must be float or double, got {first.type}.")
    batch = first.shape[0] if isinstance(first.shape[0], int) else None

    def run(x: NDArray[np.float32]) -> NDArray[Any]:
        shaped = as_inputs(x, len(first.shape), request).astype(kind, copy=False)
        return _as_outputs(session.run([name], {first.name: shaped})[0])

    return Predictor(in_batches(run, batch), threshold=request.threshold)


def _onnx_output(session: Any) -> str:
    """The output that decides: scores of a row each, else labels."""
    outputs = session.get_outputs()
    floats = [each for each in outputs if each.type in ("tensor(float)", "tensor(double)")]
    labels = [each for each in outputs if each.type in ("tensor(int64)", "tensor(int32)", "tensor(string)")]
    if not floats and not labels:
        raise ValueError(f"it must have an output of scores or labels, got {', '.join(each.type for each in outputs)}.")
    return str((floats or labels)[0].name)


def _keras(request: Request) -> Predictor:
    os.environ.setdefault("KERAS_BACKEND", "torch")  # which is there; TensorFlow need not be
    import keras

    model = keras.saving.load_model(request.path, compile=False, safe_mode=True)
    rank = len(model.inputs[0].shape)

    def run(x: NDArray[np.float32]) -> NDArray[Any]:
        return _as_outputs(keras.ops.convert_to_numpy(model(as_inputs(x, rank, request), training=False)))

    return Predictor(run, threshold=request.threshold)


def _torch_export(request: Request) -> Predictor:
    import torch

    _warn(request.path)
    program = torch.export.load(request.path)
    inputs = set(program.graph_signature.user_inputs)
    shape = next(node.meta["val"].shape for node in program.graph.nodes if node.name in inputs)
    batch = int(shape[0]) if isinstance(shape[0], int) else None
    return Predictor(in_batches(_torch_run(program.module(), len(shape), request), batch), threshold=request.threshold)


def _torch_module(request: Request) -> Predictor:
    import torch

    _warn(request.path)
    module = torch.load(request.path, map_location="cpu", weights_only=False)
    if not isinstance(module, torch.nn.Module):
        raise ValueError(f"it holds a {type(module).__name__}, not a whole torch.nn.Module.")
    module.eval()
    return Predictor(_torch_run(module, len(request.feature_shape) + 1, request), threshold=request.threshold)


def _torch_run(module: Any, rank: int, request: Request) -> Callable[[NDArray[np.float32]], NDArray[Any]]:
    import torch

    def run(x: NDArray[np.float32]) -> NDArray[Any]:
        with torch.no_grad():
            found = module(torch.from_numpy(as_inputs(x, rank, request)))
        return _as_outputs((found[0] if isinstance(found, tuple) else found).numpy())

    return run


def _as_outputs(values: Any) -> NDArray[Any]:
    outputs = np.asarray(values)
    return outputs.astype(np.float64) if outputs.dtype.kind == "f" else outputs


def as_inputs(x: NDArray[np.float32], rank: int, request: Request) -> NDArray[np.float32]:
    """Return inputs (n, d) in the shape of a network with inputs of this rank: flat, or images."""
    if rank == 2:
        return x
    shape = request.feature_shape
    if rank != 1 + len(shape):
        raise ValueError(f"The model takes inputs of {rank - 1} axes, and a sample has the shape {shape}.")
    images = x.reshape(len(x), *shape)
    return np.ascontiguousarray(np.moveaxis(images, 1, -1)) if request.channels_last else images


def in_batches(
    run: Callable[[NDArray[np.float32]], NDArray[Any]], batch: int | None
) -> Callable[[NDArray[np.float32]], NDArray[Any]]:
    """Return `run` for any number of inputs, where a network takes exactly `batch` at a time; the last are padded."""
    if batch is None:
        return run

    def all_of(x: NDArray[np.float32]) -> NDArray[Any]:
        padded = np.concatenate([x, np.zeros((-len(x) % batch, x.shape[1]), dtype=x.dtype)])
        return np.concatenate([run(padded[i : i + batch]) for i in range(0, len(padded), batch)])[: len(x)]

    return all_of
