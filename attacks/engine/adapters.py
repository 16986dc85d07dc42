"""Models of other attack libraries, passed to an attack as they are: ART's classifiers and Foolbox's models.

A class is recognised by the package of one of its bases, so neither library is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .validation import as_array

DEFAULT_CLIP = (0.0, 1.0)
"""The default of an attack's `clip`. It is recognised as an object, so that (0, 1) given by a caller is kept."""


def output_function(model: Any) -> Callable[[NDArray[np.float32]], NDArray[Any]] | None:
    """Return the function from inputs to rows of scores of a model of ART or Foolbox; None for other models."""
    if _is_of("art", model):
        if not callable(getattr(model, "predict", None)):
            raise ValueError(f"An ART estimator must be a classifier with predict. Got a {type(model).__name__}.")
        return lambda inputs: np.asarray(model.predict(inputs))
    if _is_of("foolbox", model):
        return lambda inputs: _foolbox_outputs(model, inputs)
    return None


def clip_of(model: Any, clip: Any) -> Any:
    """Return `clip`; if the caller gave none, the bounds of a model of ART or Foolbox that has some."""
    if clip is DEFAULT_CLIP:
        for package, name in (("art", "clip_values"), ("foolbox", "bounds")):
            if _is_of(package, model) and getattr(model, name, None) is not None:
                return getattr(model, name)
    return clip


def _is_of(package: str, model: Any) -> bool:
    return any(kind.__module__.partition(".")[0] == package for kind in type(model).__mro__)


def _foolbox_outputs(model: Any, inputs: Any) -> NDArray[Any]:
    """Scores of a Foolbox model, which takes tensors of its own framework: those of the kind of its `dummy`."""
    dummy, torch = getattr(model, "dummy", None), sys.modules.get("torch")
    with nullcontext() if torch is None else torch.no_grad():
        return as_array(model(inputs if dummy is None else dummy.from_numpy(inputs).raw))
